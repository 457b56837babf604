import fc from 'fast-check';
import { SendBuffer } from '../../lib/server/send-buffer';
import { Batch, PreparedMessage } from '../../lib/server/batch';

const frame = (json: string) => `data: ${json}\n\n`;

/** All that is left to be read, in one piece a write. */
function readAll(buffer: SendBuffer, bytes = Infinity): string[] {
  const writes: string[] = [];
  while (buffer.next < buffer.queued) writes.push(buffer.read(bytes).toString());
  return writes;
}

describe('a batch', () => {
  it('frames each message as its JSON after `data: `', () => {
    const batch = new Batch();
    batch.push('{"a":"ü\\n"}');
    batch.push('1');
    expect(batch.read(0, 2).toString()).toBe('data: {"a":"ü\\n"}\n\ndata: 1\n\n');
    expect([batch.size(0, 1), batch.size(1, 2), batch.length]).toEqual([20, 9, 2]);
    expect([batch.read(0, 1).length, batch.read(1, 2).toString()]).toEqual([20, 'data: 1\n\n']);
  });

  it('is encoded once', () => {
    const batch = new Batch();
    batch.push('1');
    expect(batch.read(0, 1)).toBe(batch.read(0, 1));
  });

  it('takes more until it is read, or full', () => {
    const [read, full] = [new Batch(), new Batch()];
    read.push('1');
    expect(read.isAppendable).toBe(true);
    read.read(0, 1);
    expect(read.isAppendable).toBe(false);
    full.push('"'.padEnd(64 * 1024 - 9, 'x') + '"'); // and 8 bytes of frame
    expect(full.isAppendable).toBe(false);
  });

  it.each([null, 'ü\n\r\u2028😀', 1.5, { a: [true] }, ''])(
    'gives the message %p back',
    (message) => {
      const batch = new Batch();
      batch.push(JSON.stringify(message));
      batch.push('2');
      expect(batch.copyOfFirst(1).messages()).toEqual([message]);
      expect(batch.messages()).toEqual([message, 2]);
    },
  );
});

describe('a buffer', () => {
  it('is read in one write, and again after it was rewound', () => {
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

  it('is read in pieces of about as many bytes as are pending for', () => {
    const buffer = new SendBuffer();
    const large = `"${'x'.repeat(40_000)}"`;
    for (let i = 0; i < 8; i++) buffer.push(large);
    const writes = readAll(buffer, 64 * 1024);
    expect(writes.map(({ length }) => length)).toEqual(Array(4).fill(2 * 40_010));
  });

  it('puts before each message what its dialect asks for', () => {
    const buffer = new SendBuffer();
    for (const json of ['7', '8']) buffer.push(json);
    const text = buffer.read(Infinity, (number) => `id: ${number}\n`).toString();
    expect(text).toBe('id: 0\ndata: 7\n\nid: 1\ndata: 8\n\n');
  });

  it('does not write again what was confirmed over another stream', () => {
    const buffer = new SendBuffer();
    for (const json of ['0', '1', '2']) buffer.push(json);
    buffer.acknowledge(2);
    expect([buffer.next, buffer.unwrittenBytes]).toEqual([2, 9]);
    expect(readAll(buffer)).toEqual([frame('2')]);
  });

  it('gives back what was kept, when it is pending', () => {
    const buffer = new SendBuffer();
    for (const json of ['0', '1', '2']) buffer.push(json);
    buffer.acknowledge(1);
    const { length, parse } = buffer.clear(1);
    expect([buffer.acked, buffer.next, buffer.byteLength, buffer.unwrittenBytes]).toEqual([
      3, 3, 0, 0,
    ]);
    expect([length, parse()]).toEqual([2, [1, 2]]);
    expect(buffer.clear(3)).toMatchObject({ length: 0 });
  });

  it('shares what is broadcast with all that were sent the same: the very bytes', () => {
    const [a, b, late] = [new SendBuffer(), new SendBuffer(), new SendBuffer()];
    for (const json of ['0', '1']) {
      const broadcast = new PreparedMessage(json);
      a.pushPrepared(broadcast);
      b.pushPrepared(broadcast);
      if (json === '1') late.pushPrepared(broadcast);
    }
    const bytes = a.read(Infinity);
    expect(bytes.toString()).toBe('01'.replace(/./g, frame));
    expect(b.read(Infinity)).toBe(bytes);
    expect(late.read(Infinity).toString()).toBe(frame('1'));
  });

  it('keeps what is its own out of what is shared', () => {
    const [a, b] = [new SendBuffer(), new SendBuffer()];
    const share = (json: string) => {
      const broadcast = new PreparedMessage(json);
      a.pushPrepared(broadcast);
      b.pushPrepared(broadcast);
    };
    share('0');
    a.push('1');
    share('2');
    expect(readAll(a)).toEqual(['012'.replace(/./g, frame)]);
    expect(readAll(b)).toEqual(['02'.replace(/./g, frame)]);
  });

  // What each of three sessions is sent, reads and confirms, beside lists that do the same.
  it('of several sessions, holds what each was sent, whatever they share', () => {
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
        arbitrary: fc.record({ confirm: who, count: fc.integer({ min: -2, max: 30 }) }),
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
          const broadcast = new PreparedMessage(json);
          sessions.forEach(({ buffer, sent }, i) => {
            if (!each.share[i]) return;
            buffer.pushPrepared(broadcast);
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
          const session = sessions[each.confirm]!;
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
        expect(buffer.clear(first).parse()).toEqual(sent.slice(first).map(Number));
      }
    });
    fc.assert(property, { numRuns: 500 });
  });
});
