import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../..');

/** A code block of a page. */
export interface CodeBlock {
  /** The first word after the fence. */
  language: string;
  /** The rest of the line, for example `fragment`. */
  info: string;
  code: string;
  /** The file that the first line names: `// server.mjs`, `<!-- index.html -->` or `# nginx.conf`. */
  file: string | undefined;
  /** The last heading of the second level before the block. */
  section: string;
}

/** Returns the code blocks of a page, given its path from the root of the clone. */
export function readBlocks(page: string): CodeBlock[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```(\w+) ?(.*)\n([^]*?)\n```$/gm)].map((match) => {
    const [, language, info, code] = match as unknown as [string, string, string, string];
    const [, file] = /^(?:\/\/|<!--|#) ([\w./-]+\.\w+)\b/.exec(code) ?? [];
    const section = /.*^## ([^\n]*)/ms.exec(text.slice(0, match.index))?.[1] ?? '';
    return { language, info, code, file, section };
  });
}

/** Returns the files of a page that a test runs: those that are no fragments. */
export function readFiles(page: string): (CodeBlock & { file: string })[] {
  return readBlocks(page).flatMap((block) =>
    block.file === undefined || block.info === 'fragment' ? [] : [{ ...block, file: block.file }],
  );
}
