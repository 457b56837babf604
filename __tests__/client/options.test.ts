import { defaultBackoff } from '../../lib/client/options';

describe('The default back-off', () => {
  it.each([
    [0, 500],
    [1, 1_000],
    [4, 8_000],
    [5, 10_000],
    [2_000, 10_000],
  ])('waits after %i failures for a random time of up to %i ms', (attempt, most) => {
    const random = jest.spyOn(Math, 'random');
    try {
      random.mockReturnValue(0);
      expect(defaultBackoff(attempt)).toBe(0);
      random.mockReturnValue(0.5);
      expect(defaultBackoff(attempt)).toBe(most / 2);
    } finally {
      random.mockRestore();
    }
  });
});
