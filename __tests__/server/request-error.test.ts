import type { ServerResponse } from 'node:http';
import { SseRequestError as Exported } from '../../lib/index';
import { sendJson } from '../../lib/server/node-http';
import { SseRequestError } from '../../lib/server/request-error';
import { listen } from '../helpers/channel';
import { sendRequest } from '../helpers/http';
import { exchange } from '../security/raw-socket';

function sendError(response: ServerResponse, error: SseRequestError): void {
  sendJson(response, error.status, error.body, error.headers);
}

async function answer(error: SseRequestError) {
  const { origin } = await listen((_, response) => sendError(response, error));
  return sendRequest(origin);
}

describe('a refusal', () => {
  it.each([
    ['bad-request', 400],
    ['forbidden', 403],
    ['unknown-session', 404],
    ['method-not-allowed', 405],
    ['request-timeout', 408],
    ['session-conflict', 409],
    ['out-of-window', 409],
    ['session-closed', 410],
    ['content-too-large', 413],
    ['unsupported-media-type', 415],
    ['service-unavailable', 503],
  ] as const)('of %s has status %i', (code, status) => {
    const error = new SseRequestError(code, 'text');
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'SseRequestError', code, status, message: 'text' });
  });

  it('is what the package exports', () => {
    expect(SseRequestError).toBe(Exported);
  });

  it('says in JSON that no cache keeps what is wrong and what to do', async () => {
    const reply = await answer(
      new SseRequestError('content-too-large', 'größer als erlaubt', {
        headers: { 'Retry-After': '1' },
        body: { maxPayload: 10 },
      }),
    );
    expect(reply.status).toBe(413);
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'retry-after': '1',
    });
    expect(JSON.parse(reply.text)).toEqual({
      code: 'content-too-large',
      message: 'größer als erlaubt',
      maxPayload: 10,
    });
  });

  it('is without effect on a response that is under way', async () => {
    const { origin } = await listen((_, response) => {
      response.writeHead(200);
      sendError(response, new SseRequestError('service-unavailable', 'no'));
      response.end('mine');
    });
    const reply = await sendRequest(origin);
    expect([reply.status, reply.text]).toEqual([200, 'mine']);
  });

  it('goes whole through the `end` that another middleware has put before it', async () => {
    const ends: unknown[] = [];
    const { origin } = await listen((_, response) => {
      const { end } = response;
      response.end = ((chunk: string) => {
        ends.push(chunk);
        return end.call(response, chunk, 'utf8');
      }) as typeof end;
      sendError(response, new SseRequestError('service-unavailable', 'later'));
    });
    const { text } = await sendRequest(origin);
    expect(ends).toEqual([text]);
    expect(JSON.parse(text)).toEqual({ code: 'service-unavailable', message: 'later' });
  });

  it('waits behind the answer to an earlier request on its connection', async () => {
    const { origin } = await listen(({ url }, response) => {
      const refuse = () => sendError(response, new SseRequestError('service-unavailable', url!));
      if (url === '/first') setTimeout(refuse, 50);
      else refuse();
    });
    const last = 'GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    const text = await exchange(origin, `GET /first HTTP/1.1\r\nHost: a\r\n\r\n${last}`);
    expect(text.match(/\{.*?\}/g)).toEqual([
      '{"code":"service-unavailable","message":"/first"}',
      '{"code":"service-unavailable","message":"/second"}',
    ]);
  });
});
