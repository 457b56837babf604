import { createSseMiddleware } from '../../lib/index';
import type { SseOptions } from '../../lib/index';
import { resolveOptions } from '../../lib/server/options';

const TIMES = [
  'reconnectTimeout',
  'heartbeatInterval',
  'bodyTimeout',
  'reorderTimeout',
  'drainTimeout',
  'reconnectJitter',
] as const;

const SIZES = ['maxPayload', 'highWaterMark', 'maxBufferedAmount', 'maxReplayBytes'] as const;
const COUNTS = ['reorderWindow', 'maxConnections'] as const;
const NUMBERS = [...TIMES, ...SIZES, ...COUNTS];

function create(options: unknown) {
  return () => createSseMiddleware('/sse', options as SseOptions);
}

describe('resolveOptions', () => {
  it('returns the documented defaults', () => {
    const { isAllowedOrigin, ...numbers } = resolveOptions({});
    expect(numbers).toEqual({
      reconnectTimeout: 30_000,
      heartbeatInterval: 15_000,
      maxPayload: 262_144,
      bodyTimeout: 10_000,
      highWaterMark: 65_536,
      maxBufferedAmount: 16_777_216,
      maxReplayBytes: 1_048_576,
      reorderWindow: 65_536,
      reorderTimeout: 10_000,
      drainTimeout: 5_000,
      reconnectJitter: 5_000,
      maxConnections: 50_000,
      authorize: undefined,
      allowedHosts: undefined,
      clientScript: true,
      subpaths: false,
      warnings: true,
    });
    expect(isAllowedOrigin('https://app.example.com')).toBe(false);
  });

  it('returns the default for an option that is undefined', () => {
    const options = Object.fromEntries(NUMBERS.map((name) => [name, undefined]));
    expect({ ...resolveOptions(options), isAllowedOrigin: 0 }).toEqual({
      ...resolveOptions({}),
      isAllowedOrigin: 0,
    });
  });

  it.each([
    ['reconnectTimeout', 0, 2 ** 31 - 1],
    ['heartbeatInterval', 10, 214_748_364],
    ['maxPayload', 1, 2 ** 29],
    ['bodyTimeout', 1, 2 ** 31 - 1],
    ['highWaterMark', 1, Infinity],
    ['maxBufferedAmount', 1, Infinity],
    ['maxReplayBytes', 0, Infinity],
    ['reorderWindow', 0, Infinity],
    ['reorderTimeout', 1, 2 ** 31 - 1],
    ['drainTimeout', 0, 2 ** 31 - 1],
    ['reconnectJitter', 1, 2 ** 31 - 1],
    ['maxConnections', 1, Infinity],
  ] as const)('accepts %s from %d to %d, and nothing beyond', (name, min, max) => {
    expect(resolveOptions({ [name]: min })[name]).toBe(min);
    expect(resolveOptions({ [name]: max })[name]).toBe(max);
    expect(create({ [name]: min - 1 })).toThrow(RangeError);
    expect(create({ [name]: min - 1 })).toThrow(`option "${name}" must be from ${min} to `);
    if (max < Infinity) expect(create({ [name]: max + 1 })).toThrow(RangeError);
  });

  it.each(NUMBERS)('rejects an option %s that is not a number', (name) => {
    expect(create({ [name]: NaN })).toThrow(RangeError);
    expect(create({ [name]: '1000' })).toThrow(
      new TypeError(`option "${name}" must be a number, not string`),
    );
  });

  it.each([...TIMES, 'maxPayload'])('rejects an option %s that is Infinity', (name) => {
    expect(create({ [name]: Infinity })).toThrow(RangeError);
  });

  it('rejects a maxPayload that is not an integer, because clients would reject the hello event', () => {
    expect(create({ maxPayload: 1000.5 })).toThrow(
      new RangeError('option "maxPayload" must be an integer, not 1000.5'),
    );
  });

  it.each<[string, unknown, string]>([
    ['heartbeat', 1000, 'unknown option "heartbeat": the options are reconnectTimeout, '],
    ['authorize', true, 'option "authorize" must be a function, not boolean'],
    ['authorize', null, 'option "authorize" must be a function, not object'],
    ['clientScript', 'yes', 'option "clientScript" must be a boolean, not string'],
    ['subpaths', 1, 'option "subpaths" must be a boolean, not number'],
    ['clientScript', null, 'option "clientScript" must be a boolean, not object'],
    [
      'allowedOrigins',
      'https://a.example',
      'option "allowedOrigins" must be an array of strings, or a function',
    ],
    ['allowedOrigins', [/a/], 'option "allowedOrigins" must be an array of strings, or a function'],
    ['allowedOrigins', null, 'option "allowedOrigins" must be an array of strings, or a function'],
    [
      'allowedOrigins',
      ['*'],
      'option "allowedOrigins" has "*": an origin is a lower-case scheme, a host and a port only',
    ],
    [
      'allowedOrigins',
      ['capacitor://localhost/'],
      'option "allowedOrigins" has "capacitor://localhost/"',
    ],
    ['allowedOrigins', ['null'], 'option "allowedOrigins" has "null"'],
    ['allowedOrigins', ['https://a.example/'], 'option "allowedOrigins" has "https://a.example/"'],
    [
      'allowedOrigins',
      ['https://a.example:443'],
      'option "allowedOrigins" has "https://a.example:443"',
    ],
    ['allowedOrigins', ['https://A.example'], 'option "allowedOrigins" has "https://A.example"'],
    ['allowedOrigins', ['a.example'], 'option "allowedOrigins" has "a.example"'],
    ['allowedHosts', 'a.example', 'option "allowedHosts" must be an array of strings'],
    ['allowedHosts', '', 'option "allowedHosts" must be an array of strings'],
    ['allowedHosts', null, 'option "allowedHosts" must be an array of strings'],
    ['allowedHosts', [1], 'option "allowedHosts" must be an array of strings'],
  ])('rejects the option %s with the value %p', (name, value, message) => {
    expect(create({ [name]: value })).toThrow(TypeError);
    expect(create({ [name]: value })).toThrow(message);
  });

  it('allows the origins of the list, or those for which the function returns true', () => {
    const listed = resolveOptions({
      allowedOrigins: ['https://a.example', 'http://localhost:8080'],
    });
    expect(listed.isAllowedOrigin('https://a.example')).toBe(true);
    expect(listed.isAllowedOrigin('https://b.example')).toBe(false);
    const app = resolveOptions({ allowedOrigins: ['capacitor://localhost'] });
    expect(app.isAllowedOrigin('capacitor://localhost')).toBe(true);
    const byFunction = resolveOptions({ allowedOrigins: (origin) => origin.endsWith('.example') });
    expect(byFunction.isAllowedOrigin('https://a.example')).toBe(true);
    expect(byFunction.isAllowedOrigin('https://a.test')).toBe(false);
    const truthy = resolveOptions({ allowedOrigins: (() => 'yes') as unknown as () => boolean });
    expect(truthy.isAllowedOrigin('https://a.example')).toBe(false);
  });

  it('compares hosts without regard to case', () => {
    expect(resolveOptions({ allowedHosts: ['A.Example:80'] }).allowedHosts).toEqual(
      new Set(['a.example:80']),
    );
  });
});
