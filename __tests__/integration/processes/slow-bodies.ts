import { connect } from 'node:net';
import type { Socket } from 'node:net';

/**
 * Clients that each send the body of a POST of the session `slow` byte by byte. Reports `open` when all are connected, then the
 * status of each response and its milliseconds since the start.
 *
 * Arguments: port, number of clients, milliseconds between two bytes.
 */
async function main(): Promise<void> {
  const [port, count, interval] = process.argv.slice(2).map(Number) as [number, number, number];
  const sockets = await Promise.all(Array.from({ length: count }, () => open(port)));
  const start = performance.now();
  const responses = sockets.map(async (socket) => {
    socket.write(
      'POST /sse?sseClientId=slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n',
    );
    const timer = setInterval(() => socket.write('1'), interval);
    const chunk = await new Promise<string>((resolve) => {
      socket.once('data', (bytes) => resolve(bytes.toString()));
      socket.once('close', () => resolve(''));
    });
    clearInterval(timer);
    socket.destroy();
    return [Number(chunk.split(' ')[1]), performance.now() - start];
  });
  process.send!('open');
  process.send!(await Promise.all(responses));
  process.disconnect();
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

void main();
