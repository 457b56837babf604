import type { Close } from '../../lib/protocol/wire';
import { PreparedMessage, WRITE_SIZE } from '../../lib/server/batch';
import { dartDialect, duplexDialect } from '../../lib/server/dialect';
import type { EventStream } from '../../lib/server/event-stream';
import { resolveOptions } from '../../lib/server/options';
import type { SseOptions } from '../../lib/server/options';
import { Sender, idleInterval } from '../../lib/server/sender';
import type { SenderOwner } from '../../lib/server/sender';
import { turn } from '../helpers/fake-timeouts';

const frame = (text: string) => `data: "${text}"\n\n`;
/** A message whose event has this size in bytes. */
const ofSize = (size: number) => JSON.stringify('x'.repeat(size - frame('').length));

/** A stream that records its writes. */
function createStream() {
  const stream = {
    writes: [] as string[],
    isWritable: true,
    /** Whether the stream is full after its next write. */
    isPoll: false,
    isFull: false,
    isEnded: false,
    writableLength: 0,
    write(chunk: Buffer) {
      stream.writes.push(chunk.toString());
      stream.isWritable = !stream.isFull;
      return stream.isWritable;
    },
    end() {
      stream.isEnded = true;
      stream.isWritable = false;
    },
    destroy() {},
  };
  return stream satisfies EventStream;
}

function createSender(options: SseOptions = {}, dialect = duplexDialect) {
  const owner = {
    options: resolveOptions(options),
    dialect,
    token: 'T',
    subprotocol: '',
    closeInfo: undefined as SenderOwner['closeInfo'],
    journal: undefined,
    released: Infinity,
    acknowledged: 0,
    overflows: [] as unknown[],
    drains: 0,
    onAcknowledged: (count: number) => void (owner.acknowledged = count),
    onOverflow: (direction: string, bytes: number) => owner.overflows.push([direction, bytes]),
    onDrain: () => owner.drains++,
    closes: [] as Close[],
    lifecycle: {
      close: (close: Close) => void owner.closes.push(close),
      closeAfterQueued: (close: Close) => void owner.closes.push(close),
    },
  };
  const sender = new Sender(owner);
  const attach = (received = 0) => {
    const stream = createStream();
    sender.attach(stream, { resumed: false, sent: received, received: 0 });
    stream.writes.shift(); // the handshake
    return stream;
  };
  return { owner, sender, attach };
}

describe('Sender', () => {
  beforeEach(turn); // writes what an earlier test has scheduled

  describe('attach', () => {
    it('writes the handshake, and then the messages that the client lacks', () => {
      const { sender } = createSender();
      ['"0"', '"1"', '"2"'].forEach((json) => sender.send(json));
      const stream = createStream();
      sender.attach(stream, { resumed: true, sent: 1, received: 7 });
      const hello = duplexDialect.handshake({
        token: 'T',
        resumed: true,
        sent: 1,
        received: 7,
        heartbeat: 15_000,
        ackAfter: { messages: 2048, bytes: 262_144, idle: 60_000 },
        maxPayload: 262_144,
      });
      expect(stream.writes).toEqual([hello, frame('1') + frame('2')]);
      expect([sender.stream, sender.oldest, sender.written, sender.sent]).toEqual([
        stream,
        1,
        3,
        3,
      ]);
    });

    it('writes unacknowledged messages again on the next stream', () => {
      const { sender, attach } = createSender();
      attach();
      sender.send('"0"');
      sender.flush();
      sender.detach();
      expect(sender.stream).toBeUndefined();
      expect(attach().writes).toEqual([frame('0')]);
    });

    it.each([
      [16 * 1024 * 1024, 262_144],
      [2_097_152, 262_144],
      [2_097_151, 262_143],
      [800, 100],
      [807, 100],
      [1, 1],
    ])('with maxBufferedAmount %i asks for an acknowledgement after %i bytes', (limit, bytes) => {
      const { sender } = createSender({ maxBufferedAmount: limit });
      const stream = createStream();
      sender.attach(stream, { resumed: false, sent: 0, received: 0 });
      expect(stream.writes[0]).toContain(
        `"ackAfter":{"messages":2048,"bytes":${bytes},"idle":60000}`,
      );
    });

    it('writes the close event again on the next stream', () => {
      const { owner, sender, attach } = createSender();
      owner.closeInfo = { code: 4000, reason: '' };
      attach();
      expect(sender.isCloseWritten).toBe(true);
      const stream = createStream();
      stream.isFull = true;
      sender.attach(stream, { resumed: true, sent: 0, received: 0 });
      expect(sender.isCloseWritten).toBe(false);
      stream.isWritable = true;
      sender.flush();
      expect(sender.isCloseWritten).toBe(true);
    });
  });

  describe('flush', () => {
    it('runs once at the end of the turn, with one write for all messages', async () => {
      const { sender, attach } = createSender();
      const stream = attach();
      sender.send('"0"');
      sender.sendPrepared(new PreparedMessage('"1"'));
      sender.send('"2"');
      expect(stream.writes).toEqual([]);
      await turn();
      expect(stream.writes).toEqual([frame('0') + frame('1') + frame('2')]);
      await turn();
      expect(stream.writes).toHaveLength(1);
    });

    it('runs again in the next turn', async () => {
      const { sender, attach } = createSender();
      const stream = attach();
      sender.send('"0"');
      await turn();
      sender.send('"1"');
      await turn();
      expect(stream.writes).toEqual([frame('0'), frame('1')]);
    });

    it('is scheduled with one setImmediate for all senders of a turn', async () => {
      const schedule = jest.spyOn(global, 'setImmediate');
      const senders = [createSender(), createSender()];
      const streams = senders.map(({ attach }) => attach());
      senders.forEach(({ sender }) => sender.send('"0"'));
      senders.forEach(({ sender }) => sender.send('"1"'));
      const count = schedule.mock.calls.length;
      schedule.mockRestore();
      await turn();
      expect(count).toBe(1);
      expect(streams.map(({ writes }) => writes)).toEqual(Array(2).fill([frame('0') + frame('1')]));
    });

    it('is not scheduled without a stream', () => {
      const schedule = jest.spyOn(global, 'setImmediate');
      createSender().sender.send('"0"');
      const count = schedule.mock.calls.length;
      schedule.mockRestore();
      expect(count).toBe(0);
    });

    it('has no effect after the stream was detached', async () => {
      const { sender, attach } = createSender();
      const stream = attach();
      sender.send('"0"');
      sender.detach();
      await turn();
      expect(stream.writes).toEqual([]);
      expect(sender.written).toBe(0);
    });

    it('runs immediately with flushIfScheduled() if a message was sent in this turn', () => {
      const { owner, sender, attach } = createSender();
      const stream = attach();
      owner.closeInfo = { code: 4000, reason: '' };
      sender.flushIfScheduled();
      expect(stream.writes).toEqual([]);
      owner.closeInfo = undefined;
      sender.send('"0"');
      sender.flushIfScheduled();
      expect(stream.writes).toEqual([frame('0')]);
    });

    it('stops when the stream is full, and continues when it is called again', () => {
      const { sender, attach } = createSender({ maxBufferedAmount: Infinity });
      const stream = attach();
      const message = ofSize(WRITE_SIZE);
      sender.send(message);
      sender.send(message);
      stream.isFull = true;
      sender.flush();
      expect([stream.writes.length, sender.written]).toEqual([1, 1]);
      stream.isWritable = true;
      sender.flush();
      expect([stream.writes.length, sender.written]).toEqual([2, 2]);
    });

    it('writes the close event once, after all messages, and ends the stream', () => {
      const { owner, sender, attach } = createSender();
      const stream = attach();
      sender.send('"0"');
      owner.closeInfo = { code: 4000, reason: 'done' };
      sender.flush();
      const close = duplexDialect.close(owner.closeInfo);
      expect(stream.writes).toEqual([frame('0'), close]);
      expect([stream.isEnded, sender.isCloseWritten]).toEqual([true, true]);
      stream.isWritable = true;
      sender.flush();
      expect(stream.writes).toHaveLength(2);
    });

    it('does not write the close event while the stream is full', () => {
      const { owner, sender, attach } = createSender();
      const stream = attach();
      sender.send('"0"');
      owner.closeInfo = { code: 4000, reason: '' };
      stream.isFull = true;
      sender.flush();
      expect(stream.writes).toEqual([frame('0')]);
      expect([stream.isEnded, sender.isCloseWritten]).toEqual([false, false]);
    });

    it('precedes messages of the Dart dialect with their ids', () => {
      const { sender, attach } = createSender({}, dartDialect);
      const stream = attach();
      sender.send('"0"');
      sender.send('"1"');
      sender.flush();
      expect(stream.writes).toEqual([`id: T.1\n${frame('0')}id: T.2\n${frame('1')}`]);
    });
  });

  describe('send', () => {
    it('returns true below highWaterMark and false at it', () => {
      const { sender } = createSender({ highWaterMark: 20 });
      expect(sender.send(ofSize(19))).toBe(true);
      expect(sender.send(ofSize(11))).toBe(false);
      expect(createSender({ highWaterMark: 20 }).sender.send(ofSize(20))).toBe(false);
    });

    it('counts the bytes that the stream buffers towards highWaterMark', () => {
      const { sender, attach } = createSender({ highWaterMark: 100 });
      const stream = attach();
      stream.writableLength = 50;
      expect(sender.send(ofSize(49))).toBe(true);
      expect(sender.bufferedAmount).toBe(99);
      stream.writableLength = 51;
      expect(sender.send(ofSize(11))).toBe(false);
      expect(sender.bufferedAmount).toBe(111);
    });

    it('returns true at half of maxBufferedAmount unacknowledged, and false above it', () => {
      const atHalf = createSender({ maxBufferedAmount: 100 });
      expect(atHalf.sender.send(ofSize(50))).toBe(true);
      const aboveHalf = createSender({ maxBufferedAmount: 100 });
      expect(aboveHalf.sender.send(ofSize(51))).toBe(false);
      expect([atHalf.owner.overflows, aboveHalf.owner.overflows]).toEqual([[], []]);
    });

    it('reports no overflow at maxBufferedAmount, and one above it', () => {
      const { owner, sender } = createSender({ maxBufferedAmount: 100 });
      sender.send(ofSize(100));
      expect(owner.overflows).toEqual([]);
      expect(sender.send(ofSize(11))).toBe(false);
      expect(owner.overflows).toEqual([['down', 111]]);
    });

    it('schedules nothing and emits no drain for a message that overflows', async () => {
      const { owner, sender, attach } = createSender({ maxBufferedAmount: 20 });
      const stream = attach();
      sender.send(ofSize(21));
      await turn();
      expect([stream.writes, owner.drains]).toEqual([[], 0]);
    });

    it('counts messages that the client has not acknowledged although they were written', () => {
      const { owner, sender, attach } = createSender({ maxBufferedAmount: 100 });
      attach();
      sender.send(ofSize(60));
      sender.flush();
      expect([sender.bufferedAmount, sender.unacknowledgedAmount]).toEqual([0, 60]);
      sender.send(ofSize(41));
      expect(owner.overflows).toEqual([['down', 101]]);
    });

    it('counts only unwritten messages in the Dart dialect', () => {
      const { owner, sender, attach } = createSender({ maxBufferedAmount: 100 }, dartDialect);
      attach();
      sender.send(ofSize(60));
      sender.flush();
      expect(sender.unacknowledgedAmount).toBe(0);
      expect(sender.send(ofSize(41))).toBe(true);
      expect([sender.unacknowledgedAmount, owner.overflows]).toEqual([41, []]);
    });
  });

  describe('sendPrepared', () => {
    it('returns true up to maxBufferedAmount, and false above it, without an overflow', () => {
      const { owner, sender } = createSender({ maxBufferedAmount: 20 });
      expect(sender.sendPrepared(new PreparedMessage(ofSize(20)))).toBe(true);
      expect(sender.failIfOverflowing()).toBe(false);
      expect(sender.sendPrepared(new PreparedMessage(ofSize(11)))).toBe(false);
      expect(owner.overflows).toEqual([]);
    });

    it('is followed by an overflow with failIfOverflowing()', () => {
      const { owner, sender } = createSender({ maxBufferedAmount: 20 });
      sender.sendPrepared(new PreparedMessage(ofSize(21)));
      expect(sender.failIfOverflowing()).toBe(true);
      expect(owner.overflows).toEqual([['down', 21]]);
    });

    it('leads to no drain', () => {
      const { owner, sender, attach } = createSender({ highWaterMark: 1 });
      attach();
      sender.sendPrepared(new PreparedMessage('"0"'));
      sender.flush();
      expect(owner.drains).toBe(0);
    });
  });

  describe('drain', () => {
    it('follows once after send() returned false, when everything is written', async () => {
      const { owner, sender, attach } = createSender({ highWaterMark: 1 });
      const stream = attach();
      sender.send('"0"');
      sender.send('"1"');
      stream.isFull = true;
      await turn();
      expect([stream.writes.length, owner.drains]).toEqual([1, 0]);
      stream.isWritable = true;
      sender.flush();
      expect(owner.drains).toBe(1);
      sender.flush();
      expect(owner.drains).toBe(1);
    });

    it('does not follow after send() returned true', () => {
      const { owner, sender, attach } = createSender();
      attach();
      sender.send('"0"');
      sender.flush();
      expect(owner.drains).toBe(0);
    });

    it('follows in the turn of an acknowledgement that reaches half of maxBufferedAmount', async () => {
      const { owner, sender, attach } = createSender({ maxBufferedAmount: 100 });
      attach();
      [ofSize(20), ofSize(20), ofSize(30), ofSize(20)].forEach((json) => sender.send(json));
      sender.flush();
      await turn();
      expect([sender.unacknowledgedAmount, owner.drains]).toEqual([90, 0]);
      sender.acknowledge(1);
      await turn();
      expect([sender.unacknowledgedAmount, owner.drains]).toEqual([70, 0]);
      sender.acknowledge(2);
      expect(owner.drains).toBe(0);
      await turn();
      expect([sender.unacknowledgedAmount, owner.drains]).toEqual([50, 1]);
    });

    it('does not follow while the session is closing', async () => {
      const { owner, sender, attach } = createSender({ highWaterMark: 1 });
      attach();
      sender.send('"0"');
      owner.closeInfo = { code: 1000, reason: '' };
      await turn();
      expect(owner.drains).toBe(0);
    });
  });

  describe('acknowledge', () => {
    it('releases the messages before the count', () => {
      const { sender } = createSender();
      ['"0"', '"1"', '"2"'].forEach((json) => sender.send(json));
      sender.acknowledge(2);
      expect([sender.oldest, sender.unacknowledgedAmount]).toEqual([2, frame('2').length]);
      sender.acknowledge(3);
      expect([sender.oldest, sender.unacknowledgedAmount]).toEqual([3, 0]);
    });

    it('throws for more messages than were sent, and releases none', () => {
      const { sender } = createSender();
      sender.send('"0"');
      expect(() => sender.acknowledge(2)).toThrow(
        expect.objectContaining({
          code: 'bad-request',
          message: '"ack" is 2, but only 1 messages were sent',
        }) as Error,
      );
      expect(sender.oldest).toBe(0);
    });

    it('schedules no flush unless a drain is due', () => {
      const { sender, attach } = createSender();
      attach();
      sender.send('"0"');
      sender.flush();
      const flush = jest.spyOn(sender, 'scheduleFlush');
      sender.acknowledge(1);
      expect(flush).not.toHaveBeenCalled();
    });
  });

  describe('maxReplayBytes', () => {
    it('keeps written messages of the Dart dialect up to the limit, the newest first', () => {
      const { sender, attach } = createSender(
        { maxReplayBytes: 2 * frame('0').length },
        dartDialect,
      );
      attach();
      ['"0"', '"1"'].forEach((json) => sender.send(json));
      sender.flush();
      expect(sender.oldest).toBe(0);
      sender.send('"2"');
      sender.flush();
      expect(sender.oldest).toBe(1);
    });

    it('does not count unwritten messages', () => {
      const { sender, attach } = createSender(
        { maxReplayBytes: 2 * frame('0').length },
        dartDialect,
      );
      const stream = attach();
      ['"0"', '"1"'].forEach((json) => sender.send(json));
      sender.flush();
      stream.isWritable = false;
      sender.send('"2"');
      sender.flush();
      expect(sender.oldest).toBe(0);
    });

    it('releases no unwritten messages', () => {
      const { sender, attach } = createSender({ maxReplayBytes: 0 }, dartDialect);
      const stream = attach();
      stream.isWritable = false;
      ['"0"', '"1"'].forEach((json) => sender.send(json));
      sender.flush();
      expect([sender.oldest, sender.unacknowledgedAmount]).toEqual([0, 2 * frame('0').length]);
      stream.isWritable = true;
      sender.flush();
      expect(sender.oldest).toBe(2);
    });

    it('does not apply to the duplex dialect', () => {
      const { sender, attach } = createSender({ maxReplayBytes: 0 });
      attach();
      sender.send('"0"');
      sender.flush();
      expect(sender.oldest).toBe(0);
    });
  });

  describe('clear', () => {
    it('returns the unacknowledged messages of the duplex dialect', () => {
      const { sender, attach } = createSender();
      attach();
      ['"0"', '"1"', '"2"'].forEach((json) => sender.send(json));
      sender.flush();
      sender.acknowledge(1);
      const discarded = sender.clear();
      expect([discarded.length, discarded.decode()]).toEqual([2, ['1', '2']]);
      expect([sender.unacknowledgedAmount, sender.bufferedAmount]).toEqual([0, 0]);
    });

    it('returns the unwritten messages of the Dart dialect', () => {
      const { sender, attach } = createSender({}, dartDialect);
      attach();
      sender.send('"0"');
      sender.flush();
      sender.send('"1"');
      expect(sender.clear().decode()).toEqual(['1']);
    });
  });
});

describe('idleInterval', () => {
  it.each([
    ['4 heartbeat intervals on a stream', false, 4000],
    ['1.5 heartbeat intervals on a poll', true, 1500],
  ])('is %s', (_, isPoll, milliseconds) => {
    expect(idleInterval(resolveOptions({ heartbeatInterval: 1000 }), isPoll)).toBe(milliseconds);
  });
});
