import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Clients that open at a time. */
const OPENING = 50;
/** Milliseconds after which what has not arrived is lost. */
const PATIENCE = 30_000;

/** A peer's server, in a process of its own, and its clients, in this one. */
export async function openTestbed({ server, argument = '', open }) {
  const path = fileURLToPath(new URL(`servers/${server}.mjs`, import.meta.url));
  const execArgv = ['--expose-gc', ...process.execArgv];
  const child = fork(path, [argument], { execArgv });
  const calls = new Map();
  let calledLast = 0;
  child.on('message', ({ call, answer }) => calls.get(call)(answer));
  child.on('exit', (code) => {
    if (code) console.error(`the server of ${server} ended with code ${code}`);
  });

  function call(command, options) {
    return new Promise((resolve) => {
      calls.set(++calledLast, resolve);
      child.send({ call: calledLast, command, options });
    });
  }

  const origin = await call('listen');
  const clients = [];
  let opened = 0;
  let arrived = 0;

  async function openOne() {
    const client = { onArrival() {} };
    const onMessages = (count) => {
      arrived += count;
      client.onArrival(count);
    };
    clients.push(Object.assign(client, await open(origin, `client${opened++}`, onMessages)));
  }

  return {
    clients,
    call,

    /** Opens clients until there are so many. */
    async grow(count) {
      let missing = count - clients.length;
      const openMore = async () => {
        while (missing-- > 0) await openOne();
      };
      await Promise.all(Array.from({ length: OPENING }, openMore));
      await call('until', { name: 'connections', value: count });
    },

    /** Ends all clients in order. */
    async empty() {
      const leaving = clients.splice(0);
      while (leaving.length > 0) {
        await Promise.all(leaving.splice(0, OPENING).map((client) => client.close()));
      }
      await call('until', { name: 'connections', value: 0 });
    },

    /** Waits until so many messages have come to the clients: not one less, nor more. */
    async arrival(count) {
      const deadline = performance.now() + PATIENCE;
      while (arrived < count && performance.now() < deadline) await sleep(2);
      if (arrived !== count) throw new Error(`${arrived} of ${count} messages arrived`);
      arrived = 0;
    },

    /** The server's CPU while something is done: microseconds. */
    async cpuOf(work) {
      const { cpu } = await call('sample');
      const rest = stayAwake();
      try {
        await work();
      } finally {
        rest();
      }
      return (await call('sample')).cpu - cpu;
    },

    async close() {
      for (const client of clients) await client.cut();
      child.disconnect();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

/**
 * Keeps this process from sleeping, until told to rest. On one machine, who writes to a sleeping
 * process pays for its waking (on a virtual one more than for the write): a server over a network does
 * not, and here only one that is faster than its clients would not.
 */
function stayAwake() {
  let immediate;
  const spin = () => (immediate = setImmediate(spin));
  spin();
  return () => clearImmediate(immediate);
}

/** The server's CPU for each delivery of a broadcast: microseconds. */
export async function cpuPerDelivery(testbed, { messages, perTurn = 1, pause = 0, bytes = 100 }) {
  const deliveries = messages * testbed.clients.length;
  const cpu = await testbed.cpuOf(async () => {
    await testbed.call('broadcast', { messages, perTurn, pause, bytes });
    await testbed.arrival(deliveries);
    // What they owe for these messages is not to be paid by the next.
    await Promise.all(testbed.clients.map((client) => client.settled?.()));
  });
  return cpu / deliveries;
}
