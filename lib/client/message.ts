import { BINARY_MARK, TEXT_MARK, bytesOf, isBlob, toJson } from '../protocol/message';
import type { EncodedMessage } from '../protocol/message';
import { parseJson } from '../protocol/parse';
import { utf8Length } from '../protocol/utf8';
import { fromBase64, toBase64 } from './base64';

/** Room for the index of a binary message in the body of a POST, and for a comma, in bytes. */
const INDEX_SIZE = 8;

/** A message as the body of a POST contains it. */
export interface OutgoingMessage {
  /** JSON: of the message, or of its bytes as a string of base64. Undefined until its Blob is read. */
  json: string | undefined;
  /** Whether it is bytes. */
  readonly isBinary: boolean;
  /** Its part of the body, in bytes. */
  readonly byteLength: number;
  /** A Blob is read asynchronously, with {@link readBlob}. */
  readonly blob?: Blob;
}

/** @throws TypeError if the message is neither binary nor JSON-serialisable. */
export function encodeOutgoing(message: unknown): OutgoingMessage {
  const bytes = bytesOf(message);
  if (bytes) return { json: toJsonBase64(bytes), ...binary(bytes.length) };
  if (isBlob(message)) {
    const blob = message as Blob;
    return { json: undefined, ...binary(blob.size), blob };
  }
  const json = toJson(message);
  return { json, isBinary: false, byteLength: utf8Length(json) };
}

function binary(size: number): { isBinary: true; byteLength: number } {
  return { isBinary: true, byteLength: Math.ceil(size / 3) * 4 + '""'.length + INDEX_SIZE };
}

/** Rejects if the Blob cannot be read, for example because its file was deleted. */
export async function readBlob(message: OutgoingMessage): Promise<void> {
  const { blob } = message;
  if (blob) message.json = toJsonBase64(new Uint8Array(await blob.arrayBuffer()));
}

function toJsonBase64(bytes: Uint8Array): string {
  return `"${toBase64(bytes)}"`;
}

/** Returns what {@link encodeOutgoing} was called with, or its equal. Bytes are an ArrayBuffer. */
export function decodeOutgoing({ json = 'null', isBinary, blob }: OutgoingMessage): unknown {
  return blob ?? (isBinary ? fromBase64(json.slice(1, -1)) : parseJson(json));
}

/** Decodes a message of the server. Returns undefined if it is invalid. Bytes are an ArrayBuffer. */
export function decodeIncoming(message: EncodedMessage): unknown {
  if (message.startsWith(BINARY_MARK)) return fromBase64(message.slice(1));
  return message.startsWith(TEXT_MARK) ? message.slice(1) : parseJson(message);
}
