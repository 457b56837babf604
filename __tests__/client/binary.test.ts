import { eventsOf, messagesOf, next } from '../helpers/client';
import { turn } from '../helpers/fake-timeouts';
import { HELLO } from '../helpers/scripted-fetch';
import { start, startOpen } from '../helpers/scripted-client';

const BINARY = { binary: true, maxPayload: 1_000 };

/** A Blob whose bytes can be read only after `finish` was called. */
function slowBlob(bytes: Uint8Array<ArrayBuffer>) {
  const blob = new Blob([bytes]);
  let finish!: (error?: Error) => void;
  const isFinished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });
  blob.arrayBuffer = () => isFinished.then(() => bytes.buffer);
  return { blob, finish };
}

describe('SseClient, sending bytes', () => {
  it('asks for binary messages with each GET', async () => {
    const { next: request } = start();
    const get = await request('GET');
    expect(get.url.searchParams.get('sseBinary')).toBe('1');
  });

  it('sends them as base64, with the list of their indices, in order among other messages', async () => {
    const { client, next: request } = await startOpen({}, BINARY);
    client.send('a');
    client.send(Uint8Array.of(1, 2, 3).subarray(1));
    client.send({ b: 1 });
    client.send(new ArrayBuffer(1));
    const post = await request('POST');
    expect(post.body).toMatchObject({ messages: ['a', 'AgM=', { b: 1 }, 'AA=='], binary: [1, 3] });
    post.answer(200, { received: 4 });
    client.send('c');
    expect((await request('POST')).body).not.toHaveProperty('binary');
  });

  it('copies them: a later change of the array has no effect', async () => {
    const { client, next: request } = await startOpen({}, BINARY);
    const bytes = Uint8Array.of(1);
    client.send(bytes);
    bytes[0] = 2;
    expect((await request('POST')).body).toMatchObject({ messages: ['AQ=='] });
  });

  it('reads a Blob before it sends it and the messages after it', async () => {
    const { client, next: request, waiting } = await startOpen({}, BINARY);
    const { blob, finish } = slowBlob(Uint8Array.of(1));
    client.send('a');
    client.send(blob);
    client.send('b');
    expect(client.bufferedAmount).toBe(3 + 6 + 3); // base64 in quotes
    const first = await request('POST');
    expect(first.body).toMatchObject({ messages: ['a'] });
    first.answer(200, { received: 1 });
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    finish();
    expect((await request('POST')).body).toMatchObject({
      id: 1,
      messages: ['AQ==', 'b'],
      binary: [0],
    });
  });

  it('closes only after a Blob is sent', async () => {
    const { client, next: request, waiting } = await startOpen({}, BINARY);
    const closed = next(client, 'close');
    const { blob, finish } = slowBlob(Uint8Array.of(1));
    client.send(blob);
    client.close(4000, 'done');
    for (let i = 0; i < 5; i++) await turn();
    expect(waiting()).toBe(0);
    finish();
    const post = await request('POST');
    expect(post.body).toMatchObject({ messages: ['AQ=='], close: { code: 4000 } });
    post.answer(200, { received: 1 });
    expect(await closed).toMatchObject({ code: 4000, wasClean: true });
  });

  it('closes with code 1006 and the messages that were not sent if a Blob cannot be read', async () => {
    const { client } = await startOpen({}, BINARY);
    const errors = eventsOf(client, 'error');
    const closed = next(client, 'close');
    const { blob, finish } = slowBlob(Uint8Array.of(1));
    client.send(blob);
    client.send('after');
    finish(new Error('the file was deleted'));
    const reason = 'cannot read a Blob: Error: the file was deleted';
    expect(await closed).toMatchObject({ code: 1006, reason, unacknowledged: [blob, 'after'] });
    expect(errors).toMatchObject([{ message: reason }]);
  });

  it('returns bytes that were not acknowledged as an ArrayBuffer', async () => {
    const { client, next: request } = await startOpen({}, BINARY);
    const closed = next(client, 'close');
    client.send(Uint8Array.of(1, 2));
    const error = { code: 'session-closed', message: 'closed', close: { code: 4001, reason: '' } };
    (await request('POST')).answer(410, error);
    const { unacknowledged } = await closed;
    expect(Buffer.from(unacknowledged[0] as ArrayBuffer)).toEqual(Buffer.of(1, 2));
  });

  it('throws a RangeError for bytes whose base64 and index exceed maxPayload', async () => {
    const { client } = await startOpen({}, { ...BINARY, maxPayload: '"AAAA","binary":[0]'.length });
    client.send(new Uint8Array(3));
    expect(() => client.send(new Uint8Array(4))).toThrow(
      new RangeError("cannot send: 23 bytes exceed the server's maxPayload, 19"),
    );
  });
});

describe('SseClient, with a server that does not accept binary messages', () => {
  const reason = 'cannot send: the server accepts only JSON';

  it('throws a TypeError for bytes, and stays open', async () => {
    const { client, next: request } = await startOpen();
    expect(() => client.send(new Uint8Array(1))).toThrow(new TypeError(reason));
    client.send('text');
    expect((await request('POST')).body).toMatchObject({ messages: ['text'] });
  });

  it('closes with 1003 if bytes were sent before the session was open', async () => {
    const { client, next: request } = start();
    const closed = next(client, 'close');
    const errors = eventsOf(client, 'error');
    client.send(new Uint8Array(1));
    (await request('GET')).hello(HELLO);
    const close = await closed;
    expect(close).toMatchObject({ code: 1003, reason, wasClean: false });
    expect(close.unacknowledged).toHaveLength(1);
    expect(errors).toMatchObject([{ message: reason }]);
  });
});

describe('SseClient, receiving bytes', () => {
  it('dispatches them as an ArrayBuffer, in order among other messages', async () => {
    const { client, stream } = await startOpen({}, BINARY);
    const received = messagesOf(client);
    const last = new Promise(
      (resolve) => (client.onmessage = ({ data }) => data === 3 && resolve(0)),
    );
    stream.write("data: 1\n\ndata: =AAH/\n\ndata: 'as it is\n\ndata: 3\n\n");
    await last;
    expect(received[0]).toBe(1);
    expect(Buffer.from(received[1] as ArrayBuffer)).toEqual(Buffer.of(0, 1, 255));
    expect(received.slice(2)).toEqual(['as it is', 3]);
  });

  it('aborts a stream with invalid base64, and requests the message again', async () => {
    const { client, stream, next: request } = await startOpen({}, BINARY);
    const received = messagesOf(client);
    stream.write('data: 1\n\ndata: =A\n\ndata: 3\n\n');
    const get = await request('GET');
    expect(get.headers['last-event-id']).toBe('TOKEN.1');
    expect(received).toEqual([1]);
  });
});
