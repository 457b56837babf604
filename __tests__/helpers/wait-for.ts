import { setTimeout as sleep } from 'node:timers/promises';

const POLL = 5;
/** Default limit in milliseconds. A mutation test sets a shorter one, because many mutations prevent an event. */
const LIMIT = Number(process.env.WAIT_LIMIT ?? 5_000);

/**
 * Polls until the condition is true, in real time even if the timers are fake.
 *
 * @throws Error that contains `what` if the condition is still false after `milliseconds`.
 */
export async function waitFor(
  condition: () => boolean,
  milliseconds = LIMIT,
  what: () => string = () => String(condition),
): Promise<void> {
  for (let polls = 0; !condition(); polls++) {
    if (polls * POLL > milliseconds) throw new Error(`waited ${milliseconds} ms for ${what()}`);
    await sleep(POLL);
  }
}
