/**
 * Serialises a message.
 *
 * @throws TypeError if the message has no JSON form: `undefined`, a function, a symbol, a BigInt, or a
 * cyclic object.
 */
export function toJson(message: unknown): string {
  // The type that TypeScript declares for `JSON.stringify` omits undefined.
  const json = JSON.stringify(message) as string | undefined;
  if (!json) throw new TypeError(`cannot send: ${typeof message} has no JSON form`);
  return json;
}
