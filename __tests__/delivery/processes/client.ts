import { SseClient } from '../../../lib/client/index';

/** A client to be suspended. Sends what it is told to, and tells what it gets. Argument: the address. */
const client = new SseClient<unknown>(process.argv[2]!, { backoff: () => 20 });
const tell = (event: string, value?: unknown) => process.send!({ event, value });
client.onopen = () => tell('open');
client.onmessage = ({ data }) => tell('message', data);
client.onreconnect = () => tell('reconnect');
client.onsessionlost = ({ unacknowledged }) => tell('sessionlost', unacknowledged);
process.on('message', (message) => client.send(message));
process.once('disconnect', () => process.exit());
tell('ready');
