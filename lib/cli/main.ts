import { parseArgs } from 'node:util';
import { examine } from './doctor';
import { ExitCode, UsageError } from './io';
import type { CommandIo } from './io';
import { listen } from './listen';
import { talk } from './talk';

const HELP = `Talks to a server of sse-duplex from the command line.

  sse-duplex URL             sends each line of the standard input, and prints what arrives
  sse-duplex --listen PORT   starts a server: prints what arrives, sends lines to all clients
  sse-duplex doctor URL      checks whether the channel works, and says what to do if it does not

A line that is JSON is sent as JSON, any other line as text. If the output is not a terminal, each message is
printed as one line of JSON. What happens to the connection is written to the standard error output.

  -H, --header 'NAME: VALUE'  a header of every request; may be repeated
  -x, --execute MESSAGE       sends this message instead of the standard input, and closes; may be repeated
  -w, --wait SECONDS          with --execute: then stays connected; with -1, until interrupted (default 0)
      --text                  sends every line as text, even if it is JSON
      --transport NAME        auto (default), stream or poll
      --path PATH             with --listen: the path of the channel (default /sse)
      --host HOST             with --listen: the address to listen on (default 127.0.0.1)
      --idle SECONDS          with doctor: how long to watch an idle stream, 0 to 3600 (default 20)
      --json                  with doctor: prints the findings as one JSON array
      --help, --version

Exit code: 0 if the session was closed cleanly or the doctor found no failure, 1 if not, 2 if the command line is wrong.
`;

const OPTIONS = {
  header: { type: 'string', short: 'H', multiple: true },
  execute: { type: 'string', short: 'x', multiple: true },
  wait: { type: 'string', short: 'w' },
  text: { type: 'boolean' },
  transport: { type: 'string' },
  listen: { type: 'string' },
  path: { type: 'string' },
  host: { type: 'string' },
  idle: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

/** Executes a command line. Resolves with the exit code. */
export async function main(args: string[], version: string, io: CommandIo): Promise<number> {
  try {
    return await execute(args, version, io);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isUsage = error instanceof UsageError || code?.startsWith('ERR_PARSE_ARGS');
    io.stderr.write(`sse-duplex: ${message}\n${isUsage ? 'See sse-duplex --help.\n' : ''}`);
    return isUsage ? ExitCode.usage : ExitCode.failed;
  }
}

async function execute(args: string[], version: string, io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
  if (values.help || values.version) {
    io.stdout.write(values.help ? HELP : `${version}\n`);
    return ExitCode.ok;
  }
  const asText = values.text ?? false;
  if (values.listen !== undefined) {
    checkOptions('--listen', values, ['listen', 'path', 'host', 'text']);
    if (positionals.length > 0) throw new UsageError('--listen and a URL exclude each other');
    const port = parseNumber('--listen', values.listen, 0, 65_535);
    const { path = '/sse', host = '127.0.0.1' } = values;
    return listen({ port, host, path, asText }, io);
  }
  const isDoctor = positionals[0] === 'doctor';
  const [url, ...more] = isDoctor ? positionals.slice(1) : positionals;
  if (url === undefined || more.length > 0) {
    const given = url === undefined ? 'none' : more.length + 1;
    throw new UsageError(`one URL is needed, not ${given}: for example, http://localhost:3000/sse`);
  }
  checkUrl(url);
  const headers = Object.fromEntries((values.header ?? []).map(parseHeader));
  if (isDoctor) {
    checkOptions('doctor', values, ['header', 'idle', 'json']);
    const idle = parseNumber('--idle', values.idle ?? '20', 0, 3_600);
    return examine(url, { headers, idle }, values.json ?? false, io);
  }
  checkOptions('a URL', values, ['header', 'execute', 'wait', 'text', 'transport']);
  const options = {
    headers,
    transport: parseTransport(values.transport ?? 'auto'),
    execute: values.execute ?? [],
    wait: parseNumber('--wait', values.wait ?? '0', -1, 2_147_483),
    text: asText,
  };
  return talk(url, options, io);
}

function checkOptions(command: string, values: object, allowed: string[]): void {
  const other = Object.keys(values).find((name) => !allowed.includes(name));
  if (other !== undefined) throw new UsageError(`--${other} does not go with ${command}`);
}

function checkUrl(url: string): void {
  const { protocol, username, password } = URL.canParse(url) ? new URL(url) : { protocol: '' };
  if (!/^https?:$/.test(protocol)) {
    throw new UsageError(`the URL must be absolute and begin with http: or https:, not "${url}"`);
  }
  if (username || password) {
    throw new UsageError('the URL contains a user name or a password: pass a header with -H');
  }
}

function parseNumber(name: string, value: string, min: number, max: number): number {
  const number = Number(value);
  if (value.trim() !== '' && number >= min && number <= max) return number;
  throw new UsageError(`${name} must be a number from ${min} to ${max}, not "${value}"`);
}

function parseHeader(header: string): [name: string, value: string] {
  const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):\s*(.*)$/.exec(header) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  throw new UsageError(`a header must have the form 'NAME: VALUE', not "${header}"`);
}

function parseTransport(name: string): 'auto' | 'stream' | 'poll' {
  if (name === 'auto' || name === 'stream' || name === 'poll') return name;
  throw new UsageError(`--transport must be auto, stream or poll, not "${name}"`);
}
