import { openPoster, openStream } from './socket.mjs';

const JSON_TYPE = 'application/json';

/**
 * How each peer's requests look. `ready` ends the opening of a stream, and its group is the `key` of
 * its POSTs; `post` returns a POST's path and body.
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
  path: ({ id }) => `/sse?sseClientId=${id}&sseProtocol=2`,
  ready: /"token":"([\w-]+)".*\n/,
  post: (client, message) => [
    `/sse?sseClientId=${client.id}`,
    envelope(client, { messages: [message] }),
  ],
  resumption: ({ key }) => ({ 'Last-Event-ID': `${key}.0` }),
  /** As the package's client does: what it owes when it has received so much, or after a while. */
  ackAfter: { messages: 2048, bytes: 256 * 1024, idle: 60_000 },
  ack: (client) => [`/sse?sseClientId=${client.id}`, envelope(client)],
  goodbye: (client) => [
    `/sse?sseClientId=${client.id}`,
    envelope(client, { close: { code: 1000, reason: '' } }),
  ],
};

/** Returns the function that opens a client of a dialect: a stream, and a connection for POSTs. */
export const eventStream =
  (dialect, { acks = true } = {}) =>
  async (origin, id, onMessages) => {
    const client = { id, key: '', sent: 0, received: 0 };
    const acknowledges = acks && dialect.ackAfter !== undefined;
    let poster;
    /** As they are in life, clients are not all due at once. */
    let unacked = Math.random();
    let posting = Promise.resolve();
    /** One at a time; what it says is written when its turn comes. */
    const post = (compose) =>
      (posting = posting.then(() => {
        poster ??= openPoster(origin, dialect.type);
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
    /** Without a sign of life its server would take it for gone, while others are measured. */
    let life;
    function live() {
      const showLife = () => void post(() => dialect.ack(client)).then(live);
      life = setTimeout(showLife, dialect.ackAfter.idle * (0.5 + Math.random() / 2));
    }
    let stream = await openAgain({});
    client.key = stream.key;
    if (acknowledges) live();

    return {
      send: (message) =>
        post(() => dialect.post(client, message)).then(() => {
          client.sent++;
        }),
      /** All POSTs are answered. */
      settled: () => posting,
      /** Opens another stream, that has all messages again. */
      async resume() {
        const older = stream;
        client.received = 0;
        stream = await openAgain(dialect.resumption(client));
        older.cut();
      },
      async close() {
        if (dialect.goodbye) await post(() => dialect.goodbye(client));
        this.cut(); // last: a sign of life that was under way has set the next
      },
      cut() {
        clearTimeout(life);
        stream.cut();
        poster?.cut();
      },
    };
  };
