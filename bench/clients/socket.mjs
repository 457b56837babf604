import { connect } from 'node:net';
import { MARKER } from '../message.mjs';

const MARKER_BYTE = MARKER.charCodeAt(0);
const HEAD_END = '\r\n\r\n';

function open(origin, onData) {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  // A server that goes first is noticed by what does not arrive.
  socket.on('error', () => {});
  socket.on('data', onData);
  return socket;
}

function requestHead(method, path, headers) {
  const lines = Object.entries({ Host: 'localhost', ...headers }).map(([k, v]) => `${k}: ${v}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/**
 * Opens an event stream on a plain socket, of which it counts the messages.
 *
 * @param ready matches the text with which the stream is open; its group is returned as `key`.
 * @param onMessages is told how many came, in how many bytes.
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

/** A kept-alive connection for POSTs, one at a time. */
export function openPoster(origin, type) {
  let answer = '';
  let settle;
  const socket = open(origin, (chunk) => {
    answer += chunk.latin1Slice();
    if (!isWhole(answer)) return;
    if (/^HTTP\/1.1 2/.test(answer)) settle.resolve();
    else settle.reject(new Error(answer));
    answer = '';
  });
  socket.on('close', () => settle?.reject(new Error('the connection for POSTs was cut')));

  return {
    post: (path, body) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        const headers = { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) };
        socket.write(requestHead('POST', path, headers) + body);
      }),
    cut() {
      settle = undefined;
      socket.destroy();
    },
  };
}

function isWhole(answer) {
  const headEnd = answer.indexOf(HEAD_END);
  if (headEnd < 0) return false;
  if (/\r\ntransfer-encoding: chunked\r\n/i.test(answer)) return answer.endsWith('0\r\n\r\n');
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(answer)?.[1] ?? 0);
  return answer.length >= headEnd + HEAD_END.length + length;
}
