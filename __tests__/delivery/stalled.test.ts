import { runStalled } from './stalled';

const MIB = 1024 * 1024;

// `npm run soak stalled` has 99 readers and 100 MB, and measures the delay of the other readers.
describe('When one of ten clients does not read its stream, the server', () => {
  it.each([
    ['of 1 MiB, which the socket buffers could hold', MIB],
    ['of 12 MiB, which the socket buffers cannot hold', 12 * MIB],
  ])(
    'closes only that connection at a `maxBufferedAmount` %s',
    async (_, maxBufferedAmount) => {
      const messages = Math.ceil((maxBufferedAmount * 1.3) / 65_536);
      const { held, serverClose, clientClose, received } = await runStalled({
        readers: 9,
        isStalled: true,
        messages,
        messageBytes: 65_536,
        interval: 5,
        maxBufferedAmount,
      });
      const reason = `more than ${maxBufferedAmount} bytes unacknowledged (option "maxBufferedAmount")`;
      expect(serverClose).toEqual({ code: 1008, reason });
      expect(clientClose).toEqual(serverClose);
      expect(held).toBeGreaterThan(maxBufferedAmount / 2);
      expect(held).toBeLessThanOrEqual(maxBufferedAmount + 256 * 1024);
      expect(received).toEqual(Array.from({ length: 9 }, () => messages));
    },
    30_000,
  );
});
