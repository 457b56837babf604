import { connect } from 'node:net';

/** Writes bytes as they are, the FIN after them if `isCut`; settles with all that came, when it ends. */
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
    // What came before a reset is the answer all the same.
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}
