import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { sendRequest, openStream } from '../helpers/http';
import { composeRequest, pipeline } from '../helpers/pipeline';
import { createRandom, seeds } from '../helpers/random';
import type { Random } from '../helpers/random';

const GUESSES = 100_000;
const CLAIMANTS = 100;
/** Number of connections that send the guesses. */
const CONNECTIONS = 4;
const TIMEOUT = 120_000;

const SECRET = 'for the victim only';
const LETTERS = Array.from('ABCXYZabcxyz019_-');
const VICTIM = { 'x-user': 'victim' };

async function openVictimsChannel() {
  const channel = await openChannel({
    authorize: ({ headers }) => headers['x-user'] as string,
    heartbeatInterval: TIMEOUT,
  });
  channel.sse.attach(channel.server); // halves the duration of the test
  return channel;
}

/** Returns another token, often one that differs as little as possible. */
function guess(token: string, random: Random): string {
  const letter = () => random.pick(LETTERS);
  const at = random.integer(0, token.length - 1);
  const wrong = random.pick([
    () => token.replace(/./g, letter),
    () => token.slice(0, at) + letter() + token.slice(at + 1),
    () => token.slice(0, at),
    () => token + letter(),
    () => token.toLowerCase(),
    () => token.toUpperCase(),
    () => Array.from(token).reverse().join(''),
  ])();
  return wrong === token ? '' : wrong;
}

/** Composes a request whose token, session id or principal is not the victim's. */
function attempt(token: string, random: Random): string {
  const [tried, name, user] = random.pick([
    [guess(token, random), 'victim', 'victim'],
    [guess(token, random), 'victim', 'other'],
    [guess(token, random), 'nobody', 'victim'],
    [token, 'nobody', 'victim'],
    [token, 'victim', 'other'],
  ] as const);
  const headers = { 'x-user': user };
  if (random.next() < 0.5) {
    const body = JSON.stringify({ token: tried, id: 0, ack: 0, messages: ['forged'] });
    return composeRequest('POST', `/sse?sseClientId=${name}`, headers, body);
  }
  const resume = { 'Last-Event-ID': `${tried}.${random.integer(0, 9)}` };
  return composeRequest('GET', `/sse?sseClientId=${name}&sseProtocol=2`, { ...headers, ...resume });
}

const [seed] = seeds(1) as [number];

describe(`A session (SEED=${seed})`, () => {
  it(
    `is not affected by ${CLAIMANTS} claims of its id and ${GUESSES} guesses, which all get one response`,
    async () => {
      const random = createRandom(seed);
      const { url, connections } = await openVictimsChannel();
      const victim = await openDuplex(url, 'victim', VICTIM);
      const [connection] = connections as [(typeof connections)[0]];
      const messages = record(connection, 'message');
      const disconnects = record(connection, 'disconnect');

      let isOver = false;
      const talk = async () => {
        let count = 0;
        for (; !isOver; count++) {
          connection.send([SECRET, count]);
          const { json } = await victim.post({ id: count, ack: count, messages: [count] });
          expect(json).toEqual({ received: count + 1 });
          expect(await victim.stream.takeData()).toEqual([SECRET, count]);
        }
        return count;
      };
      const claim = async (_: unknown, index: number) => {
        const dialect = index % 2 === 0 ? '' : '&sseProtocol=2';
        const { status, text } = await sendRequest(addressOf(url, 'victim') + dialect, {
          headers: VICTIM,
        });
        return `${status} ${text}`;
      };

      const guessing = Array.from({ length: CONNECTIONS }, () =>
        Array.from({ length: GUESSES / CONNECTIONS }, () => attempt(victim.token, random)),
      ).map((requests) => pipeline(url, requests));
      const [counts, claims, count] = await Promise.all([
        Promise.all(guessing).finally(() => (isOver = true)),
        Promise.all(Array.from({ length: CLAIMANTS }, claim)),
        talk(),
      ]);

      const responses = new Set(counts.flatMap((each) => [...each.keys()]));
      expect([...responses]).toEqual([
        expect.stringMatching(/^HTTP\/1.1 404 .*"unknown-session"/s),
      ]);
      const sum = counts.flatMap((each) => [...each.values()]).reduce((a, b) => a + b, 0);
      expect(sum).toBe(GUESSES);
      expect([...new Set(claims)]).toEqual([expect.stringMatching(/^409 .*"session-conflict"/)]);
      for (const response of [...responses, ...claims]) {
        expect(response).not.toContain(SECRET);
        expect(response).not.toContain(victim.token);
      }

      expect(count).toBeGreaterThan(0);
      expect(messages.flat()).toEqual(Array.from({ length: count }, (_, index) => index));
      expect([disconnects, connections.length, victim.stream.waiting()]).toEqual([[], 1, 0]);
    },
    TIMEOUT,
  );

  it('of the Dart dialect rejects claims and guesses with the same response', async () => {
    const { url, connections } = await openVictimsChannel();
    const stream = await openStream(addressOf(url, 'victim'), VICTIM);
    const eventId = (await stream.take()).id!;
    const [token] = eventId.split('.') as [string];
    const random = createRandom(seed);
    const claims = Array.from({ length: 1_000 }, (_, index): Record<string, string> => {
      if (index % 3 === 0) return VICTIM;
      if (index % 3 === 1) return { ...VICTIM, 'Last-Event-ID': `${guess(token, random)}.0` };
      return { 'x-user': 'other', 'Last-Event-ID': eventId };
    }).map((headers) => composeRequest('GET', '/sse?sseClientId=victim', headers));
    const counts = await pipeline(url, claims);

    expect([...counts]).toEqual([[expect.stringMatching(/^HTTP\/1.1 409 /), claims.length]]);
    connections[0]!.send(SECRET);
    expect(await stream.takeData()).toBe(SECRET);
    expect(connections).toHaveLength(1);
  });
});
