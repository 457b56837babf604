import { connect } from 'node:net';
import { addressOf, openChannel, openDuplex, record } from '../helpers/channel';
import { sendRequest, openStream } from '../helpers/http';
import { createRandom, seeds } from '../helpers/random';
import type { Random } from '../helpers/random';

const GUESSES = 100_000;
const CLAIMANTS = 100;
/** Connections that bring the guesses, and how many each brings at a time. */
const CONNECTIONS = 4;
const AT_A_TIME = 50;
/** Milliseconds: some seconds' work, on a machine that may be busy. */
const PATIENCE = 120_000;

const SECRET = 'for the victim alone';
const LETTERS = Array.from('ABCXYZabcxyz019_-');
const VICTIM = { 'x-user': 'victim' };

async function openVictimsChannel() {
  const channel = await openChannel({
    authorize: ({ headers }) => headers['x-user'] as string,
    heartbeatInterval: PATIENCE,
  });
  channel.sse.attach(channel.server); // Express would take half of the time
  return channel;
}

/** Sends requests over one connection; counts how often each answer came, which is all of it but the date. */
async function askAll(url: string, requests: string[]): Promise<Map<string, number>> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).setEncoding('latin1');
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<string, undefined>;
  const counts = new Map<string, number>();
  for (let first = 0; first < requests.length; first += AT_A_TIME) {
    const batch = requests.slice(first, first + AT_A_TIME);
    socket.write(batch.join(''));
    let text = '';
    let answers: string[] = [];
    while (answers.length < batch.length || !text.endsWith('}')) {
      const { value } = await chunks.next();
      text += value ?? '';
      // A stream, into which it was let, would not end.
      if (value === undefined || /^HTTP\/1\.1 2/m.test(text)) throw new Error(`it got ${text}`);
      answers = text.split(/(?=HTTP\/1\.1 )/);
    }
    for (const answer of answers) {
      const lasting = answer.replace(/^Date: .*\r\n/m, '');
      counts.set(lasting, (counts.get(lasting) ?? 0) + 1);
    }
  }
  socket.destroy();
  return counts;
}

/** A request as text. */
function asText(
  method: string,
  target: string,
  headers: Record<string, string>,
  body = '',
): string {
  const all = { Host: 'localhost', 'Content-Length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${target} HTTP/1.1`, ...lines, '', body].join('\r\n');
}

/** A token that is not this one: another, or one as near to it as can be. */
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

/** A request that is not the victim's: its token, its name or its principal is another. */
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
    return asText('POST', `/sse?sseClientId=${name}`, headers, body);
  }
  const proof = { 'Last-Event-ID': `${tried}.${random.integer(0, 9)}` };
  return asText('GET', `/sse?sseClientId=${name}&sseProtocol=2`, { ...headers, ...proof });
}

describe('a session', () => {
  it(
    `is not disturbed by ${CLAIMANTS} claims to it and ${GUESSES} guesses, which are all answered alike`,
    async () => {
      const [seed] = seeds(1) as [number];
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

      const start = performance.now();
      const guessing = Array.from({ length: CONNECTIONS }, () =>
        Array.from({ length: GUESSES / CONNECTIONS }, () => attempt(victim.token, random)),
      ).map((requests) => askAll(url, requests));
      const [counts, claims, count] = await Promise.all([
        Promise.all(guessing).finally(() => (isOver = true)),
        Promise.all(Array.from({ length: CLAIMANTS }, claim)),
        talk(),
      ]);
      const seconds = (performance.now() - start) / 1000;
      process.stdout.write(
        `${GUESSES} guesses in ${seconds.toFixed(1)} s, seed ${seed}; the victim had ${count} messages each way\n`,
      );

      const answers = new Set(counts.flatMap((each) => [...each.keys()]));
      expect([...answers]).toEqual([expect.stringMatching(/^HTTP\/1.1 404 .*"unknown-session"/s)]);
      const sum = counts.flatMap((each) => [...each.values()]).reduce((a, b) => a + b, 0);
      expect(sum).toBe(GUESSES);
      expect([...new Set(claims)]).toEqual([expect.stringMatching(/^409 .*"session-taken"/)]);
      for (const answer of [...answers, ...claims]) {
        expect(answer).not.toContain(SECRET);
        expect(answer).not.toContain(victim.token);
      }

      expect(messages.flat()).toEqual(Array.from({ length: count }, (_, index) => index));
      expect([disconnects, connections.length, victim.stream.waiting()]).toEqual([[], 1, 0]);
    },
    PATIENCE,
  );

  it('in the base dialect answers claims and guesses alike, and has none of them', async () => {
    const { url, connections } = await openVictimsChannel();
    const stream = await openStream(addressOf(url, 'victim'), VICTIM);
    const proof = (await stream.take()).id!;
    const [token] = proof.split('.') as [string];
    const random = createRandom((seeds(1) as [number])[0]);
    const claims = Array.from({ length: 1_000 }, (_, index): Record<string, string> => {
      if (index % 3 === 0) return VICTIM;
      if (index % 3 === 1) return { ...VICTIM, 'Last-Event-ID': `${guess(token, random)}.0` };
      return { 'x-user': 'other', 'Last-Event-ID': proof };
    }).map((headers) => asText('GET', '/sse?sseClientId=victim', headers));
    const counts = await askAll(url, claims);

    expect([...counts]).toEqual([[expect.stringMatching(/^HTTP\/1.1 409 /), claims.length]]);
    connections[0]!.send(SECRET);
    expect(await stream.takeData()).toBe(SECRET);
    expect(connections).toHaveLength(1);
  });
});
