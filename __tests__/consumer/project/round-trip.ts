// The test copies this file as require.cts and import.mts, where `lib` becomes the installed package.
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { runInThisContext } from 'node:vm';
import express from 'express';
import { createSseMiddleware } from '../../../lib';
import type { SseConnection, SseOptions } from '../../../lib';
import { SseClient } from '../../../lib/client';
import type { SseClientOptions } from '../../../lib/client';

interface Question {
  ask: string;
}

interface Answer {
  answer: string;
}

/** Never called. It compiles only if the types reject each line under a comment. */
export function rejectWrongTypes(
  client: SseClient<Answer, Question>,
  use: (...values: unknown[]) => void,
): void {
  // @ts-expect-error: not a number
  const options: SseOptions = { allowedOrigins: 1 };
  // @ts-expect-error: no such option
  const clientOptions: SseClientOptions = { retries: 1 };
  const sse = createSseMiddleware<Question, Answer>('/sse');
  // @ts-expect-error: only the client sends questions
  sse.broadcast({ ask: 'Which way' });
  // @ts-expect-error: no such event
  sse.on('message', () => {});
  sse.on('connection', (connection, request) => {
    // @ts-expect-error: only the client sends questions
    connection.send({ ask: 'Which way' });
    connection.on('message', (message) => {
      // @ts-expect-error: only the server sends answers
      use(message.answer);
    });
    // @ts-expect-error: Express's request has no such property
    use(request.wrong);
  });
  // @ts-expect-error: only the server sends answers
  client.send({ answer: 'That way' });
  client.onmessage = ({ data }) => {
    // @ts-expect-error: only the client sends questions
    use(data.ask);
  };
  use(options, clientOptions);
}

async function roundTrip(): Promise<void> {
  const app = express();
  const sse = createSseMiddleware<Question, Answer>('/sse');
  const paths: string[] = [];
  const closeCodes: number[] = [];
  app.use(sse);
  sse.on('connection', (connection, request) => {
    const answerTo: SseConnection<Question, Answer, express.Request> = connection;
    paths.push(request.path);
    connection.on('message', ({ ask }) => answerTo.send({ answer: `${ask}!` }));
    connection.on('close', (code) => closeCodes.push(code));
  });

  const server = app.listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sse`;

  const script = await fetch(`${url}/client.js`);
  assert.equal(script.status, 200);
  assert.match(script.headers.get('content-type') ?? '', /^text\/javascript/);
  runInThisContext(await script.text());
  const served = globalThis as unknown as { SseClient: typeof SseClient };
  assert.notEqual(served.SseClient, SseClient);

  for (const Client of [SseClient, served.SseClient]) {
    const client = new Client<Answer, Question>(url);
    client.send({ ask: 'Does it arrive' });
    const { answer } = await new Promise<Answer>((received) => {
      client.onmessage = ({ data }) => received(data);
    });
    assert.equal(answer, 'Does it arrive!');

    client.close();
    const { code, wasClean } = await new Promise<CloseEvent>((closed) => {
      client.onclose = (event) => closed(event);
    });
    assert.deepEqual({ code, wasClean }, { code: 1000, wasClean: true });
  }
  assert.deepEqual(paths, ['/sse', '/sse']);
  assert.deepEqual(closeCodes, [1000, 1000]);

  await sse.close();
  await new Promise((closed) => server.close(closed));
  console.log(`done on Node ${process.versions.node}`);
}

void roundTrip();
