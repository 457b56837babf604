import type {
  Checkpoint,
  NewSession,
  Numbering,
  PositionedBroadcast,
  ReadNumbering,
  RecordedMessages,
  SessionChanges,
  StoredClose,
  StoredSession,
  TakeResult,
  TakenBatch,
  TakenMessage,
} from '../server/cluster-engine';

/** Returns the arguments of the script TAKE before the channel. */
export function formatBatch(batch: TakenBatch): (string | number)[] {
  const { tokenHash, dialect, principal, first, acknowledged, close } = batch;
  return [
    ...[tokenHash, dialect, formatPrincipal(principal) ?? '', first, acknowledged],
    ...[close ? JSON.stringify(close) : '', batch.maxUnhandled, batch.maxBytes],
  ];
}

/** Returns the arguments of the script TAKE_MESSAGE before the channel. */
export function formatTakenMessage(taken: TakenMessage): (string | number)[] {
  const { principal, number, message, reorderWindow, maxUnhandled, maxBytes } = taken;
  return [
    ...[formatPrincipal(principal) ?? '', number ?? '', message],
    ...[reorderWindow, maxUnhandled, maxBytes],
  ];
}

/** Returns the arguments of the script COMMIT that contain the changes. */
export function formatChanges(changes: SessionChanges): (string | number)[] {
  const { sequence, received, handled, checkpoint, close, state, messages, log } = changes;
  const { acknowledged, position, logStart } = checkpoint;
  return [
    ...[sequence, received, handled, acknowledged, position, formatRooms(checkpoint), logStart],
    ...[close ? JSON.stringify(close) : '', state ?? '-'],
    ...[changes.firstMessage, messages.length, changes.firstEntry],
    ...messages,
    ...log,
  ];
}

/** Returns the arguments of the scripts OPEN and REPLACE that describe a new session. */
export function formatNewSession(session: NewSession, owner: string): (string | number)[] {
  const { tokenHash, dialect, principal, subprotocol, position, firstNumber } = session;
  const number = formatNumber(firstNumber === 'unknown' ? undefined : firstNumber);
  return [
    ...[tokenHash, dialect, position, owner, number],
    ...[subprotocol, formatPrincipal(principal) ?? ''],
  ];
}

/** Returns the names and values of the fields of a session that is restored. */
export function formatSession(session: StoredSession, owner: string): string[] {
  const { tokenHash, dialect, principal, epoch, sequence, received, handled, checkpoint } = session;
  const { acknowledged, position, logStart } = checkpoint;
  const { numbering } = session;
  const fields = {
    t: tokenHash,
    d: dialect === 'duplex' ? undefined : dialect,
    p: formatPrincipal(principal),
    o: owner,
    e: epoch,
    q: sequence,
    r: received,
    h: handled,
    a: acknowledged,
    b: position,
    g: formatRooms(checkpoint),
    i: logStart,
    s: session.subprotocol || undefined,
    c: session.close && JSON.stringify(session.close),
    y: session.lastNumbers && JSON.stringify(session.lastNumbers),
    v: Buffer.byteLength(session.unhandled.join('')) || undefined,
    n: numbering && formatNumber(numbering.next),
    f: numbering?.first,
    z: numbering && Buffer.byteLength(Object.values(numbering.waiting).join('')),
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  );
}

function formatRooms({ rooms }: Checkpoint): string {
  return rooms.length === 0 ? '' : JSON.stringify(rooms);
}

/** Returns the number of the next message of a client of the Dart dialect, or '?' if it is unknown. */
function formatNumber(next: number | undefined): string {
  return next === undefined ? '?' : String(next);
}

function parseNumber(text: string): number | undefined {
  return text === formatNumber(undefined) ? undefined : Number(text);
}

function parseWaiting(pairs: string[]): Numbering['waiting'] {
  return Object.fromEntries(toPairs(pairs).map(([number, message = '']) => [number, message]));
}

/**
 * Parses the reply of the script READ.
 *
 * @param first number of the first message that was asked for.
 */
export function parseRecorded(
  [handled, acknowledged, close, messages, sequence, numbering]: [
    string,
    string,
    string,
    string[],
    string,
    [string, string, number, string[]?]?,
  ],
  first: number,
): RecordedMessages {
  return {
    first: Math.max(first, Number(handled)),
    messages,
    acknowledged: Number(acknowledged),
    close: close === '' ? undefined : (JSON.parse(close) as RecordedMessages['close']),
    sequence: Number(sequence),
    numbering: numbering && parseReadNumbering(numbering),
  };
}

function parseReadNumbering([next, first, waitingCount, waiting]: [
  string,
  string,
  number,
  string[]?,
]): ReadNumbering {
  return {
    first: Number(first),
    next: parseNumber(next),
    waitingCount,
    waiting: waiting && parseWaiting(waiting),
  };
}

/** Parses the reply of the script CLAIM. */
export function parseSession([pairs, log, unhandled, state, waiting]: [
  string[],
  string[],
  string[],
  string,
  string[],
]): StoredSession {
  const fields = new Map(toPairs(pairs));
  const count = (name: string) => Number(fields.get(name) ?? 0);
  const json = (name: string): unknown => JSON.parse(fields.get(name) || 'null');
  const next = fields.get('n');
  return {
    tokenHash: String(fields.get('t')),
    dialect: fields.get('d') === 'dart' ? 'dart' : 'duplex',
    principal: parsePrincipal(fields.get('p')),
    subprotocol: fields.get('s') ?? '',
    epoch: count('e'),
    sequence: count('q'),
    checkpoint: {
      acknowledged: count('a'),
      position: count('b'),
      rooms: (json('g') ?? []) as string[],
      logStart: count('i'),
    },
    log,
    received: count('r'),
    handled: count('h'),
    unhandled,
    state,
    close: (json('c') ?? undefined) as StoredSession['close'],
    closedByClient: (json('x') ?? undefined) as StoredSession['closedByClient'],
    lastNumbers: (json('y') ?? undefined) as StoredSession['lastNumbers'],
    numbering:
      next === undefined
        ? undefined
        : { first: count('f'), next: parseNumber(next), waiting: parseWaiting(waiting) },
  };
}

/** Returns undefined if there is no principal. The empty string is a principal. */
function formatPrincipal(principal: string | undefined): string | undefined {
  return principal === undefined ? undefined : JSON.stringify(principal);
}

export function parsePrincipal(json: string | null | undefined): string | undefined {
  return typeof json === 'string' ? String(JSON.parse(json)) : undefined;
}

/** Parses the reply of the script TAKE or TAKE_MESSAGE. */
export function parseTakeResult(reply: unknown): TakeResult {
  const [outcome, received, close] = reply as string[];
  const count = Number(received);
  switch (outcome) {
    case 'taken':
    case 'out-of-window':
      return { outcome, received: count };
    case 'closed':
      return { outcome, received: count, close: JSON.parse(String(close)) as StoredClose };
    case 'full':
      return { outcome };
    default:
      return { outcome: 'unknown-session' };
  }
}

/** Parses a position, a space, and a broadcast as JSON. */
export function parseBroadcast(text: string): PositionedBroadcast {
  const space = text.indexOf(' ');
  const broadcast = JSON.parse(text.slice(space + 1)) as Omit<PositionedBroadcast, 'position'>;
  return { ...broadcast, position: Number(text.slice(0, space)) };
}

/** Parses pairs of a name and a number. */
export function parseNumbers(pairs: string[]): Record<string, number> {
  return Object.fromEntries(toPairs(pairs).map(([name, value]) => [name, Number(value)]));
}

/** Redis returns the fields of a hash and their values in one array. */
function toPairs(values: string[]): [string, string | undefined][] {
  return values.flatMap((name, i) => (i % 2 === 0 ? [[name, values[i + 1]]] : []));
}
