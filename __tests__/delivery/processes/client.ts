import { SseClient } from '../../../lib/client/index';

/**
 * The client of the suspend test. It sends what its parent process tells it, and reports its events.
 * Argument: the URL.
 */
const client = new SseClient<unknown>(process.argv[2]!, { backoff: () => 20 });
const report = (event: string, value?: unknown) => process.send!({ event, value });
client.onerror = () => {}; // the faults are expected
client.onopen = () => report('open');
client.onmessage = ({ data }) => report('message', data);
client.onreconnect = () => report('reconnect');
client.onsessionlost = ({ unacknowledged }) => report('sessionlost', unacknowledged);
process.on('message', (message) => client.send(message));
process.once('disconnect', () => process.exit());
report('ready');
