import { AsyncResource } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import type { Journal } from '../../lib/server/journal';
import { resolveOptions } from '../../lib/server/options';
import type { SseOptions } from '../../lib/server/options';
import { Receiver } from '../../lib/server/receiver';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';

const FIRST_NUMBER_TIMEOUT = 1_000;

function createReceiver(options: SseOptions = {}, firstNumber: 0 | 'unknown' = 0) {
  useFakeTimeouts();
  const messages: unknown[] = [];
  const overflows: unknown[] = [];
  const missing: number[] = [];
  const owner = {
    options: resolveOptions(options),
    empty: 0,
    connection: new EventEmitter(),
    context: new AsyncResource('test'),
    journal: undefined,
    onMessage: (message: unknown): void => void messages.push(message),
    onReceiveBufferEmpty: () => void (owner.empty += 1),
    onOverflow: (direction: string, bytes: number) => void overflows.push([direction, bytes]),
    onMissingMessage: (number: number) => void missing.push(number),
  };
  const receiver = new Receiver(owner, firstNumber);
  /** A message of the Dart dialect that is its own number. */
  const receive = (number: number, size = 1) => receiver.receiveMessage(number, number, size);
  /** Adds the application's listener, as a connection does. */
  const listen = () => {
    receiver.start();
    owner.connection.on('message', (message) => owner.onMessage(message));
  };
  return { owner, receiver, receive, listen, messages, overflows, missing };
}

/** A receiver whose application listens for messages. */
function createFlowing(options: SseOptions = {}, firstNumber: 0 | 'unknown' = 0) {
  const all = createReceiver(options, firstNumber);
  all.listen();
  return all;
}

describe('Receiver', () => {
  describe('flow', () => {
    it('keeps messages until there is a listener', async () => {
      const { receiver, listen, messages } = createReceiver();
      receiver.receiveBatch(0, ['a', 'b'], 10);
      receiver.resume();
      await turn();
      expect([messages, receiver.hasListener, receiver.isEmpty]).toEqual([[], false, false]);
      listen();
      expect(messages).toEqual([]); // in a microtask
      await turn();
      expect(messages).toEqual(['a', 'b']);
      expect([receiver.hasListener, receiver.isEmpty]).toEqual([true, true]);
    });

    it('keeps messages after the listener was removed', async () => {
      const { owner, receiver, listen, messages } = createFlowing();
      owner.connection.removeAllListeners();
      receiver.receiveBatch(0, ['a'], 1);
      expect(messages).toEqual([]);
      listen();
      await turn();
      expect(messages).toEqual(['a']);
    });

    it('keeps messages after pause() until resume(), whatever start() does', async () => {
      const { receiver, listen, messages } = createReceiver();
      receiver.pause();
      listen();
      receiver.receiveBatch(0, ['a'], 1);
      await turn();
      expect(messages).toEqual([]);
      receiver.resume();
      await turn();
      expect(messages).toEqual(['a']);
    });

    it('delivers immediately while it flows', () => {
      const { receiver, messages } = createFlowing();
      receiver.receiveBatch(0, ['a'], 1);
      expect(messages).toEqual(['a']);
    });

    it('stops between two messages when a listener pauses, and continues in order', async () => {
      const { owner, receiver, messages } = createFlowing();
      owner.onMessage = (message) => {
        messages.push(message);
        receiver.pause();
      };
      receiver.receiveBatch(0, ['a', 'b', 'c'], 3);
      expect([messages, receiver.isEmpty]).toEqual([['a'], false]);
      receiver.receiveBatch(3, ['d'], 1);
      for (const expected of [
        ['a', 'b'],
        ['a', 'b', 'c'],
        ['a', 'b', 'c', 'd'],
      ]) {
        receiver.resume();
        await turn();
        expect(messages).toEqual(expected);
      }
    });

    it('reports that the application has everything only when the buffer is empty', async () => {
      const { owner, receiver, listen } = createReceiver();
      receiver.receiveBatch(0, ['a'], 1);
      expect(owner.empty).toBe(0);
      listen();
      await turn();
      expect(owner.empty).toBe(1);
    });

    it('discards unread messages with clear()', async () => {
      const { receiver, listen, messages } = createReceiver();
      receiver.receiveBatch(0, ['a'], 1);
      receiver.clear();
      listen();
      await turn();
      expect([messages, receiver.isEmpty]).toEqual([[], true]);
    });
  });

  describe('receiveBatch', () => {
    it('counts the messages received in order', () => {
      const { receiver } = createReceiver();
      receiver.receiveBatch(1, ['b'], 1);
      expect(receiver.received).toBe(0);
      receiver.receiveBatch(0, ['a'], 1);
      expect(receiver.received).toBe(2);
    });

    it('returns false for a message outside the window, and accepts the others of the batch', () => {
      const { receiver, messages } = createFlowing({ reorderWindow: 1 });
      expect(receiver.receiveBatch(1, ['b', 'c'], 2)).toBe(false);
      expect(receiver.receiveBatch(0, ['a'], 1)).toBe(true);
      expect(messages).toEqual(['a', 'b']);
    });

    it('has an error for a message outside the window that names the numbers and the option', () => {
      const { receiver } = createReceiver();
      expect(receiver.outOfWindow(2)).toMatchObject({
        code: 'out-of-window',
        status: 409,
        message:
          'message 2 is outside the window: the next expected number is 0, and the messages ' +
          'before 2 must arrive first (option "reorderWindow")',
      });
    });

    it('starts no timer for a missing message, because a duplex client repeats it', () => {
      const { receiver } = createReceiver();
      receiver.receiveBatch(1, ['b'], 1);
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  describe('hasCapacity', () => {
    it('is false from highWaterMark bytes on', () => {
      const { receiver } = createReceiver({ highWaterMark: 10 });
      receiver.receiveBatch(0, ['a'], 9);
      expect(receiver.hasCapacity).toBe(true);
      receiver.receiveBatch(1, ['b'], 1);
      expect(receiver.hasCapacity).toBe(false);
    });

    it('is false from 1,024 messages on', () => {
      const { receiver } = createReceiver();
      receiver.receiveBatch(0, Array<number>(1_023).fill(1), 1_023);
      expect(receiver.hasCapacity).toBe(true);
      receiver.receiveBatch(1_023, [1], 1);
      expect(receiver.hasCapacity).toBe(false);
    });

    it('counts the bytes of a batch once, shared between its messages', async () => {
      const { owner, receiver, listen } = createReceiver({ highWaterMark: 10 });
      owner.onMessage = () => receiver.pause();
      receiver.receiveBatch(0, ['a', 'b'], 10);
      expect(receiver.hasCapacity).toBe(false);
      listen();
      await turn();
      expect(receiver.hasCapacity).toBe(true); // 5 bytes are left
      receiver.receiveBatch(2, ['c'], 5);
      expect(receiver.hasCapacity).toBe(false);
    });

    it('releases the bytes of messages that the application has read', () => {
      const { receiver } = createFlowing({ highWaterMark: 10 });
      for (let i = 0; i < 3; i++) receiver.receiveBatch(i, ['a'], 10);
      expect(receiver.hasCapacity).toBe(true);
    });

    it.each([
      [65_535, 999, true],
      [65_536, 0, false],
      [1, 1_000, false],
    ])(
      'in a cluster, if %i messages with %i bytes are not handled, there is capacity: %s',
      (...row) => {
        const [count, bytes, expected] = row;
        const { owner } = createReceiver({ maxBufferedAmount: 1_000 });
        const journal = {
          recordedReceived: 0,
          unhandled: { first: 0, messages: [] as string[], bytes },
        };
        const session = { ...owner, journal: journal as unknown as Journal };
        const receiver = new Receiver(session, 0);
        journal.unhandled.messages = new Array<string>(count).fill('1');
        expect(receiver.hasCapacity).toBe(expected);
      },
    );
  });

  describe('waitForCapacity', () => {
    async function createBlocked() {
      const all = createReceiver({ highWaterMark: 1, heartbeatInterval: 7_000 });
      all.receiver.pause();
      all.listen();
      all.receiver.receiveBatch(0, ['a'], 1);
      let outcome = 'waiting';
      const wait = all.receiver.waitForCapacity().then(
        () => (outcome = 'continued'),
        (error: unknown) => {
          outcome = 'rejected';
          return error;
        },
      );
      await turn();
      return { ...all, wait, outcome: () => outcome };
    }

    const BUSY = expect.objectContaining({
      code: 'service-unavailable',
      status: 503,
      message: 'the application does not read its messages fast enough: send the batch again later',
      headers: expect.objectContaining({ 'Retry-After': '1' }) as object,
    }) as Error;

    it('continues when the application has read', async () => {
      const { receiver, outcome } = await createBlocked();
      expect(outcome()).toBe('waiting');
      receiver.resume();
      await turn();
      expect(outcome()).toBe('continued');
      expect(jest.getTimerCount()).toBe(0);
    });

    it('keeps waiting while the application does not read enough', async () => {
      const { owner, receiver, messages, outcome } = await createBlocked();
      receiver.receiveBatch(1, ['b'], 1);
      owner.onMessage = (message) => {
        messages.push(message);
        receiver.pause();
      };
      receiver.resume();
      await turn();
      expect([messages, outcome()]).toEqual([['a'], 'waiting']);
      receiver.resume();
      await turn();
      expect([messages, outcome()]).toEqual([['a', 'b'], 'continued']);
    });

    it('rejects after one heartbeat interval', async () => {
      const { outcome, wait } = await createBlocked();
      jest.advanceTimersByTime(6_999);
      await turn();
      expect(outcome()).toBe('waiting');
      jest.advanceTimersByTime(1);
      expect(await wait).toEqual(BUSY);
    });

    it('rejects a second POST immediately, and leaves the first one waiting', async () => {
      const { receiver, outcome } = await createBlocked();
      await expect(receiver.waitForCapacity()).rejects.toEqual(BUSY);
      expect(outcome()).toBe('waiting');
      receiver.resume();
      await turn();
      expect(outcome()).toBe('continued');
    });

    it('blocks another POST after the first one has continued', async () => {
      const { receiver } = await createBlocked();
      receiver.resume();
      await turn();
      receiver.pause();
      receiver.receiveBatch(1, ['b'], 1);
      let hasContinued = false;
      void receiver.waitForCapacity().then(() => (hasContinued = true));
      await turn();
      expect(hasContinued).toBe(false);
      receiver.resume();
      await turn();
      expect(hasContinued).toBe(true);
    });

    it('continues when the session closes, and leaves no timer', async () => {
      const { receiver, outcome } = await createBlocked();
      receiver.close();
      await turn();
      expect(outcome()).toBe('continued');
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  describe('receiveMessage', () => {
    it('delivers a message without a number, and does not count it', () => {
      const { receiver, messages } = createFlowing();
      receiver.receiveMessage(undefined, 'a', 1);
      expect([messages, receiver.received]).toEqual([['a'], 0]);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('throws for a number outside the window', () => {
      const { receive } = createReceiver({ reorderWindow: 2 });
      receive(2);
      expect(() => receive(3)).toThrow(
        expect.objectContaining({
          code: 'out-of-window',
          message: expect.stringContaining('message 3 is outside') as string,
        }) as Error,
      );
    });

    it('reports no overflow at maxBufferedAmount of unread bytes, and one above it', () => {
      const { receive, overflows } = createReceiver({ maxBufferedAmount: 10 });
      receive(0, 10);
      expect(overflows).toEqual([]);
      receive(1, 1);
      expect(overflows).toEqual([['up', 11]]);
    });

    it('reports no overflow at 65,536 unread messages, and one above it', () => {
      const { receive, overflows } = createReceiver();
      for (let number = 0; number < 65_536; number++) receive(number, 2);
      expect(overflows).toEqual([]);
      receive(65_536, 2);
      expect(overflows).toEqual([['up', 131_074]]);
    });

    it('starts no gap timer when it reports an overflow', () => {
      const { receive, overflows } = createReceiver({ maxBufferedAmount: 10 });
      receive(0, 11);
      expect([overflows.length, jest.getTimerCount()]).toEqual([1, 0]);
    });
  });

  describe('the gap timer of the Dart dialect', () => {
    it('reports a missing message after reorderTimeout', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      receive(0);
      expect(jest.getTimerCount()).toBe(0);
      receive(2);
      jest.advanceTimersByTime(2_999);
      expect(missing).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(missing).toEqual([1]);
    });

    it('reports that message 0 is missing', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      receive(1);
      jest.advanceTimersByTime(3_000);
      expect(missing).toEqual([0]);
    });

    it('stops when the gap is filled', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      receive(1);
      receive(0);
      expect(jest.getTimerCount()).toBe(0);
      jest.advanceTimersByTime(60_000);
      expect(missing).toEqual([]);
    });

    it('restarts when another message is missing', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      [0, 2, 4].forEach((number) => receive(number));
      jest.advanceTimersByTime(2_000);
      receive(1); // now 3 is missing
      expect(jest.getTimerCount()).toBe(1);
      jest.advanceTimersByTime(2_999);
      expect(missing).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(missing).toEqual([3]);
    });

    it('does not restart for messages after the missing one', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      [0, 2].forEach((number) => receive(number));
      jest.advanceTimersByTime(2_000);
      receive(3);
      jest.advanceTimersByTime(1_000);
      expect(missing).toEqual([1]);
    });

    it('starts again for a later gap', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      [1, 0, 3].forEach((number) => receive(number));
      jest.advanceTimersByTime(3_000);
      expect(missing).toEqual([2]);
    });

    it('stops when the session closes, and does not start again', () => {
      const { receiver, receive, missing } = createFlowing({ reorderTimeout: 3_000 });
      receive(1);
      receiver.close();
      expect(jest.getTimerCount()).toBe(0);
      receive(2);
      receiver.skip(3);
      expect(jest.getTimerCount()).toBe(0);
      jest.advanceTimersByTime(60_000);
      expect(missing).toEqual([]);
    });
  });

  describe('skip', () => {
    it('consumes a number, so that the next message is delivered', () => {
      const { receiver, receive, messages } = createFlowing();
      receive(1);
      receiver.skip(0);
      expect([messages, receiver.received, jest.getTimerCount()]).toEqual([[1], 2, 0]);
    });

    it('starts the gap timer', () => {
      const { receiver, missing } = createFlowing({ reorderTimeout: 3_000 });
      receiver.skip(1);
      jest.advanceTimersByTime(3_000);
      expect(missing).toEqual([0]);
    });

    it('has no effect after close()', () => {
      const { receiver, receive, messages } = createFlowing();
      receive(1);
      receiver.close();
      receiver.skip(0);
      expect([messages, receiver.received]).toEqual([[], 0]);
    });
  });

  describe('with an unknown first number', () => {
    it('starts at the lowest number that arrives within 1 s', () => {
      const { receive, messages } = createFlowing({}, 'unknown');
      receive(8);
      jest.advanceTimersByTime(FIRST_NUMBER_TIMEOUT / 2);
      receive(7);
      jest.advanceTimersByTime(FIRST_NUMBER_TIMEOUT / 2 - 1);
      expect(messages).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(messages).toEqual([7, 8]);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('starts no timer before a message with a number arrives', () => {
      const { receiver } = createFlowing({}, 'unknown');
      receiver.receiveMessage(undefined, 'a', 1);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('starts immediately when number 0 arrives', () => {
      const { receive, messages } = createFlowing({}, 'unknown');
      receive(1);
      receive(0);
      expect([messages, jest.getTimerCount()]).toEqual([[0, 1], 0]);
    });

    it('watches a gap after the start', () => {
      const { receive, missing } = createFlowing({ reorderTimeout: 3_000 }, 'unknown');
      receive(7);
      receive(9);
      jest.advanceTimersByTime(FIRST_NUMBER_TIMEOUT);
      expect(jest.getTimerCount()).toBe(1);
      jest.advanceTimersByTime(2_999);
      expect(missing).toEqual([]);
      jest.advanceTimersByTime(1);
      expect(missing).toEqual([8]);
    });

    it('checks the limit of unread bytes when it starts', () => {
      const { receive, overflows } = createReceiver({ maxBufferedAmount: 10 }, 'unknown');
      receive(7, 6);
      receive(9, 4);
      expect(overflows).toEqual([]);
      jest.advanceTimersByTime(FIRST_NUMBER_TIMEOUT);
      receive(8, 10);
      expect(overflows).toEqual([['up', 20]]);
    });

    it('does not start after close()', () => {
      const { receiver, receive, messages } = createFlowing({}, 'unknown');
      receive(7);
      receiver.close();
      jest.advanceTimersByTime(FIRST_NUMBER_TIMEOUT);
      expect([messages, jest.getTimerCount()]).toEqual([[], 0]);
    });
  });
});
