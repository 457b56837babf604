import type { EncodedMessage } from '../protocol/message';
import type { Close } from '../protocol/wire';
import type { Checkpoint, PositionedBroadcast, StoredSession } from './cluster-engine';

/**
 * One step of a session: a message, a broadcast, or a change of its rooms, which decides what broadcasts it receives.
 * The last step may be a broadcast that closes the session.
 */
interface Step {
  /** Position of the last broadcast before the step, or of the broadcast itself. */
  position: number;
  /** Number of messages before the step. */
  before: number;
  /** The encoded message, if the step is a message or a broadcast of one. */
  message?: EncodedMessage;
  /** Entry in the log of the session. A broadcast has none: it is in the log of all nodes. */
  entry?: string;
  joins?: string;
  leaves?: string;
  /** How the session is to be closed, if the step is such a broadcast. */
  close?: Close;
}

/** An entry is a position, a space, one of these characters, and the encoded message or the room's name as JSON. */
const MESSAGE = 'm';
const JOIN = 'j';
const LEAVE = 'l';

/**
 * The log of a session in a cluster: the steps that its client has not acknowledged, in order. A new owner restores it
 * from the entries of the session and from the broadcasts: each entry has the position of the last broadcast before it.
 */
export class SessionLog {
  #steps: Step[];
  #checkpoint: Checkpoint;
  /** Index of the next entry, counted from the beginning of the session. */
  #end: number;
  /** Number of messages so far. */
  #sent: number;
  /** The steps with an entry that the engine has not recorded yet. */
  #unrecorded: Step[] = [];

  constructor(checkpoint: Checkpoint, steps: Step[] = []) {
    this.#checkpoint = checkpoint;
    this.#steps = steps;
    this.#end = checkpoint.logStart + steps.filter(({ entry }) => entry !== undefined).length;
    this.#sent =
      checkpoint.acknowledged + steps.filter(({ message }) => message !== undefined).length;
  }

  /** @param broadcasts all broadcasts after the checkpoint that the new owner knows, oldest first. */
  static restore(
    id: string,
    { checkpoint, log, lastNumbers }: Pick<StoredSession, 'checkpoint' | 'log' | 'lastNumbers'>,
    broadcasts: PositionedBroadcast[],
  ): SessionLog {
    const rooms = new Set(checkpoint.rooms);
    const entries = log.map(parseEntry);
    const steps: Step[] = [];
    let before = checkpoint.acknowledged;
    let next = 0;
    const addBroadcasts = (until: number) => {
      for (let broadcast; (broadcast = broadcasts[next]); next++) {
        const { position } = broadcast;
        if (position > until || steps.at(-1)?.close) break; // nothing follows the close
        const isInLog = position > checkpoint.position && !isRepeated(broadcast, lastNumbers);
        if (isInLog && matches(broadcast, id, rooms)) {
          steps.push(toStep(broadcast, before));
          if (broadcast.message !== undefined) before++;
        }
      }
    };
    for (const step of entries) {
      addBroadcasts(step.position);
      step.before = before;
      if (step.message !== undefined) before++;
      applyTo(rooms, step);
      steps.push(step);
    }
    addBroadcasts(Infinity);
    return new SessionLog(checkpoint, steps);
  }

  /** Number of messages so far. */
  get sent(): number {
    return this.#sent;
  }

  /** The messages that are not acknowledged. */
  get messages(): EncodedMessage[] {
    return this.#steps.flatMap(({ message }) => (message === undefined ? [] : [message]));
  }

  /** The rooms after the last step. */
  get rooms(): string[] {
    const rooms = new Set(this.#checkpoint.rooms);
    for (const step of this.#steps) applyTo(rooms, step);
    return [...rooms];
  }

  /** The close code and reason of the broadcast that has closed the session, if there is one. */
  get close(): Close | undefined {
    return this.#steps.at(-1)?.close;
  }

  /** Number of messages that may be written: those before the first unrecorded entry, or Infinity if there is none. */
  get released(): number {
    return this.#unrecorded[0]?.before ?? Infinity;
  }

  addMessage(message: EncodedMessage, position: number): void {
    const entry = `${position} ${MESSAGE}${message}`;
    this.#addEntry({ position, before: this.#sent++, message, entry });
  }

  addRoom(change: 'join' | 'leave', room: string, position: number): void {
    const entry = `${position} ${change === 'join' ? JOIN : LEAVE}${JSON.stringify(room)}`;
    const roomChange = change === 'join' ? { joins: room } : { leaves: room };
    this.#addEntry({ position, before: this.#sent, entry, ...roomChange });
  }

  addBroadcast(broadcast: PositionedBroadcast): void {
    this.#steps.push(toStep(broadcast, this.#sent));
    if (broadcast.message !== undefined) this.#sent++;
  }

  #addEntry(step: Step): void {
    this.#steps.push(step);
    this.#unrecorded.push(step);
    this.#end++;
  }

  /** The entries that the engine has not recorded yet. */
  get unrecorded(): { firstEntry: number; log: string[] } {
    const log = this.#unrecorded.map(({ entry }) => String(entry));
    return { firstEntry: this.#end - log.length, log };
  }

  /** The engine has recorded the first `count` entries of {@link unrecorded}. */
  onRecorded(count: number): void {
    this.#unrecorded.splice(0, count);
  }

  /** Moves the checkpoint, because the client has acknowledged this many messages. Returns whether it was moved. */
  acknowledge(count: number): boolean {
    const [unrecorded] = this.#unrecorded;
    let moved = 0;
    for (const step of this.#steps) {
      const after = step.before + (step.message === undefined ? 0 : 1);
      // A new owner must find the close, even if the present one could not record it.
      if (step === unrecorded || after > count || step.close) break;
      moved++;
    }
    if (moved === 0) return false;
    const rooms = new Set(this.#checkpoint.rooms);
    let { acknowledged, logStart, position } = this.#checkpoint;
    for (const step of this.#steps.splice(0, moved)) {
      if (step.message !== undefined) acknowledged++;
      if (step.entry !== undefined) logStart++;
      position = step.position;
      applyTo(rooms, step);
    }
    this.#checkpoint = { acknowledged, position, rooms: [...rooms], logStart };
    return true;
  }

  /**
   * Returns the checkpoint, with the highest position that is before the first step.
   *
   * @param position of the last broadcast that the node has processed.
   */
  checkpointAt(position: number): Checkpoint {
    const [first] = this.#steps;
    // Broadcasts before the first step were not for this session.
    const known = first ? first.position - (first.entry === undefined ? 1 : 0) : position;
    return { ...this.#checkpoint, position: Math.max(known, this.#checkpoint.position) };
  }

  /**
   * Returns the same log without broadcasts, for an engine that has lost them: they become messages of the session.
   *
   * @param position of the last broadcast in the new log of all nodes.
   */
  withoutBroadcasts(position: number): SessionLog {
    const { acknowledged, rooms, logStart } = this.#checkpoint;
    const log = new SessionLog({ acknowledged, rooms, logStart, position });
    for (const { message, joins, leaves } of this.#steps) {
      if (message !== undefined) log.addMessage(message, position);
      if (joins !== undefined) log.addRoom('join', joins, position);
      if (leaves !== undefined) log.addRoom('leave', leaves, position);
    }
    return log;
  }
}

/**
 * Whether a broadcast was appended again after the engine had lost its data, and the session had received it before.
 *
 * @param lastNumbers see {@link StoredSession}.
 */
export function isRepeated(
  { sender, number }: PositionedBroadcast,
  lastNumbers: StoredSession['lastNumbers'],
): boolean {
  return number <= (lastNumbers?.[sender] ?? 0);
}

/** Whether a session receives a broadcast. */
export function matches(
  { room, session, except }: PositionedBroadcast,
  id: string,
  rooms: { has(room: string): boolean },
): boolean {
  return (
    (room === undefined || rooms.has(room)) &&
    (session === undefined || session === id) &&
    except !== id
  );
}

/** @param before number of messages before the broadcast. */
function toStep({ position, message, close }: PositionedBroadcast, before: number): Step {
  return message === undefined ? { position, before, close } : { position, before, message };
}

function applyTo(rooms: Set<string>, { joins, leaves }: Step): void {
  if (joins !== undefined) rooms.add(joins);
  if (leaves !== undefined) rooms.delete(leaves);
}

function parseEntry(entry: string): Step {
  const space = entry.indexOf(' ');
  const position = Number(entry.slice(0, space));
  const kind = entry[space + 1];
  const value = entry.slice(space + 2);
  const step = { position, before: 0, entry };
  if (kind === MESSAGE) return { ...step, message: value };
  const room = String(JSON.parse(value));
  return kind === JOIN ? { ...step, joins: room } : { ...step, leaves: room };
}
