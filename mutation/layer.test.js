'use strict';

const { readdirSync } = require('node:fs');
const { join } = require('node:path');
const layers = require('./layers');

// All tests of a layer are in one file, because Stryker starts jest for each mutation, and loading a file takes longer
// than most tests.
const folder = join(__dirname, '../__tests__');
const { tests } = layers[process.env.LAYER];
const files = readdirSync(folder, { recursive: true }).map((file) => file.replaceAll('\\', '/'));
for (const pattern of tests) {
  for (const file of files.filter((each) => pattern.test(each))) require(join(folder, file));
}
