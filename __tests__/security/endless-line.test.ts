import { Readable } from 'node:stream';
import { listen } from '../helpers/channel';
import { eventsOf, openClient } from '../helpers/client';
import { HELLO } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

const PIECES = 1024;
const PIECE = 'x'.repeat(64 * 1024);

describe('A client that receives a line of 64 MiB that does not end', () => {
  it('aborts the stream with a reason and reconnects', async () => {
    let gets = 0;
    let sentPieces = 0;
    function* compose() {
      yield 'data: ';
      for (let piece = 0; piece < PIECES; piece++) {
        if (gets === 1) sentPieces++;
        yield PIECE;
      }
    }
    const { origin } = await listen((_, response) => {
      gets++;
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`event: hello\ndata: ${JSON.stringify({ ...HELLO, resumed: gets > 1 })}\n\n`);
      Readable.from(compose()).pipe(response);
    });
    const client = openClient(`${origin}/sse`);
    const disconnects = eventsOf(client, 'disconnect');
    const messages = eventsOf(client, 'message');

    await waitFor(() => gets > 1, 60_000);
    expect(disconnects[0]!.reason).toMatch(/^RangeError: an event exceeds/);
    expect(sentPieces).toBeLessThan(PIECES);
    expect(messages).toEqual([]);
  }, 120_000);
});
