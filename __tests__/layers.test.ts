import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import ts from 'typescript';
import { dependencies } from '../package.json';

const ROOT = join(__dirname, '..');

interface Import {
  /** The module specifier. A relative one is converted to a path from `lib`. */
  from: string;
  typeOnly: boolean;
  kind: 'import' | 'export';
}

/** Returns every module that a source file imports or re-exports, also by `import()` and `require()`. */
function importsOf(file: string, source: string): Import[] {
  const imports: Import[] = [];
  const add = (specifier: ts.Expression, typeOnly: boolean, kind: Import['kind']) => {
    const text = (specifier as ts.StringLiteral).text;
    const from = text.startsWith('.')
      ? normalize(join(dirname(file), text))
          .split(sep)
          .join('/')
      : text;
    imports.push({ from, typeOnly, kind });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      add(node.moduleSpecifier, typeOnly, 'import');
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node.moduleSpecifier, node.isTypeOnly, 'export');
    } else if (ts.isImportTypeNode(node)) {
      add((node.argument as ts.LiteralTypeNode).literal, true, 'import');
    } else if (
      ts.isCallExpression(node) &&
      (node.expression.kind === ts.SyntaxKind.ImportKeyword ||
        node.expression.getText() === 'require')
    ) {
      add(node.arguments[0]!, false, 'import');
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true));
  return imports;
}

/** Returns the imports of a file of `lib` that its layer does not allow. */
function findViolations(file: string, source: string): string[] {
  const [layer] = file.split('/');
  return importsOf(file, source)
    .filter((each) => !isAllowed(layer!, file, each))
    .map(({ from, kind }) => `${file}: ${kind} from "${from}"`);
}

function isAllowed(layer: string, file: string, { from, typeOnly, kind }: Import): boolean {
  switch (layer) {
    case 'index.ts':
      return (
        kind === 'export' &&
        (from.startsWith('server/') || (from.startsWith('protocol/') && typeOnly))
      );
    case 'protocol':
      return from.startsWith('protocol/');
    case 'client':
      return /^(client|protocol)\//.test(from) || from in dependencies;
    case 'dart':
      return /^(dart|client|protocol)\//.test(from);
    case 'server':
      return (
        /^(server|protocol)\/|^node:/.test(from) ||
        from in dependencies ||
        (from === 'express' && typeOnly && file === 'server/create-sse-middleware.ts')
      );
    default:
      return false;
  }
}

/** Returns the names that an entry point exports without a docstring. */
function undocumented(entry: string, program: ts.Program): string[] {
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(join(ROOT, entry))!)!;
  const names = checker.getExportsOfModule(module);
  expect(names.length).toBeGreaterThan(2);
  return names
    .filter((name) => {
      const target = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
      return target.getDocumentationComment(checker).length === 0;
    })
    .map(({ name }) => name);
}

describe('The layers of lib', () => {
  const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.split(sep).join('/'));

  it.each(files)('%s imports only from its own and lower layers', (file) => {
    const source = readFileSync(join(ROOT, 'lib', file), 'utf8');
    expect(findViolations(file, source)).toEqual([]);
  });

  it.each([
    ['protocol/a.ts', "import { x } from 'node:buffer';"],
    ['protocol/a.ts', "import type { X } from '../server/options';"],
    ['protocol/a.ts', "export * from 'nanoid';"],
    ['client/a.ts', "import type { X } from '../server/options';"],
    ['client/a.ts', "import { x } from 'node:http';"],
    ['client/a.ts', "const x = import('express');"],
    ['client/a.ts', "let x: import('../server/options').ResolvedOptions;"],
    ['server/a.ts', "import { x } from '../client/sse-client';"],
    ['server/a.ts', "import type { Request } from 'express';"],
    ['server/a.ts', "import { x } from 'http';"],
    ['server/a.ts', "const x = require('fast-check');"],
    ['server/create-sse-middleware.ts', "import { Router } from 'express';"],
    ['index.ts', "import { x } from './server/options';"],
    ['index.ts', "export { x } from './protocol/wire';"],
    ['index.ts', "export { x } from './client/sse-client';"],
    ['elsewhere/a.ts', "import './b';"],
  ])('the check reports in %s: %s', (file, source) => {
    expect(findViolations(file, source)).toHaveLength(1);
  });

  it('have a docstring for every exported name', () => {
    const entries = ['lib/index.ts', 'lib/client/index.ts'];
    const paths = entries.map((entry) => join(ROOT, entry));
    // The check does not need the types of the platform.
    const program = ts.createProgram(paths, { noLib: true, types: [], noResolve: false });
    for (const entry of entries) expect(undocumented(entry, program)).toEqual([]);
  });
});
