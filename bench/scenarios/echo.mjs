import { setTimeout as sleep } from 'node:timers/promises';
import { makeMessage } from '../message.mjs';
import { peers } from '../peers.mjs';
import { quantile } from '../statistics.mjs';

export const title =
  'One message to the server and back: 100 clients at once, and one client with 5 ms between messages';
export const reference = 'raw';
export { peers };

export async function prepare(testbed) {
  await testbed.call('echo');
  await testbed.grow(100);
}

export async function round(testbed, size) {
  const { clients } = testbed;
  const each = size(60, 5);
  const echoes = each * clients.length;
  const loaded = [];
  const cpu = await testbed.cpuOf(async () => {
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < each; n++) loaded.push(await echo(client, n));
      }),
    );
  });
  const quiet = [];
  for (let n = 0; n < size(200, 20); n++) {
    quiet.push(await echo(clients[0], n));
    await sleep(5);
  }
  await testbed.arrival(echoes + quiet.length);
  return {
    'µs of server CPU per echo': cpu / echoes,
    'p50, one client, ms': quantile(quiet, 0.5),
    'p99, one client, ms': quantile(quiet, 0.99),
    'p50, 100 clients, ms': quantile(loaded, 0.5),
    'p99, 100 clients, ms': quantile(loaded, 0.99),
  };
}

/** Returns the milliseconds until the message is back. Waits for the POST response, uncounted. */
async function echo(client, n) {
  const start = performance.now();
  const back = new Promise((resolve) => {
    client.onArrival = () => resolve(performance.now() - start);
  });
  const [time] = await Promise.all([back, client.send(makeMessage(n))]);
  return time;
}
