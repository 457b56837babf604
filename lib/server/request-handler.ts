import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CloseCode } from '../protocol/close-code';
import { encodeEvent } from '../protocol/event-stream';
import { CLIENT_ID, ENVELOPE_ALLOWANCE } from '../protocol/wire';
import type { PostResponse } from '../protocol/wire';
import { diagnose } from './diagnostics';
import { dartDialect, duplexDialect } from './dialect';
import { emit } from './emit';
import { encodeMessage } from './message';
import type { Warnings } from './mistakes';
import { IncompleteBodyError, discardBody, isAborted, isAlreadyAnswered } from './node-http';
import { openEventStream, sendEventStream, sendJson } from './node-http';
import { PollStream } from './poll-stream';
import {
  isEnvelope,
  parseEnvelope,
  parsePostRequest,
  parseStreamRequest,
  sizeOfMessages,
} from './parse-request';
import type { StreamRequest } from './parse-request';
import { contentTooLarge, readJsonBody } from './read-body';
import type { JsonBody } from './read-body';
import { SseRequestError, unknownSession } from './request-error';
import { RequestPolicy } from './request-policy';
import type { Session } from './session';
import type { SessionInit } from './session-owner';
import type { SessionRegistry } from './session-registry';
import { SessionToken } from './session-token';
import { nextTurn } from './wait';

/** Seconds after which a client that was rejected for lack of capacity should try again. */
const RETRY_AFTER = 5;

/** A POST whose body is not read yet. */
interface PostRequest {
  id: string;
  /** Dart dialect: the number of the message, if the client gave it one. */
  number: number | undefined;
  principal: string | undefined;
  /** The session, unless another node may have it. */
  own: Session | undefined;
}

/** Chooses one of the subprotocols that the client offers, or none. */
type ChooseSubprotocol = (
  offered: Set<string>,
  request: IncomingMessage,
) => string | false | undefined;

/** Handles the requests of one middleware: opens a stream for a GET, and receives the messages of a POST. */
export class RequestHandler {
  readonly #registry: SessionRegistry;
  readonly #policy: RequestPolicy;
  readonly #emitter: EventEmitter;
  readonly #warnings: Warnings;
  readonly #chooseSubprotocol: ChooseSubprotocol;

  /**
   * @param emitter emits `connection` and `clientError`.
   * @param chooseSubprotocol see `handleProtocols` of `SseMiddleware`.
   */
  constructor(
    registry: SessionRegistry,
    emitter: EventEmitter,
    warnings: Warnings,
    chooseSubprotocol: ChooseSubprotocol,
  ) {
    this.#registry = registry;
    this.#policy = new RequestPolicy(registry.options);
    this.#emitter = emitter;
    this.#warnings = warnings;
    this.#chooseSubprotocol = chooseSubprotocol;
  }

  /**
   * Handles a request to the channel. Never rejects.
   *
   * @param onError is called with an unexpected exception, for example of other middleware that has
   * replaced a method of the response.
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
    onError: (error: unknown) => void,
  ): Promise<void> {
    try {
      this.#policy.checkOrigin(request, response);
      if (request.method === 'GET') await this.#openStream(request, response, query);
      else if (request.method === 'POST') await this.#receivePost(request, response, query);
      else if (request.method === 'OPTIONS') this.#policy.answerPreflight(request, response);
      else throw methodNotAllowed(request.method);
    } catch (error) {
      if (isAlreadyAnswered(error)) return this.#warnings.onAnswered(); // an error response would fail, too
      if (!(error instanceof SseRequestError)) return onError(error);
      try {
        this.#reject(error, request, response);
      } catch (unexpected) {
        onError(unexpected);
      }
    }
  }

  // --- GET -----------------------------------------------------------------------------------------

  async #openStream(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    const streamRequest = parseStreamRequest(request, query);
    try {
      await this.#answerStreamRequest(streamRequest, request, response);
    } catch (error) {
      const isTemporary = error instanceof SseRequestError && error.status === 503;
      if (!isTemporary || streamRequest.dialect !== dartDialect) throw error;
      // An error status would end an EventSource for good [HTML §9.2.3].
      const retryAfter = Number(error.headers['Retry-After'] ?? 1);
      sendEventStream(response, Buffer.from(encodeEvent({ retry: retryAfter * 1000 })));
      this.#report(error, request);
    }
  }

  async #answerStreamRequest(
    streamRequest: StreamRequest,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    await nextTurn(); // a framework may be about to answer the request itself
    const principal = this.#policy.allowsAnyone ? undefined : await this.#policy.authorize(request);
    if (this.#isOver(response)) return;

    const { id, dialect, isPoll, acceptsBinary, resumption, hasLastEventId } = streamRequest;
    const openStream = (owner: Session) =>
      isPoll
        ? new PollStream(response, owner, dialect.headers)
        : openEventStream(response, owner, dialect.headers);
    const finding = this.#findForStream(streamRequest, principal, request, response);
    const session = finding instanceof Promise ? await finding : finding;
    if (this.#isOver(response)) {
      if (session && !session.connected) session.waitForClient();
      return;
    }
    const isAuthentic = isAuthenticResumption(session, streamRequest, principal);
    if (session && isAuthentic && resumption && session.canResume(resumption.received)) {
      const hasReconnected = session.attach(
        openStream(session),
        resumption.received,
        acceptsBinary,
      );
      if (hasReconnected) this.#registry.counts.resumed++;
      return;
    }

    if (dialect === duplexDialect && hasLastEventId) throw unknownSession();
    if (session) {
      // A Dart client whose missing messages are not kept any more, or whose EventSource sent no Last-Event-ID.
      const isReplaceable = isAuthentic || !session.connected;
      const isOwn = session.dialect === dialect && session.principal === principal;
      if (dialect !== dartDialect || !isOwn || !isReplaceable) throw sessionConflict(id);
    }
    // A Dart client continues its numbering where an earlier session ended [dart].
    const continuesNumbering = dialect === dartDialect && (session !== undefined || hasLastEventId);
    const firstNumber = continuesNumbering ? 'unknown' : 0;
    const subprotocols = new Set(streamRequest.subprotocols);
    const chosen = subprotocols.size > 0 && this.#chooseSubprotocol(subprotocols, request);
    const subprotocol = chosen && streamRequest.subprotocols.has(chosen) ? chosen : undefined;
    if (!this.#registry.mayOpen(session)) throw noCapacity(); // the application may have closed the middleware just now
    const token = new SessionToken();
    const init: SessionInit = { id, token, dialect, principal, subprotocol, request, firstNumber };
    if (session) terminateReplaced(session);
    const opening = this.#registry.open(init, session);
    const opened =
      opening instanceof Promise
        ? ((await opening) ?? (await this.#openInstead(init, response)))
        : opening;
    if (!opened) throw sessionConflict(id);
    if (opened.lifecycle.isReleased) throw noCapacity(); // the middleware was closed in the meantime
    const close = { code: CloseCode.internalError, reason: 'the response cannot be written' };
    if (this.#isOver(response)) return opened.lifecycle.terminate(close);
    try {
      opened.attach(openStream(opened), 0, acceptsBinary);
    } catch (error) {
      opened.lifecycle.terminate(close);
      throw error;
    }
    const { path } = this.#registry;
    const { connection } = opened;
    diagnose('sse-duplex:connect', { path, connection, dialect: dialect.name });
    emit(this.#emitter, 'connection', connection, request);
  }

  /**
   * Whether the client has disconnected, or other code has answered, while this handler waited. Warns of the latter.
   */
  #isOver(response: ServerResponse): boolean {
    if (response.headersSent) this.#warnings.onAnswered();
    return response.headersSent || isAborted(response);
  }

  /**
   * Returns the session with the id of the request. In a cluster this node first claims it.
   *
   * @returns a promise only in a cluster. In a single process, nothing may happen between the search for a session and
   * the opening of a new one: two simultaneous requests with the same id would both open one.
   */
  #findForStream(
    { id, dialect, resumption }: StreamRequest,
    principal: string | undefined,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Session | undefined> | Session | undefined {
    const { cluster } = this.#registry;
    if (!cluster || !resumption) return this.#registry.find(id);
    const proof = { token: resumption.token, principal, dialect: dialect.name };
    const claiming = cluster.claims.claim(id, proof, request, () => !isAborted(response));
    return claiming.then((claimed) => {
      if (claimed) return claimed;
      const own = this.#registry.find(id);
      // One with this token is not in the engine any more; one with another token may be replaced.
      return own?.authenticates(resumption.token, principal) ? undefined : own;
    });
  }

  /** Dart dialect, in a cluster: opens a session instead of one that another node has, and that has no stream. */
  async #openInstead(init: SessionInit, response: ServerResponse): Promise<Session | undefined> {
    if (init.dialect !== dartDialect) return undefined;
    const isWanted = () => !isAborted(response);
    return this.#registry.cluster?.claims.claimWithoutStream(init, isWanted, async (session) => {
      terminateReplaced(session);
      return this.#registry.open({ ...init, firstNumber: 'unknown' }, session);
    });
  }

  // --- POST ----------------------------------------------------------------------------------------

  async #receivePost(
    request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ): Promise<void> {
    const { id, number } = parsePostRequest(query);
    const principal = this.#policy.allowsAnyone ? undefined : await this.#policy.authorize(request);
    // Before the body is read, so that an unknown session costs no more than its headers.
    const post: PostRequest = { id, number, principal, own: this.#findOwn(id, principal) };
    const body = await this.#readPostBody(request, post);

    const session = this.#findOwn(id, principal); // it may have been replaced in the meantime
    const isDart = session ? session.dialect === dartDialect : await this.#isDart(post, body);
    const result = isDart
      ? await this.#receiveDartMessage(session, post, body, response)
      : await this.#receiveBatch(session, post, body);
    if (!result) throw unknownSession();
    sendJson(response, 200, result);
  }

  /**
   * Whether a POST for a session that another node may have is of the Dart dialect: it has the number of the message, or
   * no envelope.
   */
  async #isDart({ id, number }: PostRequest, { value }: JsonBody): Promise<boolean> {
    if (number !== undefined || isEnvelope(value)) return number !== undefined;
    return (await this.#registry.cluster?.posts.isDart(id)) ?? false;
  }

  async #receiveDartMessage(
    session: Session | undefined,
    { id, number, principal }: PostRequest,
    { value, size }: JsonBody,
    response: ServerResponse,
  ): Promise<PostResponse | undefined> {
    const { cluster, options } = this.#registry;
    if (!cluster) return session?.receiveMessage(number, value, size);
    if (size > options.maxPayload) throw contentTooLarge(options.maxPayload);
    const message = encodeMessage(value);
    return cluster.posts.takeMessage(
      { id, number, principal, message },
      () => !isAborted(response),
    );
  }

  #receiveBatch(
    session: Session | undefined,
    { id, principal }: PostRequest,
    { value, size }: JsonBody,
  ): Promise<PostResponse | undefined> | undefined {
    const envelope = parseEnvelope(value);
    if (session && !session.authenticates(envelope.token, principal)) throw unknownSession();
    const { cluster, options } = this.#registry;
    const { maxPayload } = options;
    if (size > maxPayload && sizeOfMessages(envelope, size) > maxPayload) {
      throw contentTooLarge(maxPayload);
    }
    const receiving = session?.receiveBatch(envelope, size);
    if (!cluster) return receiving;
    const take = () => cluster.posts.take(id, envelope, principal);
    return receiving ? receiving.then((result) => result ?? take()) : take();
  }

  /**
   * The error is the same for an unknown session, a wrong token and another principal, so that a client
   * cannot find out which sessions exist.
   *
   * @returns undefined if, in a cluster, another node may have the session.
   */
  #findOwn(id: string, principal: string | undefined): Session | undefined {
    const session = this.#registry.find(id);
    const isOwn = session ? session.principal === principal : this.#registry.cluster !== undefined;
    if (!isOwn) throw unknownSession();
    return session;
  }

  async #readPostBody(request: IncomingMessage, post: PostRequest): Promise<JsonBody> {
    const { maxPayload, bodyTimeout } = this.#registry.options;
    const { own, number } = post;
    const isDart = own ? own.dialect === dartDialect : number !== undefined;
    const allowance = isDart ? 0 : ENVELOPE_ALLOWANCE;
    try {
      return await readJsonBody(request, maxPayload, bodyTimeout, allowance);
    } catch (error) {
      // A rejected message consumes its number; one that was cut off is sent again.
      if (isDart && !(error instanceof IncompleteBodyError)) await this.#skip(post);
      throw error;
    }
  }

  /** Dart dialect: consumes the number of a message that was rejected. */
  async #skip({ id, number, principal }: PostRequest): Promise<void> {
    if (number === undefined) return;
    const { cluster } = this.#registry;
    if (cluster) {
      const skipped = { id, number, principal, message: '' };
      // If the engine does not answer, the session is closed because the message is missing.
      await cluster.posts.takeMessage(skipped, () => false).catch(() => {});
      return;
    }
    const session = this.#registry.find(id);
    if (session?.dialect === dartDialect && session.principal === principal) session.skip(number);
  }

  #reject(error: SseRequestError, request: IncomingMessage, response: ServerResponse): void {
    sendJson(response, error.status, error.body, error.headers);
    discardBody(request, this.#registry.options.bodyTimeout);
    this.#report(error, request);
  }

  #report(error: SseRequestError, request: IncomingMessage): void {
    const { path, counts } = this.#registry;
    counts.clientErrors++;
    this.#warnings.onRejected(error, this.#emitter);
    diagnose('sse-duplex:client-error', { path, error });
    emit(this.#emitter, 'clientError', error, request);
  }
}

function isAuthenticResumption(
  session: Session | undefined,
  { dialect, resumption }: StreamRequest,
  principal: string | undefined,
): boolean {
  if (!session || !resumption || session.dialect !== dialect) return false;
  return session.authenticates(resumption.token, principal);
}

function terminateReplaced(session: Session): void {
  // The close is not recorded, because the engine would then reject messages that the next session is to receive.
  session.journal?.stop();
  const reason = 'the client came back without resuming the session';
  session.lifecycle.terminate({ code: CloseCode.abnormal, reason });
}

function noCapacity(): SseRequestError {
  return new SseRequestError(
    'service-unavailable',
    'no session can be opened now, because the server is closing or has reached the limit ' +
      `"maxConnections": try again in ${RETRY_AFTER} s`,
    { headers: { 'Retry-After': String(RETRY_AFTER) } },
  );
}

function sessionConflict(id: string): SseRequestError {
  return new SseRequestError(
    'session-conflict',
    `a session with the id ${JSON.stringify(id)} exists: choose another "${CLIENT_ID}", or resume ` +
      `the session with Last-Event-ID`,
  );
}

function methodNotAllowed(method = ''): SseRequestError {
  return new SseRequestError(
    'method-not-allowed',
    `method ${JSON.stringify(method)} is not supported: use GET for a stream, POST to send`,
    { headers: { Allow: 'GET, POST, OPTIONS' } },
  );
}
