import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { listen } from '../helpers/channel';
import { eventsOf, openClient } from '../helpers/client';
import { HELLO } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

const PIECES = 1024;
const PIECE = 'x'.repeat(64 * 1024);

describe('A client that receives a line of 64 MiB that does not end', () => {
  it('aborts the stream and closes the session with code 1009, without buffering the line', async () => {
    let sentPieces = 0;
    const posts: unknown[] = [];
    function* compose() {
      yield 'data: ';
      for (let piece = 0; piece < PIECES; piece++) {
        sentPieces++;
        yield PIECE;
      }
    }
    const { origin } = await listen((request, response) => {
      if (request.method === 'POST') {
        void text(request).then((body) => {
          posts.push(JSON.parse(body));
          response.end('{"received":0,"closed":true}');
        });
        return;
      }
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`event: hello\ndata: ${JSON.stringify(HELLO)}\n\n`);
      Readable.from(compose()).pipe(response);
    });
    const client = openClient(`${origin}/sse`);
    const [messages, errors, closes] = [
      eventsOf(client, 'message'),
      eventsOf(client, 'error'),
      eventsOf(client, 'close'),
    ];

    await waitFor(() => closes.length > 0, 60_000);
    const close = { code: 1009, reason: 'an event exceeds 30000000 characters' };
    expect(closes).toMatchObject([close]);
    expect(errors).toMatchObject([{ message: close.reason }]);
    expect(posts).toMatchObject([{ messages: [], close }]);
    expect(sentPieces).toBeLessThan(PIECES);
    expect(messages).toEqual([]);
  }, 120_000);
});
