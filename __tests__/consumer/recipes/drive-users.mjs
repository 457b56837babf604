import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { addUsers } from './users.mjs';

const { sse, open, close } = await openChannel({ authorize: ({ headers }) => headers.user });
const tell = addUsers(sse);
const [first, second] = [
  await open({ headers: { user: 'ada' } }),
  await open({ headers: { user: 'ada' } }),
];
const stranger = await open({ headers: { user: 'ben' } });
tell('ada', 'to all tabs');
tell('ada', 'to the other tab', [...sse.connections][0]);
await until(() => second.messages.length === 2);
assert.deepEqual(first.messages, ['to all tabs']);
assert.deepEqual(second.messages, ['to all tabs', 'to the other tab']);
assert.deepEqual(stranger.messages, []);
await close();
