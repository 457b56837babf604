import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SseOptions } from '../../lib/index';
import { createSse, record } from '../helpers/channel';
import { turn } from '../helpers/fake-timeouts';
import { waitFor } from '../helpers/wait-for';
import { FRAMEWORKS, open } from './frameworks';
import type { Sse } from './frameworks';

async function openHttp2(options: SseOptions = {}) {
  const sse: Sse = createSse(options);
  const send = await open(FRAMEWORKS['node:http2']!, [sse]);
  return { sse, send };
}

describe('Over HTTP/2', () => {
  const MIB = 1024 * 1024;

  it('closes a Dart-dialect client that does not read, at maxBufferedAmount', async () => {
    const { sse, send } = await openHttp2({ maxBufferedAmount: 4 * MIB });
    const stream = await send('/sse?sseClientId=a');
    await stream.read('\n\n');
    const [connection] = [...sse.connections];
    const closes = record(connection!, 'close');
    stream.pause();
    for (let i = 0; i < 32 && closes.length === 0; i++) {
      connection!.send('x'.repeat(MIB));
      await turn();
      await turn();
    }
    expect(closes).toMatchObject([[1008, expect.stringContaining('maxBufferedAmount'), {}]]);
  });

  it('emits `drain` only after the client reads again', async () => {
    const { sse, send } = await openHttp2();
    const stream = await send('/sse?sseClientId=a&sseProtocol=2');
    await stream.read('\n\n');
    const [connection] = [...sse.connections];
    const drains = record(connection!, 'drain');
    stream.pause();
    while (connection!.send('x'.repeat(MIB)));
    await sleep(50);
    expect(drains).toHaveLength(0);
    stream.resume();
    await waitFor(() => drains.length > 0);
    expect(connection!.bufferedAmount).toBe(0);
  });

  it('opens no session for a client that left before `authorize` settled', async () => {
    let settle = (_isAllowed: boolean) => {};
    const requests: IncomingMessage[] = [];
    const { sse, send } = await openHttp2({
      authorize: (request) => {
        requests.push(request);
        return new Promise<boolean>((resolve) => (settle = resolve));
      },
    });
    const controller = new AbortController();
    const { signal } = controller;
    send('/sse?sseClientId=a&sseProtocol=2', { signal }).catch(() => {});
    await waitFor(() => requests.length > 0);
    const isGone = new Promise((resolve) => requests[0]!.on('close', resolve));
    controller.abort();
    await isGone;
    settle(true);
    await turn();
    expect(sse.stats()).toMatchObject({ connections: 0, opened: 0 });
  });

  it('does not consume the number of a Dart-dialect message whose body was cut', async () => {
    const { sse, send } = await openHttp2();
    const errors = record(sse, 'clientError');
    const stream = await send('/sse?sseClientId=a');
    await stream.read('\n\n');
    const [connection] = [...sse.connections];
    const messages = record(connection!, 'message');
    const controller = new AbortController();
    const { signal } = controller;
    const cut = { method: 'POST', body: '"a', isWhole: false, signal };
    send('/sse?sseClientId=a&messageId=0', cut).catch(() => {});
    await send('/sse'); // when this exchange is over, the server has received the first bytes
    controller.abort();
    await waitFor(() => errors.length > 1);
    expect(errors[1]![0]).toMatchObject({
      message: 'the connection closed before the end of the request body',
    });
    const body = '"a"';
    await send('/sse?sseClientId=a&messageId=0', { method: 'POST', body });
    expect(messages).toEqual([['a']]);
  });

  it('recognises a body that was cut before `authorize` settled', async () => {
    let settle = (_isAllowed: boolean) => {};
    const posts: IncomingMessage[] = [];
    const { sse, send } = await openHttp2({
      authorize: (request) => {
        if (request.method === 'GET') return true;
        posts.push(request);
        return new Promise<boolean>((resolve) => (settle = resolve));
      },
    });
    const errors = record(sse, 'clientError');
    const stream = await send('/sse?sseClientId=a');
    await stream.read('\n\n');
    const messages = record([...sse.connections][0]!, 'message');
    const controller = new AbortController();
    const { signal } = controller;
    const cut = { method: 'POST', body: '12', isWhole: false, signal };
    send('/sse?sseClientId=a&messageId=0', cut).catch(() => {});
    await waitFor(() => posts.length > 0);
    await send('/sse'); // when this exchange is over, the server has received the first bytes
    const isGone = new Promise((resolve) => posts[0]!.on('close', resolve));
    controller.abort();
    await isGone;
    settle(true);
    await waitFor(() => errors.length > 1);
    expect(messages).toEqual([]);
    expect(errors[1]![0]).toMatchObject({
      message: 'the connection closed before the end of the request body',
    });
  });

  it('closes an incomplete request after bodyTimeout, although it was rejected before', async () => {
    const { send } = await openHttp2({ bodyTimeout: 50 });
    const response = await send('/sse?sseClientId=a', {
      method: 'POST',
      body: '"a',
      isWhole: false,
    });
    expect(response.status).toBe(404);
    await response.closed;
  });
});
