import { BINARY_MARK, TEXT_MARK, bytesOf, isBlob, toJson } from '../protocol/message';
import type { EncodedMessage } from '../protocol/message';

/**
 * Matches the characters because of which a string must be sent as JSON: those that end a line of an event stream
 * [HTML §9.2.5], and surrogates, which UTF-8 cannot express if they are alone.
 */
const NEEDS_JSON = /[\r\n\ud800-\udfff]/;

/**
 * Encodes a message of the application.
 *
 * @param acceptsText whether the receiver accepts strings as they are, which is shorter than JSON.
 * @throws TypeError if it is neither binary nor JSON-serialisable.
 */
export function encodeMessage(message: unknown, acceptsText = false): EncodedMessage {
  if (acceptsText && typeof message === 'string' && !NEEDS_JSON.test(message)) {
    return TEXT_MARK + message;
  }
  if (isPlain(message)) return toJson(message);
  const bytes = bytesOf(message);
  if (bytes) {
    const { buffer, byteOffset, byteLength } = bytes;
    return BINARY_MARK + Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  }
  if (isBlob(message)) {
    throw new TypeError(
      'cannot send: a Blob is read asynchronously, send await blob.arrayBuffer()',
    );
  }
  return toJson(message);
}

/** Whether a message is certainly a plain object or an array. Looking up its class would take about 20 ns. */
function isPlain(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const prototype: unknown = Object.getPrototypeOf(message);
  return prototype === Object.prototype || prototype === Array.prototype;
}

/** Returns the size in bytes of all messages together. */
export function sizeOf(messages: readonly EncodedMessage[]): number {
  return messages.reduce((sum, message) => sum + Buffer.byteLength(message), 0);
}

/** Decodes what {@link encodeMessage} returned. Bytes become a Buffer. */
export function decodeMessage(message: EncodedMessage): unknown {
  if (message.startsWith(BINARY_MARK)) return Buffer.from(message.slice(1), 'base64');
  if (message.startsWith(TEXT_MARK)) return message.slice(1);
  return JSON.parse(message);
}

/** Decodes base64. Returns undefined if the value is not a string of base64, with padding. */
export function decodeBase64(value: unknown): Buffer | undefined {
  if (typeof value !== 'string' || value.length % 4 !== 0) return undefined;
  const bytes = Buffer.from(value, 'base64');
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0;
  // Node ignores characters that are not base64, and what follows a padding.
  return bytes.length === (value.length / 4) * 3 - padding ? bytes : undefined;
}
