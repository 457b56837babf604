import assert from 'node:assert/strict';
import { openChannel, until } from './harness.mjs';
import { addUsers } from './users.mjs';

const { sse, open, close } = await openChannel({
  authorize: ({ headers }) => headers.user ?? true,
});
const tell = addUsers(sse);
const [first, second] = [
  await open({ headers: { user: 'ada' } }),
  await open({ headers: { user: 'ada' } }),
];
const nobody = await open();
const stranger = await open({ headers: { user: 'ben' } });
tell(undefined, 'to nobody');
tell('ada', 'to all tabs');
tell('ada', 'to the other tab', [...sse.connections][0]);
await until(() => second.messages.length === 2);
assert.deepEqual(first.messages, ['to all tabs']);
assert.deepEqual(second.messages, ['to all tabs', 'to the other tab']);
// A message that is sent later has arrived, so the others would have arrived too.
sse.broadcast('to everybody');
await until(() => stranger.messages.length + nobody.messages.length === 2);
assert.deepEqual([stranger.messages, nobody.messages], [['to everybody'], ['to everybody']]);
await close();
