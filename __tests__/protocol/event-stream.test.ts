import fc from 'fast-check';
import {
  createEventStreamDecoder,
  encodeEvent,
  encodeFields,
  encodeJsonEvent,
} from '../../lib/protocol/event-stream';
import type { EventFields } from '../../lib/protocol/event-stream';

interface StreamEvent {
  type: string;
  data: string;
}

function decode(...pieces: string[]): StreamEvent[] {
  const events: StreamEvent[] = [];
  const take = createEventStreamDecoder((type, data) => events.push({ type, data }), Infinity);
  pieces.forEach(take);
  return events;
}

/** As the client reads: a stream's bytes, one leading byte order mark less. */
function decodeBytes(...pieces: Uint8Array[]): StreamEvent[] {
  const utf8 = new TextDecoder();
  return decode(...pieces.map((piece) => utf8.decode(piece, { stream: true })));
}

/** Processor time: what else runs on the machine does not count. */
function millisecondsOf(work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function event(data: string, type = 'message'): StreamEvent {
  return { type, data };
}

/** Strings that are hard on the format: its own marks, line breaks of all kinds, half a pair. */
const hardString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(
      ...['\r', '\n', '\r\n', ':', ' ', 'data', 'data: ', 'id', 'event:x', '\0', '\uFEFF'],
      ...['\u2028', '\u0085', '\uD83D', '\uDE00', 'ü', 'a'],
    ),
  }),
);

describe('the event stream decoder', () => {
  it.each<[string, string, StreamEvent[]]>([
    ['an event', 'data: a\n\n', [event('a')]],
    ['two events', 'data: a\n\ndata: b\n\n', [event('a'), event('b')]],
    ['lines that end in CR', 'data: a\rdata: b\r\r', [event('a\nb')]],
    ['lines that end in CRLF', 'data: a\r\ndata: b\r\n\r\n', [event('a\nb')]],
    ['LF after CR as one line break', 'data: a\r\ndata: b\n\n', [event('a\nb')]],
    ['CR after LF as two', 'data: a\n\rdata: b\n\n', [event('a'), event('b')]],
    [
      'no other line breaks',
      'data: a\u2028b\u2029c\u0085d\vf\n\n',
      [event('a\u2028b\u2029c\u0085d\vf')],
    ],
    ['data lines, joined by a newline', 'data: a\ndata:\ndata: b\n\n', [event('a\n\nb')]],
    ['an event of empty data', 'data\n\ndata:\n\ndata: \n\n', [event(''), event(''), event('')]],
    ['an event of two empty data lines', 'data\ndata\n\n', [event('\n')]],
    ['nothing without data', 'event: a\nid: 1\n\n\n\n', []],
    ['one leading space less, and only one', 'data:  a \ndata:\tb\n\n', [event(' a \n\tb')]],
    ['a value with colons', 'data: a: b:c\n\n', [event('a: b:c')]],
    ['comments as nothing', ':\n: data: x\ndata: a\n:data: y\n\n', [event('a')]],
    [
      'fields it does not know as nothing',
      'dat: x\nDATA: x\n data: x\ndata : x\ndata: a\n\n',
      [event('a')],
    ],
    ['a field without a colon as empty', 'data: a\nevent\ndata\n\n', [event('a\n')]],
    ['`retry` as nothing', 'retry: 1000\ndata: a\n\n', [event('a')]],
    ['an event type, the last one', 'event: a\nevent: b\ndata: x\n\n', [event('x', 'b')]],
    ['an empty event type as `message`', 'event: a\nevent\ndata: x\n\n', [event('x')]],
    [
      'an event type for one event',
      'event: a\ndata: x\n\ndata: y\n\n',
      [event('x', 'a'), event('y')],
    ],
    [
      'an event type forgotten with an event that is not dispatched',
      'event: a\n\ndata: y\n\n',
      [event('y')],
    ],
    ['`id` as nothing', 'id: 1\ndata: a\nid\nid: \0\n\n', [event('a')]],
    ['NUL in data', 'data: \0\n\n', [event('\0')]],
    ['no unfinished event', 'data: a\n\ndata: b\n', [event('a')]],
    ['no unfinished line', 'data: a\n\ndata: b', [event('a')]],
    ['nothing of nothing', '', []],
    ['names of what every object has', 'constructor: x\n__proto__: x\ndata: a\n\n', [event('a')]],
  ])('reads %s, wherever it is cut', (_, text, events) => {
    for (let cut = 0; cut <= text.length; cut++) {
      const read = decode(text.slice(0, cut), text.slice(cut));
      expect({ cut, read }).toEqual({ cut, read: events });
    }
    expect(decode(...text.split(''))).toEqual(events);
  });

  // After the files of web-platform-tests/eventsource: their rules, in inputs of our own.
  it.each<[string, string | number[], StreamEvent[]]>([
    ['format-bom', '\uFEFFdata: a\n\n\uFEFFdata: b\n\ndata: c\n\n', [event('a'), event('c')]],
    ['format-bom-2', '\uFEFF\uFEFFdata: a\n\ndata: b\n\n', [event('b')]],
    ['format-bom, alone', '\uFEFF', []],
    ['format-bom, half', [0xef, 0xbb, ...Buffer.from('data: a\n\ndata: b\n\n')], [event('b')]],
    [
      'format-comments',
      `data: a\r:\0\n:\r\n::data: x\ndata: b\n:${'x'.repeat(300)}\rdata: c\n: data: x\r\n\n`,
      [event('a\nb\nc')],
    ],
    ['format-data-before-final-empty-line', 'retry: 10\ndata: a\n\nid: 1\ndata: b\n', [event('a')]],
    [
      'format-field-data',
      'data:\n\ndata\ndata\n\ndata:a\n\n',
      ['', '\n', 'a'].map((x) => event(x)),
    ],
    ['format-field-event', 'event:e\ndata:a\n\ndata:b\n\n', [event('a', 'e'), event('b')]],
    ['format-field-event-empty', 'event: \ndata: a\n\n', [event('a')]],
    ['format-field-id', 'id: 1\ndata: a\n\ndata: b\n\n', [event('a'), event('b')]],
    ['format-field-id-2', 'id\ndata: a\n\nid:\ndata: b\n\nid: é\n\n', [event('a'), event('b')]],
    ['format-field-id-null', 'id: 1\0\ndata: a\n\nid:\0\ndata: b\n\n', [event('a'), event('b')]],
    [
      'format-field-parsing',
      'data:\0\ndata:  a\rData:x\ndata\0:x\ndata:b\r\0data:x\nda-ta:x\rdata_x\ndata:c\rdata:\r\n data:x\ndata:d\n\n',
      [event('\0\n a\nb\nc\n\nd')],
    ],
    ['format-field-retry', 'retry: 03000\ndata: a\n\n', [event('a')]],
    ['format-field-retry-bogus', 'retry: 1000x\nretry: -1\nretry: 1e3\ndata: a\n\n', [event('a')]],
    ['format-field-retry-empty', 'retry\nretry:\nretry: \ndata: a\n\n', [event('a')]],
    ['format-field-unknown', 'data: a\n data\ndatas: x\nx: y\nx\ndata\n\n', [event('a\n')]],
    ['format-leading-space', 'data:\ta\rdata: \ndata:b\ndata:  c\n\n', [event('\ta\n\nb\n c')]],
    ['format-newlines', 'data: a\r\ndata\ndata: b\r\n\r', [event('a\n\nb')]],
    [
      'format-newlines, all mixed',
      'data: a\n\r\r\n\ndata: b\r\rdata: c\r\n\n',
      ['a', 'b', 'c'].map((x) => event(x)),
    ],
    ['format-null-character', 'data: \0\n\n\n\0\n', [event('\0')]],
    ['format-utf-8', 'data: é漢😀\u0085\n\n', [event('é漢😀\u0085')]],
    [
      'format-utf-8, broken',
      [...Buffer.from('data: '), 0xff, 0xe2, 0x82, 0x0a, 0x0a],
      [event('\ufffd\ufffd')],
    ],
  ])('reads what %s is about, wherever its bytes are cut', (_, input, events) => {
    const bytes = Buffer.from(input as string);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const read = decodeBytes(bytes.subarray(0, cut), bytes.subarray(cut));
      expect({ cut, read }).toEqual({ cut, read: events });
    }
    expect(decodeBytes(...Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(events);
  });

  it('leaves the byte order mark to TextDecoder: one here is part of a field name', () => {
    expect(decode('\uFEFFdata: a\n\n')).toEqual([]);
    const bytes = new TextEncoder().encode('\uFEFFdata: a\n\n');
    expect(decode(new TextDecoder().decode(bytes))).toEqual([event('a')]);
  });

  it('dispatches an event before the function returns', () => {
    const events: StreamEvent[] = [];
    const take = createEventStreamDecoder((type, data) => events.push({ type, data }), Infinity);
    take('data: a\n');
    expect(events).toHaveLength(0);
    take('\ndata: b');
    expect(events).toHaveLength(1);
  });

  const CORPUS =
    ':hi\r\n\r\nid: 1\r\revent: e\r\ndata: a\r\ndata:b\n\n\r\ndata\r\rid:\0\nid\ndata:  ü😀\r\n\r\nx\nevent: z\ndata: c\n\ndata: d\n';

  it('reads the same wherever its input is cut once or twice', () => {
    const whole = JSON.stringify(decode(CORPUS));
    const wrong: number[][] = [];
    for (let i = 0; i <= CORPUS.length; i++) {
      for (let j = i; j <= CORPUS.length; j++) {
        const events = decode(CORPUS.slice(0, i), CORPUS.slice(i, j), CORPUS.slice(j));
        if (JSON.stringify(events) !== whole) wrong.push([i, j]);
      }
    }
    expect(wrong).toEqual([]);
    expect(decode(CORPUS)).toEqual([event('a\nb', 'e'), event(''), event(' ü😀'), event('c', 'z')]);
  });

  it('reads the same one code unit at a time', () => {
    expect(decode(...CORPUS.split(''))).toEqual(decode(CORPUS));
  });

  it('reads the same wherever anything is cut', () => {
    const property = fc.property(hardString, fc.array(fc.nat(200)), (text, cuts) => {
      const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b)];
      const pieces = places.map((place, index) => text.slice(place, places[index + 1]));
      expect(decode(...pieces)).toEqual(decode(text));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it('reads a line that arrives in very many pieces', () => {
    let data = '';
    const take = createEventStreamDecoder((_, text) => (data = text), Infinity);
    take('data: ');
    for (let i = 0; i < 300_000; i++) take('abcdefg'[i % 7]!);
    take('\n\n');
    expect(data.startsWith('abcdefgabc') && data.length === 300_000).toBe(true);
  });

  it('takes time that grows with the length of a line, and no faster', () => {
    const MIB = 1024 * 1024;
    const piece = 'x'.repeat(MIB / 16);
    const read = (size: number) => {
      const events: StreamEvent[] = [];
      const take = createEventStreamDecoder((type, data) => events.push({ type, data }), Infinity);
      take('data: ');
      for (let length = 0; length < size; length += piece.length) take(piece);
      take('\n\n');
      expect(events.map(({ data }) => data.length)).toEqual([size]);
    };
    const [least, middle, most] = [16, 32, 64].map((size) =>
      Math.min(...[1, 2, 3].map(() => millisecondsOf(() => read(size * MIB)))),
    ) as [number, number, number];
    const ratios = [middle / least, most / middle].map((ratio) => ratio.toFixed(2));
    process.stdout.write(`a line of 16, 32, 64 MiB: ${least} ms, ratios ${ratios.join(', ')}\n`);
    // Four times the length; with the square of it there would be sixteen times the work.
    expect(most / least).toBeLessThan(10);
  });

  describe('with a bound', () => {
    const bounded = (maxLength: number) => createEventStreamDecoder(() => {}, maxLength);

    it('takes an unfinished line up to it, and throws past it', () => {
      const take = bounded(10);
      take('data: abcd');
      expect(() => take('e')).toThrow(RangeError);
    });

    it('counts the data of an unfinished event and the line after it together', () => {
      const take = bounded(10);
      take('data: abcde\n');
      take('data:');
      expect(() => take(' ')).toThrow(RangeError);
    });

    it('does not count what was dispatched', () => {
      const take = bounded(10);
      for (let i = 0; i < 5; i++) take('data: abcd\n\n');
      take('data: abcd');
      expect(() => take('e')).toThrow(RangeError);
    });

    it('throws in the middle of a line of 64 MiB that does not end, and has kept no more', () => {
      const piece = 'x'.repeat(65_536);
      const take = bounded(30 * piece.length);
      let taken = 0;
      const takeAll = () => {
        for (; taken < 1024; taken++) take(piece);
      };
      expect(takeAll).toThrow(new RangeError(`an event exceeds ${30 * piece.length} characters`));
      expect(taken).toBe(30);
    });

    it('does not count a finished event longer than it that came in one piece', () => {
      expect(() => bounded(10)('data: 0123456789abcdef\n\n')).not.toThrow();
    });
  });
});

describe('encodeEvent', () => {
  it.each<[EventFields, string]>([
    [{ data: 'a' }, 'data: a\n\n'],
    [{ data: '' }, 'data: \n\n'],
    [{ data: ' a' }, 'data:  a\n\n'],
    [{ data: 'a\nb\r\nc\rd\n' }, 'data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n'],
    [{ data: 'a', event: 'e' }, 'event: e\ndata: a\n\n'],
    [{ data: 'a', id: 't.1' }, 'id: t.1\ndata: a\n\n'],
    [{ data: 'a', id: '', event: '' }, 'id: \nevent: \ndata: a\n\n'],
    [{ retry: 1000 }, 'retry: 1000\n\n'],
    [{ retry: 0, id: 't.0' }, 'retry: 0\nid: t.0\n\n'],
    [{ data: 'a', event: 'e', id: 't.1', retry: 5 }, 'retry: 5\nid: t.1\nevent: e\ndata: a\n\n'],
  ])('encodes %j as %j', (fields, text) => {
    expect(encodeEvent(fields)).toBe(text);
  });

  it('encodes any string as exactly one event', () => {
    const property = fc.property(hardString, hardString, (data, next) => {
      expect(decode(encodeEvent({ data }) + encodeEvent({ data: next }))).toEqual([
        event(data.replace(/\r\n?/g, '\n')),
        event(next.replace(/\r\n?/g, '\n')),
      ]);
    });
    fc.assert(property, { numRuns: 1000 });
  });

  it('keeps any JSON value unchanged', () => {
    const property = fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      expect(decode(encodeEvent({ data: json, event: 'hello', id: 'a.1' }))).toEqual([
        event(json, 'hello'),
      ]);
    });
    fc.assert(property);
  });
});

describe('encodeFields', () => {
  it('encodes the lines of an event that encodeJsonEvent completes', () => {
    const text = encodeFields({ id: 't.1' }) + encodeJsonEvent('{"a":1}');
    expect(text).toBe('id: t.1\ndata: {"a":1}\n\n');
  });
});

describe('encodeJsonEvent', () => {
  it('encodes any JSON value as encodeEvent does', () => {
    const property = fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      expect(encodeJsonEvent(json)).toBe(encodeEvent({ data: json }));
    });
    fc.assert(property);
  });
});
