import { createHash } from 'node:crypto';
import { nanoid } from 'nanoid';
import type {
  Broadcast,
  BroadcastRange,
  ClusterEngine,
  CommitResult,
  EngineListener,
  EngineState,
  NewSession,
  Notification,
  RecordedMessages,
  SessionChanges,
  SessionOwnership,
  StoredSession,
  TakeResult,
  TakenBatch,
  TakenMessage,
} from '../server/cluster-engine';
import { warnAboutEviction } from './eviction';
import {
  formatChanges,
  formatBatch,
  formatNewSession,
  formatSession,
  formatTakenMessage,
  parseBroadcast,
  parseNumbers,
  parsePrincipal,
  parseRecorded,
  parseSession,
  parseTakeResult,
} from './format';
import { findServers, isCluster, isNodeRedisCluster, sendCommand } from './redis-client';
import type { RedisClient } from './redis-client';
import type { ResolvedRedisOptions } from './redis-cluster';
import * as scripts from './scripts';
import { keepSubscribed } from './subscription';

/** Part of the names of all keys: the version of their format. */
const FORMAT = '1';

/** The engine on Redis or Valkey. scripts.ts describes what it stores. */
export class RedisEngine implements ClusterEngine {
  readonly #client: RedisClient;
  readonly #options: ResolvedRedisOptions;
  readonly #prefix: string;
  #nodeId = '';
  /** The generation of the last reply: '' before the first one. */
  #generation = '';
  #unsubscribe = () => {};
  /** The SHA-1 of each script. */
  readonly #hashes = new Map<string, string>();

  constructor(client: RedisClient, options: ResolvedRedisOptions) {
    this.#client = client;
    this.#options = options;
    this.#prefix = `${options.prefix}:${FORMAT}:`;
  }

  // --- Nodes ---------------------------------------------------------------------------------------

  async start(nodeId: string, listener: EngineListener): Promise<void> {
    this.#nodeId = nodeId;
    const broadcasts = `${this.#prefix}broadcasts`;
    const own = this.#channelOf(nodeId);
    this.#unsubscribe(); // of a previous attempt that failed
    const onMessage = (channel: string, message: string) => {
      if (channel === broadcasts) this.#onPublished(message, listener);
      else listener.onNotification(JSON.parse(message) as Notification);
    };
    const publish = (message: string) => this.#command('PUBLISH', own, message);
    const { ready, close } = keepSubscribed(this.#client, [broadcasts, own], onMessage, publish);
    this.#unsubscribe = close;
    await this.#withTimeout('SUBSCRIBE', ready);
    await warnAboutEviction((...command) => this.#command(...command));
  }

  stop(): Promise<void> {
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    return Promise.resolve();
  }

  /** Ignores broadcasts of applications in other databases of the server, because all databases share the channels. */
  #onPublished(message: string, listener: EngineListener): void {
    const space = message.indexOf(' ');
    if (message.slice(0, space) !== this.#generation) return;
    listener.onBroadcast(parseBroadcast(message.slice(space + 1)));
  }

  async beat(position: number): Promise<EngineState> {
    const { lease } = this.#options;
    const keys = [this.#broadcastsKey, this.#nodesKey, this.#sendersKey];
    const reply = await this.#run(scripts.BEAT, keys, [this.#nodeId, lease, position, nanoid(8)]);
    const [generation, last, base, age, deadNodes, senders] = reply as [
      string,
      string,
      string,
      string,
      string[],
      string[],
    ];
    this.#generation = generation;
    return {
      generation,
      position: Number(last),
      base: Number(base),
      age: Number(age),
      deadNodes,
      lastNumbers: parseNumbers(senders),
    };
  }

  async notify(nodeId: string, notification: Notification): Promise<boolean> {
    const message = JSON.stringify(notification);
    const receivers = await this.#command('PUBLISH', this.#channelOf(nodeId), message);
    return Number(receivers) > 0 || isCluster(this.#client);
  }

  // --- Sessions ------------------------------------------------------------------------------------

  async open(id: string, session: NewSession): Promise<boolean> {
    const keys = [this.#keysOf(id)[0]];
    const [isOpened] = await Promise.all([
      this.#run(scripts.OPEN, keys, formatNewSession(session, this.#nodeId)),
      this.#addToOwn(id),
    ]);
    return isOpened === 1;
  }

  async replace(
    id: string,
    epoch: number,
    received: number,
    session: NewSession,
  ): Promise<boolean> {
    const keys = this.#keysOf(id).slice(0, 4);
    const values = [epoch, received, ...formatNewSession(session, this.#nodeId)];
    const [isReplaced] = await Promise.all([
      this.#run(scripts.REPLACE, keys, values),
      this.#addToOwn(id),
    ]);
    return isReplaced === 1;
  }

  async find(id: string): Promise<SessionOwnership | undefined> {
    const reply = await this.#command('HMGET', this.#keysOf(id)[0], 't', 'd', 'p', 'o', 'e');
    const [tokenHash, dialect, principal, owner, epoch] = reply as (string | null)[];
    if (typeof tokenHash !== 'string') return undefined;
    return {
      tokenHash,
      dialect: dialect === 'dart' ? 'dart' : 'duplex',
      principal: parsePrincipal(principal),
      owner: String(owner),
      epoch: Number(epoch),
    };
  }

  async claim(
    id: string,
    { tokenHash, epoch }: SessionOwnership,
  ): Promise<StoredSession | undefined> {
    const [reply] = await Promise.all([
      this.#run(scripts.CLAIM, this.#keysOf(id), [tokenHash, epoch, this.#nodeId]),
      this.#addToOwn(id),
    ]);
    return reply === null ? undefined : parseSession(reply as Parameters<typeof parseSession>[0]);
  }

  async restore(id: string, session: StoredSession): Promise<void> {
    const { epoch, sequence, state, log, unhandled } = session;
    const fields = formatSession(session, this.#nodeId);
    const waiting = Object.entries(session.numbering?.waiting ?? {}).flat();
    const json = [fields, log, unhandled, waiting].map((each) => JSON.stringify(each));
    await Promise.all([
      this.#run(scripts.RESTORE, this.#keysOf(id), [epoch, sequence, state, ...json]),
      this.#addToOwn(id),
    ]);
  }

  async commit(
    id: string,
    epoch: number,
    changes: SessionChanges,
  ): Promise<CommitResult | undefined> {
    const values = formatChanges(changes);
    const keys = this.#keysOf(id).slice(0, 4);
    const reply = await this.#run(scripts.COMMIT, keys, [this.#nodeId, epoch, ...values]);
    return reply === null ? undefined : { received: Number(reply) };
  }

  async take(id: string, batch: TakenBatch): Promise<TakeResult> {
    const { first, messages, acknowledged, close } = batch;
    const [session, , unhandled] = this.#keysOf(id);
    const notification: Notification = { type: 'taken', id, first, messages, acknowledged, close };
    const values = [
      ...formatBatch(batch),
      ...[this.#channelOf(''), JSON.stringify(notification)],
      ...messages,
    ];
    return parseTakeResult(await this.#run(scripts.TAKE, [session, unhandled], values));
  }

  async takeMessage(id: string, taken: TakenMessage): Promise<TakeResult> {
    const [session, , unhandled, , waiting] = this.#keysOf(id);
    const keys = [session, unhandled, waiting];
    const notification: Notification = { type: 'recorded', id };
    const values = [
      ...formatTakenMessage(taken),
      ...[this.#channelOf(''), JSON.stringify(notification)],
    ];
    return parseTakeResult(await this.#run(scripts.TAKE_MESSAGE, keys, values));
  }

  async startNumbering(id: string, epoch: number): Promise<void> {
    const [session, , unhandled, , waiting] = this.#keysOf(id);
    const keys = [session, unhandled, waiting];
    await this.#run(scripts.START_NUMBERING, keys, [this.#nodeId, epoch]);
  }

  async read(
    id: string,
    epoch: number,
    first: number,
    maxWaiting: number,
  ): Promise<RecordedMessages | undefined> {
    const [session, , unhandled, , waiting] = this.#keysOf(id);
    const keys = [session, unhandled, waiting];
    const values = [this.#nodeId, epoch, first, maxWaiting];
    const reply = await this.#run(scripts.READ, keys, values);
    return reply === null
      ? undefined
      : parseRecorded(reply as Parameters<typeof parseRecorded>[0], first);
  }

  async release(id: string, epoch: number, successor: string | undefined): Promise<void> {
    const keys = [this.#keysOf(id)[0]];
    if (successor !== undefined) await this.#command('SADD', this.#ownKey(successor), id);
    const isReleased = await this.#run(scripts.RELEASE, keys, [
      this.#nodeId,
      epoch,
      successor ?? '',
    ]);
    if (successor !== undefined && isReleased === 1) await this.#removeFromOwn(id);
  }

  async remove(id: string, epoch: number, tokenHash: string): Promise<void> {
    const values = [this.#nodeId, epoch, tokenHash];
    const count = await this.#run(scripts.REMOVE, this.#keysOf(id), values);
    if (count !== 0) await this.#removeFromOwn(id);
  }

  async sessionsOf(nodeId: string): Promise<string[]> {
    return (await this.#command('SMEMBERS', this.#ownKey(nodeId))) as string[];
  }

  async forget(nodeId: string): Promise<void> {
    await this.#command('ZREM', this.#nodesKey, nodeId);
    await this.#command('DEL', this.#ownKey(nodeId));
    await this.#command('HDEL', this.#sendersKey, nodeId);
  }

  /**
   * Adds a session to the set of this node's sessions. A Redis Cluster cannot change the set and the session in one
   * step, so the set may contain sessions that this node does not own.
   */
  async #addToOwn(id: string): Promise<void> {
    await this.#command('SADD', this.#ownKey(this.#nodeId), id);
  }

  async #removeFromOwn(id: string): Promise<void> {
    await this.#command('SREM', this.#ownKey(this.#nodeId), id);
  }

  // --- Broadcasts ----------------------------------------------------------------------------------

  async broadcast(generation: string, first: number, broadcasts: Broadcast[]): Promise<void> {
    const sender = this.#nodeId;
    const json = broadcasts.map((each, index) =>
      JSON.stringify({ ...each, sender, number: first + index }),
    );
    const isAppended = await this.#run(
      scripts.BROADCAST,
      [this.#broadcastsKey, this.#logKey, this.#sendersKey],
      [
        sender,
        first,
        this.#options.retainedBroadcasts,
        `${this.#prefix}broadcasts`,
        generation,
        ...json,
      ],
    );
    if (isAppended !== 1) throw new Error('the engine has lost its data');
  }

  async readBroadcasts(after: number): Promise<BroadcastRange> {
    const keys = [this.#broadcastsKey, this.#logKey];
    const reply = await this.#run(scripts.READ_BROADCASTS, keys, [after]);
    if (reply === null) throw new Error('the engine has lost its data');
    const [generation, oldest, entries] = reply as [string, string, [string, string[]][]];
    this.#generation = generation;
    return {
      generation,
      oldest: parseInt(oldest, 10),
      broadcasts: entries.map(([entryId, [, json]]) =>
        parseBroadcast(`${parseInt(entryId, 10)} ${json}`),
      ),
    };
  }

  // --- Commands ------------------------------------------------------------------------------------

  get #broadcastsKey(): string {
    return `${this.#prefix}{broadcasts}`;
  }

  get #logKey(): string {
    return `${this.#broadcastsKey}:log`;
  }

  get #sendersKey(): string {
    return `${this.#broadcastsKey}:numbers`;
  }

  get #nodesKey(): string {
    return `${this.#prefix}{broadcasts}:nodes`;
  }

  #ownKey(nodeId: string): string {
    return `${this.#prefix}own:${nodeId}`;
  }

  #channelOf(nodeId: string): string {
    return `${this.#prefix}node:${nodeId}`;
  }

  /**
   * The keys of a session: its hash, its log, its unhandled messages, its state, and in the Dart dialect the messages
   * that wait for others. All are in one slot.
   */
  #keysOf(id: string): [string, string, string, string, string] {
    const key = `${this.#prefix}{${encodeURIComponent(id)}}`;
    return [key, `${key}:l`, `${key}:u`, `${key}:s`, `${key}:w`];
  }

  /** @param values not rest parameters, because a POST may contain more messages than a function can have arguments. */
  async #run(script: string, keys: string[], values: (string | number)[]): Promise<unknown> {
    const args = [String(keys.length), ...keys, ...values.map(String)];
    try {
      return await this.#send(['EVALSHA', this.#hashOf(script), ...args]);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return this.#send(['EVAL', script, ...args]);
    }
  }

  #hashOf(script: string): string {
    let hash = this.#hashes.get(script);
    if (hash === undefined) {
      hash = createHash('sha1').update(script).digest('hex');
      this.#hashes.set(script, hash);
    }
    return hash;
  }

  #command(...command: [string, ...string[]]): Promise<unknown> {
    return this.#send(command);
  }

  #send(command: [string, ...string[]]): Promise<unknown> {
    const client = this.#client;
    const reply = this.#withTimeout(command[0], sendCommand(client, command));
    if (isNodeRedisCluster(client)) reply.catch(() => findServers(client, command));
    return reply;
  }

  #withTimeout<Result>(name: string, result: Promise<Result>): Promise<Result> {
    const { commandTimeout } = this.#options;
    return new Promise((resolve, reject) => {
      // The error is created only if it is needed, because its stack trace takes longer than the rest.
      const onTimeout = () =>
        reject(new Error(`Redis did not answer ${name} within ${commandTimeout} ms`));
      const timer = setTimeout(onTimeout, commandTimeout).unref();
      const stop = () => clearTimeout(timer);
      result.then(stop, stop);
      result.then(resolve, reject);
    });
  }
}
