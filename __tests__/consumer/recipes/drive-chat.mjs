import assert from 'node:assert/strict';
import { addChat } from './chat.mjs';
import { openChannel, until } from './harness.mjs';

const { sse, open, close } = await openChannel();
addChat(sse);
const [ada, window, ben, other] = [await open(), await open(), await open(), await open()];
ada.client.send({ join: 'lobby', name: 'Ada' });
await until(() => ada.messages.length === 1);
window.client.send({ join: 'lobby', name: 'Ada' });
await until(() => window.messages.length === 1);
ben.client.send({ join: 'lobby', name: 'Ben' });
await until(() => ben.messages.length === 1);
other.client.send({ join: 'attic', name: 'Cleo' });
await until(() => other.messages.length === 1);
ben.client.send({ say: 'hello' });
await until(() => ben.messages.length === 2);
window.client.close();
await until(() => ada.messages.length === 5);
ben.client.send({ join: 'attic', name: 'Ben' });
await until(() => ada.messages.length === 6 && other.messages.length === 2);
assert.deepEqual(ada.messages, [
  { present: ['Ada'] },
  { present: ['Ada'] },
  { present: ['Ada', 'Ben'] },
  { from: 'Ben', say: 'hello' },
  { present: ['Ada', 'Ben'] },
  { present: ['Ada'] },
]);
assert.deepEqual(other.messages, [{ present: ['Cleo'] }, { present: ['Ben', 'Cleo'] }]);

// Messages of other forms are ignored, the empty name is a room, and no name leads into a room of another module.
for (const message of [null, 1, [], {}, { join: 1, name: 'x' }, { say: {} }])
  other.client.send(message);
other.client.send({ join: '', name: 'Cleo' });
await until(() => other.messages.length === 3);
other.client.send({ join: 'user:ben', name: 'Cleo' });
await until(() => other.messages.length === 4);
sse.to('user:ben').send('for Ben only');
other.client.send({ say: 'still here' });
await until(() => other.messages.length === 5);
assert.deepEqual(other.messages.slice(2), [
  { present: ['Cleo'] },
  { present: ['Cleo'] },
  { from: 'Cleo', say: 'still here' },
]);
await close();
