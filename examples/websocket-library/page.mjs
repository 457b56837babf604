import { SseWebSocket } from 'sse-duplex/websocket';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';

const doc = new Y.Doc();
const items = doc.getArray('items');
const url = new URL('/sse', location.href).href.replace(/^http/, 'ws');
const provider = new WebsocketProvider(url, 'shopping', doc, {
  WebSocketPolyfill: SseWebSocket,
  disableBc: true, // Else the windows of one browser talk to each other without the server.
});

const element = (id) => document.getElementById(id);
provider.on('status', ({ status }) => (element('state').textContent = status));

items.observe(() => {
  element('items').replaceChildren(
    ...items.map((text) => {
      const line = document.createElement('li');
      line.textContent = text;
      return line;
    }),
  );
});

element('add').onsubmit = (event) => {
  event.preventDefault();
  const { text } = event.target.elements;
  items.push([text.value]);
  text.value = '';
};
