import { openPoster, openStream } from './socket.mjs';

const JSON_TYPE = 'application/json';

/**
 * The request formats of the peers. `ready` matches the text with which a stream is open; its first
 * group becomes the client's `key`. `post` returns the path and the body of a POST.
 */
export const byHand = {
  type: JSON_TYPE,
  path: ({ id }) => `/events?id=${id}`,
  ready: /\r\n\r\n/,
  post: ({ id }, message) => [`/events?id=${id}`, JSON.stringify(message)],
  resumption: () => ({ 'Last-Event-ID': '0' }),
};

export const sockjs = {
  type: 'text/plain',
  path: ({ id }) => `/sockjs/000/${id}/eventsource`,
  ready: /data: o/,
  post: ({ id }, message) => [
    `/sockjs/000/${id}/xhr_send`,
    JSON.stringify([JSON.stringify(message)]),
  ],
};

export const mcp = {
  type: JSON_TYPE,
  path: () => '/sse',
  ready: /data: (\S+sessionId=\S+)\n/,
  post: ({ key }, params) => [key, JSON.stringify({ jsonrpc: '2.0', method: 'message', params })],
};

const envelope = ({ key, sent, received }, rest) =>
  JSON.stringify({ token: key, id: sent, ack: received, messages: [], ...rest });

export const duplex = {
  type: 'text/plain;charset=UTF-8',
  path: ({ id }) => `/sse?sseClientId=${id}&sseProtocol=2&sseBinary=1`,
  ready: /"token":"([\w-]+)".*\n/,
  post: (client, ...messages) => [`/sse?sseClientId=${client.id}`, envelope(client, { messages })],
  resumption: ({ key }) => ({ 'Last-Event-ID': `${key}.0` }),
  /** When the package's client acknowledges: after so many messages or bytes, or ms without a POST. */
  ackAfter: { messages: 2048, bytes: 256 * 1024, idle: 60_000 },
  ack: (client) => [`/sse?sseClientId=${client.id}`, envelope(client)],
  close: (client) => [
    `/sse?sseClientId=${client.id}`,
    envelope(client, { close: { code: 1000, reason: '' } }),
  ],
};

/**
 * Returns a function that opens a client: an event stream, and a connection for its POSTs.
 *
 * @param acks whether it acknowledges.
 * @param postOrigin returns where its POSTs go, if that is another server.
 */
export const eventStream =
  (dialect, { acks = true, postOrigin = (origin) => origin } = {}) =>
  async (origin, id, onMessages) => {
    const client = { id, key: '', sent: 0, received: 0 };
    const acknowledges = acks && dialect.ackAfter !== undefined;
    let poster;
    /** A fraction of the acknowledgement budget. Random, so that clients do not acknowledge all at once. */
    let unacked = Math.random();
    let posting = Promise.resolve();
    /** Sends one POST at a time. `compose` is called when the POST before it has been answered. */
    const post = (compose) =>
      (posting = posting.then(() => {
        poster ??= openPoster(postOrigin(origin), dialect.type);
        return poster.post(...compose());
      }));

    const openAgain = (headers) =>
      openStream(origin, dialect.path(client), headers, dialect.ready, (count, bytes) => {
        client.received += count;
        onMessages(count);
        if (acknowledges) acknowledge(count, bytes);
      });
    function acknowledge(count, bytes) {
      unacked += count / dialect.ackAfter.messages + bytes / dialect.ackAfter.bytes;
      if (unacked < 1) return;
      unacked = 0;
      void post(() => dialect.ack(client));
    }
    /** Without a POST now and then, the server would close the session while others are measured. */
    let keepAliveTimer;
    function startKeepAlive() {
      const keepAlive = () => void post(() => dialect.ack(client)).then(startKeepAlive);
      keepAliveTimer = setTimeout(keepAlive, dialect.ackAfter.idle * (0.5 + Math.random() / 2));
    }
    let stream = await openAgain({});
    client.key = stream.key;
    if (acknowledges) startKeepAlive();

    return {
      /** Sends messages in one POST; only the duplex dialect has room for more than one. */
      send: (...messages) =>
        post(() => dialect.post(client, ...messages)).then(() => {
          client.sent += messages.length;
        }),
      /** Resolves when all POSTs have been answered. */
      settled: () => posting,
      /** Opens another stream, on which the server sends all messages again. */
      async resume() {
        const older = stream;
        client.received = 0;
        stream = await openAgain(dialect.resumption(client));
        older.cut();
      },
      async close() {
        if (dialect.close) await post(() => dialect.close(client));
        this.cut(); // after the POST, because a POST before it may have set the timer again
      },
      cut() {
        clearTimeout(keepAliveTimer);
        stream.cut();
        poster?.cut();
      },
    };
  };
