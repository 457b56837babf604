// What several of the programs do with their library.
import { until } from './harness.mjs';

/** Answers each message with the same one. */
export function serveEcho(wss) {
  wss.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
}

/** Sends numbered messages to a server that echoes, one at a time. */
export async function useEcho(socket, goesOn) {
  const received = [];
  socket.addEventListener('message', ({ data }) => received.push(data));
  let count = 0;
  while (goesOn()) {
    socket.send(`message ${count++}`);
    await until(() => received.length === count);
  }
  const expected = [...Array(count).keys()].map((n) => `message ${n}`);
  return { count, faults: received.join() === expected.join() ? 0 : 1 };
}

/** Appends to a list of two Yjs documents, each of which must receive what the other appends. */
export async function useDocuments(docs, goesOn) {
  const [a, b] = docs.map((doc) => doc.getArray('list'));
  let count = 0;
  while (goesOn()) {
    a.push([`a${count}`]);
    b.push([`b${count}`]);
    count++;
    await until(() => a.length === 2 * count && b.length === 2 * count);
  }
  const expected = [...Array(count).keys()].flatMap((n) => [`a${n}`, `b${n}`]).sort();
  const isEqual = a.toArray().join() === b.toArray().join();
  const isComplete = a.toArray().sort().join() === expected.join();
  return { count, faults: isEqual && isComplete ? 0 : 1 };
}

/** Calls the tool `greet` of an MCP server. */
export async function useTool(client, goesOn) {
  let faults = 0;
  let count = 0;
  while (goesOn()) {
    const { content } = await client.callTool({ name: 'greet' });
    if (content[0].text !== 'hello') faults++;
    count++;
  }
  return { count, faults };
}
