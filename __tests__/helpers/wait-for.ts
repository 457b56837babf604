import { setTimeout as sleep } from 'node:timers/promises';

const POLL = 5;

/**
 * Waits for a condition, in real time also where the clock is a fake. Throws, saying what was awaited,
 * when it does not come.
 */
export async function waitFor(
  condition: () => boolean,
  milliseconds = 5_000,
  what: () => string = () => String(condition),
): Promise<void> {
  for (let polls = 0; !condition(); polls++) {
    if (polls * POLL > milliseconds) throw new Error(`waited ${milliseconds} ms for ${what()}`);
    await sleep(POLL);
  }
}
