import type { Dispatch } from './events';
import type { Transport } from './options';

/** Longest wait for the first event of a response before the other transport is tried, in milliseconds. */
const TRIAL_TIMEOUT = 3_000;
/** Longest wait for the first event of a response otherwise, in milliseconds. */
const OPEN_TIMEOUT = 10_000;

/** Describes the response to a GET. */
export interface ResponseProgress {
  /** Whether it began with a valid first event. */
  isOpen: boolean;
  /** Whether it had an event after the first one. */
  hasEvents: boolean;
  /** Whether it had a message, or connected the client. */
  hasNews: boolean;
  /** Whether it was aborted because no event arrived. */
  isTimedOut: boolean;
}

/** The transport of one client: how the next GET asks for events. */
export interface TransportChoice {
  readonly current: Transport;
  /** How many sessions were lost since the last stream that was a success: PROTOCOL.md, Retries. */
  losses: number;
  /**
   * Returns how many milliseconds to wait for the first event of the next response.
   *
   * @param maxSilence longest time between two events of the session, in milliseconds; 0 until it is known.
   */
  timeout(maxSilence: number): number;
  /** Evaluates a response that has ended. Returns true if it was a trial, whose end is not a failure. */
  onEnd(progress: ResponseProgress): boolean;
}

/**
 * Chooses the transport of a client. With `auto`, the client streams until a stream has no event in time
 * and a poll is answered: then something on the path holds responses back until they are complete.
 */
export function createTransport(
  url: string,
  dispatch: Dispatch,
  option: Transport | 'auto' = 'auto',
): TransportChoice {
  const key = `sse-duplex poll ${url}`;
  let isChosen = option !== 'auto';
  let current: Transport = option === 'poll' ? option : 'stream';
  /** Whether one more stream has to fail before polls are chosen. */
  let isStreamLikely = false;
  let timeout = isChosen ? OPEN_TIMEOUT : TRIAL_TIMEOUT;
  if (!isChosen && useStorage((storage) => storage.getItem(key))) {
    // An earlier page needed polls: this one is open at once, and then tries a stream.
    current = 'poll';
    isStreamLikely = true;
  }

  return {
    get current() {
      return current;
    },

    losses: 0,

    timeout: (maxSilence) => (isChosen && current === 'poll' && maxSilence) || timeout,

    onEnd({ isOpen, hasEvents, isTimedOut }) {
      if (isChosen) return false;
      if (current === 'stream') {
        isStreamLikely ||= hasEvents;
        if (isTimedOut) current = 'poll';
        return isTimedOut && !isOpen;
      }
      if (isOpen && !isStreamLikely) {
        isChosen = true;
        timeout = OPEN_TIMEOUT;
        useStorage((storage) => storage.setItem(key, '1'));
        dispatch('error', {
          message: 'buffered by a proxy: polling, see docs/deployment.md',
        });
      } else if (isOpen || isTimedOut) {
        current = 'stream';
        isStreamLikely &&= !isOpen;
        if (!isOpen) timeout = OPEN_TIMEOUT;
      } // else the poll is repeated: a request that failed says nothing about the streams
      return false;
    },
  };
}

/** Uses the storage of the tab. Returns undefined if there is none, it is full, or the page may not use it. */
function useStorage<T>(use: (storage: Storage) => T): T | undefined {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}
