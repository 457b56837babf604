import { cutResponsesToDartClient, cutResponsesToDuplexClient } from './cut-responses';

// `npm run soak cut-responses` does it 1,000 times for each client.
const COUNT = 100;

describe('A server whose clients lose the connection before the response to every POST', () => {
  it.each([
    ['a Dart-dialect client that repeats each POST, as Chromium does', cutResponsesToDartClient],
    ['the duplex client', cutResponsesToDuplexClient],
  ])(
    'delivers each message of %s once and in order',
    async (_, cutResponses) => {
      const { sent, delivered, struck } = await cutResponses(COUNT);
      expect(struck).toBe(COUNT);
      expect(delivered).toEqual(sent);
    },
    30_000,
  );
});
