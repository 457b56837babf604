import { createHash } from 'node:crypto';
import { openChannel } from '../helpers/channel';
import { openClient } from '../helpers/client';
import { waitFor } from '../helpers/wait-for';

const COUNT = 100_000;
const TIMEOUT = 30_000;

/** Hashes messages in the order in which they are added. */
function createDigest() {
  const hash = createHash('sha256');
  let count = 0;
  return {
    add(message: unknown): void {
      hash.update(`${count++}:${JSON.stringify(message)}\n`);
    },
    count: () => count,
    end: () => hash.digest('hex'),
  };
}

describe('One connection', () => {
  it(
    'delivers 100,000 messages in each direction in order',
    async () => {
      const { sse, url } = await openChannel();
      const [up, down] = [
        { sent: createDigest(), received: createDigest() },
        { sent: createDigest(), received: createDigest() },
      ];
      sse.on('connection', (connection) => {
        connection.on('message', (message) => up.received.add(message));
        for (let number = 0; number < COUNT; number++) {
          const message = { down: number };
          connection.send(message);
          down.sent.add(message);
        }
      });
      const client = openClient(url);
      client.onmessage = ({ data }) => down.received.add(data);
      for (let number = 0; number < COUNT; number++) {
        const message = { up: number };
        client.send(message);
        up.sent.add(message);
      }
      const isComplete = () => up.received.count() >= COUNT && down.received.count() >= COUNT;
      await waitFor(isComplete, TIMEOUT);
      expect(up.received.end()).toBe(up.sent.end());
      expect(down.received.end()).toBe(down.sent.end());
    },
    2 * TIMEOUT,
  );
});
