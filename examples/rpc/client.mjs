import { SseClient } from 'sse-duplex/client';
import { Requests } from './rpc.mjs';

const client = new SseClient(process.argv[2] ?? 'http://localhost:3000/sse');
const requests = new Requests(client);
console.log('1 + 2 =', await requests.call('add', { a: 1, b: 2 }));
await requests.call('slow', {}, 200).catch(({ message }) => console.log('slow:', message));
await requests.call('multiply').catch(({ message }) => console.log('multiply:', message));
client.close();
