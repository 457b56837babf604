import fc from 'fast-check';
import { SendBuffer } from '../../lib/client/send-buffer';

const item = (name: number, byteLength = 1) => ({ name, byteLength });

function filled(count: number): SendBuffer<ReturnType<typeof item>> {
  const outbox = new SendBuffer<ReturnType<typeof item>>();
  for (let i = 0; i < count; i++) outbox.push(item(i, i + 1));
  return outbox;
}

describe('an outbox', () => {
  it('numbers what is pushed from 0', () => {
    const outbox = filled(3);
    expect([outbox.first, outbox.byteLength]).toEqual([0, 6]);
    expect(outbox.items.map(({ name }) => name)).toEqual([0, 1, 2]);
  });

  it('lets go of what is confirmed, and keeps its numbers', () => {
    const outbox = filled(3);
    outbox.confirm(2);
    expect([outbox.first, outbox.byteLength]).toEqual([2, 3]);
    outbox.push(item(3));
    expect(outbox.items.map(({ name }) => name)).toEqual([2, 3]);
  });

  it.each([0, 1, 2])('never moves backwards: %i confirmed after 2', (count) => {
    const outbox = filled(3);
    outbox.confirm(2);
    outbox.confirm(count);
    expect([outbox.first, outbox.byteLength]).toEqual([2, 3]);
  });

  it('never moves past the last one', () => {
    const outbox = filled(3);
    outbox.confirm(9);
    expect([outbox.first, outbox.byteLength, outbox.items]).toEqual([3, 0, []]);
  });

  it('holds exactly what was pushed and not confirmed', () => {
    const step = fc.oneof(
      fc.record({ push: fc.nat(100) }),
      fc.record({ confirm: fc.integer({ min: -3, max: 30 }) }),
    );
    const property = fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const outbox = new SendBuffer<ReturnType<typeof item>>();
      const all: ReturnType<typeof item>[] = [];
      let confirmed = 0;
      for (const each of steps) {
        if ('push' in each) {
          all.push(item(all.length, each.push));
          outbox.push(all.at(-1)!);
        } else {
          confirmed = Math.max(confirmed, Math.min(each.confirm, all.length));
          outbox.confirm(each.confirm);
        }
        const held = all.slice(confirmed);
        expect(outbox.items).toEqual(held);
        expect(outbox.first).toBe(confirmed);
        expect(outbox.byteLength).toBe(held.reduce((sum, { byteLength }) => sum + byteLength, 0));
      }
    });
    fc.assert(property);
  });
});
