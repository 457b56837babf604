import type { Checkpoint, PositionedBroadcast } from '../../lib/server/cluster-engine';
import { SessionLog } from '../../lib/server/session-log';

const START: Checkpoint = { acknowledged: 0, position: 10, rooms: [], logStart: 0 };

/** A broadcast of the node `n` that is its own position. */
function broadcast(position: number, rest: Partial<PositionedBroadcast> = {}): PositionedBroadcast {
  return { message: String(position), position, sender: 'n', number: position, ...rest };
}

/** Stores what a log would give to the engine, and restores it. */
function restore(
  {
    checkpoint = START,
    log,
    lastNumbers,
  }: {
    checkpoint?: Checkpoint;
    log: string[];
    lastNumbers?: Record<string, number>;
  },
  broadcasts: PositionedBroadcast[],
): SessionLog {
  return SessionLog.restore('a', { checkpoint, log, lastNumbers }, broadcasts);
}

describe('SessionLog', () => {
  it('has the messages, the broadcasts and the rooms in the order of the calls', () => {
    const log = new SessionLog(START);
    log.addMessage('"x"', 10);
    log.addBroadcast(broadcast(11));
    log.addRoom('join', 'a room', 11);
    log.addRoom('join', 'b', 11);
    log.addRoom('leave', 'b', 12);
    expect([log.messages, log.sent, log.rooms]).toEqual([['"x"', '11'], 2, ['a room']]);
    expect(log.unrecorded).toEqual({
      firstEntry: 0,
      log: ['10 m"x"', '11 j"a room"', '11 j"b"', '12 l"b"'],
    });
  });

  it('releases the messages before the first entry that is not recorded', () => {
    const log = new SessionLog(START);
    expect(log.released).toBe(Infinity);
    log.addBroadcast(broadcast(11));
    log.addMessage('"x"', 11);
    log.addBroadcast(broadcast(12));
    log.addRoom('join', 'room', 12);
    log.addBroadcast(broadcast(13));
    expect(log.released).toBe(1);
    log.onRecorded(1);
    expect([log.released, log.unrecorded]).toEqual([3, { firstEntry: 1, log: ['12 j"room"'] }]);
    log.onRecorded(1);
    expect(log.released).toBe(Infinity);
  });

  it('moves its checkpoint behind what is acknowledged and recorded', () => {
    const log = new SessionLog(START);
    log.addRoom('join', 'room', 10);
    log.addMessage('"x"', 12);
    log.addBroadcast(broadcast(13));
    log.addMessage('"y"', 15);
    expect(log.acknowledge(2)).toBe(false); // nothing is recorded
    log.onRecorded(2);
    expect(log.acknowledge(1)).toBe(true);
    expect(log.checkpointAt(20)).toEqual({
      acknowledged: 1,
      position: 12,
      rooms: ['room'],
      logStart: 2,
    });
    expect(log.acknowledge(1)).toBe(false);
    log.onRecorded(1);
    expect(log.acknowledge(9)).toBe(true);
    expect(log.checkpointAt(20)).toEqual({
      acknowledged: 3,
      position: 20,
      rooms: ['room'],
      logStart: 3,
    });
  });

  it('has a checkpoint up to the position before its first step', () => {
    const log = new SessionLog(START);
    expect(log.checkpointAt(15).position).toBe(15);
    log.addBroadcast(broadcast(17));
    expect(log.checkpointAt(20).position).toBe(16);
    const other = new SessionLog(START);
    other.addMessage('"x"', 17);
    expect(other.checkpointAt(20).position).toBe(17);
  });

  it('restores the numbering from the entries and the broadcasts', () => {
    const log = restore({ log: ['11 m"x"', '12 j"room"', '14 l"room"', '16 m"y"'] }, [
      broadcast(10), // before the checkpoint
      broadcast(11),
      broadcast(12, { room: 'room' }), // before it joined
      broadcast(13, { room: 'room' }),
      broadcast(14, { room: 'room', except: 'a' }),
      broadcast(15, { room: 'room' }), // after it left
      broadcast(16, { session: 'a' }),
      broadcast(17, { session: 'b' }),
      broadcast(18),
    ]);
    expect(log.messages).toEqual(['11', '"x"', '13', '16', '"y"', '18']);
    expect([log.sent, log.released, log.rooms]).toEqual([6, Infinity, []]);
  });

  it('restores the numbering after a checkpoint', () => {
    const checkpoint = { acknowledged: 7, position: 12, rooms: ['room'], logStart: 5 };
    const log = restore({ checkpoint, log: ['13 m"x"'] }, [
      broadcast(12),
      broadcast(13, { room: 'room' }),
    ]);
    expect([log.messages, log.sent]).toEqual([['13', '"x"'], 9]);
    log.addMessage('"y"', 13);
    expect(log.unrecorded).toEqual({ firstEntry: 6, log: ['13 m"y"'] });
  });

  it('omits broadcasts that were received from a log that was lost', () => {
    const log = restore({ log: [], lastNumbers: { n: 12, m: 3 } }, [
      broadcast(11),
      broadcast(12),
      broadcast(13),
      broadcast(14, { sender: 'm', number: 3 }),
      broadcast(15, { sender: 'm', number: 4 }),
      broadcast(16, { sender: 'k', number: 1 }),
    ]);
    expect(log.messages).toEqual(['13', '15', '16']);
  });

  it('turns broadcasts into messages when their log is lost', () => {
    const log = new SessionLog(START);
    log.addRoom('join', 'room', 10);
    log.addBroadcast(broadcast(11));
    log.addRoom('leave', 'other', 11);
    log.onRecorded(2);
    const without = log.withoutBroadcasts(1_000);
    expect([without.messages, without.sent, without.released]).toEqual([['11'], 1, 0]);
    expect(without.unrecorded.log).toEqual(['1000 j"room"', '1000 m11', '1000 l"other"']);
    expect(without.checkpointAt(1_000)).toEqual({ ...START, position: 1_000 });
  });

  describe('with a broadcast that closes the session', () => {
    const close = { code: 4001, reason: 'signed out' };
    const closing = { ...broadcast(12), message: undefined, close };

    it('ends with that broadcast', () => {
      const log = restore({ log: [] }, [broadcast(11), closing, broadcast(13)]);
      expect([log.close, log.messages, log.sent]).toEqual([close, ['11'], 1]);
      expect(restore({ log: [] }, [{ ...closing, except: 'a' }, broadcast(13)]).close).toBe(
        undefined,
      );
    });

    it('keeps its checkpoint before that broadcast, so that another owner finds it', () => {
      const log = new SessionLog(START);
      log.addBroadcast(broadcast(11));
      log.addBroadcast(closing);
      expect([log.sent, log.close]).toEqual([1, close]);
      log.acknowledge(1);
      expect(log.checkpointAt(20)).toMatchObject({ acknowledged: 1, position: 11 });
      expect([log.acknowledge(1), log.close]).toEqual([false, close]);
    });
  });
});
