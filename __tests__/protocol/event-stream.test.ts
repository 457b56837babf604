import fc from 'fast-check';
import {
  EMPTY_COMMENT,
  createEventStreamDecoder,
  encodeEvent,
  encodeFields,
  encodeMessageEvent,
} from '../../lib/protocol/event-stream';
import type { EventFields } from '../../lib/protocol/event-stream';

interface StreamEvent {
  type: string;
  data: string;
}

function decode(...pieces: string[]): StreamEvent[] {
  const events: StreamEvent[] = [];
  const decodePiece = createEventStreamDecoder(
    (type, data) => events.push({ type, data }),
    Infinity,
  );
  pieces.forEach(decodePiece);
  return events;
}

/** Decodes bytes as the client does, without one leading byte order mark. */
function decodeBytes(...pieces: Uint8Array[]): StreamEvent[] {
  const utf8 = new TextDecoder();
  return decode(...pieces.map((piece) => utf8.decode(piece, { stream: true })));
}

function event(data: string, type = 'message'): StreamEvent {
  return { type, data };
}

/** Strings that are difficult for the format: its own syntax, line breaks of all kinds, lone surrogates. */
const hardString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(
      ...['\r', '\n', '\r\n', ':', ' ', 'data', 'data: ', 'id', 'event:x', '\0', '\uFEFF'],
      ...['\u2028', '\u0085', '\uD83D', '\uDE00', 'ü', 'a'],
    ),
  }),
);

describe('createEventStreamDecoder', () => {
  it.each<[string, string, StreamEvent[]]>([
    ['an event', 'data: a\n\n', [event('a')]],
    ['two events', 'data: a\n\ndata: b\n\n', [event('a'), event('b')]],
    ['lines that end in CR', 'data: a\rdata: b\r\r', [event('a\nb')]],
    ['lines that end in CRLF', 'data: a\r\ndata: b\r\n\r\n', [event('a\nb')]],
    ['LF after CR as one line break', 'data: a\r\ndata: b\n\n', [event('a\nb')]],
    ['CR after LF as two line breaks', 'data: a\n\rdata: b\n\n', [event('a'), event('b')]],
    [
      'no other character as a line break',
      'data: a\u2028b\u2029c\u0085d\vf\n\n',
      [event('a\u2028b\u2029c\u0085d\vf')],
    ],
    ['data lines, joined by a newline', 'data: a\ndata:\ndata: b\n\n', [event('a\n\nb')]],
    ['an event of empty data', 'data\n\ndata:\n\ndata: \n\n', [event(''), event(''), event('')]],
    ['an event of two empty data lines', 'data\ndata\n\n', [event('\n')]],
    ['an event without data as nothing', 'event: a\nid: 1\n\n\n\n', []],
    ['a value without its first leading space', 'data:  a \ndata:\tb\n\n', [event(' a \n\tb')]],
    ['a value with colons', 'data: a: b:c\n\n', [event('a: b:c')]],
    ['comments as nothing', ':\n: data: x\ndata: a\n:data: y\n\n', [event('a')]],
    ['unknown fields as nothing', 'dat: x\nDATA: x\n data: x\ndata : x\ndata: a\n\n', [event('a')]],
    ['a field without a colon as empty', 'data: a\nevent\ndata\n\n', [event('a\n')]],
    ['`retry` as nothing', 'retry: 1000\ndata: a\n\n', [event('a')]],
    ['the last event type', 'event: a\nevent: b\ndata: x\n\n', [event('x', 'b')]],
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
    ['an unfinished event as nothing', 'data: a\n\ndata: b\n', [event('a')]],
    ['an unfinished line as nothing', 'data: a\n\ndata: b', [event('a')]],
    ['an empty text as nothing', '', []],
    [
      'field names that every object has as properties',
      'constructor: x\n__proto__: x\ndata: a\n\n',
      [event('a')],
    ],
  ])('decodes %s, wherever the text is cut', (_, text, events) => {
    for (let cut = 0; cut <= text.length; cut++) {
      const read = decode(text.slice(0, cut), text.slice(cut));
      expect({ cut, read }).toEqual({ cut, read: events });
    }
    expect(decode(...text.split(''))).toEqual(events);
  });

  // Each row tests the rule of one file of web-platform-tests/eventsource.
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
  ])('follows the rule of %s, wherever the bytes are cut', (_, input, events) => {
    const bytes = Buffer.from(input as string);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const read = decodeBytes(bytes.subarray(0, cut), bytes.subarray(cut));
      expect({ cut, read }).toEqual({ cut, read: events });
    }
    expect(decodeBytes(...Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(events);
  });

  it('leaves the byte order mark to TextDecoder, and treats another one as part of a field name', () => {
    expect(decode('\uFEFFdata: a\n\n')).toEqual([]);
    const bytes = new TextEncoder().encode('\uFEFFdata: a\n\n');
    expect(decode(new TextDecoder().decode(bytes))).toEqual([event('a')]);
  });

  it('dispatches nothing for a comment, and accepts an empty piece', () => {
    expect(decode(EMPTY_COMMENT, '\n')).toEqual([]);
    expect(decode('data: a\n', EMPTY_COMMENT)).toEqual([event('a')]);
    expect(createEventStreamDecoder(() => {}, 0)('')).toBe(true);
  });

  it('treats a line feed at the beginning as a line of its own', () => {
    expect(decode('\ndata: a\n\n')).toEqual([event('a')]);
    expect(decode('data: a\n', '\n')).toEqual([event('a')]);
  });

  it('dispatches an event before it returns', () => {
    const events: StreamEvent[] = [];
    const decodePiece = createEventStreamDecoder(
      (type, data) => events.push({ type, data }),
      Infinity,
    );
    decodePiece('data: a\n');
    expect(events).toHaveLength(0);
    decodePiece('\ndata: b');
    expect(events).toHaveLength(1);
  });

  const CORPUS =
    ':hi\r\n\r\nid: 1\r\revent: e\r\ndata: a\r\ndata:b\n\n\r\ndata\r\rid:\0\nid\ndata:  ü😀\r\n\r\nx\nevent: z\ndata: c\n\ndata: d\n';

  it('returns the same events wherever the text is cut once or twice', () => {
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

  it('returns the same events for one code unit at a time', () => {
    expect(decode(...CORPUS.split(''))).toEqual(decode(CORPUS));
  });

  it('returns the same events wherever any text is cut', () => {
    const property = fc.property(hardString, fc.array(fc.nat(200)), (text, cuts) => {
      const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b)];
      const pieces = places.map((place, index) => text.slice(place, places[index + 1]));
      expect(decode(...pieces)).toEqual(decode(text));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it('decodes a line that arrives in 300,000 pieces', () => {
    let data = '';
    const decodePiece = createEventStreamDecoder((_, text) => (data = text), Infinity);
    decodePiece('data: ');
    for (let i = 0; i < 300_000; i++) decodePiece('abcdefg'[i % 7]!);
    decodePiece('\n\n');
    expect(data.startsWith('abcdefgabc') && data.length === 300_000).toBe(true);
  });

  it('decodes a line of 16 MiB that arrives in pieces of 64 KiB', () => {
    const piece = 'x'.repeat(64 * 1024);
    const lengths: number[] = [];
    const decodePiece = createEventStreamDecoder((_, data) => lengths.push(data.length), Infinity);
    decodePiece('data: ');
    for (let i = 0; i < 256; i++) decodePiece(piece);
    decodePiece('\n\n');
    expect(lengths).toEqual([16 * 1024 * 1024]);
  });

  describe('with a maximum length', () => {
    const bounded = (maxLength: number) => createEventStreamDecoder(() => {}, maxLength);

    it('accepts an unfinished line of the maximum length, and returns false above it', () => {
      const decodePiece = bounded(10);
      expect(decodePiece('data: abcd')).toBe(true);
      expect(decodePiece('e')).toBe(false);
    });

    it('counts the data of an unfinished event together with the line after it', () => {
      const decodePiece = bounded(10);
      decodePiece('data: abcde\n');
      decodePiece('data:');
      expect(decodePiece(' ')).toBe(false);
    });

    it('does not count events that were dispatched', () => {
      const decodePiece = bounded(10);
      for (let i = 0; i < 5; i++) decodePiece('data: abcd\n\n');
      expect(decodePiece('data: abcd')).toBe(true);
      expect(decodePiece('e')).toBe(false);
    });

    it('returns false in the middle of a line of 64 MiB that does not end', () => {
      const piece = 'x'.repeat(65_536);
      const decodePiece = bounded(30 * piece.length);
      let decoded = 0;
      while (decoded < 1024 && decodePiece(piece)) decoded++;
      expect(decoded).toBe(30);
    });

    it('does not count a longer event that arrives whole', () => {
      expect(bounded(10)('data: 0123456789abcdef\n\n')).toBe(true);
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
  it('encodes the lines of an event that encodeMessageEvent completes', () => {
    const text = encodeFields({ id: 't.1' }) + encodeMessageEvent('{"a":1}');
    expect(text).toBe('id: t.1\ndata: {"a":1}\n\n');
  });
});

describe('encodeMessageEvent', () => {
  it('encodes any JSON value as encodeEvent does', () => {
    const property = fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      expect(encodeMessageEvent(json)).toBe(encodeEvent({ data: json }));
    });
    fc.assert(property);
  });
});
