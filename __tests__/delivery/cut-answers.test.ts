import { cutAnswersOfBase, cutAnswersOfDuplex } from './cut-answers';

// 1,000 of each: `npm run soak cut-answers`.
const COUNT = 100;

describe('When each POST is read and its socket dies before the answer, the server', () => {
  it.each([
    ['a base-dialect client that sends again, as Chromium does,', cutAnswersOfBase],
    ['the duplex client', cutAnswersOfDuplex],
  ])(
    'delivers each message of %s once, in order',
    async (_, cutAnswers) => {
      const { sent, delivered, struck } = await cutAnswers(COUNT);
      expect(struck).toBe(COUNT);
      expect(delivered).toEqual(sent);
    },
    30_000,
  );
});
