import type { EncodedMessage } from '../protocol/message';
import type { Envelope, PostResponse } from '../protocol/wire';
import type { ClusterEngine, TakeResult, TakenBatch, UnhandledLimits } from './cluster-engine';
import { MAX_UNHANDLED } from './journal';
import { encodeMessage } from './message';
import type { ResolvedOptions } from './options';
import { SseRequestError, outOfWindow, receiveBufferFull, sessionClosed } from './request-error';
import { askEngine } from './session-lookup';
import type { SessionLookup } from './session-lookup';
import { SessionToken } from './session-token';
import { RETRY_DELAY, nextDelay, wait } from './wait';

/** The result for a session that exists. */
type KnownResult = Exclude<TakeResult, { outcome: 'unknown-session' }>;

/** A POST of the Dart dialect. */
export interface DartPost {
  id: string;
  principal: string | undefined;
  /** The number that the client gave the message, if it gave one. */
  number: number | undefined;
  /** The message, or '' for one that was rejected, and whose number is consumed. */
  message: EncodedMessage;
}

/** Records POSTs in the engine, whichever node owns the session. The owner is notified. */
export class ClusterPosts {
  readonly #engine: ClusterEngine;
  readonly #lookup: SessionLookup;
  readonly #options: ResolvedOptions;

  constructor(engine: ClusterEngine, lookup: SessionLookup, options: ResolvedOptions) {
    this.#engine = engine;
    this.#lookup = lookup;
    this.#options = options;
  }

  /**
   * Records the messages of a duplex POST.
   *
   * @returns undefined if there is no such session, or if it does not belong to the client.
   * @throws SseRequestError if the messages are not recorded.
   */
  async take(
    id: string,
    envelope: Envelope,
    principal: string | undefined,
  ): Promise<PostResponse | undefined> {
    const { token, id: first, ack, messages, close } = envelope;
    const batch: TakenBatch = {
      dialect: 'duplex',
      tokenHash: new SessionToken(token).hash,
      principal,
      first,
      messages: messages.map((message) => encodeMessage(message)),
      acknowledged: ack,
      close,
      ...this.#limits,
    };
    const result = await this.#record(() => this.#engine.take(id, batch));
    if (!result) return undefined;
    // The owner finds out whether messages are lost.
    if (result.outcome === 'out-of-window') await this.#notifyOwner(id, first);
    return toResponse(result, first, close !== undefined);
  }

  async #notifyOwner(id: string, first: number): Promise<void> {
    const recorded = { first, messages: [], acknowledged: 0, close: undefined };
    const found = await askEngine(() => this.#engine.find(id));
    if (!found) return;
    await askEngine(() => this.#engine.notify(found.owner, { type: 'taken', id, ...recorded }));
  }

  /** Whether there is a session of the Dart dialect with this id. */
  async isDart(id: string): Promise<boolean> {
    const found = await askEngine(() => this.#engine.find(id));
    return found?.dialect === 'dart';
  }

  /**
   * Records the message of a POST of the Dart dialect. Because the client does not send it again, a message with a
   * number is given to the engine until that accepts or rejects it, for `reorderTimeout` at most.
   *
   * @param isWanted returns false if the client has disconnected.
   * @returns undefined if there is no such session, or if it does not belong to the client.
   * @throws SseRequestError if the message is not recorded.
   */
  async takeMessage(post: DartPost, isWanted: () => boolean): Promise<PostResponse | undefined> {
    const end = performance.now() + this.#options.reorderTimeout;
    for (let delay = RETRY_DELAY.first; ; delay = nextDelay(delay)) {
      try {
        return await this.#takeMessage(post);
      } catch (error) {
        const isLater = error instanceof SseRequestError && error.status === 503;
        const isRepeatable = isLater && post.number !== undefined;
        if (!isRepeatable || !isWanted() || performance.now() > end) throw error;
      }
      await wait(delay);
    }
  }

  async #takeMessage({ id, ...message }: DartPost): Promise<PostResponse | undefined> {
    const { reorderWindow } = this.#options;
    const taken = { ...message, ...this.#limits, reorderWindow };
    const result = await this.#record(() => this.#engine.takeMessage(id, taken));
    return result && toResponse(result, message.number ?? 0, false);
  }

  get #limits(): UnhandledLimits {
    return { maxUnhandled: MAX_UNHANDLED, maxBytes: this.#options.maxBufferedAmount };
  }

  /**
   * @returns undefined if there is no such session, or if it does not belong to the client.
   * @throws SseRequestError if the engine does not answer, or may have lost the session.
   */
  async #record(take: () => Promise<TakeResult>): Promise<KnownResult | undefined> {
    const result = await askEngine(take);
    if (result.outcome !== 'unknown-session') return result;
    return askEngine(() => this.#lookup.rejectDuringRecovery());
  }
}

/** @throws SseRequestError if the messages were not recorded. */
function toResponse(result: KnownResult, first: number, isClosing: boolean): PostResponse {
  switch (result.outcome) {
    case 'taken':
      return { received: result.received, ...(isClosing && { closed: true }) };
    case 'out-of-window':
      throw outOfWindow(first, result.received);
    case 'full':
      throw receiveBufferFull();
    case 'closed':
      if (isClosing) return { received: result.received, closed: true };
      throw sessionClosed(result.close);
  }
}
