import fc from 'fast-check';
import { encodeOutgoing } from '../../lib/client/message';
import type { OutgoingMessage } from '../../lib/client/message';
import { SendBuffer } from '../../lib/client/send-buffer';
import { utf8Length } from '../../lib/protocol/utf8';

/** A message that is not binary. */
const text = (json: string): OutgoingMessage => ({
  json,
  isBinary: false,
  byteLength: utf8Length(json),
});

/** The JSON of the messages that the next POST may contain. */
const jsonsOf = (buffer: SendBuffer, maxBytes = Infinity) =>
  buffer.batch(maxBytes).map(({ json }) => json);

/** A buffer with the messages 0, 1, 2…, of one byte each. */
function filled(count: number): SendBuffer {
  const buffer = new SendBuffer();
  for (let i = 0; i < count; i++) buffer.push(text(String(i % 10)));
  return buffer;
}

describe('SendBuffer', () => {
  it('numbers messages from 0 and sums up their sizes in bytes of UTF-8', () => {
    const buffer = new SendBuffer();
    buffer.push(text('"a"'));
    buffer.push(text('"é€😀"'));
    expect([buffer.first, buffer.length, buffer.byteLength]).toEqual([0, 2, 14]);
  });

  it('accepts a message of maxPayload bytes and throws a RangeError for a larger one', () => {
    const buffer = new SendBuffer();
    buffer.push(text('"é"'), 4);
    expect(() => buffer.push(text('"éx"'), 4)).toThrow(
      new RangeError("cannot send: 5 bytes exceed the server's maxPayload, 4"),
    );
    expect(buffer.length).toBe(1);
  });

  it('removes acknowledged messages and keeps the numbers of the others', () => {
    const buffer = filled(3);
    expect(buffer.acknowledge(2)).toBe(true);
    expect([buffer.first, buffer.byteLength]).toEqual([2, 1]);
    buffer.push(text('3'));
    expect(jsonsOf(buffer, 100)).toEqual(['2', '3']);
  });

  it.each([0, 1, 2])('ignores an acknowledgement of %i messages after one of 2', (count) => {
    const buffer = filled(3);
    buffer.acknowledge(2);
    expect(buffer.acknowledge(count)).toBe(true);
    expect([buffer.first, buffer.byteLength]).toEqual([2, 1]);
  });

  it('rejects an acknowledgement of more messages than there were', () => {
    const buffer = filled(3);
    buffer.acknowledge(1);
    expect(buffer.acknowledge(4)).toBe(false);
    expect([buffer.first, buffer.byteLength, buffer.length]).toEqual([1, 2, 2]);
    expect(buffer.acknowledge(3)).toBe(true);
    expect([buffer.first, buffer.byteLength, buffer.length]).toEqual([3, 0, 0]);
  });

  it.each([
    [0, 1],
    [1, 1],
    [2, 1],
    [3, 2],
    [4, 2],
    [5, 3],
    [100, 3],
  ])('puts into a batch of %i bytes %i messages, with commas between them', (maxBytes, count) => {
    expect(jsonsOf(filled(3), maxBytes)).toEqual(['0', '1', '2'].slice(0, count));
  });

  it('counts the field "binary" of a POST with one binary message towards maxPayload', () => {
    const buffer = new SendBuffer();
    const message = encodeOutgoing(Uint8Array.of(1, 2, 3));
    const size = '"AQID","binary":[0]'.length;
    buffer.push(message, size);
    expect(() => buffer.push(message, size - 1)).toThrow(
      new RangeError("cannot send: 19 bytes exceed the server's maxPayload, 18"),
    );
  });

  it('puts into a batch as many messages as fit with the field "binary"', () => {
    const message = fc.oneof(
      fc.string({ maxLength: 3 }),
      fc.uint8Array({ maxLength: 4 }).map((bytes) => Uint8Array.from(bytes)),
    );
    const messages = fc.array(message, { minLength: 1, maxLength: 130, size: 'max' });
    const property = fc.property(messages, fc.integer({ min: 30, max: 2_000 }), (all, maxBytes) => {
      const buffer = new SendBuffer();
      for (const each of all) buffer.push(encodeOutgoing(each));
      const batch = buffer.batch(Infinity);
      const sizeOf = (count: number) => {
        const first = batch.slice(0, count);
        const binary = first.flatMap(({ isBinary }, index) => (isBinary ? [index] : []));
        const field = binary.length > 0 ? `,"binary":${JSON.stringify(binary)}` : '';
        return utf8Length(first.map(({ json }) => json).join() + field);
      };
      const { length } = buffer.batch(maxBytes);
      expect(sizeOf(length)).toBeLessThanOrEqual(maxBytes);
      if (length < all.length) expect(sizeOf(length + 1)).toBeGreaterThan(maxBytes);
    });
    fc.assert(property);
  });

  it('returns the messages that it held, parsed, when it is cleared', () => {
    const buffer = filled(2);
    buffer.push(text('{"a":[1]}'));
    buffer.acknowledge(1);
    expect(buffer.clear()).toEqual([1, { a: [1] }]);
    expect([buffer.length, buffer.byteLength]).toEqual([0, 0]);
  });

  it('holds exactly the messages that were pushed and not acknowledged', () => {
    const step = fc.oneof(
      fc.record({ push: fc.nat(100) }),
      fc.record({ acknowledge: fc.integer({ min: -3, max: 30 }) }),
    );
    const property = fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const buffer = new SendBuffer();
      const all: string[] = [];
      let acknowledged = 0;
      for (const each of steps) {
        if ('push' in each) {
          all.push(JSON.stringify('x'.repeat(each.push)));
          buffer.push(text(all.at(-1)!));
        } else {
          const isPossible = each.acknowledge <= all.length;
          if (isPossible) acknowledged = Math.max(acknowledged, each.acknowledge);
          expect(buffer.acknowledge(each.acknowledge)).toBe(isPossible);
        }
        const held = all.slice(acknowledged);
        expect(jsonsOf(buffer)).toEqual(held);
        expect(buffer.first).toBe(acknowledged);
        expect(buffer.byteLength).toBe(held.join('').length);
      }
    });
    fc.assert(property);
  });
});
