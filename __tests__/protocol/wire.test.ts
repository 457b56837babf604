import fc from 'fast-check';
import { nanoid } from 'nanoid';
import * as wire from '../../lib/protocol/wire';
import { formatLastEventId, isCount, parseLastEventId } from '../../lib/protocol/wire';

/** What two programs that have different versions of this package must agree on: PROTOCOL.md. */
it('The names and values of the wire format are those of version 2', () => {
  const constants = Object.entries(wire).filter(([, value]) => typeof value !== 'function');
  expect(Object.fromEntries(constants)).toEqual({
    PROTOCOL_VERSION: '2',
    PROTOCOL_HEADER: 'Sse-Protocol',
    SUBPROTOCOLS_HEADER: 'Sse-Subprotocols',
    CLIENT_ID: 'sseClientId',
    MESSAGE_ID: 'messageId',
    LAST_EVENT_ID: 'lastEventId',
    PROTOCOL: 'sseProtocol',
    POLL: 'ssePoll',
    BINARY: 'sseBinary',
    YES: '1',
    EventName: { hello: 'hello', ping: 'ping', close: 'close', control: 'control' },
    CONTROL_CLOSE: 'close',
    MISSED_INTERVALS: 2.5,
    ENVELOPE_ALLOWANCE: 1024,
  });
});

describe('Last-Event-ID', () => {
  it('is formatted as the token, a dot and the count', () => {
    expect(formatLastEventId('V1St-GXR8_Z', 17)).toBe('V1St-GXR8_Z.17');
    expect(parseLastEventId('V1St-GXR8_Z.17')).toEqual({ token: 'V1St-GXR8_Z', received: 17 });
  });

  it('is parsed back to any token and count that it was formatted from', () => {
    const property = fc.property(fc.nat({ max: 10 ** 15 - 1 }), (received) => {
      const token = nanoid();
      expect(parseLastEventId(formatLastEventId(token, received))).toEqual({ token, received });
    });
    fc.assert(property);
  });

  it.each([
    '',
    '.',
    '17',
    'token',
    'token.',
    '.17',
    'token.-1',
    'token.1.2',
    'token.1e3',
    'token. 1',
    'token.1 ',
    'token.1\n',
    'to ken.1',
    'tökén.1',
    `token.${'9'.repeat(16)}`,
    `${'t'.repeat(65)}.1`,
  ])('is rejected as %j', (value) => {
    expect(parseLastEventId(value)).toBeUndefined();
  });

  it.each([
    [`token.${'9'.repeat(15)}`, 999_999_999_999_999],
    [`${'t'.repeat(64)}.0`, 0],
    ['token.007', 7],
  ])('is accepted as %j', (value, received) => {
    expect(parseLastEventId(value)?.received).toBe(received);
  });
});

describe('isCount', () => {
  it.each([0, 1, Number.MAX_SAFE_INTEGER])('accepts %p', (value) => {
    expect(isCount(value)).toBe(true);
  });

  it.each([-1, 0.5, NaN, Infinity, 2 ** 53, '1', null, undefined, [], {}])(
    'rejects %p',
    (value) => {
      expect(isCount(value)).toBe(false);
    },
  );
});
