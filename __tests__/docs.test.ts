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
  ...pagesIn('docs'),
  ...pagesIn('docs/recipes'),
];

/** Returns the pages of a folder, without those of its folders. */
function pagesIn(folder: string): string[] {
  const files = readdirSync(join(ROOT, folder)).filter((file) => file.endsWith('.md'));
  return files.map((file) => `${folder}/${file}`);
}

const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

/** The tests that run the files of a page, or compare its code with programs that they run. */
const RUN_BY: Record<string, string> = {
  'README.md': 'consumer/consumer.test.ts',
  'docs/getting-started.md': 'consumer/getting-started.test.ts',
  'docs/frameworks.md': 'consumer/frameworks.test.ts',
  'docs/migrating.md': 'consumer/migrating.test.ts',
  'docs/observability.md': 'server/diagnostics.test.ts',
  ...Object.fromEntries(pagesIn('docs/recipes').map((page) => [page, 'consumer/recipes.test.ts'])),
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

/** Returns the links of a page to files that are not in the package. */
function linksOutOfPackage(page: string): string[] {
  const { files } = JSON.parse(read('package.json')) as { files: string[] };
  const links = [...read(page).matchAll(/\]\((\.\.?\/[^)\s#]+)/g)].map(([, link]) => link!);
  return links.filter((link) => {
    const [top] = normalize(join(dirname(page), link)).split('/');
    return ![...files, 'README.md'].includes(top!);
  });
}

function isFolder(path: string): boolean {
  try {
    return readdirSync(join(ROOT, path)).length > 0;
  } catch {
    return false;
  }
}

/** Values of headers and a key of the storage, which look like texts of two words. */
const NO_TEXTS = [
  'GET, HEAD',
  'GET, POST',
  'GET, POST, OPTIONS',
  'no-store, no-transform',
  'text/javascript; charset=utf-8',
  'sse-duplex poll ',
];

/** Returns the literal parts of a text that is written as a literal, a template or a sum of these. */
function partsOf(node: ts.Expression): string[] {
  if (ts.isParenthesizedExpression(node)) return partsOf(node.expression);
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node)) {
    return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
  }
  if (!isSum(node)) return ['', '']; // a value
  const [left, right] = [partsOf(node.left), partsOf(node.right)];
  return [...left.slice(0, -1), left.at(-1)! + right[0]!, ...right.slice(1)];
}

function isSum(node: ts.Node): node is ts.BinaryExpression {
  return ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken;
}

/** Removes quoted values and what stands for values, so that a page and a source can be compared. */
function normalise(text: string): string {
  return text
    .replace(/"[\w.-]*"/g, '""')
    .replace(/[…`]/g, '')
    .replace(/\s+/g, ' ');
}

/**
 * Returns what a page has to contain of each text in a source: the first three words of each of its literal parts that
 * has three; of a text without such a part, its longest one, if that has two. Texts of several lines are scripts and help.
 */
function wordsOf(path: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || isSum(node)) {
      const parts = partsOf(node);
      const words = parts.map((part) =>
        normalise(part)
          .replace(/^\P{L}+/u, '')
          .trim()
          .split(' '),
      );
      const long = words.filter((each) => each.length >= 3);
      const longest = words.reduce((one, other) => (other.length > one.length ? other : one));
      const isText = longest.length >= 2 && !NO_TEXTS.includes(parts.join(''));
      if (isText && !parts.some((part) => part.includes('\n'))) {
        found.push(
          ...(long.length > 0 ? long : [longest]).map((each) => each.slice(0, 3).join(' ')),
        );
      }
      visitValues(node);
    } else {
      ts.forEachChild(node, visit);
    }
  };
  /** Visits the values of a template and of a sum, which may contain texts of their own. */
  const visitValues = (node: ts.Node): void => {
    if (ts.isTemplateExpression(node)) {
      for (const { expression } of node.templateSpans) visit(expression);
    } else if (isSum(node)) {
      for (const side of [node.left, node.right]) visitValues(side);
    } else if (ts.isParenthesizedExpression(node)) {
      visitValues(node.expression);
    } else if (!ts.isStringLiteralLike(node)) {
      visit(node);
    }
  };
  visit(ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true));
  return found;
}

describe('the documentation', () => {
  it.each(PAGES)('has no link in %s that leads nowhere', (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it.each(PAGES.filter((page) => page.startsWith('docs/')))(
    'has no link in %s to a file that the package does not contain',
    (page) => {
      expect(linksOutOfPackage(page)).toEqual([]);
    },
  );

  it.each(PAGES.filter((page) => !(page in RUN_BY)))(
    'has only fragments in %s, whose code no test runs',
    (page) => {
      const other = readBlocks(page).filter(
        ({ language, info }) => ['js', 'ts', 'html'].includes(language) && info !== 'fragment',
      );
      expect(other.map(({ code }) => code)).toEqual([]);
    },
  );

  it.each(Object.entries(RUN_BY))('has a test for %s that names the page: %s', (page, test) => {
    const source = read(`__tests__/${test}`);
    expect(source.includes(page) || source.includes(`'${dirname(page)}'`)).toBe(true);
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

  it('has an entry in docs/errors.md and docs/server.md for each error code', () => {
    const wire = read('lib/protocol/wire.ts');
    const [, codes] = /type SseErrorCode =([^;]*);/.exec(wire)!;
    const names = [...codes!.matchAll(/'([\w-]+)'/g)].map(([, code]) => code!);
    expect(names).toContain('out-of-window');
    expect(names.filter((code) => !anchorsOf('docs/errors.md').includes(code))).toEqual([]);
    expect(names.filter((code) => !read('docs/server.md').includes(`\`${code}\``))).toEqual([]);
  });

  it.each(
    readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => `lib/${file}`),
  )('has an entry in docs/errors.md for each text in %s', (file) => {
    const page = normalise(read('docs/errors.md'));
    const missing = wordsOf(file).filter((words) => !page.includes(words));
    expect(missing).toEqual([]);
  });
});
