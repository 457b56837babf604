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
  const speak = await open(FRAMEWORKS['node:http2']!, [sse]);
  return { sse, speak };
}

describe('Over HTTP/2', () => {
  const MIB = 1024 * 1024;

  it('a base client that does not read is closed at maxBufferedAmount', async () => {
    const { sse, speak } = await openHttp2({ maxBufferedAmount: 4 * MIB });
    const stream = await speak('/sse?sseClientId=a');
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

  it('`drain` comes when the client reads again, and not before', async () => {
    const { sse, speak } = await openHttp2();
    const stream = await speak('/sse?sseClientId=a&sseProtocol=2');
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

  it('nothing is opened for a client that left while `authorize` thought about it', async () => {
    let answer = (_isAllowed: boolean) => {};
    const requests: IncomingMessage[] = [];
    const { sse, speak } = await openHttp2({
      authorize: (request) => {
        requests.push(request);
        return new Promise<boolean>((resolve) => (answer = resolve));
      },
    });
    const controller = new AbortController();
    const { signal } = controller;
    speak('/sse?sseClientId=a&sseProtocol=2', { signal }).catch(() => {});
    await waitFor(() => requests.length > 0);
    const isGone = new Promise((resolve) => requests[0]!.on('close', resolve));
    controller.abort();
    await isGone;
    answer(true);
    await turn();
    expect(sse.stats()).toMatchObject({ connections: 0, opened: 0 });
  });

  it('a base message whose body was cut does not consume its number', async () => {
    const { sse, speak } = await openHttp2();
    const errors = record(sse, 'clientError');
    const stream = await speak('/sse?sseClientId=a');
    await stream.read('\n\n');
    const [connection] = [...sse.connections];
    const messages = record(connection!, 'message');
    const controller = new AbortController();
    const { signal } = controller;
    const cut = { method: 'POST', body: '"a', isWhole: false, signal };
    speak('/sse?sseClientId=a&messageId=0', cut).catch(() => {});
    await speak('/sse'); // a whole exchange later the body has begun
    controller.abort();
    await waitFor(() => errors.length > 1);
    expect(errors[1]![0]).toMatchObject({ message: 'the body was cut before its end' });
    const body = '"a"';
    await speak('/sse?sseClientId=a&messageId=0', { method: 'POST', body });
    expect(messages).toEqual([['a']]);
  });

  it('a body that was cut while `authorize` thought about it is known for one that was', async () => {
    let answer = (_isAllowed: boolean) => {};
    const posts: IncomingMessage[] = [];
    const { sse, speak } = await openHttp2({
      authorize: (request) => {
        if (request.method === 'GET') return true;
        posts.push(request);
        return new Promise<boolean>((resolve) => (answer = resolve));
      },
    });
    const errors = record(sse, 'clientError');
    const stream = await speak('/sse?sseClientId=a');
    await stream.read('\n\n');
    const messages = record([...sse.connections][0]!, 'message');
    const controller = new AbortController();
    const { signal } = controller;
    const cut = { method: 'POST', body: '12', isWhole: false, signal };
    speak('/sse?sseClientId=a&messageId=0', cut).catch(() => {});
    await waitFor(() => posts.length > 0);
    await speak('/sse'); // a whole exchange later the body has begun
    const isGone = new Promise((resolve) => posts[0]!.on('close', resolve));
    controller.abort();
    await isGone;
    answer(true);
    await waitFor(() => errors.length > 1);
    expect(messages).toEqual([]);
    expect(errors[1]![0]).toMatchObject({ message: 'the body was cut before its end' });
  });

  it('a body that goes on after its refusal is ended after bodyTimeout', async () => {
    const { speak } = await openHttp2({ bodyTimeout: 50 });
    const reply = await speak('/sse?sseClientId=a', { method: 'POST', body: '"a', isWhole: false });
    expect(reply.status).toBe(408);
    await reply.closed;
  });
});
