/** What this package uses of a client of `redis` (node-redis), version 4 or later. */
export interface NodeRedisClient {
  /** Whether it is connected. */
  readonly isReady?: boolean;
  /** Sends a command. */
  sendCommand(args: string[], options?: object): Promise<unknown>;
  /** Creates a client with the same options, for the subscriptions. */
  duplicate(): NodeRedisSubscriber;
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
  duplicate(): NodeRedisSubscriber;
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

const WITHOUT_TIMEOUT = { timeout: 0 };

/** Sends a command with a client of any library. */
export function sendCommand(client: RedisClient, args: [string, ...string[]]): Promise<unknown> {
  if ('call' in client) return client.call(args[0], args.slice(1));
  // The first key of a script follows the script and the number of its keys.
  if ('slots' in client)
    return client.sendCommand(args[0].startsWith('EVAL') ? args[3] : args[1], false, args);
  if ('getSentinelNode' in client) return client.sendCommand(false, args);
  // node-redis 6 creates an AbortSignal for each command, to remove it from the queue if it is not written within 5 s.
  // That takes longer than the rest of the command. A client that is connected does not need it.
  return client.sendCommand(args, client.isReady ? WITHOUT_TIMEOUT : undefined);
}

/**
 * Subscribes to channels on a separate connection, which is closed if that fails.
 *
 * @param signal closes the connection, also while it is being opened.
 * @returns a function that closes the connection.
 */
export async function subscribe(
  client: RedisClient,
  channels: string[],
  listener: (channel: string, message: string) => void,
  signal?: AbortSignal,
): Promise<() => void> {
  const { open, close } = createSubscription(client, channels, listener);
  signal?.addEventListener('abort', close);
  try {
    await open();
  } catch (error) {
    close();
    throw error;
  }
  if (signal?.aborted) close();
  return close;
}

/** `close` may be called several times. */
interface Subscription {
  readonly open: () => Promise<void>;
  readonly close: () => void;
}

function createSubscription(
  client: RedisClient,
  channels: string[],
  listener: (channel: string, message: string) => void,
): Subscription {
  const ignore = () => {}; // the libraries reconnect
  if ('call' in client) {
    // Without this queue the command would be rejected, because the duplicate is not connected yet.
    const overrides = { enableOfflineQueue: true };
    const subscriber = isCluster(client)
      ? client.duplicate([], overrides)
      : client.duplicate(overrides);
    subscriber.on('error', ignore);
    subscriber.on('message', listener);
    return {
      async open() {
        await subscriber.subscribe(...channels);
      },
      close: () => subscriber.disconnect(),
    };
  }
  if ('getSentinelNode' in client) {
    const listeners = channels.map(
      (channel) =>
        [channel, (message: string | Uint8Array) => listener(channel, String(message))] as const,
    );
    return {
      async open() {
        for (const each of listeners) await client.subscribe(...each);
      },
      close() {
        for (const each of listeners) client.unsubscribe(...each).catch(ignore);
      },
    };
  }
  const subscriber = client.duplicate();
  subscriber.on('error', ignore);
  let isClosed = false;
  return {
    async open() {
      await subscriber.connect();
      for (const channel of channels) {
        await subscriber.subscribe(channel, (message) => listener(channel, message));
      }
    },
    close() {
      if (isClosed) return; // these methods throw if the client is closed
      isClosed = true;
      if (subscriber.destroy) subscriber.destroy();
      else subscriber.disconnect?.();
    },
  };
}

/** Whether a value is a client of one of the supported libraries. */
export function isRedisClient(value: unknown): value is RedisClient {
  if (typeof value !== 'object' || value === null) return false;
  if ('getSentinelNode' in value) return 'sendCommand' in value;
  return 'duplicate' in value && ('call' in value || 'sendCommand' in value);
}
