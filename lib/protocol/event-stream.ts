/**
 * The `text/event-stream` format.
 * Source: HTML Living Standard §9.2.5 "Parsing an event stream" and §9.2.6 "Interpreting an event
 * stream", below `[spec]`.
 */

/** Fields of an event to be written, beside its data. Neither may hold a line break. */
export interface EventFields {
  event?: string;
  id?: string;
}

const LINE_BREAK = /\r\n|\n|\r/g;

/**
 * Writes one event. Total: whatever `data` holds, a receiver dispatches exactly one event; line
 * breaks of any kind arrive as `\n`, for the format knows no other.
 */
export function encodeEvent(data: string, { event, id }: EventFields = {}): string {
  return (
    (id === undefined ? '' : `id: ${id}\n`) +
    (event === undefined ? '' : `event: ${event}\n`) +
    `data: ${data.replace(LINE_BREAK, '\ndata: ')}\n\n`
  );
}

/**
 * Reads events from text that arrives in pieces cut anywhere: returns the function that takes the
 * pieces.
 *
 * The text is the stream's bytes decoded as UTF-8 with one leading byte order mark removed, which is
 * what `TextDecoder` does by default [spec §9.2.6].
 *
 * @param dispatch is called for each event, before the function returns: with its name, `message` where
 * the stream names none, and its `data:` lines, joined by a newline. Its `id:`, and `retry:`, are for a
 * browser's EventSource: who reads with this decoder counts messages, and is told when to come back.
 * @param maxLength bounds an unfinished event, in UTF-16 code units: a piece that leaves a longer one
 * throws a RangeError.
 */
export function createEventStreamDecoder(
  dispatch: (type: string, data: string) => void,
  maxLength: number,
): (text: string) => void {
  /** Only ever appended to, so that a line of many pieces costs time linear in its length. */
  let unfinished = '';
  let type = '';
  let data: string | undefined;
  let endedInCarriageReturn = false;

  return (text) => {
    if (!text) return;
    // The second half of a CRLF that was cut in two is no line of its own.
    const lines = text.slice(endedInCarriageReturn && text[0] === '\n' ? 1 : 0).split(LINE_BREAK);
    endedInCarriageReturn = text.endsWith('\r');

    lines[0] = unfinished + (lines[0] as string);
    unfinished = lines.pop() as string;
    lines.forEach(readLine);
    if (unfinished.length + (data ?? '').length > maxLength) {
      throw new RangeError('too long');
    }
  };

  function readLine(line: string): void {
    if (!line) {
      // [spec] Without a data field nothing is dispatched; with an empty one, an event is.
      if (data !== undefined) dispatch(type || 'message', data);
      type = '';
      data = undefined;
      return;
    }
    // A comment begins with the colon: its field is the empty string, which is none of these.
    const [, field, value] = /^([^:]*):? ?([^]*)/.exec(line) as unknown as [string, string, string];
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
    else if (field === 'event') type = value;
  }
}
