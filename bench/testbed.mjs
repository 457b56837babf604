import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** How many clients connect or disconnect at the same time. */
const CONCURRENCY = 50;
/** Milliseconds after which messages that have not arrived count as lost. */
const ARRIVAL_TIMEOUT = 30_000;

/** Starts a peer's server in a process of its own. Its clients run in this process. */
export async function openTestbed({ server, argument = '', open, build }) {
  const path = fileURLToPath(new URL(`servers/${server}.mjs`, import.meta.url));
  const execArgv = ['--expose-gc', ...process.execArgv];
  const child = fork(path, build ? [argument, build.href] : [argument], { execArgv });
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
    const id = `client${opened++}`;
    clients.push(Object.assign(client, await open(origin, id, onMessages, build)));
  }

  return {
    clients,
    call,

    /** Opens clients until there are `count` of them. */
    async grow(count) {
      let missing = count - clients.length;
      const openMore = async () => {
        while (missing-- > 0) await openOne();
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, openMore));
      await call('waitFor', { name: 'connections', value: count });
    },

    /** Closes all clients properly. */
    async empty() {
      const leaving = clients.splice(0);
      while (leaving.length > 0) {
        await Promise.all(leaving.splice(0, CONCURRENCY).map((client) => client.close()));
      }
      await call('waitFor', { name: 'connections', value: 0 });
    },

    /** Waits until the clients have received exactly `count` messages since the last call. */
    async arrival(count) {
      const deadline = performance.now() + ARRIVAL_TIMEOUT;
      while (arrived < count && performance.now() < deadline) await sleep(2);
      if (arrived !== count) throw new Error(`${arrived} of ${count} messages arrived`);
      arrived = 0;
    },

    /** Returns the CPU time that the server uses during `work`, in microseconds. */
    async cpuOf(work) {
      const { cpu } = await call('sample');
      const stop = stayAwake();
      try {
        await work();
      } finally {
        stop();
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
 * Keeps this process from sleeping, until the returned function is called. On one machine, a process
 * that writes to a sleeping process uses CPU time to wake it: on a virtual machine, more than for the
 * write itself. A server that sends over a network does not have this cost. Here only servers that are
 * faster than their clients would have it.
 */
function stayAwake() {
  let immediate;
  const spin = () => (immediate = setImmediate(spin));
  spin();
  return () => clearImmediate(immediate);
}

/** Returns the server's CPU time per delivery of a broadcast, in microseconds. */
export async function cpuPerDelivery(testbed, { messages, perTurn = 1, pause = 0, bytes = 100 }) {
  const deliveries = messages * testbed.clients.length;
  const cpu = await testbed.cpuOf(async () => {
    await testbed.call('broadcast', { messages, perTurn, pause, bytes });
    await testbed.arrival(deliveries);
    // The acknowledgements of these messages must not be counted with the next ones.
    await Promise.all(testbed.clients.map((client) => client.settled?.()));
  });
  return cpu / deliveries;
}
