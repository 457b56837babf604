import type { RedisClient } from '../../lib/redis/redis-client';
import { keepSubscribed } from '../../lib/redis/subscription';

type Connect = () => Promise<void>;

/** Creates a client of node-redis for a Redis Cluster whose duplicates connect one after the other as given. */
function createClient(connects: Connect[]) {
  const calls: unknown[] = [];
  /** Publishes a message to the subscriber that subscribed last. */
  let publish: (message: string) => void = () => {};
  const client = {
    slots: [],
    sendCommand() {},
    duplicate(options: object) {
      calls.push(options);
      return {
        connect: connects.shift()!,
        subscribe(_channel: string, listener: (message: string) => void) {
          calls.push('subscribe');
          publish = listener;
          return Promise.resolve();
        },
        on() {},
        destroy: () => calls.push('destroy'),
      };
    },
  } as unknown as RedisClient;
  return { client, calls, publish: (message: string) => publish(message) };
}

const CONNECT = { minimizeConnections: true };
const succeed = () => Promise.resolve();
const hang = () => new Promise<void>(() => {});

describe('The subscription of a node', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('is opened anew if probes were published and did not arrive, and stays open otherwise', async () => {
    const { client, calls, publish } = createClient([succeed, succeed]);
    const messages: string[] = [];
    const listener = (_channel: string, message: string) => messages.push(message);
    let publishProbe = (probe: string) => Promise.resolve(publish(probe));
    const publishNext = (probe: string) => publishProbe(probe);
    const { ready, close } = keepSubscribed(client, ['own'], listener, publishNext);
    await ready;
    await jest.advanceTimersByTimeAsync(10_000);
    publishProbe = () => Promise.reject(new Error('Redis does not answer'));
    await jest.advanceTimersByTimeAsync(10_000);
    expect(calls).toEqual([CONNECT, 'subscribe']);
    publishProbe = () => Promise.resolve();
    await jest.advanceTimersByTimeAsync(2_000);
    expect(calls).toEqual([CONNECT, 'subscribe']);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(calls).toEqual([CONNECT, 'subscribe', 'destroy', CONNECT, 'subscribe']);
    publish('message');
    expect(messages).toEqual(['message']);
    close();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(calls.slice(5)).toEqual(['destroy']);
  });

  it('is opened anew if it waits for a server that has ended', async () => {
    const { client, calls } = createClient([hang, succeed]);
    const { ready, close } = keepSubscribed(client, ['own'], () => {}, succeed);
    await jest.advanceTimersByTimeAsync(4_000);
    await ready;
    close();
    expect(calls).toEqual([CONNECT, 'destroy', CONNECT, 'subscribe', 'destroy']);
  });

  it('rejects if its first connection is rejected, and repeats a later one', async () => {
    const fail = () => Promise.reject(new Error('refused'));
    const publishProbe = jest.fn(() => Promise.resolve());
    const first = createClient([fail]);
    const failed = keepSubscribed(first.client, ['own'], () => {}, publishProbe);
    await expect(failed.ready).rejects.toThrow('refused');
    await jest.advanceTimersByTimeAsync(10_000);
    expect(publishProbe).not.toHaveBeenCalled();

    const { client, calls } = createClient([succeed, fail, succeed]);
    const { ready, close } = keepSubscribed(client, ['own'], () => {}, publishProbe);
    await ready;
    await jest.advanceTimersByTimeAsync(8_000);
    close();
    const renewed = ['destroy', CONNECT];
    expect(calls).toEqual([CONNECT, 'subscribe', ...renewed, ...renewed, 'subscribe', 'destroy']);
  });

  it('does not subscribe after its connection has been closed', async () => {
    let connected = () => {};
    const connectLate = () => new Promise<void>((resolve) => (connected = resolve));
    const { client, calls } = createClient([connectLate, succeed]);
    const { ready, close } = keepSubscribed(client, ['own'], () => {}, succeed);
    await jest.advanceTimersByTimeAsync(4_000);
    connected();
    await ready;
    close();
    expect(calls).toEqual([CONNECT, 'destroy', CONNECT, 'subscribe', 'destroy']);
  });
});
