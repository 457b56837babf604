import { runInNewContext } from 'node:vm';
import { openChannel } from '../helpers/channel';
import { sendRequest } from '../helpers/http';

async function scriptUrl(options = {}): Promise<string> {
  const { url } = await openChannel(options);
  return `${url}/client.js`;
}

describe('serveClientScript', () => {
  it('sends JavaScript that defines SseClient and nothing else', async () => {
    const reply = await sendRequest(await scriptUrl());
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'no-cache',
      'content-length': String(Buffer.byteLength(reply.text)),
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'cross-origin', // pages of allowed origins, under helmet too
    });
    const context = { Event, EventTarget };
    const before = Object.keys(context);
    runInNewContext(reply.text, context);
    const added = Object.keys(context).filter((name) => !before.includes(name));
    expect(added).toEqual(['SseClient']);
  });

  it('responds with 304 to a browser that has the script', async () => {
    const url = await scriptUrl();
    const { etag } = (await sendRequest(url)).headers;
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    for (const value of [etag!, `W/${etag}`, `"other", ${etag}`]) {
      const reply = await sendRequest(url, { headers: { 'If-None-Match': value } });
      expect([reply.status, reply.text, reply.headers.etag]).toEqual([304, '', etag]);
    }
    const other = await sendRequest(url, { headers: { 'If-None-Match': '"other"' } });
    expect(other.status).toBe(200);
  });

  it('responds to HEAD as to GET, without the body', async () => {
    const url = await scriptUrl();
    const get = await sendRequest(url);
    const head = await sendRequest(url, { method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
  });

  it('rejects other methods with 405', async () => {
    const reply = await sendRequest(await scriptUrl(), { method: 'POST', body: 'x' });
    expect([reply.status, reply.headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it('ignores the query', async () => {
    expect((await sendRequest(`${await scriptUrl()}?v=1`)).status).toBe(200);
  });

  it('serves pages of other origins as well', async () => {
    const headers = { Origin: 'https://elsewhere.example', 'Sec-Fetch-Site': 'cross-site' };
    expect((await sendRequest(await scriptUrl(), { headers })).status).toBe(200);
  });

  it('leaves the path to the application with clientScript: false', async () => {
    expect((await sendRequest(await scriptUrl({ clientScript: false }))).status).toBe(404);
  });
});
