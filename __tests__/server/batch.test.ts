import { Batch } from '../../lib/server/batch';

describe('Batch', () => {
  it('encodes each message as a data line of JSON and a blank line', () => {
    const batch = new Batch();
    batch.push('{"a":"ü\\n"}');
    batch.push('1');
    expect(batch.read(0, 2).toString()).toBe('data: {"a":"ü\\n"}\n\ndata: 1\n\n');
    expect([batch.size(0, 1), batch.size(1, 2), batch.length]).toEqual([20, 9, 2]);
    expect([batch.read(0, 1).length, batch.read(1, 2).toString()]).toEqual([20, 'data: 1\n\n']);
  });

  it('is encoded only once', () => {
    const batch = new Batch();
    batch.push('1');
    expect(batch.read(0, 1)).toBe(batch.read(0, 1));
  });

  it('accepts messages until it is read or full', () => {
    const [read, full] = [new Batch(), new Batch()];
    read.push('1');
    expect(read.isAppendable).toBe(true);
    read.read(0, 1);
    expect(read.isAppendable).toBe(false);
    full.push('"'.padEnd(64 * 1024 - 9, 'x') + '"'); // and 8 bytes of frame
    expect(full.isAppendable).toBe(false);
  });

  it.each([null, 'ü\n\r\u2028😀', 1.5, { a: [true] }, ''])(
    'returns the message %p unchanged',
    (message) => {
      const batch = new Batch();
      batch.push(JSON.stringify(message));
      batch.push('2');
      expect(batch.copyOfFirst(1).messages()).toEqual([message]);
      expect(batch.messages()).toEqual([message, 2]);
    },
  );
});
