import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { now } from '../clock.mjs';
import { prepareMessage } from '../message.mjs';

/**
 * Runs a peer's server in this process. The benchmark's process sends it commands over IPC.
 *
 * @param start receives three callbacks: `onOpen` and `onClose` for a client's connection, and
 * `onMessage` for each message, with a function that sends a reply. It returns the http `server`, or several `servers`,
 * and `broadcast`, which sends a message to every client. It may add `commands`.
 */
export async function serve(start) {
  const counts = { received: 0, connections: 0 };
  let echoes = false;
  const {
    server,
    servers = [server],
    broadcast,
    commands: ownCommands,
  } = await start({
    onOpen: () => counts.connections++,
    onClose: () => counts.connections--,
    onMessage(message, reply) {
      counts.received++;
      if (echoes) reply(message);
    },
  });
  // No connection times out while other peers are measured: the next round would pay for new ones.
  for (const each of servers) each.keepAliveTimeout = 0;
  let sent = 0;
  const delay = monitorEventLoopDelay({ resolution: 10 });

  const commands = {
    ...ownCommands,

    /** Returns the origins of the servers, separated by commas. */
    async listen() {
      for (const each of servers) {
        await new Promise((resolve) => each.listen(0, '127.0.0.1', 8192, resolve));
      }
      return servers.map((each) => `http://127.0.0.1:${each.address().port}`).join();
    },

    echo() {
      echoes = true;
    },

    /** Sends `perTurn` messages in each turn of the event loop, and waits `pause` ms after each turn. */
    async broadcast({ messages, perTurn, pause, bytes }) {
      for (let n = 0; n < messages; n += perTurn) {
        for (let i = 0; i < perTurn; i++) broadcast(prepareMessage(sent++, bytes));
        await (pause ? sleep(pause) : nextTurn());
      }
    },

    /**
     * Sends `perTurn` messages every `interval` ms by the clock. A late turn does not delay the next
     * one, but the last turns are left out when the time is over. Returns when each turn was sent.
     */
    async pace({ turns, interval, perTurn, bytes }) {
      const sentAt = [];
      const start = now();
      for (let turn = 1; turn <= turns && now() < start + turns * interval; turn++) {
        sentAt.push(now());
        for (let i = 0; i < perTurn; i++) broadcast(prepareMessage(sent++, bytes));
        await sleep(Math.max(0, start + turn * interval - now()));
      }
      return sentAt;
    },

    /** Responds when a count has reached a value, which means that the measured work is done. */
    async waitFor({ name, value }) {
      while (counts[name] !== value) await sleep(2);
    },

    /** Returns the CPU time since the process started, in microseconds, and the counts. */
    sample() {
      const { user, system } = process.cpuUsage();
      return { cpu: user + system, ...counts };
    },

    memory() {
      globalThis.gc();
      globalThis.gc();
      const { rss, heapUsed } = process.memoryUsage();
      return { rss, heapUsed };
    },

    startDelay() {
      delay.reset();
      delay.enable();
    },

    /** Returns the 99th percentile of the event loop's delay in ms, without the sampling interval. */
    stopDelay() {
      delay.disable();
      return Math.max(0, delay.percentile(99) / 1e6 - 10);
    },
  };

  process.on('message', async ({ call, command, options }) => {
    process.send({ call, answer: await commands[command](options) });
  });
  process.on('disconnect', () => process.exit());
}
