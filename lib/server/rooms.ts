/** @throws TypeError if `room` cannot be the name of a room. */
export function checkRoom(room: unknown): void {
  if (typeof room === 'string' && room !== '') return;
  const given = room === '' ? 'the empty string' : typeof room;
  throw new TypeError(
    `the name of a room must be a string with at least one character, not ${given}`,
  );
}

/** The rooms of a middleware, and the members of each. A room exists as long as it has members. */
export class Rooms<Member extends object> {
  readonly #members = new Map<string, Set<Member>>();
  /** The names of each member's rooms. They outlive the membership, so that a `close` listener can read them. */
  readonly #names = new WeakMap<Member, Set<string>>();

  /** Adds a member. Returns false if it is in the room already. */
  join(member: Member, room: string): boolean {
    let members = this.#members.get(room);
    if (!members) this.#members.set(room, (members = new Set()));
    if (members.has(member)) return false;
    members.add(member);
    let names = this.#names.get(member);
    if (!names) this.#names.set(member, (names = new Set()));
    names.add(room);
    return true;
  }

  /** Removes a member. Returns false if it is not in the room. */
  leave(member: Member, room: string): boolean {
    this.#names.get(member)?.delete(room);
    return this.#remove(member, room);
  }

  /** Removes a member from all its rooms, whose names {@link namesOf} still returns. */
  leaveAll(member: Member): void {
    for (const room of this.#names.get(member) ?? []) this.#remove(member, room);
  }

  /** Returns the members of a room, in the order in which they joined it. */
  membersOf(room: string): Iterable<Member> {
    return this.#members.get(room) ?? [];
  }

  /** Returns the names of a member's rooms, or of those that it was in at the end. */
  namesOf(member: Member): string[] {
    return [...(this.#names.get(member) ?? [])];
  }

  /** Number of rooms that have members. */
  get size(): number {
    return this.#members.size;
  }

  #remove(member: Member, room: string): boolean {
    const members = this.#members.get(room);
    if (!members?.delete(member)) return false;
    if (members.size === 0) this.#members.delete(room);
    return true;
  }
}
