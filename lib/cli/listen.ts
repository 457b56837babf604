import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { createSseMiddleware } from '../index';
import { ExitCode, formatMessage, parseLine } from './io';
import type { CommandIo } from './io';

/** Options of {@link listen}. */
export interface ListenOptions {
  port: number;
  host: string;
  path: string;
  /** Whether to send every line as text, even if it is JSON. */
  asText: boolean;
}

/** Starts a server that prints the messages of its clients, and sends lines to all of them, until it is interrupted. */
export async function listen(
  { port, host, path, asText }: ListenOptions,
  { stdin, stdout, stderr, signal }: CommandIo,
): Promise<number> {
  const sse = createSseMiddleware<unknown, unknown, IncomingMessage>(path);
  const status = (line: string) => void stderr.write(`${line}\n`);
  const isTerminal = stdout.isTTY === true;

  sse.on('connection', (connection) => {
    const { id } = connection;
    status(`${id}: connected`);
    connection.on('message', (message) => {
      const text = formatMessage(message, isTerminal);
      stdout.write(
        isTerminal ? `${id}: ${text}\n` : `{"id":${JSON.stringify(id)},"message":${text}}\n`,
      );
    });
    connection.on('disconnect', () => status(`${id}: disconnected`));
    connection.on('reconnect', () => status(`${id}: reconnected`));
    connection.on('close', (code, reason) =>
      status(`${id}: closed: ${code}${reason && ` ${reason}`}`),
    );
  });
  sse.on('clientError', ({ code, message }) => status(`rejected: ${code}: ${message}`));

  const server = createServer((request, response) => {
    sse(request, response, () => response.writeHead(404).end());
  });
  server.listen(port, host);
  await once(server, 'listening');
  status(`listening at http://${host}:${(server.address() as AddressInfo).port}${path}`);

  const lines = createInterface({ input: stdin });
  lines.on('line', (line) => sse.broadcast(parseLine(line, asText)));
  await untilAborted(signal, stdout);
  lines.close();
  await sse.close(1001, 'the server was interrupted');
  server.close();
  server.closeAllConnections();
  return ExitCode.ok;
}

/** Resolves when the user interrupts the program, or when the program that reads its output has ended. */
async function untilAborted(signal: AbortSignal, stdout: CommandIo['stdout']): Promise<void> {
  if (signal.aborted) return;
  await new Promise<unknown>((resolve) => {
    signal.addEventListener('abort', resolve);
    stdout.on('error', resolve);
  });
}
