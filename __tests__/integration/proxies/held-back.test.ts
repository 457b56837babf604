import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { listen, openChannel } from '../../helpers/channel';
import { onTestFinished } from '../../helpers/on-test-finished';
import { eventsOf, next, openClient } from '../../helpers/client';
import { startNginx } from './nginx';

/** A proxy that forwards the head of a response at once, but buffers its body until it is complete. */
async function openBufferingProxy(target: string): Promise<string> {
  const { origin } = await listen((request, response) => {
    const forwarded = get(
      new URL(request.url!, target),
      { headers: request.headers },
      (upstream) => {
        response.writeHead(upstream.statusCode!, upstream.headers).flushHeaders();
        text(upstream).then(
          (body) => response.end(body),
          () => response.destroy(),
        );
      },
    );
    response.on('close', () => forwarded.destroy());
  });
  return origin;
}

/** Returns the client's first error, and how many streams it opened before. */
async function readError(origin: string) {
  const client = openClient(`${origin}/sse`);
  const opens = eventsOf(client, 'open');
  const { message } = await next(client, 'error');
  return { message, opens: opens.length };
}

describe('SseClient behind a proxy that buffers the stream', () => {
  it('reports after 10 s that no event arrived, whether or not the head of the response did', async () => {
    const { url } = await openChannel();
    const nginx = await startNginx(Number(new URL(url).port), {
      location: 'proxy_ignore_headers X-Accel-Buffering;',
    });
    onTestFinished(() => nginx.stop());
    const [ofBody, ofAll] = await Promise.all([
      openBufferingProxy(url).then(readError),
      readError(`http://127.0.0.1:${nginx.port}`),
    ]);
    const message = expect.stringMatching(/^no event .*10000 ms/) as string;
    expect([ofBody, ofAll]).toEqual([
      { message, opens: 0 },
      { message, opens: 0 },
    ]);
  }, 30_000);
});
