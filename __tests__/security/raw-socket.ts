import { connect } from 'node:net';

/** Writes bytes, ends the connection if `isCut`, and resolves with everything received until it closes. */
export function exchange(
  url: string,
  bytes: string | Buffer,
  { isCut = false } = {},
): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(bytes, 'latin1');
      if (isCut) socket.end();
    });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (text += chunk));
    // A reset may follow the response.
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}
