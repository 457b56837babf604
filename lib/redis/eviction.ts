/** Emits a warning if Redis discards keys when its memory is full, instead of rejecting writes. */
export async function warnAboutEviction(
  send: (...command: [string, ...string[]]) => Promise<unknown>,
): Promise<void> {
  let reply: unknown;
  try {
    reply = await send('CONFIG', 'GET', 'maxmemory-policy');
  } catch {
    return; // many providers do not allow CONFIG
  }
  const policy = Array.isArray(reply) ? String(reply[1]) : 'noeviction';
  if (policy === 'noeviction') return;
  process.emitWarning(
    `the "maxmemory-policy" of Redis is "${policy}", so that it may discard sessions: use "noeviction"`,
    'SseDuplexWarning',
  );
}
