#!/usr/bin/env node
import { version } from '../../package.json';
import { main } from './main';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());
process.once('SIGTERM', () => interrupt.abort());

const { stdin, stdout, stderr } = process;
void main(process.argv.slice(2), version, { stdin, stdout, stderr, signal: interrupt.signal }).then(
  (code) => {
    // A terminal as standard input, or a client that gave up, would keep the process alive.
    stdout.write('', () => process.exit(code));
  },
);
