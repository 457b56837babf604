import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { now } from '../clock.mjs';
import { takeMessage } from '../message.mjs';

/**
 * Runs a peer's server in this process, which the bench process commands over IPC.
 *
 * @param start is given what to tell (`opened`, `closed`, and `take` with each message and what
 * answers it). Returns the http `server` and what sends a message to every client: `broadcast`.
 */
export async function serve(start) {
  const counts = { received: 0, connections: 0 };
  let echoes = false;
  const { server, broadcast } = await start({
    opened: () => counts.connections++,
    closed: () => counts.connections--,
    take(message, answer) {
      counts.received++;
      if (echoes) answer(message);
    },
  });
  server.keepAliveTimeout = 0; // a round is not to pay for those that rested while others had theirs
  let sent = 0;
  const delay = monitorEventLoopDelay({ resolution: 10 });

  const commands = {
    async listen() {
      await new Promise((resolve) => server.listen(0, '127.0.0.1', 8192, resolve));
      return `http://127.0.0.1:${server.address().port}`;
    },

    echo() {
      echoes = true;
    },

    /** `pause` milliseconds after each turn, in which `perTurn` messages are sent. */
    async broadcast({ messages, perTurn, pause, bytes }) {
      for (let n = 0; n < messages; n += perTurn) {
        for (let i = 0; i < perTurn; i++) broadcast(takeMessage(sent++, bytes));
        await (pause ? sleep(pause) : nextTurn());
      }
    },

    /**
     * A turn each `interval` milliseconds by the clock: one that is late does not delay the next, but
     * may leave the last no time. Returns when each was sent.
     */
    async pace({ turns, interval, perTurn, bytes }) {
      const sentAt = [];
      const start = now();
      for (let turn = 1; turn <= turns && now() < start + turns * interval; turn++) {
        sentAt.push(now());
        for (let i = 0; i < perTurn; i++) broadcast(takeMessage(sent++, bytes));
        await sleep(Math.max(0, start + turn * interval - now()));
      }
      return sentAt;
    },

    /** Answers when a count has come to a value: what was measured is done. */
    async waitFor({ name, value }) {
      while (counts[name] !== value) await sleep(2);
    },

    /** Microseconds of CPU since the process began, and counts. */
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

    /** How late the event loop was, beyond the interval at which it is looked at: milliseconds. */
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
