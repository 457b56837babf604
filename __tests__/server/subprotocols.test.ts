import { addressOf, openChannel, openDuplex } from '../helpers/channel';
import { openStream, sendRequest } from '../helpers/http';
import { waitFor } from '../helpers/wait-for';

const offer = (value: string) => ({ 'Sse-Subprotocols': value });

describe('handleProtocols', () => {
  it('chooses from what the client offers, in its order', async () => {
    const { sse, url, connections } = await openChannel();
    const calls: unknown[] = [];
    sse.handleProtocols = (protocols, request) => {
      calls.push([[...protocols], request.method]);
      return 'second';
    };
    const { hello } = await openDuplex(url, 'a', offer('first,  second'));
    expect(hello).toMatchObject({ subprotocol: 'second' });
    expect(connections[0]!.subprotocol).toBe('second');
    expect(calls).toEqual([[['first', 'second'], 'GET']]);
  });

  it.each([
    ['false', false as const],
    ['a name that was not offered', 'other'],
  ])('chooses none with %s', async (_, result) => {
    const { sse, url, connections } = await openChannel();
    sse.handleProtocols = () => result;
    const { hello } = await openDuplex(url, 'a', offer('one'));
    expect(hello).not.toHaveProperty('subprotocol');
    expect(connections[0]!.subprotocol).toBe('');
  });

  it('is not called for clients that offer nothing, nor for reconnections', async () => {
    const { sse, url } = await openChannel();
    let calls = 0;
    sse.handleProtocols = () => {
      calls++;
      return 'one';
    };
    await openDuplex(url, 'a');
    const client = await openDuplex(url, 'b', offer('one'));
    const stream = await client.resume(0);
    expect(await stream.takeData()).toMatchObject({ resumed: true, subprotocol: 'one' });
    expect(calls).toBe(1);
  });

  it('passes its exception to the error handler of the application', async () => {
    const { sse, url } = await openChannel({}, () => {});
    sse.handleProtocols = () => {
      throw Object.assign(new Error('of the application'), { status: 418 });
    };
    const address = `${addressOf(url, 'a')}&sseProtocol=2`;
    const { status } = await sendRequest(address, { headers: offer('one') });
    expect([status, sse.connections.size]).toEqual([418, 0]);
  });

  it('throws before a session of the Dart dialect is replaced, which then continues', async () => {
    const { sse, url, connections } = await openChannel({}, () => {});
    const stream = await openStream(addressOf(url, 'a'));
    const { id } = await stream.take();
    stream.cut();
    await waitFor(() => !connections[0]!.connected);
    sse.handleProtocols = () => {
      throw Object.assign(new Error('of the application'), { status: 418 });
    };
    expect((await sendRequest(addressOf(url, 'a'), { headers: offer('one') })).status).toBe(418);
    const resumed = await openStream(addressOf(url, 'a'), { 'Last-Event-ID': id! });
    expect(await resumed.take()).toMatchObject({ event: 'hello', id });
  });

  it('rejects a list of something else than names with 400', async () => {
    const { url } = await openChannel();
    const address = `${addressOf(url, 'a')}&sseProtocol=2`;
    const { status, text } = await sendRequest(address, { headers: offer('one two') });
    expect(status).toBe(400);
    expect(text).toContain('Sse-Subprotocols');
  });
});

describe('The option subpaths', () => {
  it('serves paths below the path, which the request contains', async () => {
    const { url, connections } = await openChannel({ subpaths: true });
    await openDuplex(`${url}/room-1/a`);
    await openDuplex(url, 'b');
    const paths = connections.map(({ request }) => request.url.split('?')[0]);
    expect(paths).toEqual(['/sse/room-1/a', '/sse']);
    expect((await sendRequest(`${url}/client.js`)).headers['content-type']).toMatch('javascript');
    expect((await sendRequest(`${url}-other`)).status).toBe(404);
  });

  it('is off by default', async () => {
    const { url } = await openChannel();
    const { status } = await openStream(`${addressOf(`${url}/room-1`, 'a')}&sseProtocol=2`);
    expect(status).toBe(404);
  });
});
