import { SseRequestError } from './request-error';

/**
 * Deepest nesting of arrays and objects in the body of a POST. `JSON.parse` accepts any, but `JSON.stringify` and
 * recursive functions of the application exceed the stack: `JSON.stringify` at about 4,000 levels, if the stack is empty.
 */
const MAX_NESTING = 500;

/**
 * Checks how deep a body is nested.
 *
 * @param length of its JSON, if known. A level takes two characters, so that most bodies need no further look.
 * @throws SseRequestError if it is nested too deep.
 */
export function checkNesting(body: unknown, length = Infinity): void {
  if (length <= 2 * MAX_NESTING || !isDeeper(body, MAX_NESTING)) return;
  throw new SseRequestError(
    'bad-request',
    `the request body is nested more than ${MAX_NESTING} levels deep: send flat data, or a string that contains JSON`,
  );
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  // A loop, because `some` takes twice as long.
  for (const child of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeper(child, levels - 1)) return true;
  }
  return false;
}
