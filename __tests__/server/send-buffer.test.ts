import fc from 'fast-check';
import { SendBuffer } from '../../lib/server/send-buffer';
import { Batch, PreparedMessage } from '../../lib/server/batch';

const frame = (json: string) => `data: ${json}\n\n`;

/** All that is left to be read, in one piece a write. */
function readAll(backlog: SendBuffer, bytes = Infinity): string[] {
  const writes: string[] = [];
  while (backlog.read < backlog.sent) writes.push(backlog.take(bytes).toString());
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
    expect(read.isOpen).toBe(true);
    read.read(0, 1);
    expect(read.isOpen).toBe(false);
    full.push('"'.padEnd(64 * 1024 - 9, 'x') + '"'); // and 8 bytes of frame
    expect(full.isOpen).toBe(false);
  });

  it.each([null, 'ü\n\r\u2028😀', 1.5, { a: [true] }, ''])(
    'gives the message %p back',
    (message) => {
      const batch = new Batch();
      batch.push(JSON.stringify(message));
      batch.push('2');
      expect(batch.head(1).messages()).toEqual([message]);
      expect(batch.messages()).toEqual([message, 2]);
    },
  );
});

describe('a backlog', () => {
  it('is read in one write, and again after it was rewound', () => {
    const backlog = new SendBuffer();
    for (const json of ['0', '1', '2']) backlog.push(json);
    expect([backlog.sent, backlog.byteLength, backlog.unreadBytes]).toEqual([3, 27, 27]);
    expect(readAll(backlog)).toEqual(['012'.replace(/./g, frame)]);
    expect([backlog.read, backlog.unreadBytes]).toEqual([3, 0]);
    backlog.confirm(1);
    backlog.rewind();
    expect([backlog.first, backlog.read, backlog.unreadBytes]).toEqual([1, 1, 18]);
    expect(readAll(backlog)).toEqual(['12'.replace(/./g, frame)]);
  });

  it('is read in pieces of about as many bytes as are pending for', () => {
    const backlog = new SendBuffer();
    const large = `"${'x'.repeat(40_000)}"`;
    for (let i = 0; i < 8; i++) backlog.push(large);
    const writes = readAll(backlog, 64 * 1024);
    expect(writes.map(({ length }) => length)).toEqual(Array(4).fill(2 * 40_010));
  });

  it('puts before each message what its dialect asks for', () => {
    const backlog = new SendBuffer();
    for (const json of ['7', '8']) backlog.push(json);
    const text = backlog.take(Infinity, (number) => `id: ${number}\n`).toString();
    expect(text).toBe('id: 0\ndata: 7\n\nid: 1\ndata: 8\n\n');
  });

  it('does not write again what was confirmed over another stream', () => {
    const backlog = new SendBuffer();
    for (const json of ['0', '1', '2']) backlog.push(json);
    backlog.confirm(2);
    expect([backlog.read, backlog.unreadBytes]).toEqual([2, 9]);
    expect(readAll(backlog)).toEqual([frame('2')]);
  });

  it('gives back what was kept, when it is pending', () => {
    const backlog = new SendBuffer();
    for (const json of ['0', '1', '2']) backlog.push(json);
    backlog.confirm(1);
    const { length, decode } = backlog.clear(1);
    expect([backlog.first, backlog.read, backlog.byteLength, backlog.unreadBytes]).toEqual([
      3, 3, 0, 0,
    ]);
    expect([length, decode()]).toEqual([2, [1, 2]]);
    expect(backlog.clear(3)).toMatchObject({ length: 0 });
  });

  it('shares what is broadcast with all that were sent the same: the very bytes', () => {
    const [a, b, late] = [new SendBuffer(), new SendBuffer(), new SendBuffer()];
    for (const json of ['0', '1']) {
      const broadcast = new PreparedMessage(json);
      a.share(broadcast);
      b.share(broadcast);
      if (json === '1') late.share(broadcast);
    }
    const bytes = a.take(Infinity);
    expect(bytes.toString()).toBe('01'.replace(/./g, frame));
    expect(b.take(Infinity)).toBe(bytes);
    expect(late.take(Infinity).toString()).toBe(frame('1'));
  });

  it('keeps what is its own out of what is shared', () => {
    const [a, b] = [new SendBuffer(), new SendBuffer()];
    const share = (json: string) => {
      const broadcast = new PreparedMessage(json);
      a.share(broadcast);
      b.share(broadcast);
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
        backlog: new SendBuffer(),
        sent: [] as string[],
        read: 0,
        first: 0,
      }));
      let next = 0;
      for (const each of steps) {
        if ('push' in each) {
          const json = String(next++);
          sessions[each.push]!.backlog.push(json);
          sessions[each.push]!.sent.push(json);
        } else if ('share' in each) {
          const json = String(next++);
          const broadcast = new PreparedMessage(json);
          sessions.forEach(({ backlog, sent }, i) => {
            if (!each.share[i]) return;
            backlog.share(broadcast);
            sent.push(json);
          });
        } else if ('take' in each) {
          const session = sessions[each.take]!;
          const { backlog, sent, read } = session;
          const prefix = (number: number) => `id: ${number}\n`;
          const text = backlog.take(each.bytes, each.prefixed ? prefix : undefined).toString();
          session.read = backlog.read;
          const frames = sent
            .slice(read, session.read)
            .map((json, i) => (each.prefixed ? prefix(read + i) : '') + frame(json));
          expect(text).toBe(frames.join(''));
          expect(session.read > read || each.bytes === 0 || read === sent.length).toBe(true);
        } else if ('rewind' in each) {
          const session = sessions[each.rewind]!;
          session.backlog.rewind();
          session.read = session.first;
        } else {
          const session = sessions[each.confirm]!;
          session.backlog.confirm(each.count);
          session.first = Math.max(session.first, Math.min(each.count, session.sent.length));
          session.read = Math.max(session.read, session.first);
        }
        for (const { backlog, sent, read, first } of sessions) {
          const bytes = (from: number) => sent.slice(from).map(frame).join('').length;
          expect(backlog).toMatchObject({
            sent: sent.length,
            read,
            first,
            byteLength: bytes(first),
            unreadBytes: bytes(read),
          });
        }
      }
      for (const { backlog, sent, first } of sessions) {
        expect(backlog.clear(first).decode()).toEqual(sent.slice(first).map(Number));
      }
    });
    fc.assert(property, { numRuns: 500 });
  });
});
