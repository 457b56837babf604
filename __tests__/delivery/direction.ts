import { createHash } from 'node:crypto';
import { createRandom } from '../helpers/random';
import type { Random } from '../helpers/random';

/** A message of one byte is a digit, any other a string or, among binary ones, bytes. */
export type Message = string | number | ArrayBuffer | Uint8Array;

/** What happened to the messages of one direction. */
export interface DirectionReport {
  sent: number;
  received: number;
  megabytes: number;
  lost: number;
  duplicated: number;
  reordered: number;
  /** SHA-256 of all messages in order, at the sender and at the receiver. */
  sentHash: string;
  receivedHash: string;
}

const LARGEST = 65_536;
/** Characters of one to four bytes in UTF-8, and some that JSON or the stream has to escape. */
const ALPHABET = [...Array.from('a7 "\\\n\ré漢😀\u2028\0:'), '\r\n'];

/** The messages of one direction: the sender draws them, and the receiver compares them. */
export class Direction {
  received = 0;
  readonly #random: Random;
  readonly #largest: number;
  readonly #binaryShare: number;
  readonly #pool: string;
  readonly #sent: string[] = [];
  /** For each received message, its index in the order of sending. */
  readonly #arrivals: number[] = [];
  readonly #sentHash = createHash('sha256');
  readonly #receivedHash = createHash('sha256');
  #bytes = 0;

  /**
   * @param largest size of the largest message in bytes.
   * @param binaryShare the share of messages that are binary, from 0 to 1.
   */
  constructor(seed: number, largest = LARGEST, binaryShare = 0) {
    this.#largest = largest;
    this.#binaryShare = binaryShare;
    const random = createRandom(seed);
    this.#random = random;
    this.#pool = Array.from({ length: LARGEST }, () =>
      random.next() < 0.9 ? 'x' : random.pick(ALPHABET),
    )
      .join('')
      .repeat(2); // so that a message of any size can begin at any index
  }

  get sent(): number {
    return this.#sent.length;
  }

  /** Returns the next message, whose size is distributed logarithmically from 1 byte to the largest. */
  draw(): Message {
    const size = this.#random.magnitude(1, this.#largest);
    const at = this.#random.integer(0, LARGEST - 1);
    let message: Message = this.sent % 10;
    if (size > 1) {
      const text = `${this.sent}|${this.#pool.slice(at, at + size)}`;
      let length = Math.min(size, LARGEST) - 2;
      const fits = () => Buffer.byteLength(JSON.stringify(text.slice(0, length))) <= size;
      while (!fits()) length = Math.floor(length * 0.9);
      message = text.slice(0, length);
    }
    if (this.#binaryShare > 0 && this.#random.next() < this.#binaryShare) {
      message = Buffer.from(String(message));
    }
    const text = describe(message);
    this.#sent.push(text);
    this.#sentHash.update(text);
    this.#bytes += Buffer.byteLength(text);
    return message;
  }

  receive(message: Message): void {
    this.received++;
    const text = describe(message);
    this.#receivedHash.update(text);
    const expected = (this.#arrivals.at(-1) ?? -1) + 1;
    this.#arrivals.push(this.#sent[expected] === text ? expected : this.#sent.indexOf(text));
  }

  report(): DirectionReport {
    const arrivals = this.#arrivals;
    const distinct = new Set(arrivals);
    return {
      sent: this.sent,
      received: this.received,
      megabytes: Math.round(this.#bytes / 1e5) / 10,
      lost: this.sent - distinct.size,
      duplicated: arrivals.length - distinct.size,
      reordered: arrivals.filter((index, i) => i > 0 && index < arrivals[i - 1]!).length,
      sentHash: this.#sentHash.digest('hex'),
      receivedHash: this.#receivedHash.digest('hex'),
    };
  }
}

/** JSON, or base64 of what the server receives as a Buffer and the client as an ArrayBuffer. */
function describe(message: Message): string {
  if (typeof message !== 'object') return JSON.stringify(message);
  return `bytes ${Buffer.from(message as Uint8Array).toString('base64')}`;
}
