import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { createEventStreamDecoder, encodeEvent } from '../../lib/protocol/event-stream';
import { Batch } from '../../lib/server/batch';
import { toJson } from '../../lib/protocol/json';
import { seeds } from '../helpers/random';
import { hardText, hardValue } from './hard-values';

const COUNT = 100_000;
/** Milliseconds: some seconds' work, on a machine that may be busy. */
const PATIENCE = 120_000;

interface Event {
  type: string;
  data: string;
}

/** Reads a stream's text, in pieces, into events. */
type Parser = (pieces: string[]) => Event[];

const PARSERS: [string, Parser][] = [
  [
    "this package's decoder",
    (pieces) => {
      const events: Event[] = [];
      pieces.forEach(
        createEventStreamDecoder((type, data) => events.push({ type, data }), Infinity),
      );
      return events;
    },
  ],
  [
    'eventsource-parser',
    (pieces) => {
      const events: Event[] = [];
      const { feed } = createParser({
        onEvent: ({ event = 'message', data }) => events.push({ type: event, data }),
        onError: (error) => {
          throw error;
        },
      });
      pieces.forEach(feed);
      return events;
    },
  ],
];

const [seed] = seeds(1) as [number];
const sample = <T>(arbitrary: fc.Arbitrary<T>): T[] =>
  fc.sample(arbitrary, { numRuns: COUNT, seed });

/** Pieces of all lengths, of text as it comes from the socket. */
function cut(bytes: Buffer): string[] {
  const utf8 = new TextDecoder();
  const pieces: string[] = [];
  for (let at = 0, length = 1; at < bytes.length; at += length, length = (length * 7) % 65_537) {
    pieces.push(utf8.decode(bytes.subarray(at, at + length), { stream: true }));
  }
  return pieces;
}

/** Where two lists differ first. */
function firstDifference(events: Event[], intended: Event[]): [Event?, Event?][] {
  const isSame = (index: number) =>
    events[index]?.type === intended[index]?.type && events[index]?.data === intended[index]?.data;
  const length = Math.max(events.length, intended.length);
  const index = Array.from({ length }, (_, each) => each).findIndex((each) => !isSame(each));
  return index < 0 ? [] : [[events[index], intended[index]]];
}

describe(`of ${COUNT} values, seed ${seed},`, () => {
  const frames: Buffer[] = [];
  const intended: Event[] = [];
  let refused = 0;

  beforeAll(() => {
    for (const value of sample(hardValue)) {
      try {
        const batch = new Batch();
        batch.push(toJson(value));
        frames.push(batch.read(0, 1));
        intended.push({ type: 'message', data: JSON.stringify(value) });
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        refused++;
      }
    }
  }, PATIENCE);

  it('each is one frame, or a throw at the call', () => {
    process.stdout.write(`${COUNT} values, seed ${seed}: ${refused} refused\n`);
    expect(frames.length + refused).toBe(COUNT);
    expect(refused).toBeGreaterThan(0);
  });

  it.each(PARSERS)(
    'each is exactly one event to %s',
    (_, parse) => {
      const events = parse(cut(Buffer.concat(frames)));
      expect(firstDifference(events, intended)).toEqual([]);
    },
    PATIENCE,
  );
});

describe(`of ${COUNT} texts, seed ${seed},`, () => {
  const intended: Event[] = [];
  let stream = '';

  beforeAll(() => {
    for (const [index, data] of sample(hardText).entries()) {
      const type = ['message', 'hello', 'ping', 'close'][index % 4]!;
      stream += encodeEvent(
        index % 4 === 0 ? { data } : { data, event: type, id: `token.${index}` },
      );
      // The format knows no other line break.
      intended.push({ type, data: data.replace(/\r\n?/g, '\n') });
    }
  }, PATIENCE);

  it.each(PARSERS)(
    'each is exactly one event to %s',
    (_, parse) => {
      expect(firstDifference(parse([stream]), intended)).toEqual([]);
    },
    PATIENCE,
  );
});
