import { connect } from 'node:net';
import { MARKER } from '../message.mjs';

const MARKER_BYTE = MARKER.charCodeAt(0);
const HEAD_END = '\r\n\r\n';

function open(origin, onData) {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  // If the server closes the connection, the missing messages make the round fail.
  socket.on('error', () => {});
  socket.on('data', onData);
  return socket;
}

function requestHead(method, path, headers) {
  const lines = Object.entries({ Host: 'localhost', ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/**
 * Opens an event stream on a plain socket and counts the messages on it.
 *
 * @param ready matches the text with which the stream is open; its first group is returned as `key`.
 * @param onMessages is called with the number of messages in a chunk, and the bytes of the chunk.
 */
export function openStream(origin, path, headers, ready, onMessages) {
  return new Promise((resolve, reject) => {
    let opening = '';
    const socket = open(origin, (chunk) => {
      if (opening !== undefined) {
        opening += chunk.latin1Slice();
        const match = ready.exec(opening);
        if (match) {
          opening = undefined;
          resolve({ key: match[1], cut: () => socket.destroy() });
        }
      }
      const count = countMarkers(chunk);
      if (count > 0) onMessages(count, chunk.length);
    });
    socket.on('close', () => reject(new Error(`no stream at ${path}: ${opening}`)));
    socket.write(requestHead('GET', path, { Accept: 'text/event-stream', ...headers }));
  });
}

function countMarkers(chunk) {
  let count = 0;
  for (let at = -1; (at = chunk.indexOf(MARKER_BYTE, at + 1)) >= 0;) count++;
  return count;
}

/** Opens a keep-alive connection that sends one POST at a time. */
export function openPoster(origin, type) {
  let response = '';
  let pending;
  const socket = open(origin, (chunk) => {
    response += chunk.latin1Slice();
    if (!isComplete(response)) return;
    if (/^HTTP\/1.1 2/.test(response)) pending.resolve();
    else pending.reject(new Error(response));
    response = '';
  });
  socket.on('close', () => pending?.reject(new Error('the connection for POSTs was closed')));

  return {
    post: (path, body) =>
      new Promise((resolve, reject) => {
        pending = { resolve, reject };
        const headers = { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) };
        socket.write(requestHead('POST', path, headers) + body);
      }),
    cut() {
      pending = undefined;
      socket.destroy();
    },
  };
}

function isComplete(response) {
  const headEnd = response.indexOf(HEAD_END);
  if (headEnd < 0) return false;
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(response)) return response.endsWith('0\r\n\r\n');
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(response)?.[1] ?? 0);
  return response.length >= headEnd + HEAD_END.length + length;
}
