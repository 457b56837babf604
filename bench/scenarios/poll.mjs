import { named, ownClient, polling } from '../peers.mjs';
import { prepare, round } from './echo.mjs';

export const title =
  'Long polling: one message to the server and back, 100 clients at once, and one client alone';
export const reference = 'socket.io polling';
export const peers = {
  ...named('socket.io polling'),
  ...polling,
  'sse-duplex/client, stream': ownClient,
};
export { prepare, round };
