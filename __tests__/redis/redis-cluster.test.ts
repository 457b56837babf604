import { createSseMiddleware } from '../../lib/index';
import { redisCluster } from '../../lib/redis/index';
import type { RedisClient, RedisClusterOptions } from '../../lib/redis/index';

const client = {
  sendCommand: () => Promise.resolve(),
  duplicate: () => {},
} as unknown as RedisClient;

describe('redisCluster', () => {
  it.each([undefined, null, 'redis://localhost', {}, { duplicate() {} }, { call() {} }])(
    'throws a TypeError that names the libraries if the client is %j',
    (value) => {
      expect(() => redisCluster(value as unknown as RedisClient)).toThrow(
        /^redisCluster\(\) needs a client of "redis", "ioredis" or "iovalkey"/,
      );
    },
  );

  it.each([
    [{ lease: 2_999 }, RangeError, 'option "lease" must be from 3000 to 600000, not 2999'],
    [{ lease: 600_001 }, RangeError, 'option "lease" must be from 3000 to 600000, not 600001'],
    [
      { commandTimeout: NaN },
      RangeError,
      'option "commandTimeout" must be from 100 to 60000, not NaN',
    ],
    [{ commandTimeout: '1' }, TypeError, 'option "commandTimeout" must be a number, not string'],
    [
      { retainedBroadcasts: 10 },
      RangeError,
      'option "retainedBroadcasts" must be from 1000 to 10000000, not 10',
    ],
    [
      { prefix: '' },
      TypeError,
      'option "prefix" must be a string of 1 to 100 characters without braces',
    ],
    [
      { prefix: 'a{b}' },
      TypeError,
      'option "prefix" must be a string of 1 to 100 characters without braces',
    ],
    [
      { prefix: 5 },
      TypeError,
      'option "prefix" must be a string of 1 to 100 characters without braces',
    ],
    [
      { leaseTime: 1 },
      TypeError,
      'unknown option "leaseTime": the options are prefix, lease, commandTimeout, retainedBroadcasts',
    ],
  ])('throws for the options %j', (options, type, message) => {
    const create = () => redisCluster(client, options as RedisClusterOptions);
    expect(create).toThrow(type);
    expect(create).toThrow(message);
  });

  it.each([{}, { lease: 3_000, commandTimeout: 100, retainedBroadcasts: 1_000, prefix: 'x' }])(
    'accepts the options %j',
    (options) => {
      expect(typeof redisCluster(client, options).start).toBe('function');
    },
  );
});

describe('The option cluster of createSseMiddleware', () => {
  it.each([null, true, {}, client])('throws a TypeError for %j', (cluster) => {
    expect(() => createSseMiddleware('/sse', { cluster: cluster as never })).toThrow(
      new TypeError(
        'option "cluster" must be an engine, such as the result of redisCluster(client) of "sse-duplex/redis"',
      ),
    );
  });
});
