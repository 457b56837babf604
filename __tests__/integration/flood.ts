import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { onTestFinished } from '../helpers/on-test-finished';
import { addressOf, openDuplex } from '../helpers/channel';
import { openStream, post } from '../helpers/http';
import { startProcess } from '../helpers/processes';

export interface FloodReport {
  /** How many of each status. */
  statuses: Record<string, number>;
  /** POSTs a second. */
  rate: number;
  /** What the server's memory grew by, in bytes. */
  growth: number;
  /** What the sessions still take. */
  receipts: unknown[];
}

const SOCKETS = 16;
/** Requests that are under way on a socket. */
const PIPELINED = 64;

/** POSTs that a server can only refuse: names and numbers that it has no place for. */
export async function runFlood(warmUp: number, count: number): Promise<FloodReport> {
  const { process: server, ready: port } = await startProcess(
    '__tests__/integration/processes/server.ts',
    ['{}'],
    ['--expose-gc'],
  );
  onTestFinished(() => server.kill('SIGKILL'));
  const url = `http://127.0.0.1:${String(port)}/sse`;
  await openStream(addressOf(url, 'base'));
  const duplex = await openDuplex(url, 'duplex');
  const rss = async () => {
    server.send('rss');
    return ((await once(server, 'message')) as [number])[0];
  };
  const envelope = (id: number) =>
    JSON.stringify({ token: duplex.token, id, ack: 0, messages: ['x'] });
  const kinds = [
    (index: number) => request(`base&messageId=${2_000 + index}`, '"x"'),
    (index: number) => request('duplex', envelope(2_000 + index)),
    (index: number) => request(`unknown-${index}&messageId=0`, '"x"'),
  ];
  const nth = (index: number) => kinds[index % kinds.length]!(index);

  await send(Number(port), warmUp, nth);
  const before = await rss();
  const begun = performance.now();
  const statuses = await send(Number(port), count, (index) => nth(warmUp + index));
  const seconds = (performance.now() - begun) / 1_000;
  const growth = (await rss()) - before;
  const receipts = [
    (await post(addressOf(url, 'base', 0), '"x"')).json,
    (await duplex.post({ messages: ['x'] })).json,
  ];
  return { statuses, rate: count / seconds, growth, receipts };
}

/** Sends so many requests over a few connections; counts the answers' statuses. */
async function send(
  port: number,
  count: number,
  nth: (index: number) => string,
): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  let sent = 0;
  const sendOn = (socket: Socket) => {
    let waiting = 0;
    const sendNext = () => {
      const batch = Array.from({ length: Math.min(PIPELINED, count - sent) }, () => nth(sent++));
      waiting = batch.length;
      if (waiting > 0) socket.write(batch.join(''));
      else socket.end();
    };
    let unread = '';
    socket.setEncoding('latin1').on('connect', sendNext);
    socket.on('data', (chunk: string) => {
      unread += chunk;
      let read = 0;
      for (const { 0: line, 1: status, index } of unread.matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
        statuses[status!] = (statuses[status!] ?? 0) + 1;
        read = index + line.length;
        waiting--;
      }
      unread = unread.slice(read);
      if (waiting === 0) sendNext();
    });
    return once(socket, 'close');
  };
  const sockets = Array.from({ length: SOCKETS }, () => connect(port, '127.0.0.1'));
  await Promise.all(sockets.map(sendOn));
  return statuses;
}

function request(query: string, body: string): string {
  return (
    `POST /sse?sseClientId=${query} HTTP/1.1\r\nHost: localhost\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`
  );
}
