import type { Browser } from 'playwright-core';
import { listen } from '../helpers/channel';
import { startBalancer, startNode, stopNode } from '../helpers/cluster';
import { createFaultyEngine } from '../helpers/faulty-engine';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';
import { onTestFinished } from '../helpers/on-test-finished';
import { waitFor } from '../helpers/wait-for';
import { launchChromium, openPage } from './helpers/chromium';
import { openDartClient } from './helpers/dart-client';

const MESSAGES = 1_000;
/** Number of echoes after which the node that has the stream is killed. */
const KILL_AFTER = 300;
const TIMEOUT = 60_000;

jest.setTimeout(120_000);

let browser: Browser;

beforeAll(async () => {
  browser = await launchChromium();
});

afterAll(() => browser.close());

/** Starts nodes that echo each message, behind a balancer that sends each request to the next one. */
async function startCluster() {
  const store = new MemoryStore();
  const page = await listen((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end('<!doctype html><title>page</title>');
  });
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => {
      const memory = new MemoryEngine(store);
      const engine = createFaultyEngine(memory, () => memory.disconnect());
      const node = {
        ...(await startNode(engine)),
        engine,
        posts: 0,
        acceptsPosts: true,
        isAlive: true,
      };
      onTestFinished(async () => {
        await stopNode(node);
        if (node.isAlive) await node.sse.close();
      });
      node.server.on('request', ({ method }, response) => {
        if (method !== 'POST') return;
        node.posts++;
        response.on('close', () => node.posts--);
      });
      node.sse.on('connection', (connection) => {
        connection.on('message', (message) => connection.send(`echo of ${String(message)}`));
      });
      return node;
    }),
  );
  let turn = 0;
  const balancer = await startBalancer(({ url, method }) => {
    if (url === '/') return Number(new URL(page.origin).port);
    const able = nodes.filter((each) => each.isAlive && (method === 'GET' || each.acceptsPosts));
    return able[turn++ % able.length]!.port;
  });
  onTestFinished(() => balancer.stop());
  return { nodes, origin: new URL(balancer.url).origin };
}

describe('A Dart-dialect client in Chromium, behind a balancer with three nodes,', () => {
  test(`exchanges ${MESSAGES} messages in each direction although the node of its stream is killed`, async () => {
    const { nodes, origin } = await startCluster();
    const page = await openPage(browser, origin);
    const client = await openDartClient(page);
    const sending = client.evaluate(async (own, count) => {
      for (let number = 0; number < count; number++) {
        while (own.pending >= 20) await new Promise((resolve) => setTimeout(resolve, 1));
        own.send(`message ${number}`);
      }
    }, MESSAGES);
    const countReceived = () => client.evaluate((own) => own.received.length);
    const waitForReceived = (count: number) =>
      page.waitForFunction(
        ({ own, wanted }) => own.received.length >= wanted || own.isClosed,
        { own: client, wanted: count },
        { polling: 20, timeout: TIMEOUT },
      );

    await waitForReceived(KILL_AFTER);
    const victim = nodes.find(({ sse }) => sse.stats().connected === 1)!;
    // A POST that its node cannot answer may end the client: browsers do not always repeat it.
    victim.acceptsPosts = false;
    await waitFor(() => victim.posts === 0, TIMEOUT);
    victim.isAlive = false;
    victim.engine.kill();
    victim.server.closeAllConnections();
    expect(await countReceived()).toBeLessThan(MESSAGES);

    await sending;
    await waitForReceived(MESSAGES);
    await client.evaluate((own) => own.settle());
    const { received, ...state } = await client.evaluate(
      ({ received, error, isClosed, opens, controls }) => ({
        received,
        error,
        isClosed,
        opens,
        controls,
      }),
    );
    expect(state).toEqual({ error: undefined, isClosed: false, opens: 2, controls: [] });
    expect(received).toEqual(
      Array.from({ length: MESSAGES }, (_, number) => `echo of message ${number}`),
    );
    const [owner] = nodes.filter(({ isAlive, sse }) => isAlive && sse.connections.size > 0);
    expect(owner?.connections.at(-1)).toMatchObject({ recovered: true, connected: true });
  });
});
