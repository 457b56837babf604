import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { createEventStreamDecoder, encodeEvent } from '../../lib/protocol/event-stream';
import { Batch } from '../../lib/server/batch';
import { toJson } from '../../lib/protocol/message';
import { seeds } from '../helpers/random';
import { hardText, hardValue } from './hard-values';

const COUNT = 100_000;
const TIMEOUT = 120_000;

interface Event {
  type: string;
  data: string;
}

/** Decodes the pieces of a stream into events. */
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

/** Cuts a stream into pieces of many lengths, as a socket may deliver them. */
function cut(bytes: Buffer): string[] {
  const utf8 = new TextDecoder();
  const pieces: string[] = [];
  for (let at = 0, length = 1; at < bytes.length; at += length, length = (length * 7) % 65_537) {
    pieces.push(utf8.decode(bytes.subarray(at, at + length), { stream: true }));
  }
  return pieces;
}

/** Returns the first pair in which two lists differ. */
function firstDifference(events: Event[], intended: Event[]): [Event?, Event?][] {
  const isSame = (index: number) =>
    events[index]?.type === intended[index]?.type && events[index]?.data === intended[index]?.data;
  const length = Math.max(events.length, intended.length);
  const index = Array.from({ length }, (_, each) => each).findIndex((each) => !isSame(each));
  return index < 0 ? [] : [[events[index], intended[index]]];
}

/** Whether JSON has a form of the value. */
function hasJson(value: unknown): boolean {
  try {
    return typeof JSON.stringify(value) === 'string';
  } catch {
    return false;
  }
}

describe(`Each of ${COUNT} random values (SEED=${seed})`, () => {
  const frames: Buffer[] = [];
  const intended: Event[] = [];
  const wronglyAccepted: unknown[] = [];
  const wronglyRejected: unknown[] = [];
  let rejected = 0;

  beforeAll(() => {
    for (const value of sample(hardValue)) {
      let json: string;
      try {
        json = toJson(value);
      } catch (error) {
        rejected++;
        if (hasJson(value) || !(error instanceof TypeError)) wronglyRejected.push(value);
        continue;
      }
      if (!hasJson(value)) wronglyAccepted.push(value);
      const batch = new Batch();
      batch.push(json);
      frames.push(batch.read(0, 1));
      intended.push({ type: 'message', data: JSON.stringify(value) });
    }
  }, TIMEOUT);

  it('is rejected with a TypeError if and only if JSON has no form of it', () => {
    expect({ wronglyAccepted, wronglyRejected }).toEqual({
      wronglyAccepted: [],
      wronglyRejected: [],
    });
    expect(rejected).toBeGreaterThan(0);
    expect(rejected).toBeLessThan(COUNT / 10);
  });

  it.each(PARSERS)(
    'is exactly one event to %s',
    (_, parse) => {
      const events = parse(cut(Buffer.concat(frames)));
      expect(firstDifference(events, intended)).toEqual([]);
    },
    TIMEOUT,
  );
});

describe(`Each of ${COUNT} random texts (SEED=${seed})`, () => {
  const intended: Event[] = [];
  let stream = '';

  beforeAll(() => {
    for (const [index, data] of sample(hardText).entries()) {
      const type = ['message', 'hello', 'ping', 'close'][index % 4]!;
      stream += encodeEvent(
        index % 4 === 0 ? { data } : { data, event: type, id: `token.${index}` },
      );
      // An event stream cannot express CR.
      intended.push({ type, data: data.replace(/\r\n?/g, '\n') });
    }
  }, TIMEOUT);

  it.each(PARSERS)(
    'is exactly one event to %s',
    (_, parse) => {
      expect(firstDifference(parse([stream]), intended)).toEqual([]);
    },
    TIMEOUT,
  );
});
