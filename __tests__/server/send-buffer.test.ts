import fc from 'fast-check';
import { PreparedMessage } from '../../lib/server/batch';
import { SendBuffer } from '../../lib/server/send-buffer';

const frame = (json: string) => `data: ${json}\n\n`;

/** Reads everything that is unwritten, `bytes` at a time. */
function readAll(buffer: SendBuffer, bytes = Infinity): string[] {
  const writes: string[] = [];
  while (buffer.next < buffer.queued) writes.push(buffer.read(bytes).toString());
  return writes;
}

describe('SendBuffer', () => {
  it('returns all messages in one write, and again after rewind()', () => {
    const buffer = new SendBuffer();
    for (const json of ['0', '1', '2']) buffer.push(json);
    expect([buffer.queued, buffer.byteLength, buffer.unwrittenBytes]).toEqual([3, 27, 27]);
    expect(readAll(buffer)).toEqual(['012'.replace(/./g, frame)]);
    expect([buffer.next, buffer.unwrittenBytes]).toEqual([3, 0]);
    buffer.acknowledge(1);
    buffer.rewind();
    expect([buffer.acked, buffer.next, buffer.unwrittenBytes]).toEqual([1, 1, 18]);
    expect(readAll(buffer)).toEqual(['12'.replace(/./g, frame)]);
  });

  it('reads in pieces of about the requested number of bytes', () => {
    const buffer = new SendBuffer();
    const large = `"${'x'.repeat(40_000)}"`;
    for (let i = 0; i < 8; i++) buffer.push(large);
    const writes = readAll(buffer, 64 * 1024);
    expect(writes.map(({ length }) => length)).toEqual(Array(4).fill(2 * 40_010));
  });

  it('writes the prefix of each message before its event', () => {
    const buffer = new SendBuffer();
    for (const json of ['7', '8']) buffer.push(json);
    const text = buffer.read(Infinity, (number) => `id: ${number}\n`).toString();
    expect(text).toBe('id: 0\ndata: 7\n\nid: 1\ndata: 8\n\n');
  });

  it('does not write again what was acknowledged before a rewind', () => {
    const buffer = new SendBuffer();
    for (const json of ['0', '1', '2']) buffer.push(json);
    buffer.acknowledge(2);
    expect([buffer.next, buffer.unwrittenBytes]).toEqual([2, 9]);
    expect(readAll(buffer)).toEqual([frame('2')]);
  });

  it('returns the messages that were kept when it is cleared', () => {
    const buffer = new SendBuffer();
    for (const json of ['0', '1', '2']) buffer.push(json);
    buffer.acknowledge(1);
    const { length, decode } = buffer.clear(1);
    expect([buffer.acked, buffer.next, buffer.byteLength, buffer.unwrittenBytes]).toEqual([
      3, 3, 0, 0,
    ]);
    expect([length, decode()]).toEqual([2, [1, 2]]);
    expect(buffer.clear(3)).toMatchObject({ length: 0 });
  });

  it('shares the bytes of prepared messages with the buffers that hold the same messages', () => {
    const [a, b, late] = [new SendBuffer(), new SendBuffer(), new SendBuffer()];
    for (const json of ['0', '1']) {
      const message = new PreparedMessage(json);
      a.pushPrepared(message);
      b.pushPrepared(message);
      if (json === '1') late.pushPrepared(message);
    }
    const bytes = a.read(Infinity);
    expect(bytes.toString()).toBe('01'.replace(/./g, frame));
    expect(b.read(Infinity)).toBe(bytes);
    expect(late.read(Infinity).toString()).toBe(frame('1'));
  });

  it('keeps the messages of one session out of the batch that it shares with others', () => {
    const [a, b] = [new SendBuffer(), new SendBuffer()];
    const pushToBoth = (json: string) => {
      const message = new PreparedMessage(json);
      a.pushPrepared(message);
      b.pushPrepared(message);
    };
    pushToBoth('0');
    a.push('1');
    pushToBoth('2');
    expect(readAll(a)).toEqual(['012'.replace(/./g, frame)]);
    expect(readAll(b)).toEqual(['02'.replace(/./g, frame)]);
  });

  // Compares three buffers with lists that do the same.
  it('holds what each of three sessions was sent, whatever they share', () => {
    const who = fc.nat(2);
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ push: who }) },
      {
        weight: 6,
        arbitrary: fc.record({ share: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }) }),
      },
      { weight: 2, arbitrary: fc.record({ take: who, bytes: fc.nat(60), prefixed: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ rewind: who }) },
      {
        weight: 2,
        arbitrary: fc.record({ acknowledge: who, count: fc.integer({ min: -2, max: 30 }) }),
      },
    );
    const property = fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const sessions = [0, 1, 2].map(() => ({
        buffer: new SendBuffer(),
        sent: [] as string[],
        read: 0,
        first: 0,
      }));
      let next = 0;
      for (const each of steps) {
        if ('push' in each) {
          const json = String(next++);
          sessions[each.push]!.buffer.push(json);
          sessions[each.push]!.sent.push(json);
        } else if ('share' in each) {
          const json = String(next++);
          const message = new PreparedMessage(json);
          sessions.forEach(({ buffer, sent }, i) => {
            if (!each.share[i]) return;
            buffer.pushPrepared(message);
            sent.push(json);
          });
        } else if ('take' in each) {
          const session = sessions[each.take]!;
          const { buffer, sent, read } = session;
          const prefix = (number: number) => `id: ${number}\n`;
          const text = buffer.read(each.bytes, each.prefixed ? prefix : undefined).toString();
          session.read = buffer.next;
          const frames = sent
            .slice(read, session.read)
            .map((json, i) => (each.prefixed ? prefix(read + i) : '') + frame(json));
          expect(text).toBe(frames.join(''));
          expect(session.read > read || each.bytes === 0 || read === sent.length).toBe(true);
        } else if ('rewind' in each) {
          const session = sessions[each.rewind]!;
          session.buffer.rewind();
          session.read = session.first;
        } else {
          const session = sessions[each.acknowledge]!;
          session.buffer.acknowledge(each.count);
          session.first = Math.max(session.first, Math.min(each.count, session.sent.length));
          session.read = Math.max(session.read, session.first);
        }
        for (const { buffer, sent, read, first } of sessions) {
          const bytes = (from: number) => sent.slice(from).map(frame).join('').length;
          expect(buffer).toMatchObject({
            queued: sent.length,
            next: read,
            acked: first,
            byteLength: bytes(first),
            unwrittenBytes: bytes(read),
          });
        }
      }
      for (const { buffer, sent, first } of sessions) {
        expect(buffer.clear(first).decode()).toEqual(sent.slice(first).map(Number));
      }
    });
    fc.assert(property, { numRuns: 500 });
  });
});
