import fc from 'fast-check';
import { ReorderBuffer } from '../../lib/protocol/reorder-buffer';

function createBuffer(
  bounds: { messages?: number; bytes?: number } = {},
  start?: number | 'unknown',
) {
  const delivered: number[] = [];
  const sizes: number[] = [];
  const receiver = {
    deliver(message: number, size: number) {
      delivered.push(message);
      sizes.push(size);
    },
  };
  const { messages: maxAhead = 1000, bytes = Infinity } = bounds;
  const messages = new ReorderBuffer(receiver, maxAhead, bytes, start);
  /** Each message is its own number. */
  const insert = (number: number, size = 1) => messages.insert(number, number, size);
  return { messages, delivered, sizes, insert };
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count - from }, (_, i) => from + i);
}

describe('a message order', () => {
  it('delivers messages in order as they come', () => {
    const { messages, delivered, insert } = createBuffer();
    expect([0, 1, 2].map((number) => insert(number))).toEqual([
      'delivered',
      'delivered',
      'delivered',
    ]);
    expect(delivered).toEqual([0, 1, 2]);
    expect(messages.next).toBe(3);
  });

  it('holds one that comes early until those before it are there', () => {
    const { messages, delivered, sizes, insert } = createBuffer();
    expect([insert(2, 20), insert(1, 10)]).toEqual(['buffered', 'buffered']);
    expect([delivered, messages.size, messages.next]).toEqual([[], 2, 0]);
    expect(insert(0, 5)).toBe('delivered');
    expect(delivered).toEqual([0, 1, 2]);
    expect(sizes).toEqual([5, 10, 20]);
    expect([messages.size, messages.next]).toEqual([0, 3]);
  });

  it('drops what it has, taken or held', () => {
    const { delivered, insert } = createBuffer();
    insert(0);
    insert(2);
    expect([insert(0), insert(2)]).toEqual(['duplicate', 'duplicate']);
    insert(1);
    expect(insert(2)).toBe('duplicate');
    expect(delivered).toEqual([0, 1, 2]);
  });

  it('delivers undefined, which is a message too', () => {
    const delivered: unknown[] = [];
    const deliver = (message: unknown) => delivered.push(message);
    const messages = new ReorderBuffer({ deliver }, 10, 10);
    messages.insert(1, undefined, 0);
    messages.insert(0, undefined, 0);
    expect(delivered).toEqual([undefined, undefined]);
  });

  it('delivers every permutation with duplicates once, in order', () => {
    const property = fc.property(
      fc.integer({ min: 0, max: 40 }).chain((count) => {
        const numbers = upTo(count);
        return fc.tuple(
          fc.constant(count),
          fc
            .array(fc.nat(Math.max(0, count - 1)), { maxLength: count, size: 'max' })
            .chain((twice) =>
              fc.shuffledSubarray([...numbers, ...(count ? twice : [])], {
                minLength: numbers.length + (count ? twice.length : 0),
              }),
            ),
        );
      }),
      ([count, numbers]) => {
        const { messages, delivered, insert } = createBuffer({ messages: 40 });
        for (const number of numbers) insert(number);
        expect(delivered).toEqual(upTo(count));
        expect([messages.next, messages.size]).toEqual([count, 0]);
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  it('delivers a gapless beginning of whatever comes, within any bounds', () => {
    const property = fc.property(
      fc.array(fc.nat(30), { maxLength: 200, size: 'max' }),
      fc.nat(8),
      fc.nat(12),
      (numbers, window, bytes) => {
        const { messages, delivered, insert } = createBuffer({ messages: window, bytes });
        for (const number of numbers) {
          const isDone = number < messages.next;
          const result = insert(number, 2);
          if (isDone) expect(result).toBe('duplicate');
          expect(messages.size).toBeLessThanOrEqual(Math.min(window, bytes / 2));
        }
        expect(delivered).toEqual(upTo(messages.next));
        // A sender that repeats what was refused brings up the rest.
        for (const number of upTo(31)) insert(number, 2);
        expect(delivered).toEqual(upTo(31));
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  describe('with bounds', () => {
    it.each([
      [2, 'buffered'],
      [3, 'buffered'],
      [4, 'out-of-window'],
    ])('with a window of 3, number %i is %s', (number, result) => {
      expect(createBuffer({ messages: 3 }).insert(number)).toBe(result);
    });

    it('counts the window from the next number', () => {
      const { insert } = createBuffer({ messages: 3 });
      insert(0);
      expect([insert(4), insert(5)]).toEqual(['buffered', 'out-of-window']);
    });

    it('takes only the next number with a window of 0', () => {
      const { insert } = createBuffer({ messages: 0 });
      expect([insert(1), insert(0), insert(1)]).toEqual([
        'out-of-window',
        'delivered',
        'delivered',
      ]);
    });

    it('holds bytes up to the bound, and lets go of them when they are delivered', () => {
      const { insert } = createBuffer({ bytes: 10 });
      expect([insert(1, 4), insert(2, 6), insert(3, 1), insert(4, 0)]).toEqual([
        'buffered',
        'buffered',
        'out-of-window',
        'buffered',
      ]);
      insert(0, 1000); // what is next is never held
      expect([insert(5, 10), insert(6, 1)]).toEqual(['buffered', 'out-of-window']);
    });

    it('forgets a message that it refused', () => {
      const { delivered, insert } = createBuffer({ messages: 1 });
      expect(insert(2)).toBe('out-of-window');
      insert(0);
      insert(1);
      expect(delivered).toEqual([0, 1]);
      expect(insert(2)).toBe('delivered');
    });
  });

  describe('that skips a number', () => {
    it('goes on after it', () => {
      const { messages, delivered, insert } = createBuffer();
      insert(0);
      expect(messages.skip(1)).toBe('delivered');
      expect(insert(2)).toBe('delivered');
      expect(delivered).toEqual([0, 2]);
    });

    it('remembers it until it is next', () => {
      const { messages, delivered, insert } = createBuffer();
      expect(messages.skip(1)).toBe('buffered');
      expect(insert(1)).toBe('duplicate');
      insert(2);
      insert(0);
      expect(delivered).toEqual([0, 2]);
      expect(messages.next).toBe(3);
    });

    it('skips nothing that was taken or is held', () => {
      const { messages, delivered, insert } = createBuffer();
      insert(0);
      insert(2);
      expect([messages.skip(0), messages.skip(2)]).toEqual(['duplicate', 'duplicate']);
      insert(1);
      expect(delivered).toEqual([0, 1, 2]);
    });
  });

  describe('that starts at a number', () => {
    it('takes none before it', () => {
      const { delivered, insert } = createBuffer({}, 5);
      expect([insert(4), insert(6), insert(5)]).toEqual(['out-of-window', 'buffered', 'delivered']);
      expect(delivered).toEqual([5, 6]);
    });
  });

  describe('whose start is not known', () => {
    it('delivers nothing until it is settled, then from the lowest number held', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      expect([insert(9), insert(7), insert(8)]).toEqual(['buffered', 'buffered', 'buffered']);
      expect([delivered, messages.hasStarted]).toEqual([[], false]);
      messages.start();
      expect([delivered, messages.hasStarted]).toEqual([[7, 8, 9], true]);
      expect([insert(10), insert(6), insert(7)]).toEqual([
        'delivered',
        'out-of-window',
        'duplicate',
      ]);
    });

    it('holds what comes after a gap when it is settled', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      insert(7);
      insert(9);
      messages.start();
      expect([delivered, messages.size, messages.next]).toEqual([[7], 1, 8]);
    });

    it('starts at 0 at once when that arrives', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      insert(1);
      expect(insert(0)).toBe('delivered');
      expect([delivered, messages.hasStarted]).toEqual([[0, 1], true]);
    });

    it('does not settle on nothing', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      messages.start();
      expect(messages.hasStarted).toBe(false);
      insert(4);
      messages.start();
      expect(delivered).toEqual([4]);
    });

    it('settles once', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      insert(4);
      messages.start();
      insert(7);
      messages.start();
      expect([delivered, messages.next]).toEqual([[4], 5]);
    });

    it('skips a number that it starts at', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      messages.skip(4);
      insert(5);
      messages.start();
      expect(delivered).toEqual([5]);
    });

    it('holds as many as the window is wide, however far apart', () => {
      const { insert } = createBuffer({ messages: 2 }, 'unknown');
      expect([insert(1000), insert(3), insert(500)]).toEqual([
        'buffered',
        'buffered',
        'out-of-window',
      ]);
    });

    it('is an order from 0, a settled one at that, in every permutation', () => {
      const numbers = fc.shuffledSubarray(upTo(20, 3), { minLength: 17 });
      const property = fc.property(numbers, fc.nat(17), (result, settleAfter) => {
        const { messages, delivered, insert } = createBuffer({}, 'unknown');
        result.forEach((number, index) => {
          if (index === settleAfter) messages.start();
          insert(number);
        });
        messages.start();
        const start = Math.min(...(settleAfter > 0 ? result.slice(0, settleAfter) : result));
        expect(delivered).toEqual(upTo(20, start));
      });
      fc.assert(property);
    });
  });
});
