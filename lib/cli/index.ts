#!/usr/bin/env node
import { version } from '../../package.json';
import { ExitCode } from './io';
import { main } from './main';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());
process.once('SIGTERM', () => interrupt.abort());

const { stdin, stdout, stderr } = process;
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(ExitCode.ok); // the program that reads the output, such as `head`, has ended
});
void main(process.argv.slice(2), version, { stdin, stdout, stderr, signal: interrupt.signal }).then(
  (code) => {
    // A terminal as standard input, or a client that gave up, would keep the process alive.
    stdout.write('', () => process.exit(code));
  },
);
