import { byHand, duplex, page, socketIo } from '../clients/page.mjs';
import { peers as all } from '../peers.mjs';

export const title =
  'One client in Chromium, 100 messages a turn; then 1,000 of 1 KiB a second for 5 s, while its page draws';
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
  const taken = size(20_000, 2000);
  const taking = await secondsOf(() =>
    Promise.all([
      testbed.call('broadcast', { messages: taken, perTurn: 100 }),
      client.arrival(taken),
    ]),
  );
  // With a POST for each a few take longer than else all, and the figure is a rate.
  const sent = size(20_000, 2000) / (client.onePerPost ? 20 : 1);
  const { received } = await testbed.call('sample');
  const sending = await secondsOf(() =>
    Promise.all([
      client.send(sent),
      testbed.call('until', { name: 'received', value: received + sent }),
    ]),
  );
  const drawing = await measureDrawing(testbed, size(5, 1));
  await client.arrival(0); // what came twice is left
  return { 'taken per second': taken / taking, 'sent per second': sent / sending, ...drawing };
}

/** Seconds that the last messages of a steady pace may take to be there, and to be counted. */
const LAG = 0.2;

/** What is left of a page for its own work while messages come at a steady pace. */
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
  if (rate < 950) throw new Error(`${Math.round(rate)} messages a second, not 1,000`);
  return {
    'frames dropped in 5 s': (frames.dropped * 5) / seconds,
    'ms of main thread a second': cpu / 1000 / seconds,
  };
}

async function secondsOf(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
