import { SseClient } from '../../lib/client/index';
import type { SseClientOptions } from '../../lib/client/index';
import { DartSseClient } from '../../lib/dart/index';
import { SseWebSocket } from '../../lib/websocket/index';
import { next } from '../helpers/client';
import { onTestFinished } from '../helpers/on-test-finished';

const URL_ = 'http://channel.example/sse';
const OPTIONS =
  'headers, credentials, fetch, debugKey, maxBufferedAmount, transport, renewSession, backoff';

describe.each<[string, (options: SseClientOptions) => unknown]>([
  ['SseClient', (options) => new SseClient(URL_, options)],
  ['DartSseClient', (options) => new DartSseClient(URL_, options)],
  ['SseWebSocket', (options) => new (SseWebSocket.with(options))(URL_)],
])('%s', (_, create) => {
  it.each<[object, string]>([
    [{ retries: 5 }, `unknown option "retries": the options are ${OPTIONS}`],
    [{ backoff: 1_000 }, 'option "backoff" must be of type function, not number'],
    [{ headers: 'a: b' }, 'option "headers" must be of type object or function, not string'],
    [{ fetch: {} }, 'option "fetch" must be of type function, not object'],
    [{ renewSession: 'no' }, 'option "renewSession" must be of type boolean, not string'],
    [{ debugKey: 7 }, 'option "debugKey" must be of type string, not number'],
    [{ transport: 'polling' }, 'option "transport" must be auto, stream or poll, not polling'],
  ])('throws a TypeError for the options %j', (options, message) => {
    expect(() => create(options as SseClientOptions)).toThrow(new TypeError(message));
  });

  it.each([0, -1, NaN])('throws a RangeError for maxBufferedAmount %d', (maxBufferedAmount) => {
    expect(() => create({ maxBufferedAmount })).toThrow(
      new RangeError(`option "maxBufferedAmount" must be at least 1, not ${maxBufferedAmount}`),
    );
  });
});

describe('The URL of a client', () => {
  it.each([
    ['ws://localhost/sse', 'the URL must begin with http: or https:, not ws:'],
    ['file:///sse', 'the URL must begin with http: or https:, not file:'],
  ])('throws a TypeError for the scheme of %s', (url, message) => {
    expect(() => new SseClient(url)).toThrow(new TypeError(message));
  });

  it.each<[string, () => unknown]>([
    ['SseClient', () => new SseClient('http://user:secret@localhost/sse')],
    ['DartSseClient', () => new DartSseClient('http://user@localhost/sse')],
    ['SseWebSocket', () => new SseWebSocket('ws://:secret@localhost/sse')],
  ])('of %s must not contain a password, which the error does not show', (_, create) => {
    let text = '';
    try {
      create();
    } catch (error) {
      text = String(error);
    }
    expect(text).toContain('the URL contains a user name or a password: use');
    expect(text).not.toContain('secret');
  });
});

describe('An error that nobody listens for', () => {
  /** Opens a client whose first requests fail with these texts. Resolves when it has closed, with what was written. */
  async function recordWarnings(texts: string[], prepare: (client: SseClient) => void) {
    const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
    onTestFinished(() => warn.mockRestore());
    const failures = [...texts];
    const client = new SseClient(URL_, {
      backoff: () => 0,
      fetch: () => {
        const text = failures.shift();
        if (text !== undefined) return Promise.reject(new Error(text));
        const error = { code: 'forbidden', message: 'not authorized' };
        return Promise.resolve(new Response(JSON.stringify(error), { status: 403 }));
      },
    });
    prepare(client);
    await next(client, 'close');
    return warn.mock.calls.map(([text]) => text as unknown);
  }

  it('is written to the console, unless the last one was the same', async () => {
    expect(await recordWarnings(['one', 'one', 'two'], () => {})).toEqual([
      'sse-duplex: Error: one',
      'sse-duplex: Error: two',
      'sse-duplex: not authorized',
    ]);
  });

  it.each<[string, (client: SseClient) => void]>([
    ['onerror is set', (client) => (client.onerror = () => {})],
    ['there is a listener', (client) => client.addEventListener('error', () => {})],
  ])('is not written if %s', async (_, prepare) => {
    expect(await recordWarnings(['one'], prepare)).toEqual([]);
  });
});
