import { byHand, duplex, page, socketIo } from '../clients/page.mjs';
import { peers as all } from '../peers.mjs';

export const title =
  'One client in Chromium, 100 messages per turn; then 1,000 messages of 1 KiB per second for 5 s while the page draws';
export const reference = 'socket.io websocket';
export const peers = {
  'EventSource + fetch': { ...all.raw, open: page(byHand) },
  'socket.io websocket': { ...all['socket.io websocket'], open: page(socketIo) },
  'sse-duplex': { ...all['sse-duplex'], open: page(duplex) },
};

export async function prepare(testbed) {
  await testbed.grow(1);
}

export async function round(testbed, size) {
  const [client] = testbed.clients;
  const receivedCount = size(20_000, 2000);
  const receiving = await secondsOf(() =>
    Promise.all([
      testbed.call('broadcast', { messages: receivedCount, perTurn: 100 }),
      client.arrival(receivedCount),
    ]),
  );
  // A client that needs one POST per message sends fewer: the figure is a rate, and each takes longer.
  const sent = size(20_000, 2000) / (client.onePerPost ? 20 : 1);
  const { received } = await testbed.call('sample');
  const sending = await secondsOf(() =>
    Promise.all([
      client.send(sent),
      testbed.call('waitFor', { name: 'received', value: received + sent }),
    ]),
  );
  const drawing = await measureDrawing(testbed, size(5, 1));
  await client.arrival(0); // fails if a message arrived twice
  return {
    'received per second': receivedCount / receiving,
    'sent per second': sent / sending,
    ...drawing,
  };
}

/** Seconds that the last messages of a steady pace may take to arrive and to be counted. */
const LAG = 0.2;

/** Measures how much time a page has for its own work while messages arrive at a steady pace. */
async function measureDrawing(testbed, seconds) {
  const [client] = testbed.clients;
  const pace = { turns: seconds * 100, interval: 10, perTurn: 10, bytes: 1024 };
  let rate = 0;
  let frames;
  const cpu = await client.cpuOf(async () => {
    frames = await client.drawing(async () => {
      let messages = 0;
      const lasted = await secondsOf(async () => {
        const sentAt = await testbed.call('pace', pace);
        messages = sentAt.length * pace.perTurn;
        await client.arrival(messages);
      });
      rate = messages / Math.max(seconds, lasted - LAG);
    });
  });
  if (rate < 950) throw new Error(`only ${Math.round(rate)} of 1,000 messages per second arrived`);
  return {
    'frames dropped in 5 s': (frames.dropped * 5) / seconds,
    'ms of main thread per second': cpu / 1000 / seconds,
  };
}

async function secondsOf(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
