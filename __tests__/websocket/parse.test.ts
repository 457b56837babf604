import { parseClose } from '../../lib/websocket/parse';

describe('The close code of an SseWebSocket', () => {
  // Not one of the cases, because WebKit rounds down.
  it.each([
    [2999.5, 3000],
    [4000.7, 4001],
    [4001.5, 4002],
    [4002.5, 4002],
    ['0xfa0', 4000],
  ])('is rounded as WebIDL requires, halves to the even number: %s is %i', (value, code) => {
    expect(parseClose(value, '')).toEqual({ code, reason: '' });
  });
});
