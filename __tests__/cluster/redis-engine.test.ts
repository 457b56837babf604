import { once } from 'node:events';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { redisCluster } from '../../lib/redis/index';
import type { StoredSession } from '../../lib/server/cluster-engine';
import { createStoredSession } from '../../lib/server/stored-session';
import { onTestFinished } from '../helpers/on-test-finished';
import type { Program } from '../helpers/programs';
import { connectRedis, startRedis } from '../helpers/redis';

let redis: Program;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const NEW = { position: 0, firstNumber: 0, subprotocol: '' } as const;
const LIMITS = { maxUnhandled: 1_024, maxBytes: 1_000 };
const LISTENER = { onBroadcast() {}, onNotification() {} };

async function connectAdmin() {
  const admin = createClient({ url: `redis://127.0.0.1:${redis.port}` });
  await admin.connect();
  onTestFinished(() => admin.destroy());
  return admin;
}

/** Deletes all data, and starts the node `n1`. */
async function startEmpty() {
  const admin = await connectAdmin();
  await admin.flushAll();
  const engine = redisCluster(await connectRedis('redis', redis.port));
  await engine.start('n1', LISTENER);
  return { admin, engine };
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
          `the "maxmemory-policy" of Redis is "${policy}", so that it may discard sessions: use "noeviction"`,
          'SseDuplexWarning',
        ],
      ]);
    },
  );

  it('rejects a command that is not answered in time, and names it', async () => {
    const admin = await connectAdmin();
    const engine = redisCluster(await connectRedis('ioredis', redis.port), {
      commandTimeout: 1_000,
    });
    await engine.start('n1', LISTENER);
    await admin.sendCommand(['CLIENT', 'PAUSE', '2000']);
    await expect(engine.find('a')).rejects.toThrow('Redis did not answer HMGET within 1000 ms');
    await admin.ping(); // is answered when the pause is over
    expect(await engine.find('a')).toBeUndefined();
    await engine.stop();
  });

  it('stores a session under its prefix, with a hash of the token only', async () => {
    const admin = await connectAdmin();
    await admin.flushAll();
    const client = await connectRedis('redis', redis.port);
    const engine = redisCluster(client, { prefix: 'shop' });
    await engine.start('n1', LISTENER);
    const identity = { dialect: 'duplex', tokenHash: 'HASH', ...NEW } as const;
    expect(await engine.open('a}/ü', { ...identity, principal: 'anna' })).toBe(true);
    const other = { ...identity, tokenHash: 'OTHER', principal: 'ben' };
    expect(await engine.open('a}/ü', other)).toBe(false);
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
    await engine.remove('a}/ü', 1, 'OTHER');
    expect(await engine.sessionsOf('n1')).toEqual(['a}/ü']);
    await engine.remove('a}/ü', 1, 'HASH');
    expect(await engine.find('a}/ü')).toBeUndefined();
    await engine.stop();
  });

  it('keeps a session without traffic in a compact form', async () => {
    const { admin, engine } = await startEmpty();
    const tokenHash = 'T'.repeat(22);
    await engine.open('a', { dialect: 'duplex', tokenHash, ...NEW, principal: undefined });
    await engine.commit('a', 1, {
      sequence: 1_000_000,
      received: 1_000_000,
      handled: 1_000_000,
      firstMessage: 1_000_000,
      messages: [],
      firstEntry: 0,
      log: [],
      checkpoint: { acknowledged: 1_000_000, position: 2_000_000_000_000, rooms: [], logStart: 0 },
    });
    // Redis uses the compact form for hashes whose values have 64 bytes at most. The other one takes 700 bytes more.
    expect(await admin.keys('*{a}*')).toEqual(['sse-duplex:1:{a}']);
    const encoding = await admin.sendCommand(['OBJECT', 'ENCODING', 'sse-duplex:1:{a}']);
    expect(encoding).toMatch(/^(listpack|ziplist)$/);
    expect(Object.values(await admin.hGetAll('sse-duplex:1:{a}')).join('').length).toBeLessThan(90);
    await engine.remove('a', 1, tokenHash);
    await engine.stop();
  });

  it('requests a session again if it has lost an earlier commit', async () => {
    const { engine } = await startEmpty();
    const tokenHash = 'HASH';
    await engine.open('a', { dialect: 'duplex', tokenHash, ...NEW, principal: undefined });
    const checkpoint = { acknowledged: 0, position: 0, rooms: [], logStart: 0 };
    const changes = {
      sequence: 1,
      received: 3,
      handled: 0,
      firstMessage: 0,
      messages: ['0', '1', '2'],
      firstEntry: 2,
      log: ['0 m1'],
      checkpoint,
    };
    expect(await engine.commit('a', 1, changes)).toEqual({ received: -1 });
    const later = { ...changes, sequence: 2, firstEntry: 0 };
    expect(await engine.commit('a', 1, later)).toEqual({ received: -1 });
    expect(await engine.commit('a', 2, changes)).toBeUndefined();
    expect(await engine.commit('a', 1, { ...changes, firstEntry: 0, firstMessage: 1 })).toEqual({
      received: -1,
    });
    expect(await engine.commit('a', 1, { ...changes, firstEntry: 0 })).toEqual({ received: 3 });
    expect(await engine.read('a', 1, 1, 0)).toEqual({
      first: 1,
      messages: ['1', '2'],
      acknowledged: 0,
      close: undefined,
      sequence: 1,
    });
    await engine.remove('a', 1, tokenHash);
    await engine.stop();
  });

  it.each([undefined, 'anna'])(
    'returns a session as it was restored (principal %s)',
    async (principal) => {
      const admin = await connectAdmin();
      await admin.flushAll();
      const engine = redisCluster(await connectRedis('redis', redis.port));
      await engine.start('n1', LISTENER);
      const session: StoredSession = {
        dialect: 'dart',
        tokenHash: 'HASH',
        principal,
        subprotocol: 'json.v1',
        epoch: 3,
        sequence: 7,
        checkpoint: { acknowledged: 5, position: 9, rooms: ['a room'], logStart: 2 },
        log: ['9 m"x"'],
        received: 4,
        handled: 2,
        unhandled: ['2', '3'],
        state: '{"seen":1}',
        close: { code: 4001, reason: 'go away', isClosed: false },
        closedByClient: undefined,
        lastNumbers: { n2: 8 },
        numbering: { first: 2, next: 6, waiting: { 7: '"seven"', 9: '' } },
      };
      await engine.restore('a', session);
      await engine.restore('a', { ...session, sequence: 6, state: '"older"' });
      await engine.restore('a', { ...session, epoch: 2, sequence: 9, state: '"older"' });
      const found = await engine.find('a');
      expect(found).toEqual({
        dialect: 'dart',
        tokenHash: 'HASH',
        principal,
        owner: 'n1',
        epoch: 3,
      });
      expect(await engine.claim('a', { ...found!, epoch: 2 })).toBeUndefined();
      expect(await engine.claim('a', { ...found!, tokenHash: 'OTHER' })).toBeUndefined();
      expect(await engine.claim('a', found!)).toEqual({ ...session, epoch: 4 });
      expect(await engine.read('a', 3, 0, 0)).toBeUndefined();
      const numbers = { first: 2, next: 6, waitingCount: 2 };
      expect((await engine.read('a', 4, 0, 38))?.numbering).toEqual(numbers);
      expect((await engine.read('a', 4, 0, 39))?.numbering).toEqual({
        ...numbers,
        waiting: session.numbering?.waiting,
      });
      const plain = {
        ...session,
        lastNumbers: undefined,
        close: undefined,
        dialect: 'duplex',
        numbering: undefined,
        subprotocol: '',
      } as const;
      await engine.restore('b', plain);
      expect(await engine.claim('b', (await engine.find('b'))!)).toEqual({ ...plain, epoch: 4 });
      await engine.stop();
    },
  );

  it('records what other nodes receive', async () => {
    const { engine } = await startEmpty();
    const tokenHash = 'HASH';
    await engine.open('a', { dialect: 'duplex', tokenHash, ...NEW, principal: undefined });
    const identity = { dialect: 'duplex', tokenHash, principal: undefined } as const;
    const messages = ['1', '2'];
    const batch = { ...identity, ...LIMITS, first: 0, messages, acknowledged: 3, close: undefined };
    expect(await engine.take('a', batch)).toEqual({ outcome: 'taken', received: 2 });
    expect(await engine.take('a', { ...batch, messages: ['1', '2', '3'] })).toEqual({
      outcome: 'taken',
      received: 3,
    });
    expect(await engine.take('a', { ...batch, first: 4 })).toEqual({
      outcome: 'out-of-window',
      received: 3,
    });
    const strangers = [{ tokenHash: 'OTHER' }, { principal: 'anna' }, { dialect: 'dart' as const }];
    for (const stranger of strangers) {
      const result = await engine.take('a', { ...batch, ...stranger });
      expect(result).toEqual({ outcome: 'unknown-session' });
    }
    expect(await engine.take('b', batch)).toEqual({ outcome: 'unknown-session' });
    const close = { code: 4000, reason: 'done' };
    await engine.take('a', { ...batch, first: 3, messages: [], acknowledged: 2, close });
    expect(await engine.read('a', 1, 1, 0)).toEqual({
      first: 1,
      messages: ['2', '3'],
      acknowledged: 3,
      close,
      sequence: 0,
    });
    expect(await engine.notify('nobody', { type: 'released', id: 'a' })).toBe(false);
    expect(await engine.notify('n1', { type: 'released', id: 'a' })).toBe(true);
    await engine.release('a', 1, undefined);
    expect(await engine.find('a')).toMatchObject({ owner: '', epoch: 1 });
    await engine.stop();
  });

  it('replaces a session of the Dart dialect by one with the messages that the owner has not received', async () => {
    const { admin, engine } = await startEmpty();
    const identity = { dialect: 'dart', tokenHash: 'OLD', principal: undefined } as const;
    await engine.open('a', { ...identity, ...NEW });
    for (const [number, message] of [
      [0, '"a"'],
      [1, '"b"'],
      [3, '"d"'],
    ] as const) {
      const taken = { principal: undefined, number, message, reorderWindow: 10, ...LIMITS };
      expect(await engine.takeMessage('a', taken)).toMatchObject({ outcome: 'taken' });
    }
    const opened = { ...identity, ...NEW, position: 7, subprotocol: 'json' };
    const next = { ...opened, tokenHash: 'NEXT', firstNumber: 'unknown' } as const;
    expect(await engine.replace('a', 2, 1, next)).toBe(false);
    expect(await engine.replace('b', 1, 1, next)).toBe(false);
    expect(await engine.replace('a', 1, 1, next)).toBe(true);
    expect(await engine.replace('a', 1, 1, next)).toBe(true); // repeated
    expect(await admin.hmGet('sse-duplex:1:{a}', ['v', 'z'])).toEqual(['3', '3']);
    expect(await engine.claim('a', { ...next, owner: 'n1', epoch: 2 })).toEqual({
      ...createStoredSession(next, 3),
      received: 1,
      unhandled: ['"b"'],
      numbering: { first: 0, next: 2, waiting: { 3: '"d"' } },
    });
    const last = { ...next, tokenHash: 'LAST' };
    expect(await engine.replace('a', 3, 1, last)).toBe(true); // without messages, their numbers are unknown
    expect(await engine.claim('a', { ...last, owner: 'n1', epoch: 4 })).toEqual({
      ...createStoredSession(last, 5),
      numbering: { first: 0, next: undefined, waiting: { 3: '"d"' } },
    });
    await engine.stop();
  });

  it.each(['redis', 'ioredis'] as const)(
    'records a POST with more messages than a function has arguments (with the client "%s")',
    async (library) => {
      const admin = await connectAdmin();
      await admin.flushAll();
      const engine = redisCluster(await connectRedis(library, redis.port));
      await engine.start('n1', LISTENER);
      const identity = { dialect: 'duplex', tokenHash: 'HASH', principal: undefined } as const;
      await engine.open('a', { ...identity, ...NEW });
      const messages = new Array<string>(131_000).fill('1'); // `[1,1,…]` has 262,000 bytes
      const batch = {
        ...identity,
        ...LIMITS,
        first: 0,
        messages,
        acknowledged: 0,
        close: undefined,
      };
      const received = messages.length;
      expect(await engine.take('a', batch)).toEqual({ outcome: 'taken', received });
      const changes = {
        sequence: 1,
        received: 2 * received,
        handled: received,
        firstMessage: received,
        messages,
        firstEntry: 0,
        log: [],
        checkpoint: { acknowledged: 0, position: 0, rooms: [], logStart: 0 },
      };
      expect(await engine.commit('a', 1, changes)).toEqual({ received: 2 * received });
      expect((await engine.read('a', 1, 0, 0))?.messages).toEqual(messages);
      await engine.stop();
    },
  );

  it('limits the number and the bytes of the messages that are not handled', async () => {
    const { admin, engine } = await startEmpty();
    const identity = { dialect: 'duplex', tokenHash: 'HASH', principal: undefined } as const;
    await engine.open('a', { ...identity, ...NEW });
    const take = (first: number, messages: string[], limits = {}) =>
      engine.take('a', {
        ...identity,
        ...LIMITS,
        ...limits,
        first,
        messages,
        acknowledged: 0,
        close: undefined,
      });
    const commit = (sequence: number, received: number, handled: number, messages: string[] = []) =>
      engine.commit('a', 1, {
        sequence,
        received,
        handled,
        firstMessage: received - messages.length,
        messages,
        firstEntry: 0,
        log: [],
        checkpoint: { acknowledged: 0, position: 0, rooms: [], logStart: 0 },
      });
    const bytes = () => admin.hGet('sse-duplex:1:{a}', 'v');

    const limits = { maxBytes: 6 };
    const first = await take(0, ['üü', 'b'], { maxBytes: Infinity });
    expect(first).toEqual({ outcome: 'taken', received: 2 });
    expect(await bytes()).toBe('5');
    expect(await take(2, ['cc'], limits)).toEqual({ outcome: 'taken', received: 3 });
    expect(await take(3, ['d'], limits)).toEqual({ outcome: 'full' });
    expect(await take(3, [], limits)).toEqual({ outcome: 'taken', received: 3 });
    await commit(1, 2, 1); // the owner does not know the third message yet
    expect(await bytes()).toBe('3');
    expect(await take(3, ['d'], { maxUnhandled: 2 })).toEqual({ outcome: 'full' });
    expect(await take(3, ['d'], limits)).toEqual({ outcome: 'taken', received: 4 });
    await commit(2, 6, 4, ['eee', 'f']);
    expect(await bytes()).toBe('4');
    const stored = await engine.claim('a', { ...identity, owner: 'n1', epoch: 1 });
    await admin.flushAll();
    await engine.restore('a', stored!);
    expect(await bytes()).toBe('4');
    await engine.commit('a', 2, {
      sequence: 3,
      received: 6,
      handled: 6,
      firstMessage: 6,
      messages: [],
      firstEntry: 0,
      log: [],
      checkpoint: stored!.checkpoint,
    });
    expect(await bytes()).toBeNull();
    await engine.stop();
  });

  it('numbers broadcasts, rejects those for a log that it has lost, and rejects on errors of Redis', async () => {
    const { admin, engine } = await startEmpty();
    const lost = 'the engine has lost its data';
    await expect(engine.readBroadcasts(0)).rejects.toThrow(lost);
    const { generation, position, base } = await engine.beat(0);
    expect(position).toBe(base);
    await expect(engine.broadcast('other', 1, [{ message: '1' }])).rejects.toThrow(lost);
    await engine.broadcast(generation, 1, [{ message: '1' }, { message: '2', room: 'room' }]);
    await engine.broadcast(generation, 2, [{ message: 'repeated' }, { message: '3', except: 'a' }]);
    const sent = { sender: 'n1' };
    expect(await engine.readBroadcasts(position)).toEqual({
      generation,
      oldest: position + 1,
      broadcasts: [
        { ...sent, message: '1', position: position + 1, number: 1 },
        { ...sent, message: '2', room: 'room', position: position + 2, number: 2 },
        { ...sent, message: '3', except: 'a', position: position + 3, number: 3 },
      ],
    });
    expect(await engine.beat(position)).toMatchObject({
      generation,
      position: position + 3,
      lastNumbers: { n1: 3 },
      deadNodes: [],
    });
    const later = await engine.beat(position + 10);
    expect(later.generation).not.toBe(generation);
    expect(later.position).toBeGreaterThan(position + 10);
    await admin.set('sse-duplex:1:{wrong}', 'a string');
    await expect(engine.commit('wrong', 1, {} as never)).rejects.toThrow();
    await engine.stop();
  });

  it('receives no broadcasts of the engine in another database of the same server', async () => {
    const admin = await connectAdmin();
    await admin.flushAll();
    const received: string[][] = [[], []];
    const engines = await Promise.all(
      received.map(async (messages, database) => {
        const client = createClient({ url: `redis://127.0.0.1:${redis.port}`, database });
        await client.connect();
        onTestFinished(() => client.destroy());
        const engine = redisCluster(client);
        let onLast = () => {};
        const isLast = new Promise<void>((resolve) => (onLast = resolve));
        const onBroadcast = ({ message }: { message?: string }) => {
          messages.push(String(message));
          if (message === 'last') onLast();
        };
        await engine.start(`n${database}`, { ...LISTENER, onBroadcast });
        onTestFinished(() => engine.stop());
        const { generation } = await engine.beat(0);
        const broadcast = (number: number, message: string) =>
          engine.broadcast(generation, number, [{ message }]);
        return { isLast, broadcast };
      }),
    );
    for (const [database, { broadcast }] of engines.entries()) await broadcast(1, `of ${database}`);
    for (const { broadcast } of engines) await broadcast(2, 'last');
    await Promise.all(engines.map(({ isLast }) => isLast));
    expect(received).toEqual([
      ['of 0', 'last'],
      ['of 1', 'last'],
    ]);
  });

  it('subscribes with a client of ioredis that rejects commands while it connects', async () => {
    const client = new Redis(redis.port, '127.0.0.1', { enableOfflineQueue: false });
    onTestFinished(() => client.disconnect());
    await once(client, 'ready');
    const engine = redisCluster(client);
    await engine.start('n1', LISTENER);
    expect(await engine.notify('n1', { type: 'released', id: 'a' })).toBe(true);
    await engine.stop();
  });

  it('leaves no connection open if it may not subscribe', async () => {
    const admin = await connectAdmin();
    const user = ['on', '>pw', '~*', '+@all', 'resetchannels'];
    await admin.sendCommand(['ACL', 'SETUSER', 'app', ...user]);
    const client = createClient({ url: `redis://app:pw@127.0.0.1:${redis.port}` });
    await client.connect();
    onTestFinished(() => client.destroy());
    const count = async () => {
      const list = (await admin.sendCommand(['CLIENT', 'LIST'])) as unknown as string;
      return list.split('\n').length;
    };
    const before = await count();
    await expect(redisCluster(client).start('n1', LISTENER)).rejects.toThrow('NOPERM');
    while ((await count()) > before); // the server notices it a little later
  });
});
