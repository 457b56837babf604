import fc from 'fast-check';
import { ReorderBuffer } from '../../lib/server/reorder-buffer';

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
  const { messages: window = 1000, bytes = Infinity } = bounds;
  const messages = new ReorderBuffer(receiver, window, bytes, start);
  /** Each message is its own number. */
  const insert = (number: number, size = 1) => messages.insert(number, number, size);
  return { messages, delivered, sizes, insert };
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count - from }, (_, i) => from + i);
}

describe('ReorderBuffer', () => {
  it('delivers messages in order as they arrive', () => {
    const { messages, delivered, insert } = createBuffer();
    expect([0, 1, 2].map((number) => insert(number))).toEqual([
      'delivered',
      'delivered',
      'delivered',
    ]);
    expect(delivered).toEqual([0, 1, 2]);
    expect(messages.next).toBe(3);
  });

  it('buffers a message that arrives early until those before it have arrived', () => {
    const { messages, delivered, sizes, insert } = createBuffer();
    expect([insert(2, 20), insert(1, 10)]).toEqual(['buffered', 'buffered']);
    expect([delivered, messages.size, messages.next]).toEqual([[], 2, 0]);
    expect(insert(0, 5)).toBe('delivered');
    expect(delivered).toEqual([0, 1, 2]);
    expect(sizes).toEqual([5, 10, 20]);
    expect([messages.size, messages.next]).toEqual([0, 3]);
  });

  it('discards a message that was delivered or is buffered', () => {
    const { delivered, insert } = createBuffer();
    insert(0);
    insert(2);
    expect([insert(0), insert(2)]).toEqual(['duplicate', 'duplicate']);
    insert(1);
    expect(insert(2)).toBe('duplicate');
    expect(delivered).toEqual([0, 1, 2]);
  });

  it('delivers any JSON value as it was inserted, buffered or not', () => {
    const delivered: unknown[] = [];
    const deliver = (message: unknown) => delivered.push(message);
    const messages = new ReorderBuffer({ deliver }, 10, 100);
    const values = [null, false, { a: [1, 'ü\n'] }, '', 0];
    values.slice(1).forEach((value, i) => messages.insert(i + 1, value, 1));
    messages.insert(0, values[0], 1);
    values.forEach((value, i) => messages.insert(values.length + i, value, 1));
    expect(delivered).toEqual([...values, ...values]);
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

  it('delivers a prefix without gaps of whatever arrives, within any limits', () => {
    const property = fc.property(
      fc.array(fc.nat(30), { maxLength: 200, size: 'max' }),
      fc.nat(8),
      fc.nat(12),
      (numbers, window, bytes) => {
        const { messages, delivered, insert } = createBuffer({ messages: window, bytes });
        for (const number of numbers) {
          const isDelivered = number < messages.next;
          const result = insert(number, 2);
          if (isDelivered) expect(result).toBe('duplicate');
          expect(messages.size).toBeLessThanOrEqual(Math.min(window, bytes / 2));
        }
        expect(delivered).toEqual(upTo(messages.next));
        // A sender that repeats the rejected messages delivers the rest.
        for (const number of upTo(31)) insert(number, 2);
        expect(delivered).toEqual(upTo(31));
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  describe('with limits', () => {
    it.each([
      [2, 'buffered'],
      [3, 'buffered'],
      [4, 'out-of-window'],
    ])('with a window of 3 handles number %i as %s', (number, result) => {
      expect(createBuffer({ messages: 3 }).insert(number)).toBe(result);
    });

    it('counts the window from the next expected number', () => {
      const { insert } = createBuffer({ messages: 3 });
      insert(0);
      expect([insert(4), insert(5)]).toEqual(['buffered', 'out-of-window']);
    });

    it('accepts only the next number with a window of 0', () => {
      const { insert } = createBuffer({ messages: 0 });
      expect([insert(1), insert(0), insert(1)]).toEqual([
        'out-of-window',
        'delivered',
        'delivered',
      ]);
    });

    it('buffers bytes up to the limit, and releases them when they are delivered', () => {
      const { insert } = createBuffer({ bytes: 10 });
      expect([insert(1, 4), insert(2, 6), insert(3, 1), insert(4, 0)]).toEqual([
        'buffered',
        'buffered',
        'out-of-window',
        'buffered',
      ]);
      insert(0, 1000); // the next message is not buffered
      expect([insert(5, 10), insert(6, 1)]).toEqual(['buffered', 'out-of-window']);
    });

    it('does not keep a message that it rejected', () => {
      const { delivered, insert } = createBuffer({ messages: 1 });
      expect(insert(2)).toBe('out-of-window');
      insert(0);
      insert(1);
      expect(delivered).toEqual([0, 1]);
      expect(insert(2)).toBe('delivered');
    });
  });

  describe('skip', () => {
    it('continues with the number after the skipped one', () => {
      const { messages, delivered, insert } = createBuffer();
      insert(0);
      expect(messages.skip(1)).toBe('delivered');
      expect(insert(2)).toBe('delivered');
      expect(delivered).toEqual([0, 2]);
    });

    it('keeps a skipped number until it is next', () => {
      const { messages, delivered, insert } = createBuffer();
      expect(messages.skip(1)).toBe('buffered');
      expect(insert(1)).toBe('duplicate');
      insert(2);
      insert(0);
      expect(delivered).toEqual([0, 2]);
      expect(messages.next).toBe(3);
    });

    it('skips nothing that was delivered or is buffered', () => {
      const { messages, delivered, insert } = createBuffer();
      insert(0);
      insert(2);
      expect([messages.skip(0), messages.skip(2)]).toEqual(['duplicate', 'duplicate']);
      insert(1);
      expect(delivered).toEqual([0, 1, 2]);
    });
  });

  describe('with a first number', () => {
    it('handles numbers before the first one as duplicates', () => {
      const { delivered, insert } = createBuffer({}, 5);
      expect([insert(4), insert(6), insert(5)]).toEqual(['duplicate', 'buffered', 'delivered']);
      expect(delivered).toEqual([5, 6]);
    });
  });

  describe('with an unknown first number', () => {
    it('delivers nothing before start(), then from the lowest buffered number', () => {
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

    it('keeps the messages after a gap when it starts', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      insert(7);
      insert(9);
      messages.start();
      expect([delivered, messages.size, messages.next]).toEqual([[7], 1, 8]);
    });

    it('starts at 0 when that number arrives', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      insert(1);
      expect(insert(0)).toBe('delivered');
      expect([delivered, messages.hasStarted]).toEqual([[0, 1], true]);
    });

    it('does not start while nothing is buffered', () => {
      const { messages, delivered, insert } = createBuffer({}, 'unknown');
      messages.start();
      expect(messages.hasStarted).toBe(false);
      insert(4);
      messages.start();
      expect(delivered).toEqual([4]);
    });

    it('starts only once', () => {
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

    it('buffers as many messages as the window allows, however far apart they are', () => {
      const { insert } = createBuffer({ messages: 2 }, 'unknown');
      expect([insert(1000), insert(3), insert(500)]).toEqual([
        'buffered',
        'buffered',
        'out-of-window',
      ]);
    });

    it('delivers every permutation in order from the lowest number before start()', () => {
      const numbers = fc.shuffledSubarray(upTo(20, 3), { minLength: 17 });
      const property = fc.property(numbers, fc.nat(17), (result, startAfter) => {
        const { messages, delivered, insert } = createBuffer({}, 'unknown');
        result.forEach((number, index) => {
          if (index === startAfter) messages.start();
          insert(number);
        });
        messages.start();
        const start = Math.min(...(startAfter > 0 ? result.slice(0, startAfter) : result));
        expect(delivered).toEqual(upTo(20, start));
      });
      fc.assert(property);
    });
  });
});
