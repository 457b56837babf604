import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { transformSync } from 'esbuild';
import ts from 'typescript';
import { readBlocks } from './consumer/pages';

const ROOT = join(__dirname, '..');
const PAGES = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'PROTOCOL.md',
  'SECURITY.md',
  'bench/README.md',
  'example-app/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];
const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

/** The tests that run the files of a page, or compare its code with programs that they run. */
const RUN_BY: Record<string, string> = {
  'README.md': 'consumer/consumer.test.ts',
  'docs/getting-started.md': 'consumer/getting-started.test.ts',
  'docs/frameworks.md': 'consumer/frameworks.test.ts',
  'docs/observability.md': 'server/diagnostics.test.ts',
  'docs/recipes.md': 'consumer/recipes.test.ts',
  'docs/scaling.md': 'integration/frameworks.ts',
  'docs/websocket-libraries.md': 'consumer/libraries.test.ts',
};

/** Loaders of esbuild for the languages in which the documentation is written. */
const LOADERS: Partial<Record<string, 'js' | 'ts'>> = { js: 'js', ts: 'ts' };

/** Returns the anchors that a page has on GitHub: one for each heading. */
function anchorsOf(page: string): string[] {
  const text = read(page).replace(/^```[^]*?^```$/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Returns the links of a page that lead nowhere, except those to other hosts. */
function brokenLinks(page: string): string[] {
  const text = read(page).replace(/^```[^]*?^```$/gm, '');
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : normalize(join(dirname(page), path));
    try {
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    } catch {
      return !isFolder(target);
    }
  });
}

function isFolder(path: string): boolean {
  try {
    return readdirSync(join(ROOT, path)).length > 0;
  } catch {
    return false;
  }
}

/** Returns the beginnings, of three words, of the texts in a source that are sentences. Quoted values are left out. */
function textsOf(path: string): string[] {
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    const isText = ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node);
    if (isText || node.kind === ts.SyntaxKind.TemplateHead) {
      const { text } = node as ts.LiteralLikeNode;
      const words = text.replace(/"\w*"/g, '""').trim().split(' ');
      if (words.length >= 3) texts.push(words.slice(0, 3).join(' '));
    }
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
      visit(node.left); // the right side continues the sentence
    } else {
      ts.forEachChild(node, visit);
    }
  };
  visit(ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true));
  return texts;
}

describe('the documentation', () => {
  it.each(PAGES)('has no link in %s that leads nowhere', (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it.each(PAGES)(
    'has only code in %s that a test runs, or that is marked as a fragment',
    (page) => {
      const isRun = page in RUN_BY;
      const other = readBlocks(page).filter(
        ({ language, info }) => ['js', 'ts', 'html'].includes(language) && info !== 'fragment',
      );
      expect(isRun ? [] : other.map(({ code }) => code)).toEqual([]);
    },
  );

  it.each(Object.entries(RUN_BY))('names the test of %s, which is %s', (page, test) => {
    expect(read(`__tests__/${test}`)).toContain(page);
  });

  it.each(PAGES)('has no fragment in %s with a mistake in its syntax', (page) => {
    for (const { language, info, code } of readBlocks(page)) {
      const loader = LOADERS[language];
      if (info !== 'fragment' || !loader) continue;
      // A fragment may show the same name twice, before and after a change.
      const module = code.replace(/^(const|let) /gm, 'var ');
      expect(() => transformSync(module, { loader, format: 'esm' })).not.toThrow();
    }
  });

  it('has an entry for each error code', () => {
    const wire = read('lib/protocol/wire.ts');
    const [, codes] = /type SseErrorCode =([^;]*);/.exec(wire)!;
    const names = [...codes!.matchAll(/'([\w-]+)'/g)].map(([, code]) => code!);
    expect(names).toContain('out-of-window');
    expect(names.filter((code) => !anchorsOf('docs/errors.md').includes(code))).toEqual([]);
    expect(names.filter((code) => !read('docs/server.md').includes(`\`${code}\``))).toEqual([]);
  });

  it.each([
    ...['client-base', 'event-stream', 'http', 'transport'].map((name) => `lib/client/${name}.ts`),
    ...['mistakes', 'request-error', 'request-policy'].map((name) => `lib/server/${name}.ts`),
  ])('has an entry for each text in %s', (file) => {
    const page = read('docs/errors.md').replaceAll('…', '');
    const missing = textsOf(file).filter((text) => !page.includes(text));
    expect(missing).toEqual([]);
  });
});
