import { subscribe } from './redis-client';
import type { RedisClient, Subscription } from './redis-client';

/** Interval in milliseconds between two probes. */
const PROBE_INTERVAL = 1_000;
/** Number of probes in succession that did not arrive, after which the node subscribes anew. */
const MAX_MISSED = 3;
/** The message of a probe. */
const PROBE = '';

/**
 * Subscribes to channels on a separate connection, and subscribes anew if messages do not arrive any more. A node
 * publishes probes to its own channel to find this out: a library does not notice each failure. For example, the client
 * of node-redis for a Redis Cluster does not choose another server for the subscriptions if theirs has ended.
 *
 * @param publishProbe publishes a message to one of the channels, which only this node subscribes to.
 */
export function keepSubscribed(
  client: RedisClient,
  channels: string[],
  listener: (channel: string, message: string) => void,
  publishProbe: (message: string) => Promise<unknown>,
): Subscription {
  let missed = 0;
  let isClosed = false;
  let current: Subscription;
  let reopen: () => void;
  const receive = (channel: string, message: string) => {
    missed = 0;
    if (message !== PROBE) listener(channel, message);
  };
  const close = () => {
    isClosed = true;
    clearInterval(timer);
    current.close();
  };
  const ready = new Promise<void>((resolve, reject) => {
    const open = () => {
      const opened = (current = subscribe(client, channels, receive));
      const onFailed = (error: Error) => {
        if (opened === current) reject(error); // has no effect if one was successful before
      };
      opened.ready.then(() => resolve(), onFailed);
    };
    reopen = () => {
      current.close();
      open();
    };
    open();
  });
  const onPublished = () => {
    if (++missed <= MAX_MISSED || isClosed) return;
    missed = 0;
    reopen();
  };
  // A probe that Redis has not accepted says nothing about the subscription.
  const probe = () => void publishProbe(PROBE).then(onPublished, () => {});
  const timer = setInterval(probe, PROBE_INTERVAL).unref();
  ready.catch(close);
  return { ready, close };
}
