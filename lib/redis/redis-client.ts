/** What this package uses of a client of `redis` (node-redis), version 4 or later. */
export interface NodeRedisClient {
  /** Whether it is connected. */
  readonly isReady?: boolean;
  /** Sends a command. */
  sendCommand(args: string[], options?: object): Promise<unknown>;
  /** Creates a client with the same options, for the subscriptions. */
  duplicate(overrides?: object): NodeRedisSubscriber;
}

/** A duplicate of a {@link NodeRedisClient}. */
export interface NodeRedisSubscriber {
  /** Connects to the server. */
  connect(): Promise<unknown>;
  /** Subscribes to a channel. */
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  /** Adds a listener. */
  on(event: 'error', listener: (error: unknown) => void): unknown;
  /** Closes the connection. */
  destroy?(): unknown;
  /** Closes the connection, in version 4. */
  disconnect?(): unknown;
}

/** What this package uses of a client that `createCluster` of `redis` returns. */
export interface NodeRedisCluster {
  /** The slots, by which such a client is recognised. */
  readonly slots: unknown;
  /** Sends a command to the server of its first key. */
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: string[],
  ): Promise<unknown>;
  /** Creates a client with the same options, for the subscriptions. */
  duplicate(overrides?: object): NodeRedisSubscriber;
}

/** What this package uses of a client that `createSentinel` of `redis` returns. It can subscribe by itself. */
export interface NodeRedisSentinel {
  /** The method by which such a client is recognised. */
  readonly getSentinelNode: unknown;
  /** Sends a command to the master. */
  sendCommand(isReadonly: boolean | undefined, args: string[]): Promise<unknown>;
  /** Subscribes to a channel. */
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  /** Ends the subscription. */
  unsubscribe(channel: string, listener: (message: string | Uint8Array) => void): Promise<unknown>;
}

/** What this package uses of a client of `ioredis` or `iovalkey`, which may be one of their `Cluster`. */
export interface IoRedisClient {
  /** Sends a command. */
  call(command: string, args: string[]): Promise<unknown>;
  /** Creates a client for the subscriptions. Its options are the same except for those in the last argument. */
  duplicate(...overrides: (object | undefined)[]): IoRedisSubscriber;
}

/** A duplicate of an {@link IoRedisClient}. */
export interface IoRedisSubscriber {
  /** Subscribes to channels. */
  subscribe(...channels: string[]): Promise<unknown>;
  /** Adds a listener. */
  on(event: 'error', listener: (error: unknown) => void): unknown;
  /** Adds a listener. */
  on(event: 'message', listener: (channel: string, message: string) => void): unknown;
  /** Closes the connection. */
  disconnect(): void;
}

/** A client of one of the supported libraries. The application connects and closes it. */
export type RedisClient = NodeRedisClient | NodeRedisCluster | NodeRedisSentinel | IoRedisClient;

/**
 * Whether a client is connected to a Redis Cluster, where PUBLISH counts only the subscribers of the same server.
 */
export function isCluster(client: RedisClient): boolean {
  return 'slots' in client || (client as { isCluster?: unknown }).isCluster === true;
}

/** Whether a client is one that `createCluster` of `redis` returns. A `Cluster` of ioredis has `slots`, too. */
export function isNodeRedisCluster(client: RedisClient): client is NodeRedisCluster {
  return 'slots' in client && !('call' in client);
}

const WITHOUT_TIMEOUT = { timeout: 0 };

/** Sends a command with a client of any library. */
export function sendCommand(client: RedisClient, args: [string, ...string[]]): Promise<unknown> {
  if ('call' in client) return client.call(args[0], args.slice(1));
  if ('slots' in client) return client.sendCommand(firstKey(args), false, args);
  if ('getSentinelNode' in client) return client.sendCommand(false, args);
  // node-redis 6 creates an AbortSignal for each command, to remove it from the queue if it is not written within 5 s.
  // That takes longer than the rest of the command. A client that is connected does not need it.
  return client.sendCommand(args, client.isReady ? WITHOUT_TIMEOUT : undefined);
}

/** Returns the first key of a command. That of a script follows the script and the number of its keys. */
function firstKey(args: [string, ...string[]]): string | undefined {
  return args[0].startsWith('EVAL') ? args[3] : args[1];
}

/** Interval in milliseconds between two commands of {@link findServers}. */
const FIND_INTERVAL = 1_000;
/** The clients for which {@link findServers} has sent a command within this interval. */
const searching = new WeakSet<NodeRedisCluster>();

/**
 * Lets a client of `createCluster` find the servers again. It does so only when a server replies that another one has
 * the key, but after a failover it sends commands to the server that has ended, and waits for it. A command through any
 * server receives that reply.
 *
 * @param command that has failed.
 */
export function findServers(client: NodeRedisCluster, command: [string, ...string[]]): void {
  if (searching.has(client)) return;
  searching.add(client);
  setTimeout(() => searching.delete(client), FIND_INTERVAL).unref();
  client.sendCommand(undefined, false, ['EXISTS', String(firstKey(command))]).catch(ignore);
}

/** Subscriptions of a client. */
export interface Subscription {
  /** Resolves when all channels are subscribed to. */
  readonly ready: Promise<unknown>;
  /** Closes the connection, also if it is not open yet. May be called several times. */
  readonly close: () => void;
}

/** Subscribes to channels on a separate connection, which is closed if that fails. */
export function subscribe(
  client: RedisClient,
  channels: string[],
  listener: (channel: string, message: string) => void,
): Subscription {
  const subscription = createSubscription(client, channels, listener);
  subscription.ready.catch(subscription.close);
  return subscription;
}

function createSubscription(
  client: RedisClient,
  channels: string[],
  listener: (channel: string, message: string) => void,
): Subscription {
  if ('call' in client) return subscribeIoRedis(client, channels, listener);
  if ('getSentinelNode' in client) return subscribeSentinel(client, channels, listener);
  return subscribeNodeRedis(client, channels, listener);
}

type Subscribe<Client> = (
  client: Client,
  channels: string[],
  listener: (channel: string, message: string) => void,
) => Subscription;

const ignore = () => {}; // the libraries reconnect

const subscribeIoRedis: Subscribe<IoRedisClient> = (client, channels, listener) => {
  // Without this queue the command would be rejected, because the duplicate is not connected yet.
  const overrides = { enableOfflineQueue: true };
  const isOfCluster = isCluster(client);
  const subscriber = isOfCluster ? client.duplicate([], overrides) : client.duplicate(overrides);
  subscriber.on('error', ignore);
  subscriber.on('message', listener);
  const ready = subscriber.subscribe(...channels);
  const disconnect = () => subscriber.disconnect();
  // A `Cluster` that is closed while it reads the slots leaves a rejection that nobody handles.
  const close = isOfCluster ? () => void ready.then(disconnect, disconnect) : disconnect;
  return { ready, close };
};

const subscribeSentinel: Subscribe<NodeRedisSentinel> = (client, channels, listener) => {
  const listeners = channels.map(
    (channel) =>
      [channel, (message: string | Uint8Array) => listener(channel, String(message))] as const,
  );
  const subscribeAll = async () => {
    for (const each of listeners) await client.subscribe(...each);
  };
  return {
    ready: subscribeAll(),
    close() {
      for (const each of listeners) client.unsubscribe(...each).catch(ignore);
    },
  };
};

const subscribeNodeRedis: Subscribe<NodeRedisClient | NodeRedisCluster> = (
  client,
  channels,
  listener,
) => {
  // A client for a Redis Cluster connects only to the server of the subscriptions: if another one has ended, it would
  // wait for its return.
  const subscriber = client.duplicate(
    isNodeRedisCluster(client) ? { minimizeConnections: true } : {},
  );
  let isClosed = false;
  const close = () => {
    if (isClosed) return; // these methods throw if the client is closed
    isClosed = true;
    if (subscriber.destroy) subscriber.destroy();
    else subscriber.disconnect?.();
  };
  const subscribeAll = async () => {
    await subscriber.connect();
    for (const channel of channels) {
      if (isClosed) return;
      await subscriber.subscribe(channel, (message) => listener(channel, message));
    }
  };
  subscriber.on('error', ignore);
  return { ready: subscribeAll(), close };
};

/** Whether a value is a client of one of the supported libraries. */
export function isRedisClient(value: unknown): value is RedisClient {
  if (typeof value !== 'object' || value === null) return false;
  if ('getSentinelNode' in value) return 'sendCommand' in value;
  return 'duplicate' in value && ('call' in value || 'sendCommand' in value);
}
