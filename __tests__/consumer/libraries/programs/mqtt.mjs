import { Duplex } from 'node:stream';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { run, until } from '../harness.mjs';

await run(
  async (wss) => {
    const broker = await Aedes.createBroker();
    wss.on('connection', ({ connection }, request) => {
      broker.handle(Duplex.fromWeb(connection), request);
    });
  },
  async (url, SseWebSocket, goesOn) => {
    const client = await mqtt.connectAsync(url, {
      forceNativeWebSocket: true,
      createWebsocket: (address, protocols) => new SseWebSocket(address, protocols),
      reconnectPeriod: 0,
    });
    const received = [];
    client.on('message', (_topic, payload) => received.push(String(payload)));
    await client.subscribeAsync('numbers', { qos: 1 });
    let count = 0;
    while (goesOn()) {
      await client.publishAsync('numbers', String(count), { qos: 1 });
      count++;
    }
    await until(() => received.length >= count);
    return { count, faults: received.join() === [...Array(count).keys()].join() ? 0 : 1 };
  },
);
