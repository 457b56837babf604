/**
 * The `text/event-stream` format: the only encoder and the only decoder of this package.
 * Source: HTML Living Standard §9.2.5 "Parsing an event stream" and §9.2.6 "Interpreting an event
 * stream", cited as [spec].
 */
import type { EncodedMessage } from './message';

/** Begins a line of data. */
export const DATA_PREFIX = 'data: ';

/** Ends a line, and the event. */
export const EVENT_END = '\n\n';

/** An empty comment: keeps a connection alive and dispatches nothing. */
export const EMPTY_COMMENT = ':\n\n';

/** The fields of an event. `id` and `event` must not contain a line break. */
export interface EventFields {
  /** Reconnection delay for a browser's `EventSource`, in milliseconds. */
  retry?: number;
  id?: string;
  event?: string;
  data?: string;
}

/** A field's name and, after a colon and at most one space, its value [spec]. */
const FIELD = /^([^:]*):? ?(.*)$/s;

const LINE_BREAK = /\r\n|\n|\r/g;

/**
 * Encodes the lines of an event without the blank line that ends it, so that an event can be
 * completed by {@link encodeMessageEvent}.
 *
 * `data` may contain any characters; line breaks of every kind arrive as `\n` [spec].
 */
export function encodeFields({ retry, id, event, data }: EventFields): string {
  let lines = '';
  if (retry !== undefined) lines += `retry: ${retry}\n`;
  if (id !== undefined) lines += `id: ${id}\n`;
  if (event !== undefined) lines += `event: ${event}\n`;
  if (data !== undefined)
    lines += `${DATA_PREFIX}${data.replace(LINE_BREAK, `\n${DATA_PREFIX}`)}\n`;
  return lines;
}

/** Encodes one event. Without `data` a receiver takes over `retry` and `id` but dispatches nothing. */
export function encodeEvent(fields: EventFields): string {
  return `${encodeFields(fields)}\n`;
}

/** Encodes the event of a message, which is an event without a name. An encoded message has no line break. */
export function encodeMessageEvent(message: EncodedMessage): string {
  return DATA_PREFIX + message + EVENT_END;
}

/**
 * Creates a decoder: a function that accepts the stream's text in pieces of any length.
 *
 * The text must be decoded as UTF-8, with one leading byte order mark removed, which is what
 * `TextDecoder` does by default [spec §9.2.6]. The decoder ignores `id` and `retry`.
 *
 * @param dispatch is called for each event before the decoder returns, with the event's name
 * (`message` if it has none) and its lines of data joined by `\n`.
 * @param maxLength limits an unfinished event, in UTF-16 code units.
 * @returns the decoder. It returns false when an unfinished event exceeds `maxLength`, and must not be
 * called again then.
 */
export function createEventStreamDecoder(
  dispatch: (type: string, data: string) => void,
  maxLength: number,
): (text: string) => boolean {
  /** Only appended to, so that a line that arrives in many pieces takes linear time. */
  let unfinishedLine = '';
  let type = '';
  let data: string | undefined;
  let endedWithCarriageReturn = false;

  return (text) => {
    if (!text) return true;
    // A line feed that follows a carriage return of the previous piece belongs to the same line break.
    const isSplitLineBreak = endedWithCarriageReturn && text.startsWith('\n');
    const lines = text.slice(isSplitLineBreak ? 1 : 0).split(LINE_BREAK);
    endedWithCarriageReturn = text.endsWith('\r');

    const rest = lines.pop() ?? '';
    for (const line of lines) {
      readLine(unfinishedLine + line);
      unfinishedLine = '';
    }
    unfinishedLine += rest;
    return unfinishedLine.length + (data ?? '').length <= maxLength;
  };

  function readLine(line: string): void {
    if (!line) {
      // Without a data field nothing is dispatched; with an empty one, an event is [spec].
      if (data !== undefined) dispatch(type || 'message', data);
      type = '';
      data = undefined;
      return;
    }
    // A comment begins with a colon. Its field name is empty and therefore ignored.
    const [, field, value = ''] = FIELD.exec(line) ?? [];
    if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
    else if (field === 'event') type = value;
  }
}
