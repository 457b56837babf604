import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { RequestHandler } from 'express';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { createRandom, seeds } from '../helpers/random';
import {
  newBase64Id,
  newDebugId,
  openDartClient,
  openUnwatchedClient,
} from './helpers/dart-client';
import type { DartClient, UnwatchedClient } from './helpers/dart-client';
import { launchChromium, openPage } from './helpers/chromium';
import { Host } from './helpers/host';
import type { Call } from './helpers/host';

type Client = JSHandle<DartClient>;

/** Chromium opens 6 connections to a host, one of which carries the stream. */
const SOCKETS_FOR_POSTS = 5;

jest.setTimeout(240_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

/** Returns different messages with characters that are special in JSON and in event streams. */
function compose(from: number, to: number, size = 0): string[] {
  return Array.from({ length: to - from }, (_, index) => {
    return `${from + index} "\\ \r\n\n data: ü 😀 \u2028 ${'x'.repeat(size + (index % 50))}`;
  });
}

/** Returns the count and the hash of messages. */
function sumUp(messages: readonly unknown[]) {
  const hash = createHash('sha256').update(JSON.stringify(messages)).digest('hex');
  return { count: messages.length, hash };
}

/** Computes the count and the hash of the received messages in the page. */
function sumUpReceived(client: UnwatchedClient): Promise<{ count: number; hash: string }> {
  return client.evaluate(async ({ received }) => {
    const bytes = new TextEncoder().encode(JSON.stringify(received));
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0'));
    return { count: received.length, hash: hex.join('') };
  });
}

function send(client: Client, messages: string[]): Promise<void> {
  return client.evaluate((own, all) => all.forEach((message) => own.send(message)), messages);
}

function echo(client: UnwatchedClient): Promise<void> {
  return client.evaluate((own) => {
    own.onmessage = (message) => own.send(message);
  });
}

/** Waits for `count` messages and returns all received messages. */
async function receive(page: Page, client: Client, count: number): Promise<string[]> {
  await page.waitForFunction(
    ({ own, wanted }) => own.received.length >= wanted,
    { own: client, wanted: count },
    { polling: 20 },
  );
  return client.evaluate((own) => own.received);
}

/** Waits until no POST is in flight. */
function settle(client: UnwatchedClient): Promise<void> {
  return client.evaluate((own) => own.settle());
}

/** Waits until the stream has been opened `times` times. */
async function waitForOpen(page: Page, client: Client, times: number): Promise<void> {
  await page.waitForFunction(
    ({ own, wanted }) => own.opens >= wanted,
    { own: client, wanted: times },
    { polling: 20 },
  );
}

async function waitForClose(page: Page, client: Client): Promise<void> {
  await page.waitForFunction((own) => own.isClosed, client, { polling: 20 });
}

/** Returns the state of a client. `stream` is 1 if it is open, and 2 if it does not reconnect. */
function stateOf(client: UnwatchedClient) {
  return client.evaluate(({ readyState, controls, error, isClosed }) => {
    return { stream: readyState, controls, error, isClosed };
  });
}

const CONNECTED = { stream: 1, controls: [], error: undefined, isClosed: false };
const CLOSED_BY_SERVER = { stream: 2, controls: ['close'], error: undefined, isClosed: true };

/**
 * Holds POSTs until the browser has no free connection, then releases the one that `pick` chooses.
 *
 * @param total number of all POSTs.
 */
function holdPosts(total: number, pick: (held: number) => number): RequestHandler {
  const held: (() => void)[] = [];
  let left = total;
  return (request, _response, next) => {
    if (request.method !== 'POST') return next();
    held.push(next);
    while (held.length > 0 && held.length >= Math.min(SOCKETS_FOR_POSTS, left)) {
      left--;
      held.splice(pick(held.length), 1)[0]!();
    }
  };
}

/** Returns the number of received messages that a GET reports. */
const reportedCount = ({ lastEventId }: Call): number => Number(lastEventId?.split('.')[1]);

describe('A Dart-dialect client in Chromium', () => {
  test.each([
    [7_000, 'an id of unescaped base64', newBase64Id()],
    [500, 'an id of a debug key and a UUID', newDebugId()],
  ])('receives %i messages and echoes each in a POST, with %s', async (count, _name, id) => {
    const messages = compose(0, count);
    const host = await Host.open();
    const client = await openUnwatchedClient(browser, host.origin, id);
    await echo(client);
    const visit = await host.visit();

    for (const message of messages) visit.connection.send(message);
    await host.waitFor(() => visit.messages.length >= count);
    await settle(client);

    expect(await sumUpReceived(client)).toEqual(sumUp(messages));
    expect(sumUp(visit.messages)).toEqual(sumUp(messages));
    expect(new Set(host.posts)).toEqual(new Set(messages.keys()));
    expect(visit.connection.id).toBe(id.replaceAll('+', ' '));
    expect(host.errors).toEqual([]);
    expect(await stateOf(client)).toEqual(CONNECTED);
  });

  test.each(seeds(1))(
    'delivers 100 messages in order although their POSTs arrive shuffled (SEED=%i)',
    async (seed) => {
      const messages = compose(0, 100);
      const arrived: number[] = [];
      const { integer } = createRandom(seed);
      const hold = holdPosts(messages.length, (held) => integer(0, held - 1));
      const host = await Host.open({
        ahead: (request, response, next) => {
          hold(request, response, () => {
            if (request.method === 'POST') arrived.push(Number(request.query.messageId));
            next();
          });
        },
      });
      const page = await openPage(browser, host.origin);
      const client = await openDartClient(page);
      await send(client, messages);
      await settle(client);

      expect(arrived).not.toEqual([...messages.keys()]);
      expect(new Set(arrived)).toEqual(new Set(messages.keys()));
      expect(host.visits.map((visit) => visit.messages)).toEqual([messages]);
    },
  );

  test('delivers each message once although its stream is cut during traffic', async () => {
    const cuts = 6;
    const messages = compose(0, 200 * cuts + 100, 4_000);
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    await echo(client);
    const visit = await host.visit();
    const { connection } = visit;
    let sent = 0;
    const sendNext = (count: number) => {
      for (const message of messages.slice(sent, sent + count)) connection.send(message);
      sent += count;
    };

    const lost: number[] = [];
    while (lost.length < cuts) {
      sendNext(50);
      await host.waitFor(() => visit.messages.length > sent - 50); // both directions carry messages
      const outcome = ['unwritten', 'written', 'swallowed'][lost.length % 3];
      if (outcome === 'swallowed') host.swallow(connection);
      sendNext(150);
      if (outcome !== 'unwritten') await setImmediate();
      host.cut(connection);
      await host.waitFor(() => visit.reconnects > lost.length);
      lost.push(sent - reportedCount(host.gets(connection.id).at(-1)!));
    }
    sendNext(100);
    await host.waitFor(() => visit.messages.length >= messages.length);
    await settle(client);

    // How much of the written data passes before the reset is random.
    expect(Math.min(...lost.filter((_, index) => index % 3 !== 1))).toBeGreaterThanOrEqual(150);
    expect(await sumUpReceived(client)).toEqual(sumUp(messages));
    expect(sumUp(visit.messages)).toEqual(sumUp(messages));
    expect(host.visits).toHaveLength(1);
    expect(visit).toMatchObject({ disconnects: cuts, reconnects: cuts });
    expect(visit.end).toBeUndefined();
    expect(await stateOf(client)).toEqual(CONNECTED);
  });

  test('delivers each message once although Chromium repeats the POSTs whose connection was reset', async () => {
    const messages = compose(0, 500);
    const kills = 200;
    const killed = new Set<number>();
    const reusable = new WeakSet<Socket>();
    const host = await Host.open({
      ahead: ({ socket, method, query }, response, next) => {
        const messageId = Number(query.messageId);
        // Chromium repeats a POST only if its socket had carried a response before.
        const isReused = reusable.has(socket);
        response.on('finish', () => reusable.add(socket));
        if (method === 'POST' && isReused && killed.size < kills && !killed.has(messageId)) {
          killed.add(messageId);
          // `end` is called after the message was delivered.
          response.end = () => {
            socket.destroy();
            return response;
          };
        }
        next();
      },
    });
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    await send(client, messages);
    await settle(client);

    const repeated = host.posts.filter((messageId, index) => host.posts.indexOf(messageId) < index);
    expect(killed.size).toBe(kills);
    expect(new Set(repeated)).toEqual(killed);
    expect(repeated).toHaveLength(kills);
    expect(host.visits.map((visit) => visit.messages)).toEqual([messages]);
    expect(await stateOf(client)).toEqual(CONNECTED);
  });

  test('does not reconnect after the server closes the connection', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    const visit = await host.visit();
    const other = await openDartClient(page);
    const otherVisit = await host.visit(1);

    visit.connection.send('last words');
    visit.connection.close(4_000, 'enough');
    await waitForClose(page, client);
    expect(await receive(page, client, 1)).toEqual(['last words']);
    expect(await stateOf(client)).toEqual(CLOSED_BY_SERVER);
    expect(visit.end).toMatchObject({ code: 4_000, reason: 'enough' });

    // The other client loses its stream later and reconnects; by then this one would have, too.
    host.cut(otherVisit.connection);
    await waitForOpen(page, other, 2);
    expect(host.gets(visit.connection.id)).toHaveLength(1);
    expect([...host.sse.connections]).toEqual([otherVisit.connection]);
  });

  test('gets a new session after a restart of the server, and all messages that it sends then are delivered', async () => {
    const before = await Host.open();
    const pages = await Promise.all([1, 2, 3].map(() => openPage(browser, before.origin)));
    const clients = await Promise.all(pages.map((page) => openDartClient(page)));
    for (const [index, client] of clients.entries()) {
      await send(client, compose(0, 7 + index));
      await settle(client);
    }
    await before.close();

    // Of the POSTs in flight, the one with the highest number arrives first.
    const hold = new Map<string, RequestHandler>();
    const after = await Host.open({
      port: before.port,
      ahead: (request, response, next) => {
        const id = request.query.sseClientId as string;
        if (!hold.has(id))
          hold.set(
            id,
            holdPosts(10, (held) => held - 1),
          );
        hold.get(id)!(request, response, next);
      },
    });
    await Promise.all(clients.map((client, index) => waitForOpen(pages[index]!, client, 2)));
    await Promise.all(clients.map((client) => send(client, compose(100, 110))));
    await Promise.all(clients.map(settle));
    await after.waitFor(() => after.visits.every(({ messages }) => messages.length >= 10));

    expect(after.visits.map(({ messages }) => messages)).toEqual(
      clients.map(() => compose(100, 110)),
    );
    for (const { connection } of after.visits) connection.send('welcome');
    for (const [index, client] of clients.entries()) {
      expect(await receive(pages[index]!, client, 1)).toEqual(['welcome']);
      expect(await stateOf(client)).toEqual(CONNECTED);
    }
    expect(after.errors).toEqual([]);
  });

  test('gets a new session after the old one timed out, and all messages that it sends then are delivered', async () => {
    const host = await Host.open({ reconnectTimeout: 100 });
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    await send(client, compose(0, 5));
    await settle(client);

    host.cut((await host.visit()).connection);
    const next = await host.visit(1);
    await send(client, compose(5, 10));
    await host.waitFor(() => next.messages.length >= 5);
    next.connection.send('welcome');

    expect(await receive(page, client, 1)).toEqual(['welcome']);
    expect(host.visits[0]!.end?.code).toBe(1006);
    expect(host.visits.map(({ messages }) => messages)).toEqual([compose(0, 5), compose(5, 10)]);
    expect(await stateOf(client)).toEqual(CONNECTED);
  });

  test('keeps its session if another client uses its id while its stream is open', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page, 'a+b/cd');
    const { connection, messages } = await host.visit();

    const claimant = await openDartClient(page, 'a+b/cd');
    await page.waitForFunction((own) => own.failures > 0, claimant);
    expect(await stateOf(claimant)).toMatchObject({ stream: 2 });
    expect(host.gets(connection.id).map(({ status }) => status)).toEqual([undefined, 409]);
    expect(host.errors.map(({ code }) => code)).toEqual(['session-conflict']);

    await send(client, ['up']);
    connection.send('down');
    expect(await receive(page, client, 1)).toEqual(['down']);
    await host.waitFor(() => messages.length > 0);
    expect(messages).toEqual(['up']);
    expect(host.visits).toHaveLength(1);
    expect(host.visits[0]).toMatchObject({ disconnects: 0, reconnects: 0 });
    expect(await stateOf(client)).toEqual(CONNECTED);
  });

  test('loses its session to another client that uses its id while its stream is lost', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page, 'a+b/cd');
    const old = await host.visit();
    await waitForOpen(page, client, 1);
    host.cut(old.connection);
    await host.waitFor(() => old.disconnects === 1);
    old.connection.send('for the first only');

    const claimant = await openDartClient(page, 'a+b/cd');
    const { connection, messages } = await host.visit(1);
    expect(old.end).toMatchObject({
      code: 1006,
      reason: 'the client came back without resuming the session',
    });
    await send(claimant, compose(0, 3));
    connection.send('for the second');
    expect(await receive(page, claimant, 1)).toEqual(['for the second']);
    await host.waitFor(() => messages.length >= 3);
    expect(messages).toEqual(compose(0, 3));

    // The first client reconnects with the token of the old session, gets 409, and closes itself.
    await waitForClose(page, client);
    expect(await stateOf(client)).toEqual({
      stream: 2,
      controls: [],
      error: 'the stream did not come back within 5 s',
      isClosed: true,
    });
    expect(host.gets(connection.id).map(({ status }) => status)).toEqual([
      undefined,
      undefined,
      409,
    ]);
    expect(await client.evaluate((own) => own.received)).toEqual([]);
    expect(await stateOf(claimant)).toEqual(CONNECTED);
    expect(host.visits).toHaveLength(2);
  });

  test('is closed if one of its messages does not arrive within `reorderTimeout`', async () => {
    const reorderTimeout = 500;
    const host = await Host.open({
      reorderTimeout,
      ahead: ({ method, query }, response, next) => {
        if (method === 'POST' && query.messageId === '3') response.json({});
        else next();
      },
    });
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    await send(client, compose(0, 10));
    await settle(client);
    await waitForClose(page, client);

    expect(await stateOf(client)).toEqual(CLOSED_BY_SERVER);
    expect(host.visits).toHaveLength(1);
    expect(host.visits[0]).toMatchObject({
      messages: compose(0, 3),
      end: {
        code: 1002,
        reason: 'message 3 did not arrive within 500 ms (option "reorderTimeout")',
      },
    });
  });

  test('delivers the messages after a rejected one', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openDartClient(page);
    await client.evaluate((own) => {
      own.send('0');
      own.send('1');
    });
    await settle(client);
    await client.evaluate((own) => {
      own.sendBody('{not JSON');
      own.send('3');
      own.sendBody(JSON.stringify('x'.repeat(3_000_000)));
      own.send('5');
      own.sendBody('');
      own.sendBody('"an unfinished');
      own.send('8');
    });
    await settle(client);
    const { connection, messages, end } = await host.visit();
    connection.send('still here');

    expect(await receive(page, client, 1)).toEqual(['still here']);
    expect(messages).toEqual(['0', '1', '3', '5', '8']);
    expect(end).toBeUndefined();
    const rejected = host.calls.filter(({ status }) => status !== undefined && status !== 200);
    const statuses = rejected.map(({ messageId, status }) => [messageId, status] as const);
    expect(new Map(statuses)).toEqual(
      new Map([
        [2, 400],
        [4, 413],
        [6, 400],
        [7, 400],
      ]),
    );
    expect(host.errors).toHaveLength(4);
    expect(await stateOf(client)).toEqual(CONNECTED);
  });
});
