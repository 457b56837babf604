import fc from 'fast-check';
import { ReorderBuffer } from '../../lib/protocol/reorder-buffer';

function order(bounds: { messages?: number; bytes?: number } = {}, start?: number | 'lowest') {
  const delivered: number[] = [];
  const sizes: number[] = [];
  const receiver = {
    take(message: number, size: number) {
      delivered.push(message);
      sizes.push(size);
    },
  };
  const { messages: maxAhead = 1000, bytes = Infinity } = bounds;
  const messages = new ReorderBuffer<number>(receiver, maxAhead, bytes, start);
  /** Each message is its own number. */
  const offer = (number: number, size = 1) => messages.offer(number, number, size);
  return { messages, delivered, sizes, offer };
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count - from }, (_, i) => from + i);
}

describe('a message order', () => {
  it('delivers messages in order as they come', () => {
    const { messages, delivered, offer } = order();
    expect([0, 1, 2].map((number) => offer(number))).toEqual(['taken', 'taken', 'taken']);
    expect(delivered).toEqual([0, 1, 2]);
    expect(messages.next).toBe(3);
  });

  it('holds one that comes early until those before it are there', () => {
    const { messages, delivered, sizes, offer } = order();
    expect([offer(2, 20), offer(1, 10)]).toEqual(['held', 'held']);
    expect([delivered, messages.held, messages.next]).toEqual([[], 2, 0]);
    expect(offer(0, 5)).toBe('taken');
    expect(delivered).toEqual([0, 1, 2]);
    expect(sizes).toEqual([5, 10, 20]);
    expect([messages.held, messages.next]).toEqual([0, 3]);
  });

  it('drops what it has, taken or held', () => {
    const { delivered, offer } = order();
    offer(0);
    offer(2);
    expect([offer(0), offer(2)]).toEqual(['duplicate', 'duplicate']);
    offer(1);
    expect(offer(2)).toBe('duplicate');
    expect(delivered).toEqual([0, 1, 2]);
  });

  it('delivers undefined, which is a message too', () => {
    const delivered: unknown[] = [];
    const take = (message: unknown) => delivered.push(message);
    const messages = new ReorderBuffer<unknown>({ take }, 10, 10);
    messages.offer(1, undefined, 0);
    messages.offer(0, undefined, 0);
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
        const { messages, delivered, offer } = order({ messages: 40 });
        for (const number of numbers) offer(number);
        expect(delivered).toEqual(upTo(count));
        expect([messages.next, messages.held]).toEqual([count, 0]);
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
        const { messages, delivered, offer } = order({ messages: window, bytes });
        for (const number of numbers) {
          const isDone = number < messages.next;
          const offered = offer(number, 2);
          if (isDone) expect(offered).toBe('duplicate');
          expect(messages.held).toBeLessThanOrEqual(Math.min(window, bytes / 2));
        }
        expect(delivered).toEqual(upTo(messages.next));
        // A sender that repeats what was refused brings up the rest.
        for (const number of upTo(31)) offer(number, 2);
        expect(delivered).toEqual(upTo(31));
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  describe('with bounds', () => {
    it.each([
      [2, 'held'],
      [3, 'held'],
      [4, 'outside'],
    ])('with a window of 3, number %i is %s', (number, offered) => {
      expect(order({ messages: 3 }).offer(number)).toBe(offered);
    });

    it('counts the window from the next number', () => {
      const { offer } = order({ messages: 3 });
      offer(0);
      expect([offer(4), offer(5)]).toEqual(['held', 'outside']);
    });

    it('takes only the next number with a window of 0', () => {
      const { offer } = order({ messages: 0 });
      expect([offer(1), offer(0), offer(1)]).toEqual(['outside', 'taken', 'taken']);
    });

    it('holds bytes up to the bound, and lets go of them when they are delivered', () => {
      const { offer } = order({ bytes: 10 });
      expect([offer(1, 4), offer(2, 6), offer(3, 1), offer(4, 0)]).toEqual([
        'held',
        'held',
        'outside',
        'held',
      ]);
      offer(0, 1000); // what is next is never held
      expect([offer(5, 10), offer(6, 1)]).toEqual(['held', 'outside']);
    });

    it('forgets a message that it refused', () => {
      const { delivered, offer } = order({ messages: 1 });
      expect(offer(2)).toBe('outside');
      offer(0);
      offer(1);
      expect(delivered).toEqual([0, 1]);
      expect(offer(2)).toBe('taken');
    });
  });

  describe('that skips a number', () => {
    it('goes on after it', () => {
      const { messages, delivered, offer } = order();
      offer(0);
      expect(messages.skip(1)).toBe('taken');
      expect(offer(2)).toBe('taken');
      expect(delivered).toEqual([0, 2]);
    });

    it('remembers it until it is next', () => {
      const { messages, delivered, offer } = order();
      expect(messages.skip(1)).toBe('held');
      expect(offer(1)).toBe('duplicate');
      offer(2);
      offer(0);
      expect(delivered).toEqual([0, 2]);
      expect(messages.next).toBe(3);
    });

    it('skips nothing that was taken or is held', () => {
      const { messages, delivered, offer } = order();
      offer(0);
      offer(2);
      expect([messages.skip(0), messages.skip(2)]).toEqual(['duplicate', 'duplicate']);
      offer(1);
      expect(delivered).toEqual([0, 1, 2]);
    });
  });

  describe('that starts at a number', () => {
    it('takes none before it', () => {
      const { delivered, offer } = order({}, 5);
      expect([offer(4), offer(6), offer(5)]).toEqual(['outside', 'held', 'taken']);
      expect(delivered).toEqual([5, 6]);
    });
  });

  describe('whose start is not known', () => {
    it('delivers nothing until it is settled, then from the lowest number held', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      expect([offer(9), offer(7), offer(8)]).toEqual(['held', 'held', 'held']);
      expect([delivered, messages.settled]).toEqual([[], false]);
      messages.settle();
      expect([delivered, messages.settled]).toEqual([[7, 8, 9], true]);
      expect([offer(10), offer(6), offer(7)]).toEqual(['taken', 'outside', 'duplicate']);
    });

    it('holds what comes after a gap when it is settled', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      offer(7);
      offer(9);
      messages.settle();
      expect([delivered, messages.held, messages.next]).toEqual([[7], 1, 8]);
    });

    it('starts at 0 at once when that arrives', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      offer(1);
      expect(offer(0)).toBe('taken');
      expect([delivered, messages.settled]).toEqual([[0, 1], true]);
    });

    it('does not settle on nothing', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      messages.settle();
      expect(messages.settled).toBe(false);
      offer(4);
      messages.settle();
      expect(delivered).toEqual([4]);
    });

    it('settles once', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      offer(4);
      messages.settle();
      offer(7);
      messages.settle();
      expect([delivered, messages.next]).toEqual([[4], 5]);
    });

    it('skips a number that it starts at', () => {
      const { messages, delivered, offer } = order({}, 'lowest');
      messages.skip(4);
      offer(5);
      messages.settle();
      expect(delivered).toEqual([5]);
    });

    it('holds as many as the window is wide, however far apart', () => {
      const { offer } = order({ messages: 2 }, 'lowest');
      expect([offer(1000), offer(3), offer(500)]).toEqual(['held', 'held', 'outside']);
    });

    it('is an order from 0, a settled one at that, in every permutation', () => {
      const numbers = fc.shuffledSubarray(upTo(20, 3), { minLength: 17 });
      const property = fc.property(numbers, fc.nat(17), (offered, settleAfter) => {
        const { messages, delivered, offer } = order({}, 'lowest');
        offered.forEach((number, index) => {
          if (index === settleAfter) messages.settle();
          offer(number);
        });
        messages.settle();
        const start = Math.min(...(settleAfter > 0 ? offered.slice(0, settleAfter) : offered));
        expect(delivered).toEqual(upTo(20, start));
      });
      fc.assert(property);
    });
  });
});
