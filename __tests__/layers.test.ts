import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import ts from 'typescript';
import { dependencies } from '../package.json';

const ROOT = join(__dirname, '..');
const ENTRIES = [
  'lib/index.ts',
  'lib/client/index.ts',
  'lib/dart/index.ts',
  'lib/redis/index.ts',
  'lib/websocket/index.ts',
  'lib/ws/index.ts',
];

/** The longest file that is easy to read as a whole. */
const MAX_LINES = 400;
/** Casts switch the type checker off, so they have to stay rare. */
const MAX_CASTS_PER_1000_LINES = 10;

/** The file that hides sockets, HTTP/2 and patched responses from the rest of the server. */
const NODE_HTTP = 'server/node-http.ts';
const SOCKET_MODULES = ['node:http2', 'node:https', 'node:net', 'node:tls'];

/** The files of lib, with their paths relative to it. */
const FILES = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.split(sep).join('/'));

interface Import {
  /** As written; relative to lib if it is a relative path. */
  from: string;
  typeOnly: boolean;
  kind: 'import' | 'export';
}

/** Returns every module that a source refers to: imports, re-exports, `import()` and `require()`. */
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
  visit(parse(file, source));
  return imports;
}

/** Returns the violations of the layering in a file of lib. */
function violations(file: string, source: string): string[] {
  const [layer] = file.split('/');
  const imports = importsOf(file, source)
    .filter((each) => !isAllowed(layer!, file, each))
    .map(({ from, kind }) => `${file}: ${kind} from "${from}"`);
  return [...imports, ...socketAccesses(file, source)];
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
    case 'cli':
      if (from === 'index' || from === 'client/index' || from === '../package.json') return true;
      return /^(cli|protocol)\/|^node:/.test(from);
    case 'client':
      return /^(client|protocol)\//.test(from) || from in dependencies;
    case 'dart':
      return /^(dart|client|protocol)\//.test(from) || from in dependencies;
    case 'websocket':
      return /^(websocket|client|protocol)\//.test(from);
    case 'ws':
      if (from.startsWith('server/')) return typeOnly;
      if (from === 'node:http') return typeOnly;
      return /^(ws|protocol)\/|^node:events$/.test(from);
    case 'redis':
      if (from.startsWith('server/')) return typeOnly && from === 'server/cluster-engine';
      return /^redis\/|^node:crypto$/.test(from) || from in dependencies;
    case 'server':
      if (from === 'express') return typeOnly && file === 'server/create-sse-middleware.ts';
      if (SOCKET_MODULES.includes(from)) return file === NODE_HTTP;
      if (from === 'node:http') return typeOnly || file === NODE_HTTP;
      return /^(server|protocol)\/|^node:/.test(from) || from in dependencies;
    default:
      return false;
  }
}

/** Returns the uses of sockets and of HTTP/2 outside of NODE_HTTP. */
function socketAccesses(file: string, source: string): string[] {
  if (file === NODE_HTTP) return [];
  return nodesOf(parse(file, source))
    .filter(
      (node) =>
        (ts.isPropertyAccessExpression(node) && /^(socket|httpVersion.*)$/.test(node.name.text)) ||
        (ts.isStringLiteral(node) && /^:(authority|method|path|scheme|status)$/.test(node.text)),
    )
    .map((node) => `${file}: ${node.getText()}`);
}

function parse(file: string, source: string): ts.SourceFile {
  return ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
}

function nodesOf(root: ts.Node): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    nodes.push(node);
    ts.forEachChild(node, visit);
  };
  visit(root);
  return nodes;
}

/** Returns the names that an entry exports, and the members of these, that have no docstring. */
function undocumented(entry: string, program: ts.Program): string[] {
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(join(ROOT, entry))!)!;
  const names = checker.getExportsOfModule(module);
  expect(names.length).toBeGreaterThan(0);
  return names.flatMap((name) => {
    const target = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name;
    const declarations = target.declarations ?? [];
    const own = declarations.some(hasDocstring) ? [] : [name.name];
    return [...own, ...declarations.flatMap((each) => undocumentedMembers(name.name, each))];
  });
}

/** Returns the public members without a docstring, also of type literals inside of the declaration. */
function undocumentedMembers(path: string, node: ts.Node): string[] {
  const members = hasMembers(node) ? [...node.members].filter(isPublic) : [];
  // One docstring is enough for a getter and its setter, and for the overloads of a method.
  const documented = new Set(members.filter(hasDocstring).map(memberName));
  const missing = new Set(members.map(memberName).filter((name) => !documented.has(name)));
  const inside = members.length > 0 ? members : childTypesOf(node);
  return [
    ...[...missing].map((name) => `${path}.${name}`),
    ...inside.flatMap((child) => {
      const isMember = members.includes(child as Member);
      const childPath = isMember ? `${path}.${memberName(child as Member)}` : path;
      return (isMember ? childTypesOf(child) : [child]).flatMap((type) =>
        undocumentedMembers(childPath, type),
      );
    }),
  ];
}

type Member = ts.TypeElement | ts.ClassElement;

function hasMembers(node: ts.Node): node is ts.Node & { members: ts.NodeArray<Member> } {
  return (
    ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) || ts.isTypeLiteralNode(node)
  );
}

/** Returns the types that are written inside of a declaration, but nothing of a function's body. */
function childTypesOf(node: ts.Node): ts.Node[] {
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => {
    if (ts.isTypeNode(child) || ts.isParameter(child)) children.push(child);
  });
  return children;
}

function isPublic(member: Member): boolean {
  if (member.name && ts.isPrivateIdentifier(member.name)) return false;
  if (ts.isClassStaticBlockDeclaration(member) || ts.isSemicolonClassElement(member)) return false;
  const flags = ts.getCombinedModifierFlags(member);
  return (flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) === 0;
}

function memberName(member: Member): string {
  return member.name?.getText() ?? (ts.isConstructorDeclaration(member) ? 'constructor' : '()');
}

/** Whether there is a docstring with text, also if the text is only that of its tags (`@param`). */
function hasDocstring(node: ts.Node): boolean {
  return ts
    .getJSDocCommentsAndTags(node)
    .some((doc) => ts.isJSDoc(doc) && [doc, ...(doc.tags ?? [])].some(({ comment }) => comment));
}

/** Returns the casts in a source: `x as T` except `as const`, `<T>x`, and `x!`. */
function castsOf(file: string, source: string): string[] {
  return nodesOf(parse(file, source))
    .filter(
      (node) =>
        ts.isNonNullExpression(node) ||
        ((ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) &&
          !ts.isConstTypeReference(node.type)),
    )
    .map((node) => `${file}: ${node.getText()}`);
}

const read = (file: string) => readFileSync(join(ROOT, 'lib', file), 'utf8');

describe('the layers of lib', () => {
  it.each(FILES)('let %s import only from its own layer and from lower ones', (file) => {
    expect(violations(file, read(file))).toEqual([]);
  });

  it.each([
    ['protocol/a.ts', "import { x } from 'node:buffer';"],
    ['protocol/a.ts', "import type { X } from '../server/options';"],
    ['protocol/a.ts', "export * from 'nanoid';"],
    ['client/a.ts', "import type { X } from '../server/options';"],
    ['client/a.ts', "import { x } from 'node:http';"],
    ['client/a.ts', "import { DartSseClient } from '../dart/dart-sse-client';"],
    ['client/a.ts', "const x = import('express');"],
    ['client/a.ts', "let x: import('../server/options').ResolvedOptions;"],
    ['cli/a.ts', "import { Session } from '../server/session';"],
    ['cli/a.ts', "import express from 'express';"],
    ['dart/a.ts', "import { dartDialect } from '../server/dialect';"],
    ['dart/a.ts', "import { x } from 'node:events';"],
    ['websocket/a.ts', "import type { X } from '../server/options';"],
    ['websocket/a.ts', "import { x } from 'node:events';"],
    ['ws/a.ts', "import { SseConnection } from '../server/sse-connection';"],
    ['ws/a.ts', "import { SseWebSocket } from '../websocket/sse-web-socket';"],
    ['ws/a.ts', "import { Server } from 'node:http';"],
    ['redis/a.ts', "import { x } from '../server/session';"],
    ['redis/a.ts', "import { createClient } from 'redis';"],
    ['server/a.ts', "import { x } from '../client/sse-client';"],
    ['server/a.ts', "import type { X } from '../dart/dart-sse-client';"],
    ['server/a.ts', "import type { Request } from 'express';"],
    ['server/a.ts', "import { x } from 'http';"],
    ['server/a.ts', "import { ServerResponse } from 'node:http';"],
    ['server/a.ts', "import type { Http2ServerResponse } from 'node:http2';"],
    ['server/a.ts', "import type { Socket } from 'node:net';"],
    ['server/a.ts', 'response.socket.destroy();'],
    ['server/a.ts', 'if (request.httpVersionMajor === 2) end();'],
    ['server/a.ts', "const host = request.headers[':authority'];"],
    ['server/a.ts', "const x = require('fast-check');"],
    ['server/create-sse-middleware.ts', "import { Router } from 'express';"],
    ['index.ts', "import { x } from './server/options';"],
    ['index.ts', "export { x } from './protocol/wire';"],
    ['index.ts', "export { x } from './client/sse-client';"],
    ['elsewhere/a.ts', "import './b';"],
  ])('do not allow in %s: %s', (file, source) => {
    expect(violations(file, source)).toHaveLength(1);
  });

  it.each([
    ['dart/a.ts', "import { x } from '../client/sse-client'; import '../protocol/wire';"],
    ['server/node-http.ts', "import { Socket } from 'node:net'; response.socket.cork();"],
    ['server/a.ts', "import type { IncomingMessage } from 'node:http';"],
    ['server/create-sse-middleware.ts', "import type { Request } from 'express';"],
  ])('allow in %s: %s', (file, source) => {
    expect(violations(file, source)).toEqual([]);
  });

  it('leave nothing of Node or the DOM to the protocol layer', () => {
    const config = {
      extends: './tsconfig.json',
      compilerOptions: { lib: ['ES2023'], types: [] },
      include: ['lib/protocol'],
    };
    const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
    const program = ts.createProgram(fileNames, options);
    const messages = ts
      .getPreEmitDiagnostics(program)
      .map(({ file, messageText }) => `${file?.fileName}: ${JSON.stringify(messageText)}`);
    expect(fileNames.length).toBeGreaterThan(2);
    expect(messages).toEqual([]);
  });
});

describe('the public API', () => {
  // The test reads declarations only, so the types of the platform need not be resolved.
  const paths = ENTRIES.map((entry) => join(ROOT, entry));
  const program = ts.createProgram(paths, { noLib: true, types: [] });

  it.each(ENTRIES)('has a docstring for each name and public member of %s', (entry) => {
    expect(undocumented(entry, program)).toEqual([]);
  });

  it('is checked for members without a docstring', () => {
    const source = `
      /** Documented. */
      export class A {
        static readonly X = 1;
        #own = 1;
        private y = 1;
        declare onopen?: () => void;
        constructor() {}
        /** Documented. */
        get both() { const z: { hidden: 1 } = { hidden: 1 }; return z; }
        set both(value) {}
        bare(): void {}
      }
      /** Documented. */
      export type B = C & {
        /** Documented. */
        nested: { deep: 1 };
        (): void;
      };`;
    const found = parse('a.ts', source).statements.flatMap((each) =>
      undocumentedMembers((each as ts.ClassDeclaration).name!.text, each),
    );
    expect(found).toEqual(['A.X', 'A.onopen', 'A.constructor', 'A.bare', 'B.()', 'B.nested.deep']);
  });
});

describe('the files of lib', () => {
  it.each(FILES)(`keep %s at ${MAX_LINES} lines or fewer`, (file) => {
    expect(read(file).trimEnd().split('\n').length).toBeLessThanOrEqual(MAX_LINES);
  });

  it(`contain fewer than ${MAX_CASTS_PER_1000_LINES} casts per 1,000 lines`, () => {
    const casts = FILES.flatMap((file) => castsOf(file, read(file)));
    const lines = FILES.reduce((sum, file) => sum + read(file).trimEnd().split('\n').length, 0);
    const isRare = casts.length < (MAX_CASTS_PER_1000_LINES * lines) / 1000;
    // A failure lists the casts.
    expect(isRare ? [] : casts).toEqual([]);
  });

  it('count every form of cast except "as const"', () => {
    const source = 'a as A; <B>b; c!; d as unknown as D; e as const; f satisfies F; g!.h;';
    expect(castsOf('a.ts', source)).toHaveLength(6);
  });
});
