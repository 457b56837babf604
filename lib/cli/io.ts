import type { Readable, Writable } from 'node:stream';

/** What a command uses of its process. Tests pass their own streams. */
export interface CommandIo {
  stdin: Readable;
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable;
  /** Aborted when the user interrupts the program. */
  signal: AbortSignal;
}

/** The exit codes of the program. */
export const ExitCode = {
  ok: 0,
  /** The session failed, or the doctor found something that prevents the use of the channel. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
} as const;

/** A command line that cannot be executed. The message says what is wrong. */
export class UsageError extends Error {}

/** Parses a line of input: JSON if it is JSON, else text. */
export function parseLine(line: string, asText: boolean): unknown {
  if (asText) return line;
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return line;
  }
}

/** Formats a message: as it is for a terminal, as one line of JSON for a program. */
export function formatMessage(message: unknown, forTerminal: boolean): string {
  if (message instanceof ArrayBuffer || message instanceof Uint8Array) {
    const bytes = Buffer.from(new Uint8Array(message));
    return forTerminal
      ? `<${bytes.length} bytes>`
      : JSON.stringify({ base64: bytes.toString('base64') });
  }
  return forTerminal && typeof message === 'string' ? message : JSON.stringify(message);
}
