import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { listen, openChannel } from '../../helpers/channel';
import { onTestFinished } from '../../helpers/on-test-finished';
import { eventsOf, next, openClient } from '../../helpers/client';
import { startNginx } from './nginx';

/** Passes on the head of an answer, but its body only once it has all of it. */
async function openHoldingProxy(target: string): Promise<string> {
  const { origin } = await listen((pending, held) => {
    const forwarded = get(new URL(pending.url!, target), { headers: pending.headers }, (answer) => {
      held.writeHead(answer.statusCode!, answer.headers).flushHeaders();
      text(answer).then(
        (body) => held.end(body),
        () => held.destroy(),
      );
    });
    held.on('close', () => forwarded.destroy());
  });
  return origin;
}

/** What the client says of its first attempt, after how many milliseconds. */
async function hear(origin: string) {
  const start = performance.now();
  const client = openClient(`${origin}/sse`);
  const opens = eventsOf(client, 'open');
  const { message } = await next(client, 'error');
  return { message, after: performance.now() - start, opens: opens.length };
}

describe('The client', () => {
  it('says within 10 s that a proxy holds the stream back, or its head as well, as nginx does', async () => {
    const { url } = await openChannel();
    const nginx = await startNginx(Number(new URL(url).port), {
      location: 'proxy_ignore_headers X-Accel-Buffering;',
    });
    onTestFinished(() => nginx.stop());
    const [ofBody, ofAll] = await Promise.all([
      openHoldingProxy(url).then(hear),
      hear(`http://127.0.0.1:${nginx.port}`),
    ]);
    const message = 'no event (buffered? 6 streams open?) in 10000 ms';
    expect([ofBody, ofAll]).toMatchObject([
      { message, opens: 0 },
      { message, opens: 0 },
    ]);
    // And a little, for a machine that has much else to do.
    expect(Math.max(ofBody.after, ofAll.after)).toBeLessThan(12_000);
  }, 30_000);
});
