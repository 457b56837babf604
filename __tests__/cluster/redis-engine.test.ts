import { createClient } from 'redis';
import { redisCluster } from '../../lib/redis/index';
import { onTestFinished } from '../helpers/on-test-finished';
import type { Program } from '../helpers/programs';
import { connectRedis, startRedis } from '../helpers/redis';

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const LISTENER = { onBroadcast() {}, onNotification() {} };

async function connectAdmin() {
  const admin = createClient({ url: `redis://127.0.0.1:${redis.port}` });
  await admin.connect();
  onTestFinished(() => admin.destroy());
  return admin;
}

describe('The engine on Redis', () => {
  it.each(['allkeys-lru', 'volatile-ttl'])(
    'warns if the eviction policy is %s, because Redis may discard sessions',
    async (policy) => {
      const admin = await connectAdmin();
      await admin.configSet('maxmemory-policy', policy);
      onTestFinished(() => admin.configSet('maxmemory-policy', 'noeviction'));
      const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => {});
      onTestFinished(() => warn.mockRestore());
      const engine = redisCluster(await connectRedis('redis', redis.port));
      await engine.start('n1', LISTENER);
      await engine.stop();
      expect(warn.mock.calls).toEqual([
        [
          `sse-duplex: the "maxmemory-policy" of Redis is "${policy}", so that it may discard sessions: use "noeviction"`,
        ],
      ]);
    },
  );

  it('rejects a command that is not answered in time, and says which', async () => {
    const admin = await connectAdmin();
    const engine = redisCluster(await connectRedis('ioredis', redis.port), { commandTimeout: 100 });
    await engine.start('n1', LISTENER);
    await admin.sendCommand(['CLIENT', 'PAUSE', '300']);
    await expect(engine.find('a')).rejects.toThrow('Redis did not answer HMGET within 100 ms');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await engine.find('a')).toBeUndefined();
    await engine.stop();
  });

  it('stores a session under its prefix, with a hash of the token only', async () => {
    const admin = await connectAdmin();
    await admin.flushAll();
    const client = await connectRedis('redis', redis.port);
    const engine = redisCluster(client, { prefix: 'shop' });
    await engine.start('n1', LISTENER);
    const identity = { dialect: 'duplex', tokenHash: 'HASH', position: 0 } as const;
    expect(await engine.open('a}/ü', { ...identity, principal: 'anna' })).toBe(true);
    expect(await engine.open('a}/ü', { ...identity, tokenHash: 'OTHER', principal: 'ben' })).toBe(
      false,
    );
    expect(await engine.find('a}/ü')).toEqual({
      dialect: 'duplex',
      tokenHash: 'HASH',
      principal: 'anna',
      owner: 'n1',
      epoch: 1,
    });
    expect(await engine.sessionsOf('n1')).toEqual(['a}/ü']);
    const keys = await admin.keys('*');
    expect(keys.every((key) => key.startsWith('shop:1:'))).toBe(true);
    await engine.remove('a}/ü', 1);
    expect(await engine.find('a}/ü')).toBeUndefined();
    await engine.stop();
  });

  it('asks to be given a session again if it has lost an earlier commit', async () => {
    const admin = await connectAdmin();
    await admin.flushAll();
    const engine = redisCluster(await connectRedis('redis', redis.port));
    await engine.start('n1', LISTENER);
    const tokenHash = 'HASH';
    await engine.open('a', { dialect: 'duplex', tokenHash, position: 0, principal: undefined });
    const checkpoint = { acknowledged: 0, position: 0, rooms: [], logStart: 0 };
    const changes = {
      sequence: 5,
      received: 3,
      handled: 0,
      firstMessage: 0,
      messages: ['0', '1', '2'],
      firstEntry: 2,
      log: ['0 m1'],
      checkpoint,
    };
    expect(await engine.commit('a', 1, changes)).toEqual({ received: -1 });
    expect(await engine.commit('a', 2, changes)).toBeUndefined();
    expect(await engine.commit('a', 1, { ...changes, firstEntry: 0, firstMessage: 1 })).toEqual({
      received: -1,
    });
    expect(await engine.commit('a', 1, { ...changes, firstEntry: 0 })).toEqual({ received: 3 });
    expect(await engine.read('a', 1, 1)).toEqual({
      first: 1,
      messages: ['1', '2'],
      acknowledged: 0,
      close: undefined,
    });
    await engine.remove('a', 1);
    await engine.stop();
  });
});
