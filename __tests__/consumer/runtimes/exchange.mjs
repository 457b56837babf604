const TYPES = ['open', 'error', 'disconnect', 'reconnect', 'sessionlost', 'close'];

/**
 * Exchanges 100 messages with a server that cuts all connections in the middle. Returns what has happened.
 *
 * @param SseClient the class.
 * @param url the URL of the middleware.
 * @param options of the client.
 */
export async function exchange(SseClient, url, options = {}) {
  const client = new SseClient(url, { backoff: () => 20, ...options });
  const events = [];
  const received = [];
  let handled = 0;
  for (const type of TYPES) client.addEventListener(type, () => events.push(type));
  client.addEventListener('message', ({ data }) => received.push(data));
  client.onmessage = () => handled++;

  await until(() => received.length === 1);
  for (let n = 0; n < 50; n++) client.send(n);
  client.send('cut');
  for (let n = 50; n < 100; n++) client.send(n);
  await until(() => received.length >= 101);

  const closed = new Promise((resolve) => (client.onclose = resolve));
  client.close(3000, 'done');
  const { code, reason, wasClean } = await closed;
  const [welcome, ...echoes] = received;
  const isInOrder = echoes.every(({ echo }, index) => echo === index);
  return { welcome, echoes: echoes.length, isInOrder, handled, events, code, reason, wasClean };
}

async function until(condition) {
  const start = Date.now();
  while (!condition()) {
    if (Date.now() - start > 10_000) throw new Error('nothing more has arrived for 10 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
