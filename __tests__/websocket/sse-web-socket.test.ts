import { SseWebSocket } from '../../lib/websocket/index';
import { openCaseServer } from './case-server';
import { CASES, runCase } from './cases';
import type { WebSocketClass } from './cases';

describe('SseWebSocket', () => {
  it.each(CASES)('behaves as WebSocket: $name', async ({ name, expected }) => {
    const { sse } = await openCaseServer();
    const Class: WebSocketClass = SseWebSocket;
    expect(await runCase(Class, sse, name)).toEqual(expected);
  });

  it.each(CASES)('behaves as WebSocket, with options: $name', async ({ name, expected }) => {
    const { sse } = await openCaseServer();
    const Class: WebSocketClass = SseWebSocket.with({ transport: 'poll' });
    expect(await runCase(Class, sse, name)).toEqual(expected);
  });
});
