/**
 * Types of the public faces. Checked by `tsc --noEmit`, never run: an `expectTypeOf` that does not hold
 * and a `@ts-expect-error` without an error are both errors.
 */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expectTypeOf } from 'expect-type';
import express from 'express';
import type { Request } from 'express';
import { SseClient } from '../lib/client/index';
import { DartSseClient } from '../lib/dart/index';
import { SseRequestError, createSseMiddleware } from '../lib/index';
import type {
  SseConnection,
  SseErrorCode,
  SseMiddleware,
  SseOptions,
  SseRoomOptions,
} from '../lib/index';
import type { SseServerSocket } from '../lib/ws/index';

interface Question {
  ask: string;
}
interface Answer {
  answer: number;
}

export function serverTypes(app: express.Express): void {
  const sse = createSseMiddleware<Question, Answer>('/sse');
  expectTypeOf(sse).toEqualTypeOf<SseMiddleware<Question, Answer, Request>>();
  app.use(sse);
  app.use('/prefix', express.Router().use(sse));

  sse.on('connection', (connection, request) => {
    expectTypeOf(connection).toEqualTypeOf<SseConnection<Question, Answer, Request>>();
    expectTypeOf(request).toEqualTypeOf<Request>();
    expectTypeOf(connection.request).toEqualTypeOf<Request>();
    expectTypeOf(connection.data).toEqualTypeOf<unknown>();
    expectTypeOf(connection.readyState).toEqualTypeOf<1 | 2 | 3>();

    connection.on('message', (message) => expectTypeOf(message).toEqualTypeOf<Question>());
    connection.once('message', (message) => expectTypeOf(message).toEqualTypeOf<Question>());
    connection.on('close', (code, reason, details) => {
      expectTypeOf(code).toEqualTypeOf<number>();
      expectTypeOf(reason).toEqualTypeOf<string>();
      expectTypeOf(details.unacknowledged).toEqualTypeOf<Answer[]>();
    });
    connection.on('drain', (...values) => expectTypeOf(values).toEqualTypeOf<[]>());
    connection.on('disconnect', (...values) => expectTypeOf(values).toEqualTypeOf<[]>());
    connection.on('reconnect', (...values) => expectTypeOf(values).toEqualTypeOf<[]>());
    // @ts-expect-error a listener of another message
    connection.on('message', (message: Answer) => message);

    expectTypeOf(connection.send({ answer: 1 })).toEqualTypeOf<boolean>();
    // @ts-expect-error what clients send is not what they get
    connection.send({ ask: 'x' });
    // @ts-expect-error a field too few
    connection.send({});
    // @ts-expect-error a message is needed
    connection.send();

    expectTypeOf(connection.stream).toEqualTypeOf<ReadableStream<Question>>();
    expectTypeOf(connection.sink).toEqualTypeOf<WritableStream<Answer>>();
    expectTypeOf(connection[Symbol.asyncIterator]()).toEqualTypeOf<
      AsyncIterableIterator<Question>
    >();
    // @ts-expect-error the sink takes answers
    void connection.sink.getWriter().write({ ask: 'x' });
    // @ts-expect-error an id is given
    connection.id = 'x';
  });

  sse.once('clientError', (error, request) => {
    expectTypeOf(error).toEqualTypeOf<SseRequestError>();
    expectTypeOf(error.code).toEqualTypeOf<SseErrorCode>();
    expectTypeOf(error.status).toEqualTypeOf<number>();
    expectTypeOf(request).toEqualTypeOf<Request>();
  });
  // @ts-expect-error no such event
  sse.on('message', () => {});
  // @ts-expect-error a connection of other messages
  sse.on('connection', (connection: SseConnection<Answer, Question, Request>) => connection);
  expectTypeOf(sse.on('connection', () => {})).toEqualTypeOf(sse);

  sse.broadcast({ answer: 1 });
  sse.broadcast({ answer: 1 }, (connection) => {
    expectTypeOf(connection).toEqualTypeOf<SseConnection<Question, Answer, Request>>();
    return connection.connected;
  });
  // @ts-expect-error what clients send is not what they get
  sse.broadcast({ ask: 'x' });
  // @ts-expect-error a filter says yes or no
  sse.broadcast({ answer: 1 }, (connection) => connection.id);

  const room = sse.to('room');
  expectTypeOf(room.send).parameter(0).toEqualTypeOf<Answer>();
  // @ts-expect-error what is left out is a connection of this middleware
  room.send({ answer: 1 }, { except: 'x' });
  expectTypeOf(room.close)
    .parameter(2)
    .toEqualTypeOf<SseRoomOptions<SseConnection<Question, Answer, Request>> | undefined>();
  expectTypeOf(sse.session('a').send).parameters.toEqualTypeOf<[Answer]>();
  expectTypeOf(sse.session('a').close).parameters.toEqualTypeOf<[code?: number, reason?: string]>();

  for (const connection of sse.connections) {
    expectTypeOf(connection).toEqualTypeOf<SseConnection<Question, Answer, Request>>();
  }
  expectTypeOf(sse.connections.get('a')).toEqualTypeOf<
    SseConnection<Question, Answer, Request> | undefined
  >();
  // @ts-expect-error counts are given
  sse.connections.size = 0;
  expectTypeOf(sse.close()).toEqualTypeOf<Promise<void>>();
  expectTypeOf(sse.attach).parameters.toEqualTypeOf<[EventEmitter]>();
}

export async function iteratedTypes(
  connection: SseConnection<Question, Answer>,
  client: SseClient<Answer, Question>,
): Promise<void> {
  for await (const message of connection) expectTypeOf(message).toEqualTypeOf<Question>();
  for await (const message of connection.stream) expectTypeOf(message).toEqualTypeOf<Question>();
  for await (const message of client.stream) expectTypeOf(message).toEqualTypeOf<Answer>();
}

export function defaultTypes(): void {
  const sse = createSseMiddleware('/sse');
  sse.on('connection', (connection) => {
    connection.on('message', (message) => expectTypeOf(message).toEqualTypeOf<unknown>());
    connection.send('anything');
  });
  sse.broadcast({ any: 'thing' });

  const plain = createSseMiddleware<unknown, unknown, IncomingMessage>('/sse');
  plain.on('connection', (connection, request) => {
    expectTypeOf(request).toEqualTypeOf<IncomingMessage>();
    expectTypeOf(connection.request).toEqualTypeOf<IncomingMessage>();
    // @ts-expect-error Express's own, without Express
    expectTypeOf(request.params).toBeAny();
  });
}

export function optionTypes(): void {
  createSseMiddleware('/sse', {
    authorize: (request) => {
      expectTypeOf(request).toEqualTypeOf<Request>();
      return request.get('authorization') ?? false;
    },
    allowedOrigins: (origin) => {
      expectTypeOf(origin).toEqualTypeOf<string>();
      return true;
    },
  });
  createSseMiddleware('/sse', { authorize: () => Promise.resolve('ann') });
  // @ts-expect-error neither yes nor no nor a principal
  createSseMiddleware('/sse', { authorize: () => 1 });
  // @ts-expect-error neither yes nor no nor a principal
  createSseMiddleware('/sse', { authorize: () => undefined });
  // @ts-expect-error no such option
  createSseMiddleware('/sse', { heartbeat: 1000 });
  // @ts-expect-error milliseconds are a number
  createSseMiddleware('/sse', { heartbeatInterval: '15s' });
  // @ts-expect-error a path is needed
  createSseMiddleware();
  expectTypeOf<Parameters<NonNullable<SseOptions['authorize']>>>().toEqualTypeOf<
    [request: IncomingMessage]
  >();
}

export function clientTypes(): void {
  const client = new SseClient<Answer, Question>('/sse', { debugKey: 'x' });
  expectTypeOf(client.readyState).toEqualTypeOf<0 | 1 | 2 | 3>();
  expectTypeOf(client.stream).toEqualTypeOf<ReadableStream<Answer>>();
  expectTypeOf(client.sink).toEqualTypeOf<WritableStream<Question>>();
  expectTypeOf(client.readable).toEqualTypeOf<ReadableStream<Answer>>();
  expectTypeOf(client.writable).toEqualTypeOf<WritableStream<Question>>();

  client.onmessage = (event) => expectTypeOf(event.data).toEqualTypeOf<Answer>();
  client.onsessionlost = (event) => expectTypeOf(event.unacknowledged).toEqualTypeOf<Question[]>();
  client.onclose = (event) => {
    expectTypeOf(event.code).toEqualTypeOf<number>();
    expectTypeOf(event.reason).toEqualTypeOf<string>();
    expectTypeOf(event.wasClean).toEqualTypeOf<boolean>();
    expectTypeOf(event.unacknowledged).toEqualTypeOf<Question[]>();
  };
  client.onerror = (event) => expectTypeOf(event.message).toEqualTypeOf<string>();
  client.onopen = null;
  client.addEventListener('message', ({ data }) => expectTypeOf(data).toEqualTypeOf<Answer>());
  client.addEventListener('disconnect', ({ reason }) => {
    expectTypeOf(reason).toEqualTypeOf<string>();
  });
  client.addEventListener(
    'close',
    ({ unacknowledged }) => {
      expectTypeOf(unacknowledged).toEqualTypeOf<Question[]>();
    },
    { once: true },
  );
  // @ts-expect-error no such event
  client.addEventListener('data', () => {});
  // @ts-expect-error a handler of another message
  client.onmessage = (event: MessageEvent<Question>) => event;

  client.send({ ask: 'x' });
  // @ts-expect-error what the server sends is not what it gets
  client.send({ answer: 1 });
  // @ts-expect-error a message is needed
  client.send();
  // @ts-expect-error the sink takes questions
  void client.sink.getWriter().write({ answer: 1 });
  // @ts-expect-error the server knows that
  client.readyState = 1;
  // @ts-expect-error no such option
  new SseClient('/sse', { retry: 1 });

  const untyped = new SseClient(new URL('http://localhost/sse'));
  untyped.onmessage = (event) => expectTypeOf(event.data).toEqualTypeOf<unknown>();
  untyped.send(['anything']);
}

export function dartClientTypes(): void {
  const client = new DartSseClient<string, string>('/sse', { debugKey: 'x' });
  client.onmessage = ({ data }) => expectTypeOf(data).toEqualTypeOf<string>();
  client.onclose = ({ unacknowledged }) => expectTypeOf(unacknowledged).toEqualTypeOf<string[]>();
  client.send('x');
  // @ts-expect-error a message of another type
  client.send(1);
  // @ts-expect-error the Dart dialect has no sessions to renew
  new DartSseClient('/sse', { renewSession: false });
}

export function serverSocketTypes(socket: SseServerSocket): void {
  socket.ping((error) => expectTypeOf(error).toEqualTypeOf<Error | undefined>());
  socket.pong('data', (error) => expectTypeOf(error).toEqualTypeOf<Error | undefined>());
  const listener = {
    handleEvent: ({ code }: { code: number }) => expectTypeOf(code).toEqualTypeOf<number>(),
  };
  socket.addEventListener('close', listener);
  socket.removeEventListener('close', listener);
  // @ts-expect-error an event without a code
  socket.addEventListener('open', listener);
  // @ts-expect-error a property accepts only functions
  socket.onclose = listener;
}
