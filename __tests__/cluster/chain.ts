import { createHash } from 'node:crypto';

/** What a client sends. */
export interface Up {
  client: number;
  number: number;
  /** Sent to the room as well. */
  isShared: boolean;
}

/** What the server sends. */
export type Down =
  | { type: 'echo'; number: number; count: number; chain: string }
  | { type: 'shared'; client: number; number: number };

/** Returns the next link of a chain: both ends compute it, so that no message can be missing or in another place. */
export function link(chain: string, number: number): string {
  return createHash('sha256').update(`${chain} ${number}`).digest('base64url').slice(0, 12);
}
