import { BINARY_MARK, TEXT_MARK, bytesOf, isBlob, toJson } from '../protocol/message';
import type { EncodedMessage } from '../protocol/message';
import { parseJson } from '../protocol/parse';
import { utf8Length } from '../protocol/utf8';
import { fromBase64, toBase64 } from './base64';

/** A message as the body of a POST contains it. */
export interface OutgoingMessage {
  /** The message as JSON; bytes are a string of base64. Undefined until a Blob is read. */
  json: string | undefined;
  /** Whether the message is binary. */
  readonly isBinary: boolean;
  /** Size of the JSON, in bytes. */
  readonly byteLength: number;
  /** The message, if it is a Blob: {@link readBlob} reads it. */
  readonly blob?: Blob;
}

/** @throws TypeError if the message is neither binary nor JSON-serialisable. */
export function encodeOutgoing(message: unknown): OutgoingMessage {
  if (isBlob(message)) {
    const blob = message as Blob;
    const byteLength = Math.ceil(blob.size / 3) * 4 + '""'.length;
    return { json: undefined, isBinary: true, byteLength, blob };
  }
  const bytes = bytesOf(message);
  const json = bytes ? toJsonBase64(bytes) : toJson(message);
  return { json, isBinary: !!bytes, byteLength: bytes ? json.length : utf8Length(json) };
}

/** Sets `json` if the message is a Blob. Rejects if the Blob cannot be read: its file was deleted, for example. */
export async function readBlob(message: OutgoingMessage): Promise<void> {
  const { blob } = message;
  if (blob) message.json = toJsonBase64(new Uint8Array(await blob.arrayBuffer()));
}

function toJsonBase64(bytes: Uint8Array): string {
  return `"${toBase64(bytes)}"`;
}

/** Reverses {@link encodeOutgoing}, for `unacknowledged`. Bytes are an ArrayBuffer, a Blob is the same Blob. */
export function decodeOutgoing({ json = 'null', isBinary, blob }: OutgoingMessage): unknown {
  return blob ?? (isBinary ? fromBase64(json.slice(1, -1)) : parseJson(json));
}

/** Decodes a message of the server. Returns undefined if it is invalid. Bytes are an ArrayBuffer. */
export function decodeIncoming(message: EncodedMessage): unknown {
  if (message.startsWith(BINARY_MARK)) return fromBase64(message.slice(1));
  return message.startsWith(TEXT_MARK) ? message.slice(1) : parseJson(message);
}
