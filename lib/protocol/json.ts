/** `JSON.stringify` with its real return type: undefined for a value without a JSON form. */
const stringify: (value: unknown) => string | undefined = (value) => JSON.stringify(value);

/**
 * Serialises a message.
 *
 * @throws TypeError if the message has no JSON form: `undefined`, a function, a symbol, a BigInt, or a
 * cyclic object.
 */
export function toJson(message: unknown): string {
  const json = stringify(message);
  if (json === undefined) {
    throw new TypeError(`a message must be JSON-serialisable, and ${typeof message} is not`);
  }
  return json;
}
