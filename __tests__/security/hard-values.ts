import fc from 'fast-check';

/** Syntax of event streams, characters that JSON escapes, and surrogates that UTF-8 cannot encode. */
const MARKS = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\n\n',
    ':',
    ' ',
    '\0',
    '"',
    '\\',
    '\\n',
    '\t',
    '\v',
    '\f',
    '\x1b',
    '\x7f',
  ],
  ...['data', 'data:', '\ndata: ', '\nid: 1', '\nevent: close', '\nretry: 1', '\n: ', '</script>'],
  ...['\uFEFF', '\u2028', '\u2029', '\u0085', '\uD83D', '\uDE00', '\uFFFF', 'ü', '漢', '😀', 'a'],
];

/** Strings that are difficult to carry in an event stream. */
export const hardText = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom(...MARKS) }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
);

/** JSON values that contain such strings. */
const hardJson = fc.oneof(
  { weight: 4, arbitrary: hardText },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.constantFrom(null, true, false, '', [], {}, -0, 1e21, 2 ** 53) },
  { weight: 2, arbitrary: fc.array(hardText, { maxLength: 4 }) },
  { weight: 2, arbitrary: fc.dictionary(hardText, hardText, { maxKeys: 4 }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
);

/** Values that JSON cannot express. */
const noJson = fc.constantFrom<unknown>(
  ...[undefined, () => {}, Symbol('x'), 1n, { deep: [1n] }, { toJSON: () => undefined }],
);

/** Values that an application may send, and some that it cannot send. */
export const hardValue = fc.oneof(
  { weight: 50, arbitrary: hardJson },
  { weight: 1, arbitrary: noJson },
);
