import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { RequestHandler } from 'express';
import type { Browser, JSHandle, Page } from 'playwright-core';
import { createRandom, seeds } from '../helpers/random';
import {
  newBase64Id,
  newDebugId,
  openBaseClient,
  openUnwatchedClient,
} from './helpers/dart-client';
import type { BaseClient, UnwatchedClient } from './helpers/dart-client';
import { launchChromium, openPage } from './helpers/chromium';
import { Host } from './helpers/host';
import type { Call } from './helpers/host';

type Client = JSHandle<BaseClient>;

/** Chromium opens 6 connections to a host; the stream has one. */
const SOCKETS_FOR_POSTS = 5;

jest.setTimeout(240_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

/** Messages that are all different, with what JSON and event streams might trip over. */
function compose(from: number, to: number, size = 0): string[] {
  return Array.from({ length: to - from }, (_, index) => {
    return `${from + index} "\\ \r\n\n data: ü 😀 \u2028 ${'x'.repeat(size + (index % 50))}`;
  });
}

/** Count and hash, made here. */
function sumUp(messages: readonly unknown[]) {
  const hash = createHash('sha256').update(JSON.stringify(messages)).digest('hex');
  return { count: messages.length, hash };
}

/** Count and hash of what the page received, made there. */
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

/** Waits for messages on the page. */
async function receive(page: Page, client: Client, count: number): Promise<string[]> {
  await page.waitForFunction(
    ({ own, wanted }) => own.received.length >= wanted,
    { own: client, wanted: count },
    { polling: 20 },
  );
  return client.evaluate((own) => own.received);
}

/** Waits until no POST is under way: whatever can be delivered has been. */
function settle(client: UnwatchedClient): Promise<void> {
  return client.evaluate((own) => own.settle());
}

/** Waits until the stream has been open so many times. */
async function waitForOpen(page: Page, client: Client, times: number): Promise<void> {
  await page.waitForFunction(
    ({ own, wanted }) => own.openedAt.length >= wanted,
    { own: client, wanted: times },
    { polling: 20 },
  );
}

async function waitForClose(page: Page, client: Client): Promise<void> {
  await page.waitForFunction((own) => own.closedAt !== undefined, client, { polling: 20 });
}

/** `stream`: 1, it is open; 2, EventSource's for one that will never come back. */
function stateOf(client: UnwatchedClient) {
  return client.evaluate(({ readyState, controls, error, closedAt }) => {
    return { stream: readyState, controls, error, isClosed: closedAt !== undefined };
  });
}

const UNDISTURBED = { stream: 1, controls: [], error: undefined, isClosed: false };
const TOLD_TO_CLOSE = { stream: 2, controls: ['close'], error: undefined, isClosed: true };

/**
 * Holds POSTs, of as many as the browser has under way at a time, and lets go of one when `pick` says
 * which; only then does the next one come.
 *
 * @param total how many there will be.
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

/** How many messages the browser said it has. */
const proved = ({ lastEventId }: Call): number => Number(lastEventId?.split('.')[1]);

describe('a client of the base dialect in Chromium', () => {
  test.each([
    [7_000, 'an id of unescaped base64', newBase64Id()],
    [500, 'an id of a debug key and a UUID', newDebugId()],
  ])('gets %i messages and sends them back, a POST each, under %s', async (count, _name, id) => {
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
    expect(host.faults).toEqual([]);
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });

  test.each(seeds(1))(
    'has 100 messages delivered in id order while its POSTs arrive shuffled (SEED=%i)',
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
      const client = await openBaseClient(page);
      await send(client, messages);
      await settle(client);

      expect(arrived).not.toEqual([...messages.keys()]);
      expect(new Set(arrived)).toEqual(new Set(messages.keys()));
      expect(host.visits.map((visit) => visit.messages)).toEqual([messages]);
    },
  );

  test('loses nothing and doubles nothing when its stream is cut in mid-traffic', async () => {
    const cuts = 6;
    const messages = compose(0, 200 * cuts + 100, 4_000);
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
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
      await host.waitFor(() => visit.messages.length > sent - 50); // both ways are busy
      const fate = ['unwritten', 'written', 'swallowed'][lost.length % 3];
      if (fate === 'swallowed') host.swallow(connection);
      sendNext(150);
      if (fate !== 'unwritten') await setImmediate();
      host.cut(connection);
      await host.waitFor(() => visit.reconnects > lost.length);
      lost.push(sent - proved(host.gets(connection.id).at(-1)!));
    }
    sendNext(100);
    await host.waitFor(() => visit.messages.length >= messages.length);
    await settle(client);

    // Of what was written, the reset lets more or less through.
    expect(Math.min(...lost.filter((_, index) => index % 3 !== 1))).toBeGreaterThanOrEqual(150);
    expect(await sumUpReceived(client)).toEqual(sumUp(messages));
    expect(sumUp(visit.messages)).toEqual(sumUp(messages));
    expect(host.visits).toHaveLength(1);
    expect(visit).toMatchObject({ disconnects: cuts, reconnects: cuts });
    expect(visit.end).toBeUndefined();
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });

  test('has each message delivered once although Chromium sends the POSTs again whose socket died', async () => {
    const messages = compose(0, 500);
    const kills = 200;
    const killed = new Set<number>();
    const answered = new WeakSet<Socket>();
    const host = await Host.open({
      ahead: ({ socket, method, query }, response, next) => {
        const messageId = Number(query.messageId);
        // Chromium sends again only what it sent on a socket that had brought an answer before.
        const isReused = answered.has(socket);
        response.on('finish', () => answered.add(socket));
        if (method === 'POST' && isReused && killed.size < kills && !killed.has(messageId)) {
          killed.add(messageId);
          // Called when the body was read and the message taken.
          response.end = () => {
            socket.destroy();
            return response;
          };
        }
        next();
      },
    });
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
    await send(client, messages);
    await settle(client);

    const again = host.posts.filter((messageId, index) => host.posts.indexOf(messageId) < index);
    expect(killed.size).toBe(kills);
    expect(new Set(again)).toEqual(killed);
    expect(again).toHaveLength(kills);
    expect(host.visits.map((visit) => visit.messages)).toEqual([messages]);
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });

  test('stops when the connection is closed', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
    const visit = await host.visit();
    const other = await openBaseClient(page);
    const otherVisit = await host.visit(1);

    visit.connection.send('last words');
    visit.connection.close(4_000, 'enough');
    await waitForClose(page, client);
    expect(await receive(page, client, 1)).toEqual(['last words']);
    expect(await stateOf(client)).toEqual(TOLD_TO_CLOSE);
    expect(visit.end).toMatchObject({ code: 4_000, reason: 'enough' });

    // By when one whose stream was lost later is back, so would this one be.
    host.cut(otherVisit.connection);
    await waitForOpen(page, other, 2);
    expect(host.gets(visit.connection.id)).toHaveLength(1);
    expect([...host.sse.connections]).toEqual([otherVisit.connection]);
  });

  test('is heard in a new session when the server was restarted', async () => {
    const before = await Host.open();
    const pages = await Promise.all([1, 2, 3].map(() => openPage(browser, before.origin)));
    const clients = await Promise.all(pages.map((page) => openBaseClient(page)));
    for (const [index, client] of clients.entries()) {
      await send(client, compose(0, 7 + index));
      await settle(client);
    }
    await before.close();

    // The highest number of those under way comes first.
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
      expect(await stateOf(client)).toEqual(UNDISTURBED);
    }
    expect(after.faults).toEqual([]);
  });

  test('is heard in a new session when the old one timed out', async () => {
    const host = await Host.open({ reconnectTimeout: 100 });
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
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
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });

  test('is undisturbed by another that claims its id while its stream stands', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page, 'a+b/cd');
    const { connection, messages } = await host.visit();

    const claimant = await openBaseClient(page, 'a+b/cd');
    await page.waitForFunction((own) => own.failedAt.length > 0, claimant);
    expect(await stateOf(claimant)).toMatchObject({ stream: 2 });
    expect(host.gets(connection.id).map(({ status }) => status)).toEqual([undefined, 409]);
    expect(host.faults.map(({ code }) => code)).toEqual(['session-conflict']);

    await send(client, ['up']);
    connection.send('down');
    expect(await receive(page, client, 1)).toEqual(['down']);
    await host.waitFor(() => messages.length > 0);
    expect(messages).toEqual(['up']);
    expect(host.visits).toHaveLength(1);
    expect(host.visits[0]).toMatchObject({ disconnects: 0, reconnects: 0 });
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });

  test('gives its session up to another that claims its id while its stream is lost', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page, 'a+b/cd');
    const old = await host.visit();
    await waitForOpen(page, client, 1);
    host.cut(old.connection);
    await host.waitFor(() => old.disconnects === 1);
    old.connection.send('for the first only');

    const claimant = await openBaseClient(page, 'a+b/cd');
    const { connection, messages } = await host.visit(1);
    expect(old.end).toMatchObject({
      code: 1006,
      reason: 'its client came back without what it takes to resume',
    });
    await send(claimant, compose(0, 3));
    connection.send('for the second');
    expect(await receive(page, claimant, 1)).toEqual(['for the second']);
    await host.waitFor(() => messages.length >= 3);
    expect(messages).toEqual(compose(0, 3));

    // The first comes back with a proof that proves nothing any more, and gives up.
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
    expect(await stateOf(claimant)).toEqual(UNDISTURBED);
    expect(host.visits).toHaveLength(2);
  });

  test('is closed when one of its messages never comes', async () => {
    const reorderTimeout = 500;
    const host = await Host.open({
      reorderTimeout,
      ahead: ({ method, query }, response, next) => {
        if (method === 'POST' && query.messageId === '3') response.json({});
        else next();
      },
    });
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
    const sentAt = performance.now();
    await send(client, compose(0, 10));
    await settle(client);
    await waitForClose(page, client);

    expect(performance.now() - sentAt).toBeGreaterThan(reorderTimeout);
    expect(await stateOf(client)).toEqual(TOLD_TO_CLOSE);
    expect(host.visits).toHaveLength(1);
    expect(host.visits[0]).toMatchObject({
      messages: compose(0, 3),
      end: { code: 1002, reason: 'message 3 did not arrive within 500 ms (reorderTimeout)' },
    });
  });

  test('has the messages after a refused one delivered', async () => {
    const host = await Host.open();
    const page = await openPage(browser, host.origin);
    const client = await openBaseClient(page);
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
    const refused = host.calls.filter(({ status }) => status !== undefined && status !== 200);
    const statuses = refused.map(({ messageId, status }) => [messageId, status] as const);
    expect(new Map(statuses)).toEqual(
      new Map([
        [2, 400],
        [4, 413],
        [6, 400],
        [7, 400],
      ]),
    );
    expect(host.faults).toHaveLength(4);
    expect(await stateOf(client)).toEqual(UNDISTURBED);
  });
});
