import type {
  Broadcast,
  BroadcastRange,
  ClusterEngine,
  CommitResult,
  EngineListener,
  EngineState,
  NewSession,
  Notification,
  Numbering,
  PositionedBroadcast,
  ReadNumbering,
  RecordedMessages,
  SessionChanges,
  SessionOwnership,
  StoredSession,
  TakeResult,
  TakenBatch,
  TakenMessage,
  UnhandledLimits,
} from '../../lib/server/cluster-engine';
import { createStoredSession } from '../../lib/server/stored-session';
import type { EngineSource } from './faulty-nodes';

interface Entry extends StoredSession {
  owner: string;
  /** The node that has released it without a successor. */
  releasedBy?: string;
  acknowledgedElsewhere: number;
}

/** The database that {@link MemoryEngine}s share. */
export class MemoryStore {
  sessions = new Map<string, Entry>();
  broadcasts: PositionedBroadcast[] = [];
  position = 0;
  base = 0;
  generation = 1;
  /** Whether it has lost its data, and no node has noticed that yet. */
  isEmpty = false;
  bornAt = -Infinity;
  readonly listeners = new Map<string, EngineListener>();
  /** The time at which the lease of each node expires. */
  readonly leases = new Map<string, number>();
  readonly lastNumbers = new Map<string, number>();

  /** Loses everything, as a database that is restarted without its files. */
  clear(): void {
    this.sessions.clear();
    this.broadcasts = [];
    this.position = this.base = 0;
    this.isEmpty = true;
    this.lastNumbers.clear();
  }
}

/** An engine in the memory of this process, for nodes that are in this process as well. */
export class MemoryEngine implements ClusterEngine {
  readonly #store: MemoryStore;
  readonly #lease: number;
  #nodeId = '';

  /** @param lease time in milliseconds for which a node owns its sessions without a beat. */
  constructor(store: MemoryStore, lease = 15_000) {
    this.#store = store;
    this.#lease = lease;
  }

  get nodeId(): string {
    return this.#nodeId;
  }

  async #call<Result>(apply: (store: MemoryStore) => Result): Promise<Result> {
    await Promise.resolve();
    const result = structuredClone(apply(this.#store));
    await Promise.resolve();
    return result;
  }

  #publish(nodeId: string, publish: (listener: EngineListener) => void): boolean {
    const listener = this.#store.listeners.get(nodeId);
    if (!listener) return false;
    queueMicrotask(() => publish(listener));
    return true;
  }

  /** Ends the subscriptions, as the end of the process does. */
  disconnect(): void {
    this.#store.listeners.delete(this.#nodeId);
  }

  async start(nodeId: string, listener: EngineListener): Promise<void> {
    this.#nodeId = nodeId;
    await this.#call((store) => void store.listeners.set(nodeId, listener));
  }

  stop(): Promise<void> {
    return this.#call(({ listeners }) => void listeners.delete(this.#nodeId));
  }

  beat(position: number): Promise<EngineState> {
    return this.#call((store) => {
      const now = performance.now();
      store.leases.set(this.#nodeId, now + this.#lease);
      if (store.isEmpty || store.position < position) {
        store.position = Math.max(1_000_000 * store.generation, position + 1_000_000);
        store.base = store.position;
        store.generation++;
        store.bornAt = now;
        store.isEmpty = false;
      }
      return {
        generation: String(store.generation),
        position: store.position,
        base: store.base,
        lastNumbers: Object.fromEntries(store.lastNumbers),
        age: now - store.bornAt,
        deadNodes: [...store.leases].filter(([, until]) => until < now).map(([id]) => id),
      };
    });
  }

  open(id: string, session: NewSession): Promise<boolean> {
    return this.#call(({ sessions }) => {
      const existing = sessions.get(id);
      if (existing) return existing.tokenHash === session.tokenHash;
      const stored = createStoredSession(session, 1);
      sessions.set(id, { ...stored, owner: this.#nodeId, acknowledgedElsewhere: 0 });
      return true;
    });
  }

  replace(id: string, epoch: number, received: number, session: NewSession): Promise<boolean> {
    return this.#call((store) => {
      if (store.sessions.get(id)?.tokenHash === session.tokenHash) return true;
      const replaced = this.#own(store, id, epoch);
      if (!replaced?.numbering) return false;
      const stored = createStoredSession(session, epoch + 1);
      const unhandled = replaced.unhandled.slice(received - replaced.handled);
      const { first, next, waiting } = replaced.numbering;
      const areNumbersKnown = unhandled.length > 0 && next !== undefined;
      store.sessions.set(id, {
        ...stored,
        owner: this.#nodeId,
        acknowledgedElsewhere: 0,
        received: unhandled.length,
        unhandled,
        numbering: areNumbersKnown
          ? { first, next, waiting }
          : { first: 0, next: stored.numbering?.next, waiting },
      });
      return true;
    });
  }

  find(id: string): Promise<SessionOwnership | undefined> {
    return this.#call(({ sessions }) => sessions.get(id));
  }

  claim(id: string, found: SessionOwnership): Promise<StoredSession | undefined> {
    return this.#call(({ sessions }) => {
      const entry = sessions.get(id);
      if (entry?.tokenHash !== found.tokenHash || entry.epoch !== found.epoch) return undefined;
      entry.epoch++;
      entry.owner = this.#nodeId;
      return entry;
    });
  }

  restore(id: string, session: StoredSession): Promise<void> {
    return this.#call(({ sessions }) => {
      const entry = sessions.get(id);
      const { epoch, sequence } = session;
      if (entry && entry.epoch > epoch) return;
      if (entry?.epoch === epoch && entry.sequence >= sequence) return;
      sessions.set(id, {
        ...structuredClone(session),
        owner: this.#nodeId,
        acknowledgedElsewhere: 0,
      });
    });
  }

  #own(store: MemoryStore, id: string, epoch: number): Entry | undefined {
    const entry = store.sessions.get(id);
    return entry?.owner === this.#nodeId && entry.epoch === epoch ? entry : undefined;
  }

  commit(id: string, epoch: number, changes: SessionChanges): Promise<CommitResult | undefined> {
    return this.#call((store) => {
      const entry = this.#own(store, id, epoch);
      if (!entry) return undefined;
      if (changes.sequence <= entry.sequence) return { received: entry.received };
      if (changes.sequence > entry.sequence + 1) return { received: -1 };
      const end = entry.checkpoint.logStart + entry.log.length;
      const known = Math.max(entry.received, changes.handled);
      if (end < changes.firstEntry || known < changes.firstMessage) return { received: -1 };
      entry.sequence = changes.sequence;
      entry.log = entry.log.concat(changes.log.slice(end - changes.firstEntry));
      entry.log.splice(0, changes.checkpoint.logStart - entry.checkpoint.logStart);
      entry.checkpoint = structuredClone(changes.checkpoint);
      entry.unhandled.splice(0, changes.handled - entry.handled);
      entry.handled = changes.handled;
      entry.unhandled = entry.unhandled.concat(
        changes.messages.slice(known - changes.firstMessage),
      );
      entry.received = Math.max(entry.received, changes.received);
      if (changes.state !== undefined) entry.state = changes.state;
      if (changes.close !== undefined) entry.close = changes.close;
      return { received: entry.received };
    });
  }

  take(id: string, batch: TakenBatch): Promise<TakeResult> {
    return this.#call((store): TakeResult => {
      const entry = store.sessions.get(id);
      const isOwn =
        entry?.tokenHash === batch.tokenHash &&
        entry.dialect === batch.dialect &&
        entry.principal === batch.principal;
      if (!isOwn) return { outcome: 'unknown-session' };
      const { received, close } = entry;
      if (close?.isClosed) return { outcome: 'closed', received, close };
      if (batch.first > received) return { outcome: 'out-of-window', received };
      const messages = batch.messages.slice(received - batch.first);
      if (messages.length > 0 && isFull(entry, batch)) return { outcome: 'full' };
      entry.unhandled = entry.unhandled.concat(messages);
      entry.received += messages.length;
      entry.closedByClient = batch.close ?? entry.closedByClient;
      entry.acknowledgedElsewhere = Math.max(entry.acknowledgedElsewhere, batch.acknowledged);
      const { first, acknowledged } = batch;
      this.#publish(entry.owner, (listener) =>
        listener.onNotification({
          type: 'taken',
          id,
          first,
          messages: batch.messages,
          acknowledged,
          close: batch.close,
        }),
      );
      return { outcome: 'taken', received: entry.received };
    });
  }

  takeMessage(id: string, taken: TakenMessage): Promise<TakeResult> {
    return this.#call((store): TakeResult => {
      const entry = store.sessions.get(id);
      if (!entry?.numbering || entry.principal !== taken.principal) {
        return { outcome: 'unknown-session' };
      }
      const { close, numbering } = entry;
      const { waiting } = numbering;
      const { number, message } = taken;
      if (number === 0) numbering.next ??= 0;
      const { next } = numbering;
      const received = () => numbering.next ?? 0;
      if (close?.isClosed) return { outcome: 'closed', received: received(), close };
      const isRejected = message !== '' && isFull(entry, taken);
      if (number === undefined) {
        if (isRejected) return { outcome: 'full' };
        append(entry, message);
      } else if (number < numbering.first) {
        return { outcome: 'out-of-window', received: received() };
      } else if ((next !== undefined && number < next) || number in waiting) {
        return { outcome: 'taken', received: received() };
      } else if (isRejected) {
        return { outcome: 'full' };
      } else {
        const distance =
          next === undefined ? Object.keys(waiting).length + 1 : Math.max(0, number - next);
        const bytes = Buffer.byteLength(Object.values(waiting).join('') + message);
        if (distance > taken.reorderWindow || (distance > 0 && bytes > taken.maxBytes)) {
          return { outcome: 'out-of-window', received: received() };
        }
        waiting[number] = message;
        recordWaiting(entry);
      }
      this.#publish(entry.owner, (listener) => listener.onNotification({ type: 'recorded', id }));
      return { outcome: 'taken', received: received() };
    });
  }

  startNumbering(id: string, epoch: number): Promise<void> {
    return this.#call((store) => {
      const entry = this.#own(store, id, epoch);
      if (!entry?.numbering || entry.numbering.next !== undefined) return;
      const numbers = Object.keys(entry.numbering.waiting).map(Number);
      if (numbers.length === 0) return;
      entry.numbering.first = entry.numbering.next = Math.min(...numbers);
      recordWaiting(entry);
    });
  }

  read(
    id: string,
    epoch: number,
    first: number,
    maxWaiting: number,
  ): Promise<RecordedMessages | undefined> {
    return this.#call((store) => {
      const entry = this.#own(store, id, epoch);
      if (!entry) return undefined;
      return {
        first: Math.max(first, entry.handled),
        messages: entry.unhandled.slice(Math.max(0, first - entry.handled)),
        acknowledged: entry.acknowledgedElsewhere,
        close: entry.closedByClient,
        sequence: entry.sequence,
        numbering: entry.numbering && toReadNumbering(entry.numbering, maxWaiting),
      };
    });
  }

  release(id: string, epoch: number, successor: string | undefined): Promise<void> {
    return this.#call((store) => {
      const entry = this.#own(store, id, epoch);
      if (!entry) return;
      entry.owner = successor ?? '';
      if (successor === undefined) entry.releasedBy = this.#nodeId;
    });
  }

  remove(id: string, epoch: number, tokenHash: string): Promise<void> {
    return this.#call((store) => {
      if (this.#own(store, id, epoch)?.tokenHash === tokenHash) store.sessions.delete(id);
    });
  }

  sessionsOf(nodeId: string): Promise<string[]> {
    return this.#call(({ sessions }) =>
      [...sessions]
        .filter(([, { owner, releasedBy }]) => (owner || releasedBy) === nodeId)
        .map(([id]) => id),
    );
  }

  forget(nodeId: string): Promise<void> {
    return this.#call(({ leases }) => void leases.delete(nodeId));
  }

  broadcast(generation: string, first: number, broadcasts: Broadcast[]): Promise<void> {
    return this.#call((store) => {
      if (store.isEmpty || String(store.generation) !== generation) {
        throw new Error('the engine has lost its data');
      }
      broadcasts.forEach((broadcast, index) => {
        const number = first + index;
        if (number <= (store.lastNumbers.get(this.#nodeId) ?? 0)) return;
        store.lastNumbers.set(this.#nodeId, number);
        const positioned = {
          ...broadcast,
          position: ++store.position,
          sender: this.#nodeId,
          number,
        };
        store.broadcasts.push(positioned);
        for (const nodeId of store.listeners.keys()) {
          this.#publish(nodeId, (listener) => listener.onBroadcast(positioned));
        }
      });
    });
  }

  readBroadcasts(after: number): Promise<BroadcastRange> {
    return this.#call(({ isEmpty, generation, broadcasts, position }) => {
      if (isEmpty) throw new Error('the engine has lost its data');
      return {
        generation: String(generation),
        oldest: broadcasts[0]?.position ?? position + 1,
        broadcasts: broadcasts.filter((each) => each.position > after),
      };
    });
  }

  notify(nodeId: string, notification: Notification): Promise<boolean> {
    return this.#call(() =>
      this.#publish(nodeId, (listener) => listener.onNotification(notification)),
    );
  }
}

/** Records the messages that wait for no other any more. */
function recordWaiting(entry: Entry): void {
  const { numbering } = entry;
  if (!numbering) return;
  for (let message; (message = numbering.waiting[numbering.next ?? -1]) !== undefined;) {
    Reflect.deleteProperty(numbering.waiting, String(numbering.next));
    numbering.next = (numbering.next ?? 0) + 1;
    if (message !== '') append(entry, message);
  }
}

function append(entry: Entry, message: string): void {
  entry.unhandled.push(message);
  entry.received++;
}

function isFull({ unhandled }: Entry, { maxUnhandled, maxBytes }: UnhandledLimits): boolean {
  return unhandled.length >= maxUnhandled || Buffer.byteLength(unhandled.join('')) >= maxBytes;
}

function toReadNumbering({ first, next, waiting }: Numbering, maxWaiting: number): ReadNumbering {
  const messages = Object.values(waiting);
  const isShort = Buffer.byteLength(messages.join('')) <= maxWaiting;
  return { first, next, waitingCount: messages.length, waiting: isShort ? waiting : undefined };
}

/** Opens a store whose nodes have a lease of 1.5 s. */
export function openMemory(): Promise<EngineSource> {
  const store = new MemoryStore();
  return Promise.resolve({
    create() {
      const engine = new MemoryEngine(store, 1_500);
      return { engine, disconnect: () => engine.disconnect() };
    },
    trimBroadcasts() {
      store.broadcasts.length = 0;
      return Promise.resolve();
    },
    clear: () => Promise.resolve(store.clear()),
    countSessions: () => Promise.resolve(store.sessions.size),
  });
}
