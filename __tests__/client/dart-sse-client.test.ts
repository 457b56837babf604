import { openChannel } from '../helpers/channel';
import { eventsOf, messagesOf, next, openClient } from '../helpers/client';
import { openDartServer } from '../helpers/dart-server';
import { waitFor } from '../helpers/wait-for';

async function openOnDart() {
  const dart = await openDartServer();
  const client = openClient(dart.url);
  await next(client, 'open');
  return { dart, client };
}

describe("the client on Dart's server", () => {
  it('gets what the server sends', async () => {
    const { dart, client } = await openOnDart();
    const messages = messagesOf(client);
    dart.send('a');
    dart.send('ü\n');
    await waitFor(() => messages.length === 2);
    expect(messages).toEqual(['a', 'ü\n']);
  });

  it('sends one message a POST, numbered from 0, each once', async () => {
    const { dart, client } = await openOnDart();
    const texts = Array.from({ length: 20 }, (_, i) => `text ${i}`);
    texts.forEach((text) => client.send(text));
    await waitFor(() => dart.received.length === 20);
    expect(dart.received).toEqual(texts);
    expect(dart.numbers).toEqual(texts.map((_, i) => i));
    await waitFor(() => client.bufferedAmount === 0);
  });

  it('keeps what is sent before it knows the dialect', async () => {
    const dart = await openDartServer();
    const client = openClient(dart.url);
    client.send('early');
    await waitFor(() => dart.received.length === 1);
    expect(dart.numbers).toEqual([0]);
  });

  it('goes on counting over streams', async () => {
    const { dart, client } = await openOnDart();
    client.send('a');
    await waitFor(() => dart.received.length === 1);
    const lost = eventsOf(client, 'disconnect');
    const back = next(client, 'reconnect');
    dart.cut();
    await back;
    expect([lost.length, dart.streams()]).toEqual([1, 2]);
    client.send('b');
    await waitFor(() => dart.received.length === 2);
    expect(dart.numbers).toEqual([0, 1]);
    const messages = messagesOf(client);
    dart.send('still here');
    await waitFor(() => messages.length === 1);
  });

  it('ends by control: close', async () => {
    const { dart, client } = await openOnDart();
    const closed = next(client, 'close');
    dart.close();
    expect(await closed).toMatchObject({ code: 1000, wasClean: true });
  });

  it("ends when a POST fails, as Dart's client does: it would be delivered twice", async () => {
    const { dart, client } = await openOnDart();
    dart.refuse();
    const closed = next(client, 'close');
    client.send('a');
    client.send('b');
    expect(await closed).toMatchObject({ code: 1006, wasClean: false });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(dart.numbers).toEqual([0]);
  });

  it('sends all before it closes, and tells the server nothing of the end', async () => {
    const { dart, client } = await openOnDart();
    const closed = next(client, 'close');
    client.send('a');
    client.send('b');
    client.close();
    expect(await closed).toMatchObject({ code: 1000, unacknowledged: [] });
    expect(dart.received).toEqual(['a', 'b']);
  });

  it('closes at once when nothing is left', async () => {
    const { client } = await openOnDart();
    const closed = next(client, 'close');
    client.close(4000, 'bye');
    expect(await closed).toMatchObject({ code: 4000, reason: 'bye', unacknowledged: [] });
  });
});

describe("a client of the base dialect on this package's server", () => {
  it('is any EventSource with fetch', async () => {
    // The other half of the proof is in __tests__/server/session.base.test.ts.
    const { url, sse } = await openChannel();
    const base = openClient(url, {
      fetch: (target, init) => fetch(target.replace('&sseProtocol=2', ''), init),
    });
    await next(base, 'open');
    const connection = [...sse.connections][0]!;
    const [up, down] = [[] as unknown[], messagesOf(base)];
    connection.on('message', (message) => up.push(message));
    base.send('a');
    base.send('b');
    connection.send('c');
    await waitFor(() => up.length === 2 && down.length === 1);
    expect([up, down]).toEqual([['a', 'b'], ['c']]);
    const closed = next(base, 'close');
    connection.close();
    expect((await closed).code).toBe(1000);
  });
});
