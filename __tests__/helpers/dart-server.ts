import type { ServerResponse } from 'node:http';
import { listen } from './channel';

/**
 * Opens a server that treats one client as Dart's package:sse 4.2.0 does: POSTs are numbered from 0,
 * hold one JSON string each and are answered with 200 whatever they hold; its messages are JSON strings
 * without ids.
 */
export async function openDartServer() {
  const received: string[] = [];
  /** The number of each POST, in the order of arrival. */
  const numbers: number[] = [];
  const early = new Map<number, string>();
  let stream: ServerResponse | undefined;
  let streams = 0;
  let status = 200;

  const { origin } = await listen((request, response) => {
    const { searchParams } = new URL(request.url!, 'http://host');
    if (request.method === 'GET') {
      streams++;
      stream = response;
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
      return;
    }
    void request.toArray().then((chunks) => {
      const number = Number(searchParams.get('messageId'));
      numbers.push(number);
      early.set(number, JSON.parse(Buffer.concat(chunks as Buffer[]).toString()) as string);
      for (let text; (text = early.get(received.length)) !== undefined;) {
        if (typeof text !== 'string') throw new TypeError('not a String');
        received.push(text);
      }
      response.writeHead(status).end();
    });
  });

  return {
    url: `${origin}/sse`,
    received,
    numbers,
    streams: () => streams,
    send: (text: string) => stream!.write(`data: ${JSON.stringify(text)}\n\n`),
    close: () => stream!.write('event: control\ndata: close\n\n'),
    cut: () => stream!.destroy(),
    rejectPosts: () => (status = 500),
  };
}
