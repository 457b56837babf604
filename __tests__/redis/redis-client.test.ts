import {
  findServers,
  isCluster,
  isRedisClient,
  sendCommand,
  subscribe,
} from '../../lib/redis/redis-client';
import type { NodeRedisCluster, RedisClient } from '../../lib/redis/redis-client';
import { onTestFinished } from '../helpers/on-test-finished';

describe('A client of node-redis', () => {
  function createClient(version: 4 | 5) {
    const calls: unknown[] = [];
    const subscriber = {
      connect: () => Promise.resolve(calls.push('connect')),
      subscribe(channel: string, listener: (message: string) => void) {
        calls.push(channel);
        listener(`message of ${channel}`);
        return Promise.resolve();
      },
      on: (event: string) => calls.push(event),
      ...(version === 4
        ? { disconnect: () => calls.push('disconnect') }
        : { destroy: () => calls.push('destroy') }),
    };
    const client = {
      sendCommand: (args: string[]) => Promise.resolve(args),
      duplicate: () => subscriber,
    } as unknown as RedisClient;
    return { client, calls };
  }

  it.each([
    [4, 'disconnect'],
    [5, 'destroy'],
  ] as const)('of version %i subscribes with a duplicate, and closes it', async (version, end) => {
    const { client, calls } = createClient(version);
    const messages: unknown[] = [];
    const { ready, close } = subscribe(client, ['a', 'b'], (...message) => messages.push(message));
    await ready;
    expect(messages).toEqual([
      ['a', 'message of a'],
      ['b', 'message of b'],
    ]);
    close();
    expect(calls).toEqual(['error', 'connect', 'a', 'b', end]);
  });

  it('sends a command as an array', async () => {
    const { client } = createClient(5);
    expect(await sendCommand(client, ['GET', 'key'])).toEqual(['GET', 'key']);
    expect(isRedisClient(client)).toBe(true);
  });

  it('lets a command without a timeout only into the queue of a connected client', async () => {
    const client = {
      isReady: true,
      sendCommand: (_args: string[], options?: object) => Promise.resolve(options),
      duplicate: () => {
        throw new Error('unused');
      },
    };
    expect(await sendCommand(client, ['PING'])).toEqual({ timeout: 0 });
    client.isReady = false;
    expect(await sendCommand(client, ['PING'])).toBeUndefined();
  });
});

describe('A client of node-redis for a Redis Cluster', () => {
  it('sends each command to the server of its first key', async () => {
    const sent: unknown[] = [];
    const client = {
      slots: [],
      sendCommand: (...values: unknown[]) => Promise.resolve(sent.push(values)),
      duplicate() {},
    } as unknown as RedisClient;
    await sendCommand(client, ['SADD', 'key', 'member']);
    await sendCommand(client, ['EVALSHA', 'hash', '1', 'key', 'value']);
    await sendCommand(client, ['EVAL', 'script', '1', 'key', 'value']);
    expect(sent).toEqual([
      ['key', false, ['SADD', 'key', 'member']],
      ['key', false, ['EVALSHA', 'hash', '1', 'key', 'value']],
      ['key', false, ['EVAL', 'script', '1', 'key', 'value']],
    ]);
    expect([isRedisClient(client), isCluster(client)]).toEqual([true, true]);
  });
});

describe('A client of node-redis for a Redis Cluster, after a command has failed,', () => {
  it('reads its key through any server, at most once per second', async () => {
    jest.useFakeTimers();
    onTestFinished(() => jest.useRealTimers());
    const sent: unknown[] = [];
    const client = {
      slots: [],
      sendCommand(...values: unknown[]) {
        sent.push(values);
        return Promise.reject(new Error('MOVED'));
      },
    } as unknown as NodeRedisCluster;
    const first = [undefined, false, ['EXISTS', 'key']];
    findServers(client, ['EVALSHA', 'hash', '1', 'key', 'value']);
    findServers(client, ['SADD', 'other', 'member']);
    expect(sent).toEqual([first]);
    await jest.advanceTimersByTimeAsync(1_000);
    findServers(client, ['SADD', 'other', 'member']);
    expect(sent).toEqual([first, [undefined, false, ['EXISTS', 'other']]]);
  });
});

describe('A client of node-redis for Sentinels', () => {
  it('sends commands to the master, and subscribes without a duplicate', async () => {
    const calls: unknown[] = [];
    const record =
      (name: string) =>
      (...values: unknown[]) =>
        Promise.resolve(calls.push([name, ...values.filter((each) => typeof each !== 'function')]));
    const client = {
      getSentinelNode() {},
      sendCommand: record('send'),
      subscribe: record('subscribe'),
      unsubscribe: record('unsubscribe'),
    } as unknown as RedisClient;
    expect([isRedisClient(client), isCluster(client)]).toEqual([true, false]);
    await sendCommand(client, ['PING']);
    const { ready, close } = subscribe(client, ['a', 'b'], () => {});
    await ready;
    close();
    expect(calls).toEqual([
      ['send', false, ['PING']],
      ['subscribe', 'a'],
      ['subscribe', 'b'],
      ['unsubscribe', 'a'],
      ['unsubscribe', 'b'],
    ]);
  });
});

describe('A client of ioredis', () => {
  it('sends a command with an array of arguments, and subscribes with a duplicate', async () => {
    const calls: unknown[] = [];
    let onMessage = (_channel: string, _message: string) => {};
    const client = {
      call: (...args: unknown[]) => Promise.resolve(args),
      duplicate: () => ({
        subscribe: (...channels: string[]) => Promise.resolve(calls.push(channels)),
        on(event: string, listener: typeof onMessage) {
          if (event === 'message') onMessage = listener;
          else listener('', ''); // an error is ignored: the library reconnects
        },
        disconnect: () => calls.push('disconnect'),
      }),
    } as unknown as RedisClient;
    expect(await sendCommand(client, ['GET', 'key'])).toEqual(['GET', ['key']]);
    const messages: unknown[] = [];
    const { ready, close } = subscribe(client, ['a', 'b'], (...message) => messages.push(message));
    await ready;
    onMessage('a', 'x');
    close();
    await ready;
    expect([calls, messages]).toEqual([[['a', 'b'], 'disconnect'], [['a', 'x']]]);
  });
});

describe('The connection for the subscriptions is closed', () => {
  const rejected = () => Promise.reject(new Error('NOPERM'));

  it.each([
    ['destroy', { subscribe: rejected, connect: () => Promise.resolve() }],
    ['destroy', { subscribe: () => Promise.resolve(), connect: rejected }],
    ['disconnect', { subscribe: rejected, connect: () => Promise.resolve() }],
  ])('with %s() of node-redis if it fails', async (end, methods) => {
    const close = jest.fn();
    const duplicate = () => ({ ...methods, on() {}, [end]: close });
    const client = { sendCommand: () => Promise.resolve(), duplicate } as unknown as RedisClient;
    await expect(subscribe(client, ['a'], () => {}).ready).rejects.toThrow('NOPERM');
    expect(close).toHaveBeenCalledTimes(1);
  });

  it('with disconnect() of ioredis if it fails', async () => {
    const disconnect = jest.fn();
    const duplicate = () => ({ subscribe: rejected, on() {}, disconnect });
    const client = { call: () => Promise.resolve(), duplicate } as unknown as RedisClient;
    await expect(subscribe(client, ['a'], () => {}).ready).rejects.toThrow('NOPERM');
    expect(disconnect).toHaveBeenCalledTimes(1);
  });
});
