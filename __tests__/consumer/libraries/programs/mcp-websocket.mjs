import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { run } from '../harness.mjs';
import { useTool } from '../scenarios.mjs';

/** The SDK has no WebSocket transport for servers: this is one for a socket of `ws`, or of `sse-duplex/ws`. */
class SocketTransport {
  constructor(socket) {
    this.socket = socket;
  }

  async start() {
    this.socket.on('message', (data) => this.onmessage?.(JSON.parse(String(data))));
    this.socket.on('close', () => this.onclose?.());
  }

  async send(message) {
    this.socket.send(JSON.stringify(message));
  }

  async close() {
    this.socket.close();
  }
}

await run(
  (wss) => {
    wss.on('connection', (socket) => {
      const server = new McpServer({ name: 'server', version: '1.0.0' });
      server.registerTool('greet', {}, () => ({ content: [{ type: 'text', text: 'hello' }] }));
      void server.connect(new SocketTransport(socket));
    });
  },
  async (url, SseWebSocket, goesOn) => {
    globalThis.WebSocket = SseWebSocket; // the transport uses the global
    const client = new Client({ name: 'client', version: '1.0.0' });
    await client.connect(new WebSocketClientTransport(new URL(url)));
    return useTool(client, goesOn);
  },
);
