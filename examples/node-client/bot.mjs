import { SseClient } from 'sse-duplex/client';

const url = process.argv[2] ?? 'http://localhost:3000/sse';
const client = new SseClient(url);

const join = () => client.send({ join: 'lobby', name: 'Bot' });
join();

client.onmessage = ({ data: { from, say } }) => {
  if (say === undefined || from === 'Bot') return;
  console.log(`${from}: ${say}`);
  client.send({ say: `You said "${say}"` });
};
client.onopen = () => console.log('connected');
client.ondisconnect = ({ reason }) => console.log('disconnected:', reason);
client.onreconnect = () => console.log('reconnected, and nothing was lost');
client.onsessionlost = () => join(); // the server was restarted
client.onerror = ({ message }) => console.log(message);
client.onclose = ({ code }) => console.log('closed:', code);

process.once('SIGINT', () => client.close());
process.once('SIGTERM', () => client.close());
