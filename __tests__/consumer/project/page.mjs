// Loads a page and runs its scripts in Node.
import { runInThisContext } from 'node:vm';

globalThis.location = new URL(process.argv[2]);

/** The elements of the page. What is appended to the `pre` is printed. */
const elements = { pre: { append: (text) => process.stdout.write(text) }, input: {} };
globalThis.document = {
  baseURI: location.href,
  querySelector: (selector) => elements[selector],
};

async function load(path) {
  const response = await fetch(new URL(path, location));
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
}

const html = await load('/');
for (const [, path, text] of html.matchAll(/<script(?: src="(.+?)")?>(.*?)<\/script>/gs)) {
  runInThisContext(path ? await load(path) : text);
}

elements.input.value = 'Hello from the page';
elements.input.onchange();
