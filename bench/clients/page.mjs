import { readFileSync } from 'node:fs';
import { MARKER, makeMessage } from '../message.mjs';
import { openPage } from './chromium.mjs';

/** Milliseconds after which what has not arrived is lost. */
const PATIENCE = 30_000;

/** Its icon is here too: a server would be asked for it, and `raw` opens a stream for who asks. */
const HTML =
  '<!doctype html><title>Benchmark</title><link rel="icon" href="data:,"><output></output>';

/**
 * A client's script, if it has one, and how it opens in the page: given what takes each message, it
 * returns what sends so many. It goes as text, and uses nothing but its script, {@link inPage} and
 * the page.
 */
export const duplex = {
  script: '../../dist/client.js',
  connect: async (take) => {
    const client = new SseClient('/sse');
    client.onmessage = ({ data }) => take(data);
    await new Promise((resolve) => (client.onopen = resolve));
    return (count) => sendInTurns(count, (message) => client.send(message));
  },
};

export const socketIo = {
  script: '../node_modules/socket.io-client/dist/socket.io.min.js',
  connect: async (take) => {
    const socket = io({ transports: ['websocket'] });
    socket.on('message', take);
    await new Promise((resolve) => socket.on('connect', resolve));
    return (count) => sendInTurns(count, (message) => socket.send(message));
  },
};

export const byHand = {
  onePerPost: true,
  connect: async (take) => {
    const source = new EventSource('/events?id=page');
    source.onmessage = ({ data }) => take(JSON.parse(data));
    await new Promise((resolve) => (source.onopen = resolve));
    return (count) =>
      sendAtOnce(6, count, async (message) => {
        const response = await fetch('/events?id=page', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify(message),
        });
        if (!response.ok) throw new Error(`HTTP ${response.status}`);
      });
  },
};

/** Returns the function that opens a client in a page: the page counts what comes, and is asked. */
export const page =
  ({ script, connect, onePerPost = false }) =>
  async (origin) => {
    const page = await openPage(`${origin}/benchmark`, HTML);
    try {
      if (script) await page.evaluate(readFileSync(new URL(script, import.meta.url), 'utf8'));
      await page.evaluate(`const MARKER = '${MARKER}'; ${makeMessage}; (${inPage})()`);
      await page.evaluate(`connect(${connect}, ${PATIENCE})`);
    } catch (error) {
      await page.close();
      throw error;
    }
    return {
      onePerPost,
      /** Settles when the page has sent so many. */
      send: (count) => page.evaluate(`send(${count})`),

      /** Waits until so many messages have come to the page: not one less, nor more. */
      async arrival(count) {
        const arrived = await page.evaluate(`arrival(${count}, ${PATIENCE})`);
        if (arrived !== count) throw new Error(`${arrived} of ${count} messages arrived`);
      },

      /** Draws while something is done: how many frames were, and how many there was no time for. */
      async drawing(work) {
        await page.evaluate('startDrawing()');
        await work();
        return page.evaluate('stopDrawing()');
      },

      /** The CPU of the page's main thread while something is done: microseconds. */
      async cpuOf(work) {
        await page.command('Performance.enable');
        const before = await threadTime(page);
        await work();
        const after = await threadTime(page);
        await page.command('Performance.disable');
        return after - before;
      },

      close: () => page.close(),
      cut: () => page.close(),
    };
  };

async function threadTime(page) {
  const { metrics } = await page.command('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'ThreadTime').value * 1e6;
}

/** What the page is asked to do, as functions of its own. It goes there as text. */
function inPage() {
  const PER_TURN = 100;
  const FRAME = 1000 / 60;
  let arrived = 0;
  let whenArrived = () => {};
  let isDrawing = false;
  let whenDrawn;

  Object.assign(globalThis, {
    async connect(connect, patience) {
      const connected = connect(() => {
        arrived++;
        whenArrived();
      });
      const late = new Promise((_, reject) => setTimeout(reject, patience, Error('no connection')));
      globalThis.send = await Promise.race([connected, late]);
    },

    /** Returns how many have come, when they are as many as expected or it has lasted too long. */
    async arrival(count, patience) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, patience);
        whenArrived = () => {
          if (arrived < count) return;
          clearTimeout(timer);
          resolve();
        };
        whenArrived();
      });
      whenArrived = () => {};
      const had = arrived;
      arrived = 0;
      return had;
    },

    async sendInTurns(count, send) {
      for (let n = 0; n < count; n++) {
        send(makeMessage(n));
        // A timer would wait for 4 ms.
        if (n % PER_TURN === 0) await scheduler.postTask(() => {});
      }
    },

    /** So many are under way, each until it is answered. */
    async sendAtOnce(width, count, send) {
      let n = 0;
      const sendMore = async () => {
        while (n < count) await send(makeMessage(n++));
      };
      await Promise.all(Array.from({ length: width }, sendMore));
    },

    startDrawing() {
      const frames = { drawn: 0, dropped: 0 };
      isDrawing = true;
      whenDrawn = new Promise((resolve) => {
        let last;
        function draw(now) {
          document.querySelector('output').textContent = `${arrived} at ${now}`;
          frames.drawn++;
          const due = (now - last) / FRAME;
          if (due > 1.5) frames.dropped += Math.round(due) - 1;
          last = now;
          if (isDrawing) requestAnimationFrame(draw);
          else resolve(frames);
        }
        requestAnimationFrame(draw);
      });
    },

    /** After one more frame, for it too may be late. */
    stopDrawing() {
      isDrawing = false;
      return whenDrawn;
    },
  });
}
