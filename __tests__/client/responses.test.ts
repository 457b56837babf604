import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { turn, useFakeTimeouts } from '../helpers/fake-timeouts';
import { openPage } from '../helpers/page';
import { URL_, message, ping, start, startOpen } from '../helpers/scripted-client';
import { HELLO, scriptFetch } from '../helpers/scripted-fetch';
import { waitFor } from '../helpers/wait-for';

describe('The requests of an SseClient', () => {
  it('ask for an event stream in the duplex dialect', async () => {
    const { next: request } = start({ credentials: 'include', headers: { 'X-App': '1' } });
    const { url, headers, init } = await request('GET');
    expect([url.origin + url.pathname, url.searchParams.get('sseProtocol')]).toEqual([URL_, '2']);
    expect(url.searchParams.get('sseClientId')).toMatch(/^.{8,64}$/);
    expect(headers).toEqual({ accept: 'text/event-stream', 'x-app': '1' });
    expect(init.credentials).toBe('include');
  });

  it('send messages as text, without headers of their own and without the token in the URL', async () => {
    const { client, get, next: request } = await startOpen();
    client.send({ a: 1 });
    const { url, headers, init, body } = await request('POST');
    expect(typeof init.body).toBe('string'); // sent as text/plain
    expect(headers).toEqual({});
    expect([...url.searchParams]).toEqual([
      ['sseClientId', get.url.searchParams.get('sseClientId')],
    ]);
    expect(body).toEqual({ token: 'TOKEN', id: 0, ack: 0, messages: [{ a: 1 }] });
  });

  it('carry the headers that the option has at that time', async () => {
    const headers = { Authorization: 'old' };
    const { client, next: request } = await startOpen({ headers });
    headers.Authorization = 'new';
    client.send('x');
    expect((await request('POST')).headers).toEqual({ authorization: 'new' });
  });

  it('resume a lost stream with the token and the number of received messages', async () => {
    const { client, get, stream, next: request } = await startOpen();
    stream.write(message('a') + message('b'));
    stream.end();
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.2');
    expect(again.url.href).toBe(get.url.href);
    again.hello({ resumed: true, sent: 2 });
    await next(client, 'reconnect');
  });
});

describe('A URL with a fragment', () => {
  it('keeps the parameters of the requests out of the fragment', async () => {
    const script = scriptFetch();
    openClient(`${URL_}?room=1#/room/1`, { fetch: script.fetch });
    const { url } = await script.next('GET');
    expect([...url.searchParams.keys()]).toEqual([
      'room',
      'sseClientId',
      'sseProtocol',
      'sseBinary',
    ]);
  });
});

describe('A stream that cannot be opened', () => {
  it('is reported as an error and requested again after a growing delay', async () => {
    const attempts: number[] = [];
    const { client, next: request } = start({
      backoff: (attempt) => {
        attempts.push(attempt);
        return 1;
      },
    });
    const errors = eventsOf(client, 'error');
    (await request('GET')).fail();
    (await request('GET')).answer(503, { code: 'service-unavailable', message: 'come back' });
    (await request('GET')).answer(500, '<html>');
    (await request('GET')).hello();
    await next(client, 'open');
    expect(attempts).toEqual([0, 1, 2]);
    expect(errors.map(({ message: text }) => text)).toEqual([
      'TypeError: fetch failed',
      'come back',
      'HTTP 500, not from sse-duplex: check URL, login and proxy',
    ]);
  });

  it('is requested again with another session id, since the first one may be in use', async () => {
    const { next: request } = start();
    const first = await request('GET');
    first.fail();
    const second = await request('GET');
    expect(second.url.searchParams.get('sseClientId')).not.toBe(
      first.url.searchParams.get('sseClientId'),
    );
  });

  it('is requested again after a 409 for a session id in use', async () => {
    const { client, next: request } = start();
    (await request('GET')).answer(409, { code: 'session-conflict', message: 'taken' });
    (await request('GET')).hello();
    await next(client, 'open');
  });

  it('is not requested again before Retry-After', async () => {
    const { client, next: request, waiting } = start({ backoff: () => 0 });
    useFakeTimeouts();
    const failed = next(client, 'error');
    (await request('GET')).answer(
      503,
      { code: 'service-unavailable', message: 'busy' },
      { 'Retry-After': '5' },
    );
    expect((await failed).message).toBe('busy');
    await turn();
    jest.advanceTimersByTime(4_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('GET');
  });

  it('is not requested again before Retry-After when the client is closed meanwhile with messages to send', async () => {
    useFakeTimeouts('performance');
    const { client, next: request, waiting } = start();
    client.send('a');
    const failed = next(client, 'error');
    (await request('GET')).answer(503, {}, { 'Retry-After': '5' });
    await failed;
    client.close();
    await turn();
    jest.advanceTimersByTime(4_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    (await request('GET')).hello();
    expect((await request('POST')).body).toMatchObject({ messages: ['a'] });
  });

  it.each(['soon', 'Wed, 21 Oct 2015 07:28:00 GMT', '-5'])(
    'is requested again after the usual delay with Retry-After: %s',
    async (value) => {
      const { client, next: request } = start();
      (await request('GET')).answer(503, {}, { 'Retry-After': value });
      (await request('GET')).hello();
      await next(client, 'open');
    },
  );

  it.each(['bad-request', 'forbidden', 'content-too-large', 'unsupported-media-type'])(
    'closes the client after the error code %s',
    async (code) => {
      const { client, next: request } = start();
      const errors = eventsOf(client, 'error');
      const closed = next(client, 'close');
      (await request('GET')).answer(400, { code, message: 'no' });
      expect(await closed).toMatchObject({ code: 1006, reason: 'no', wasClean: false });
      expect(errors).toHaveLength(1);
    },
  );

  it.each([
    [204, ''],
    [301, ''],
    [401, 'log in'],
    [403, { message: 'Forbidden' }],
    [404, { message: 'no Route matched' }],
    [404, { code: 'NO_ROUTE', message: 'no Route matched' }],
    [404, { code: 'unknown-session', message: 'unknown' }], // without a session to be lost
    [404, 'null'],
    [410, { close: { code: 4000, reason: 'bye' }, message: 'no code' }],
  ])('is requested again after status %i with the body %j', async (status, body) => {
    const { client, next: request } = start();
    const errors = eventsOf(client, 'error');
    if (status === 204) (await request('GET')).respond(new Response(null, { status }));
    else (await request('GET')).answer(status, body);
    (await request('GET')).hello();
    await next(client, 'open');
    expect(errors).toHaveLength(1);
  });

  it.each([
    ['text/html', 200],
    ['application/json', 200],
    ['text/event-streams', 200],
    ['', 200],
    ['text/event-stream', 201],
    ['text/event-stream', 206],
    ['text/event-stream', 500],
  ])('is not read with the content type "%s" and status %i', async (type, status) => {
    const { client, next: request } = start();
    const failed = next(client, 'error');
    const hello = `event: hello\ndata: ${JSON.stringify(HELLO)}\n\n`;
    (await request('GET')).answer(status, hello, type ? { 'Content-Type': type } : {});
    expect((await failed).message).toContain(`HTTP ${status}`);
    expect(client.readyState).toBe(0);
    (await request('GET')).hello();
    await next(client, 'open');
  });

  it('is read with a parameter and capitals in the content type', async () => {
    const { client, next: request } = start();
    const stream = (await request('GET')).stream({
      'Content-Type': 'Text/Event-Stream; charset=utf-8',
    });
    stream.write(`event: hello\ndata: ${JSON.stringify(HELLO)}\n\n`);
    await next(client, 'open');
  });

  it.each([
    ['token', undefined],
    ['token', 'a"b'],
    ['token', 'x'.repeat(65)],
    ['resumed', undefined],
    ['resumed', true],
    ['sent', 1],
    ['sent', '0'],
    ['received', 1],
    ['received', -1],
    ['received', '0'],
    ['heartbeat', 0],
    ['heartbeat', '1000'],
    ['heartbeat', 2 ** 31],
    ['ackAfter', null],
    ['ackAfter', { messages: 3, bytes: 1000 }],
    ['ackAfter', { messages: '3', bytes: 1000, idle: 4000 }],
    ['maxPayload', null],
  ])('is not opened by a hello whose %s is %j', async (field, value) => {
    const { client, next: request } = start();
    const opens = eventsOf(client, 'open');
    const received = messagesOf(client);
    const failed = next(client, 'error');
    (await request('GET')).hello({ [field]: value }).write(message('not read'));
    expect((await failed).message).toMatch(/^invalid hello: /);
    (await request('GET')).hello();
    await next(client, 'open');
    expect([opens.length, received]).toEqual([1, []]);
  });

  it.each([
    'data: "a message"',
    'event: ping\ndata: {"sent":0,"received":0}',
    'event: hello\ndata: {',
  ])('is not opened when it begins with %j', async (event) => {
    const { client, next: request } = start();
    const received = messagesOf(client);
    const failed = next(client, 'error');
    (await request('GET')).stream().write(`${event}\n\n`);
    expect((await failed).message).toMatch(/^invalid (message|ping|hello): /);
    (await request('GET')).hello();
    await next(client, 'open');
    expect(received).toEqual([]);
  });

  it('is opened with a heartbeat of fractional milliseconds, and messages are sent', async () => {
    const { client, next: request } = await startOpen({}, { heartbeat: 2500.5 });
    client.send('a');
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
  });

  it('is aborted after 10 s without a response', async () => {
    useFakeTimeouts();
    const { client, next: request } = start({ transport: 'stream' });
    const get = await request('GET');
    const failed = next(client, 'error');
    jest.advanceTimersByTime(9_999);
    expect(get.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
    expect((await failed).message).toContain('10000 ms');
  });

  it('is aborted after 10 s without hello, which a proxy may hold back', async () => {
    useFakeTimeouts();
    const { client, next: request } = start({ transport: 'stream' });
    const get = await request('GET');
    const failed = next(client, 'error');
    jest.advanceTimersByTime(9_000);
    get.stream();
    for (let i = 0; i < 10; i++) await turn();
    jest.advanceTimersByTime(1_000);
    expect((await failed).message).toBe(
      'no event in 10000 ms: buffered by a proxy or 6 streams open on HTTP/1.1',
    );
    expect(get.isAborted()).toBe(true);
  });
});

describe('An open stream', () => {
  it('is replaced after 2.5 heartbeat intervals without a byte', async () => {
    useFakeTimeouts();
    const options = { backoff: () => 0 };
    const { client, get, stream, next: request } = await startOpen(options, { heartbeat: 1_000 });
    const received = messagesOf(client);
    jest.advanceTimersByTime(2_000);
    stream.write(':\n\n'); // any byte is a sign of life
    stream.write(message('x'));
    await waitFor(() => received.length > 0);
    jest.advanceTimersByTime(2_499);
    expect(get.isAborted()).toBe(false);
    const lost = next(client, 'disconnect');
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
    expect((await lost).reason).toContain('2500 ms');
    await turn();
    jest.advanceTimersByTime(0);
    (await request('GET')).hello({ resumed: true, sent: 1 });
    await next(client, 'reconnect');
    expect(client.readyState).toBe(1);
  });

  it('is kept while the application reads slowly, and is aborted if it is silent afterwards', async () => {
    useFakeTimeouts();
    const { client, get, stream } = await startOpen({}, { heartbeat: 1_000 });
    const reader = client.stream.getReader();
    stream.write(message('a'));
    await next(client, 'message');
    await turn();
    jest.advanceTimersByTime(60_000);
    expect(get.isAborted()).toBe(false);
    expect(await reader.read()).toMatchObject({ value: 'a' });
    void reader.read();
    await turn();
    jest.advanceTimersByTime(2_499);
    expect(get.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
  });

  it('is resumed from the count of the client when a ping reports a different one', async () => {
    const { client, stream, next: request } = await startOpen();
    const received = messagesOf(client);
    stream.write(message('a') + ping(1, 0));
    await waitFor(() => received.length > 0);
    stream.write(message('b') + ping(3, 0) + message('of a stream that was given up'));
    await next(client, 'disconnect');
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.2');
    expect(received).toEqual(['a', 'b']);
  });

  it('is resumed from the damaged message when a message is not JSON', async () => {
    const { client, stream, next: request } = await startOpen();
    const received = messagesOf(client);
    const lost = next(client, 'disconnect');
    stream.write(`${message(0)}data: {\n\n${message(2)}`);
    expect((await lost).reason).toMatch(/^invalid message: /);
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.1');
    again.hello({ resumed: true, sent: 1 }).write(message(1) + message(2));
    await waitFor(() => received.length === 3);
    expect(received).toEqual([0, 1, 2]);
  });

  it('may be cut within a character, a line and an event', async () => {
    const { client, stream } = await startOpen();
    const received = messagesOf(client);
    stream.write(':\n\ndata: "');
    stream.write('ü"\n');
    stream.write('\n');
    await waitFor(() => received.length > 0);
    expect(received).toEqual(['ü']);
  });

  it('ignores events with unknown names, also the control event of the Dart dialect', async () => {
    const { client, stream } = await startOpen();
    const received = messagesOf(client);
    stream.write(`event: later\ndata: x\n\nevent: control\ndata: close\n\n${message(1)}`);
    await waitFor(() => received.length > 0);
    expect(client.readyState).toBe(1);
  });

  it.each([
    'event: ping\ndata: {"sent":0}',
    'event: ping\ndata: {"received":1}',
    'event: ping\ndata: {"sent":"0","received":1}',
    'event: ping\ndata: {"sent":0,"received":"1"}',
    'event: ping\ndata: {"sent":0,"received":-1}',
    'event: ping\ndata: {"sent":0,"received":2}',
    'event: ping\ndata: {"sent":1,"received":1}',
    'event: ping\ndata: null',
    'event: close\ndata: {"code":"4000","reason":""}',
    'event: close\ndata: {"code":4000}',
    'event: close\ndata: {"code":4000,"reason":"","retry":-1}',
    'event: close\ndata: 4000',
  ])('is resumed, and nothing is acknowledged or closed, after %j', async (event) => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    await request('POST');
    const lost = next(client, 'disconnect');
    stream.write(`${event}\n\n`);
    expect((await lost).reason).toMatch(/^invalid (ping|close): /);
    expect([client.bufferedAmount, client.readyState]).toEqual([3, 1]);
    (await request('GET')).hello({ resumed: true });
    await next(client, 'reconnect');
  });

  it.each([
    { resumed: false },
    { token: 'OTHER' },
    { sent: 0 },
    { sent: 2 },
    { received: 2 },
    { resumed: false, sent: 0, token: 'OTHER' },
  ])('is not resumed by a hello with %j, whose messages are not read', async (fields) => {
    const { client, stream, next: request } = await startOpen();
    const [received, errors] = [messagesOf(client), eventsOf(client, 'error')];
    client.send('sent');
    await request('POST');
    stream.write(message('a'));
    stream.end();
    const cached = (await request('GET')).hello({ resumed: true, sent: 1, ...fields });
    cached.write(message('cached'));
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.1');
    again.hello({ resumed: true, sent: 1 }).write(message('b'));
    await waitFor(() => received.length > 1);
    expect(received).toEqual(['a', 'b']);
    expect(errors).toHaveLength(1);
    expect([client.bufferedAmount, client.readyState]).toEqual([6, 1]);
  });

  it.each([
    [200, '<!doctype html>'],
    [403, { message: 'Forbidden' }],
    [404, { message: 'no Route matched' }],
    [404, { code: 'NO_ROUTE', message: 'no Route matched' }],
    [500, ''],
  ])('is requested again, in the same session, after status %i and %j', async (status, body) => {
    const { client, stream, next: request } = await startOpen();
    const [lost, errors] = [eventsOf(client, 'sessionlost'), eventsOf(client, 'error')];
    stream.end();
    (await request('GET')).answer(status, body);
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.0');
    again.hello({ resumed: true });
    await next(client, 'reconnect');
    expect([lost.length, errors.length]).toEqual([0, 1]);
  });

  it('is not aborted while the application reads slowly', async () => {
    const { client, get, stream } = await startOpen();
    const reader = client.stream.getReader();
    useFakeTimeouts();
    const lost = eventsOf(client, 'disconnect');
    stream.write(message(1) + message(2));
    for (let i = 0; i < 5; i++) await turn();
    jest.advanceTimersByTime(60_000);
    for (let i = 0; i < 5; i++) await turn();
    expect([lost.length, get.isAborted()]).toEqual([0, false]);
    expect((await reader.read()).value).toBe(1);
    expect((await reader.read()).value).toBe(2);
  });

  it('is aborted 2.5 heartbeat intervals after a slow reader has read again', async () => {
    const { client, get, stream } = await startOpen({}, { heartbeat: 1_000 });
    const reader = client.stream.getReader();
    useFakeTimeouts();
    stream.write(message(1) + message(2));
    for (let i = 0; i < 5; i++) await turn();
    await reader.read();
    await reader.read();
    for (let i = 0; i < 5; i++) await turn();
    jest.advanceTimersByTime(2_499);
    expect(get.isAborted()).toBe(false);
    jest.advanceTimersByTime(1);
    expect(get.isAborted()).toBe(true);
  });
});

describe('A POST of an SseClient', () => {
  it('is repeated with the same number and the messages sent meanwhile when the network fails', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const first = await request('POST');
    client.send('b');
    first.fail();
    const second = await request('POST');
    expect(second.body).toMatchObject({ id: 0, messages: ['a', 'b'] });
    second.answer(200, { received: 2 });
    await waitFor(() => client.bufferedAmount === 0);
  });

  it.each([500, 502, 503, 408, 409, 429])('is repeated after status %i', async (status) => {
    const { client, next: request } = await startOpen();
    client.send('a');
    (await request('POST')).answer(status, { code: 'service-unavailable', message: 'later' });
    const second = await request('POST');
    expect(second.body).toMatchObject({ id: 0, messages: ['a'] });
    expect(client.readyState).toBe(1);
  });

  it('is repeated when its response is not an acknowledgement', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const stream = (await request('POST')).stream(); // a portal's page, say
    stream.write('<!doctype html>');
    stream.end();
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
  });

  it.each([
    {},
    { received: '1' },
    { received: -1 },
    { received: 0.5 },
    { received: null },
    { received: 2 }, // more than were sent
    { received: 1e9 },
    'null',
    '1',
    '',
    '<!doctype html>',
  ])('is repeated after status 200 with the body %j', async (body) => {
    const { client, next: request } = await startOpen();
    client.send('a');
    (await request('POST')).answer(200, body);
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
    expect([client.bufferedAmount, client.readyState]).toEqual([3, 1]);
  });

  it.each([201, 202, 206])(
    'is repeated after status %i, even if the response has a count',
    async (status) => {
      const { client, next: request } = await startOpen();
      client.send('a');
      (await request('POST')).answer(status, { received: 1 });
      expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
    },
  );

  it('is not repeated at once when the server acknowledges nothing', async () => {
    const attempts: number[] = [];
    const {
      client,
      next: request,
      waiting,
    } = await startOpen({
      backoff: (attempt) => {
        attempts.push(attempt);
        return 300;
      },
    });
    client.send('a');
    (await request('POST')).answer(200, { received: 0 });
    for (let i = 0; i < 10; i++) await turn();
    expect([attempts, waiting()]).toEqual([[0], 0]);
  });

  it('is followed without a delay by the rest of what the server has received in part', async () => {
    const backoff = jest.fn(() => 1_000_000);
    const { client, next: request } = await startOpen({ backoff });
    ['a', 'b'].forEach((text) => client.send(text));
    (await request('POST')).answer(200, { received: 1 });
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: ['b'] });
    expect(backoff).not.toHaveBeenCalled();
  });

  it('is not sent for messages that the request of a stream has acknowledged', async () => {
    const { client, stream, next: request, waiting } = await startOpen(); // ackAfter.messages is 3
    const received = messagesOf(client);
    stream.write(message(1) + message(2));
    await waitFor(() => received.length === 2);
    stream.end();
    const again = (await request('GET')).hello({ resumed: true, sent: 2 });
    again.write(message(3) + message(4));
    await waitFor(() => received.length === 4);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });

  it('is aborted and repeated after 1.5 heartbeat intervals without a response', async () => {
    const { client, next: request } = await startOpen({}, { heartbeat: 20 });
    client.send('a');
    const first = await request('POST');
    await waitFor(() => first.isAborted());
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
  });

  it.each([403, 404, 413])(
    'is repeated after status %i without an error code of the server',
    async (status) => {
      const { client, next: request } = await startOpen();
      client.send('a');
      (await request('POST')).answer(status, {}); // a proxy's page, say
      expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
    },
  );

  it('is repeated with a growing delay, which restarts after a success', async () => {
    const attempts: number[] = [];
    const { client, next: request } = await startOpen({
      backoff: (attempt) => {
        attempts.push(attempt);
        return 1;
      },
    });
    client.send('a');
    for (let i = 0; i < 3; i++) (await request('POST')).fail();
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
    client.send('b');
    (await request('POST')).fail();
    await request('POST');
    expect(attempts).toEqual([0, 1, 2, 0]);
  });

  it('is not repeated before Retry-After', async () => {
    useFakeTimeouts();
    const {
      client,
      next: request,
      waiting,
    } = await startOpen({ backoff: () => 0 }, { heartbeat: 60_000 });
    client.send('a');
    (await request('POST')).answer(503, {}, { 'Retry-After': '2' });
    for (let i = 0; i < 10; i++) await turn();
    jest.advanceTimersByTime(1_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('POST');
  });

  it('is not repeated before Retry-After when the stream is resumed, and then without the rest of the back-off', async () => {
    useFakeTimeouts('performance');
    const backoff = jest.fn(() => 0);
    const { client, stream, next: request, waiting } = await startOpen({ backoff });
    backoff.mockReturnValueOnce(1_000_000);
    client.send('a');
    (await request('POST')).answer(503, {}, { 'Retry-After': '2' });
    await waitFor(() => backoff.mock.calls.length === 1);
    const lost = next(client, 'disconnect');
    stream.end();
    await lost;
    await turn();
    jest.advanceTimersByTime(0);
    (await request('GET')).hello({ resumed: true });
    await next(client, 'reconnect');
    jest.advanceTimersByTime(1_999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('POST');
  });

  it('is not repeated before the back-off has passed when the next poll is answered', async () => {
    useFakeTimeouts('performance');
    const backoff = jest.fn(() => 1_000);
    const { client, next: request, waiting } = start({ transport: 'poll', backoff });
    const poll = async (fields: object) => {
      const stream = (await request('GET')).hello(fields);
      stream.write(ping(0, 0));
      return stream;
    };
    const first = await poll({});
    await next(client, 'open');
    client.send('a');
    (await request('POST')).answer(503);
    await waitFor(() => backoff.mock.calls.length === 1);
    first.end();
    await poll({ resumed: true });
    for (let i = 0; i < 5; i++) await turn();
    jest.advanceTimersByTime(999);
    await turn();
    expect(waiting()).toBe(0);
    jest.advanceTimersByTime(1);
    await request('POST');
  });

  it('is the only one under way, and messages sent meanwhile are in the next one', async () => {
    const { client, next: request, waiting } = await startOpen();
    client.send(0);
    const first = await request('POST');
    for (let i = 1; i <= 5; i++) client.send(i);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    first.answer(200, { received: 1 });
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: [1, 2, 3, 4, 5] });
  });

  it('is followed at once by the rest when the server has received a part', async () => {
    const { client, next: request } = await startOpen();
    ['a', 'b', 'c'].forEach((text) => client.send(text));
    (await request('POST')).answer(200, { received: 2 });
    expect((await request('POST')).body).toMatchObject({ id: 2, messages: ['c'] });
  });

  it('does not repeat messages that a ping has acknowledged', async () => {
    const { client, stream, next: request, waiting } = await startOpen();
    client.send('a');
    const lost = await request('POST');
    stream.write(ping(0, 1));
    await waitFor(() => client.bufferedAmount === 0);
    lost.fail();
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });

  it('does not repeat messages that hello has acknowledged', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    client.send('b');
    const lost = await request('POST');
    stream.end();
    (await request('GET')).hello({ resumed: true, received: 1 });
    await waitFor(() => client.bufferedAmount === 3);
    lost.fail();
    expect((await request('POST')).body).toMatchObject({ id: 1, messages: ['b'] });
  });

  it('acknowledges received messages when ackAfter.messages is reached', async () => {
    const { stream, next: request } = await startOpen(); // 3 messages or 1,000 bytes
    stream.write(message(1) + message(2) + message(3));
    expect((await request('POST')).body).toMatchObject({ id: 0, ack: 3, messages: [] });
  });

  it('is sent when none was sent for ackAfter.idle', async () => {
    useFakeTimeouts();
    const { client, stream, next: request } = await startOpen();
    const received = messagesOf(client);
    for (let i = 1; i <= 4; i++) {
      jest.advanceTimersByTime(999);
      stream.write(message(i));
      await waitFor(() => received.length === i);
      if (i === 3) (await request('POST')).answer(200, { received: 0 }); // an acknowledgement
    }
    for (let i = 0; i < 5; i++) await turn();
    for (let i = 0; i < 4; i++) {
      jest.advanceTimersByTime(1_000);
      stream.write(':\n\n');
      for (let j = 0; j < 5; j++) await turn();
    }
    expect((await request('POST')).body).toMatchObject({ ack: 4, messages: [] });
  });

  it.each(['bad-request', 'forbidden', 'content-too-large', 'unsupported-media-type'])(
    'closes the client with the unacknowledged messages after the error code %s',
    async (code) => {
      const { client, next: request } = await startOpen();
      client.send('a');
      client.send({ b: 1 });
      const closed = next(client, 'close');
      (await request('POST')).answer(400, { code, message: 'no' });
      expect(await closed).toMatchObject({
        reason: 'no',
        wasClean: false,
        unacknowledged: ['a', { b: 1 }],
      });
    },
  );

  it('closes the client as the server did after the error code session-closed', async () => {
    const { client, next: request } = await startOpen();
    client.send('a');
    const closed = next(client, 'close');
    const end = { close: { code: 4000, reason: 'bye' } };
    (await request('POST')).answer(410, { code: 'session-closed', message: 'closed', ...end });
    expect(await closed).toMatchObject({
      code: 4000,
      reason: 'bye',
      wasClean: false,
      unacknowledged: ['a'],
    });
  });

  it('renews the session without sending anything again after the error code unknown-session', async () => {
    const { client, get, next: request } = await startOpen();
    const resets = eventsOf(client, 'sessionlost');
    client.send('a');
    (await request('POST')).answer(404, { code: 'unknown-session', message: 'unknown' });
    const again = await request('GET');
    expect(resets).toMatchObject([{ unacknowledged: ['a'], reason: 'unknown' }]);
    expect(get.isAborted()).toBe(true);
    expect(again.headers).not.toHaveProperty('last-event-id');
    expect(again.url.searchParams.get('sseClientId')).not.toBe(
      get.url.searchParams.get('sseClientId'),
    );
    expect([client.readyState, client.bufferedAmount]).toEqual([0, 0]);
    again.hello({ token: 'SECOND' });
    await next(client, 'open');
    client.send('b');
    expect((await request('POST')).body).toMatchObject({ token: 'SECOND', id: 0, messages: ['b'] });
  });

  it('has no effect when its response arrives after the end of the session', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    const late = await request('POST');
    stream.end();
    const lost = next(client, 'sessionlost');
    (await request('GET')).answer(404, { code: 'unknown-session', message: 'unknown' });
    expect((await lost).unacknowledged).toEqual(['a']);
    (await request('GET')).hello({ token: 'SECOND' });
    await next(client, 'open');
    const resets = eventsOf(client, 'sessionlost');
    late.answer(404, { code: 'unknown-session', message: 'unknown' });
    for (let i = 0; i < 5; i++) await turn();
    client.send('b');
    const { body } = await request('POST');
    expect(body).toMatchObject({ token: 'SECOND', id: 0, messages: ['b'] });
    expect([client.readyState, client.bufferedAmount, resets]).toEqual([1, 3, []]);
  });
});

describe('The close of an SseClient', () => {
  it('is repeated until the server has acknowledged it', async () => {
    const { client, next: request } = await startOpen();
    const closed = next(client, 'close');
    client.send('last');
    client.close(4001, 'done');
    (await request('POST')).fail();
    const second = await request('POST');
    expect(second.body).toEqual({
      token: 'TOKEN',
      id: 0,
      ack: 0,
      messages: ['last'],
      close: { code: 4001, reason: 'done' },
    });
    second.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ code: 4001, wasClean: true, unacknowledged: [] });
  });

  it('is sent with the last batch', async () => {
    const { client, next: request } = await startOpen(); // maxPayload 100
    for (let i = 0; i < 4; i++) client.send('x'.repeat(40));
    client.close();
    const first = await request('POST');
    expect(first.body).toMatchObject({ messages: { length: 2 } });
    expect(first.body).not.toHaveProperty('close');
    first.answer(200, { received: 2 });
    expect((await request('POST')).body).toMatchObject({
      id: 2,
      close: { code: 1000, reason: '' },
    });
  });

  it('ends after 10 s without a response, with the unacknowledged messages', async () => {
    useFakeTimeouts();
    const { client, next: request } = await startOpen({}, { heartbeat: 100_000 });
    const closes = eventsOf(client, 'close');
    client.send('a');
    client.close();
    await request('POST');
    jest.advanceTimersByTime(9_999);
    await turn();
    expect(closes).toEqual([]);
    jest.advanceTimersByTime(1);
    await waitFor(() => closes.length > 0);
    expect(closes[0]).toMatchObject({ code: 1000, wasClean: false, unacknowledged: ['a'] });
  });

  it('is sent again when a cache answers with the response to an earlier POST', async () => {
    const { client, next: request } = await startOpen({ backoff: () => 0 });
    const closed = next(client, 'close');
    client.send('a');
    client.close();
    (await request('POST')).answer(200, { received: 1, closed: undefined });
    const again = await request('POST');
    expect(again.body).toMatchObject({ id: 1, messages: [], close: { code: 1000 } });
    again.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ code: 1000, wasClean: true, unacknowledged: [] });
  });

  it('is not clean when the server does not respond', async () => {
    useFakeTimeouts();
    const { client } = await startOpen({}, { heartbeat: 100_000 });
    const closes = eventsOf(client, 'close');
    client.close();
    jest.advanceTimersByTime(10_000);
    await waitFor(() => closes.length > 0);
    expect(closes[0]).toMatchObject({ code: 1000, wasClean: false, unacknowledged: [] });
  });

  it('completes at once and leaves no timer when a POST is rejected with a final code', async () => {
    const { client, next: request } = await startOpen();
    useFakeTimeouts();
    client.send('a');
    client.close(4001, 'done');
    const closed = next(client, 'close');
    (await request('POST')).answer(413, { code: 'content-too-large', message: 'too large' });
    expect(await closed).toMatchObject({ code: 4001, wasClean: false, unacknowledged: ['a'] });
    await turn();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('leads to no further stream when it comes during the back-off', async () => {
    const { client, stream, next: request, waiting } = await startOpen({ backoff: () => 1_000 });
    client.send('a');
    const post = await request('POST');
    useFakeTimeouts();
    stream.end();
    await next(client, 'disconnect');
    const closed = next(client, 'close');
    post.answer(410, {
      code: 'session-closed',
      message: 'closed',
      close: { code: 4000, reason: 'bye' },
    });
    await closed;
    await turn();
    expect([waiting(), jest.getTimerCount()]).toEqual([0, 0]);
  });
});

describe('The close event of a server', () => {
  const restart = 'event: close\ndata: {"code":1012,"reason":"","retry":50}\n\n';

  it('leads to one sessionlost event, with its code, when the next server does not know the session', async () => {
    const { client, stream, next: request } = await startOpen();
    const resets = eventsOf(client, 'sessionlost');
    const errors = eventsOf(client, 'error');
    client.send('a');
    const post = await request('POST');
    stream.write(restart);
    stream.end();
    await turn();
    post.answer(404, { code: 'unknown-session', message: 'unknown' });
    const again = await request('GET');
    expect(resets).toMatchObject([
      { code: 1012, reason: '', wasClean: false, unacknowledged: ['a'] },
    ]);
    expect(errors).toEqual([]);
    again.hello({ token: 'SECOND' });
    await next(client, 'open');
    client.send('b');
    (await request('POST')).answer(200, { received: 1 });
    await waitFor(() => client.bufferedAmount === 0);
    expect(resets).toHaveLength(1);
  });

  it('determines the code when the response to a closing POST of the client arrives after it', async () => {
    const { client, stream, next: request } = await startOpen();
    const closed = next(client, 'close');
    client.close(4001, 'client');
    const post = await request('POST');
    stream.write('event: close\ndata: {"code":4002,"reason":"server"}\n\n');
    stream.end();
    for (let i = 0; i < 5; i++) await turn();
    post.answer(200, { received: 0 });
    expect(await closed).toMatchObject({ code: 4002, reason: 'server', wasClean: true });
  });

  it('keeps its code when the client is closed before a new session is open, and none is opened', async () => {
    const { client, stream, next: request, waiting } = await startOpen();
    const closed = next(client, 'close');
    client.send('a');
    const post = await request('POST');
    stream.write(restart);
    stream.end();
    for (let i = 0; i < 5; i++) await turn();
    client.close(4001, 'client');
    expect(client.readyState).toBe(2);
    post.answer(200, { received: 1 });
    const last = await request('POST');
    expect(last.body).toMatchObject({ close: { code: 1012, reason: '' } });
    last.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ code: 1012, reason: '', wasClean: true });
    await turn();
    expect(waiting()).toBe(0);
  });

  it('is not clean when the server has not received a message', async () => {
    const { client, stream, next: request } = await startOpen();
    client.send('a');
    stream.write('event: close\ndata: {"code":1008,"reason":"slow"}\n\n');
    const closed = next(client, 'close');
    (await request('POST')).answer(200, { received: 0 });
    (await request('POST')).answer(200, { received: 0 });
    expect(await closed).toMatchObject({
      code: 1008,
      reason: 'slow',
      wasClean: false,
      unacknowledged: ['a'],
    });
  });
});

describe('An SseClient on a page', () => {
  let page: ReturnType<typeof openPage>;
  beforeEach(() => (page = openPage()));
  afterEach(() => page.leave());

  it('sends what is left and code 1001 in a keepalive request when the page is left', async () => {
    const { client, next: request } = await startOpen({}, { heartbeat: 1_000_000 });
    client.send('a');
    await request('POST'); // under way, and not given up for 25 minutes
    client.send('b');
    page.dispatch('pagehide', { persisted: false });
    const { init, body } = await request('POST');
    expect(init.keepalive).toBe(true);
    expect(body).toMatchObject({ id: 0, messages: ['a', 'b'], close: { code: 1001 } });
  });

  it('sends the code and reason of the close that is under way when the page is left', async () => {
    const { client, next: request } = await startOpen();
    client.send('bye');
    client.close(4001, 'logout');
    await request('POST'); // is lost with the page
    page.dispatch('pagehide', { persisted: false });
    const { init, body } = await request('POST');
    expect(init.keepalive).toBe(true);
    expect(body).toMatchObject({ messages: ['bye'], close: { code: 4001, reason: 'logout' } });
  });

  it.each([
    ['60,000 bytes', 200_000, 60_000, 2],
    ["the server's maxPayload", 30_000, 30_000, 1],
  ])(
    'sends at most %s of messages in the last request of the page',
    async (_, maxPayload, limit, count) => {
      const { client, next: request } = await startOpen({}, { maxPayload });
      for (let i = 0; i < 4; i++) client.send('x'.repeat(20_000));
      await request('POST');
      page.dispatch('pagehide', { persisted: false });
      const { init, body } = await request('POST');
      expect(body).toMatchObject({ messages: { length: count } });
      expect(body).not.toHaveProperty('close'); // messages are left
      expect((init.body as string).length).toBeLessThan(limit);
    },
  );

  it('closes its stream for the back/forward cache and reconnects when the page is back', async () => {
    const { client, get, next: request, waiting } = await startOpen();
    const closes = eventsOf(client, 'close');
    const lost = next(client, 'disconnect');
    page.dispatch('pagehide', { persisted: true });
    expect((await lost).reason).toContain('pagehide');
    expect(get.isAborted()).toBe(true);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    page.dispatch('pageshow', { persisted: true });
    const again = await request('GET');
    expect(again.headers['last-event-id']).toBe('TOKEN.0');
    again.hello({ resumed: true });
    await next(client, 'reconnect');
    expect(closes).toEqual([]);
  });

  it('reconnects when the page is back before its reader has read what arrived before', async () => {
    const { client, stream, next: request } = await startOpen();
    const reader = client.stream.getReader();
    stream.write(message('a') + message('b'));
    await next(client, 'message');
    await turn();
    page.dispatch('pagehide', { persisted: true });
    page.dispatch('pageshow', { persisted: true });
    expect(await reader.read()).toMatchObject({ value: 'a' });
    expect(await reader.read()).toMatchObject({ value: 'b' });
    void reader.read();
    expect((await request('GET')).headers['last-event-id']).toBe('TOKEN.2');
  });

  it('retries at once when the network is back', async () => {
    const { client, stream, next: request } = await startOpen({ backoff: () => 1_000_000 });
    client.send('a');
    (await request('POST')).fail();
    const lost = next(client, 'disconnect');
    stream.fail();
    await lost;
    for (let i = 0; i < 5; i++) await turn();
    page.dispatch('online');
    (await request('GET')).hello({ resumed: true });
    expect((await request('POST')).body).toMatchObject({ id: 0, messages: ['a'] });
  });

  it.each([
    [2, 'the network is back', 'online', {}],
    [2, 'the page is restored', 'pageshow', { persisted: true }],
    [0, 'the page has loaded', 'pageshow', { persisted: false }],
  ])('sends %i of 2 requests that wait for Retry-After when %s', async (count, _, type, fields) => {
    const { client, stream, next: request, waiting } = await startOpen();
    client.send('a');
    (await request('POST')).answer(503, {}, { 'Retry-After': '1000' });
    stream.end();
    const failed = next(client, 'error');
    (await request('GET')).answer(503, {}, { 'Retry-After': '1000' });
    await failed;
    for (let i = 0; i < 5; i++) await turn();
    page.dispatch(type, fields);
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(count);
    page.dispatch('online'); // so that the client can close
  });

  it('ignores events of the page after it was closed', async () => {
    const { client, next: request, waiting } = await startOpen();
    const closed = next(client, 'close');
    client.close();
    (await request('POST')).answer(200, { received: 0 });
    await closed;
    page.dispatch('pagehide', { persisted: false });
    page.dispatch('online');
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
  });
});
