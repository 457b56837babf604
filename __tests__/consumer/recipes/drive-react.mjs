import assert from 'node:assert/strict';
import { JSDOM } from 'jsdom';
import { openChannel, until } from './harness.mjs';

const { window } = new JSDOM('<main></main>');
const { document } = window;
Object.assign(globalThis, { window, document });
globalThis.navigator ??= window.navigator; // Node 20 has none
const { StrictMode, createElement: h } = await import('react');
const { createRoot } = await import('react-dom/client');
const { useChannel } = await import('./use-channel.mjs');

const { sse, url, close } = await openChannel();
let opened = 0;
sse.on('connection', (connection) => {
  opened++;
  connection.on('message', (message) => connection.send(message));
});
const messages = [];
let channel;
const states = [];
function Page({ prefix, url }) {
  channel = useChannel(url, (message) => messages.push(`${prefix} ${message}`));
  if (states.at(-1) !== channel.state) states.push(channel.state);
  return h('p', null, channel.state);
}
const root = createRoot(document.querySelector('main'));
const render = (prefix, address = url) =>
  root.render(h(StrictMode, null, h(Page, { prefix, url: address })));
render('first');
const text = () => document.querySelector('main').textContent;
await until(() => text() === 'open', text);
channel.send(1);
await until(() => messages.length === 1);
render('second'); // the handler of the last render is called
await until(() => text() === 'open');
await new Promise((resolve) => setTimeout(resolve, 20));
channel.send(2);
await until(() => messages.length === 2);
assert.deepEqual(messages, ['first 1', 'second 2']);
assert.equal(opened, 1); // StrictMode has mounted twice
const { send } = channel;
render('third', `${url}?second`);
await until(
  () => states.join() === 'connecting,open,connecting,open',
  () => states,
);
assert.equal(channel.send, send);
send(3);
await until(() => messages.length === 3);
await until(() => sse.connections.size === 1); // the one of the first URL is closed
root.unmount();
await until(() => sse.connections.size === 0);
await close();
process.exit();
