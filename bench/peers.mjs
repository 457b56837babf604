import { byHand, duplex, eventStream, mcp, sockjs } from './clients/event-stream.mjs';
import { socketIo } from './clients/socket.io.mjs';
import { sseClient } from './clients/sse-client.mjs';
import { ws } from './clients/ws.mjs';

/**
 * Each peer has a `server` (a file in servers/), an `argument` for it, and `open`, a function that opens
 * one client. An sse-duplex peer may also have a `build`: the URL of another dist folder to use.
 */
export const peers = {
  raw: { server: 'raw', open: eventStream(byHand) },
  'express by hand': { server: 'express', open: eventStream(byHand) },
  'express by hand, tuned': { server: 'express', argument: 'tuned', open: eventStream(byHand) },
  'better-sse': { server: 'better-sse', open: eventStream(byHand) },
  'mcp sse': { server: 'mcp', open: eventStream(mcp) },
  'sockjs eventsource': { server: 'sockjs', open: eventStream(sockjs) },
  ws: { server: 'ws', open: ws },
  'socket.io websocket': {
    server: 'socket.io',
    argument: 'websocket',
    open: socketIo('websocket'),
  },
  'socket.io polling': { server: 'socket.io', argument: 'polling', open: socketIo('polling') },
  'sse-duplex': { server: 'sse-duplex', argument: 'express', open: eventStream(duplex) },
  'sse-duplex, tuned': { server: 'sse-duplex', argument: 'tuned', open: eventStream(duplex) },
  'sse-duplex attached': { server: 'sse-duplex', argument: 'attach', open: eventStream(duplex) },
};

/** The same server, with the package's own client instead of one that only counts messages. */
export const ownClient = { ...peers['sse-duplex'], open: sseClient('stream') };

/** The same client, polling. */
export const polling = {
  'sse-duplex/client, poll': { ...peers['sse-duplex'], open: sseClient('poll') },
  'sse-duplex/client, poll, attached': { ...peers['sse-duplex attached'], open: sseClient('poll') },
};

/** Clients that never acknowledge, so that the server keeps every message for a replay. */
export const unacknowledged = {
  raw: { ...peers.raw, argument: 'replay' },
  'sse-duplex': { ...peers['sse-duplex'], open: eventStream(duplex, { acks: false }) },
  'sse-duplex attached': {
    ...peers['sse-duplex attached'],
    open: eventStream(duplex, { acks: false }),
  },
};

export const named = (...names) => Object.fromEntries(names.map((name) => [name, peers[name]]));
