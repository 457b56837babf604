/* global SseClient, io, sendInTurns, sendAtOnce -- defined by the scripts of the page */
import { readFileSync } from 'node:fs';
import { MARKER, makeMessage } from '../message.mjs';
import { openPage } from './chromium.mjs';

const DIST = new URL('../../dist/', import.meta.url);

/** Milliseconds after which messages that have not arrived count as lost. */
const ARRIVAL_TIMEOUT = 30_000;

/** The icon is inline: the browser would request it, and `raw` responds to any GET with a stream. */
const HTML =
  '<!doctype html><title>Benchmark</title><link rel="icon" href="data:,"><output></output>';

/**
 * A client in the page: its `script`, given the URL of an sse-duplex build, and `connect`, which receives
 * the function to call with each message and returns a function that sends a number of messages. The
 * page evaluates the source text of `connect`, so it can use only the script, the functions of
 * {@link inPage} and the globals of the page.
 */
export const duplex = {
  script: (build) => new URL('client.js', build),
  connect: async (onMessage) => {
    const client = new SseClient('/sse');
    client.onmessage = ({ data }) => onMessage(data);
    await new Promise((resolve) => (client.onopen = resolve));
    return (count) => sendInTurns(count, (message) => client.send(message));
  },
};

export const socketIo = {
  script: () => new URL('../node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url),
  connect: async (onMessage) => {
    const socket = io({ transports: ['websocket'] });
    socket.on('message', onMessage);
    await new Promise((resolve) => socket.on('connect', resolve));
    return (count) => sendInTurns(count, (message) => socket.send(message));
  },
};

export const byHand = {
  onePerPost: true,
  connect: async (onMessage) => {
    const source = new EventSource('/events?id=page');
    source.onmessage = ({ data }) => onMessage(JSON.parse(data));
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

/** Returns a function that opens a client in a page. The page counts the messages that it receives. */
export const page =
  ({ script, connect, onePerPost = false }) =>
  async (origin, id, onMessages, build = DIST) => {
    const page = await openPage(`${origin}/benchmark`, HTML);
    try {
      if (script) await page.evaluate(readFileSync(script(build), 'utf8'));
      await page.evaluate(`const MARKER = '${MARKER}'; ${makeMessage}; (${inPage})()`);
      await page.evaluate(`connect(${connect}, ${ARRIVAL_TIMEOUT})`);
    } catch (error) {
      await page.close();
      throw error;
    }
    return {
      onePerPost,
      /** Resolves when the page has sent `count` messages. */
      send: (count) => page.evaluate(`send(${count})`),

      /** Waits until the page has received exactly `count` messages since the last call. */
      async arrival(count) {
        const arrived = await page.evaluate(`arrival(${count}, ${ARRIVAL_TIMEOUT})`);
        if (arrived !== count) throw new Error(`${arrived} of ${count} messages arrived`);
      },

      /** Draws during `work`. Returns how many frames were drawn, and how many were dropped. */
      async drawing(work) {
        await page.evaluate('startDrawing()');
        await work();
        return page.evaluate('stopDrawing()');
      },

      /** Returns the CPU time of the page's main thread during `work`, in microseconds. */
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

/** Defines the functions that the page is asked to run. The page evaluates its source text. */
function inPage() {
  const PER_TURN = 100;
  const FRAME = 1000 / 60;
  let arrived = 0;
  let whenArrived = () => {};
  let isDrawing = false;
  let whenDrawn;

  Object.assign(globalThis, {
    async connect(connect, timeout) {
      const connected = connect(() => {
        arrived++;
        whenArrived();
      });
      const late = new Promise((_, reject) => setTimeout(reject, timeout, Error('no connection')));
      globalThis.send = await Promise.race([connected, late]);
    },

    /** Waits for `count` messages or for the timeout. Returns how many have arrived. */
    async arrival(count, timeout) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, timeout);
        whenArrived = () => {
          if (arrived < count) return;
          clearTimeout(timer);
          resolve();
        };
        whenArrived();
      });
      whenArrived = () => {};
      const total = arrived;
      arrived = 0;
      return total;
    },

    async sendInTurns(count, send) {
      for (let n = 0; n < count; n++) {
        send(makeMessage(n));
        // A timer would wait at least 4 ms.
        if (n % PER_TURN === 0) await scheduler.postTask(() => {});
      }
    },

    /** Keeps `width` requests in flight until `count` messages have been sent. */
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

    /** Draws one more frame, which may be late too, and then stops. */
    stopDrawing() {
      isDrawing = false;
      return whenDrawn;
    },
  });
}
