import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SseClient } from 'sse-duplex/client';
import { run } from '../harness.mjs';
import { useTool } from '../scenarios.mjs';

/** A transport of the SDK, for both ends: over an SseClient, and over an SseConnection of the server. */
class ChannelTransport {
  constructor(channel) {
    this.channel = channel;
    this.writer = channel.writable.getWriter();
  }

  async start() {
    void this.read(this.channel.readable);
  }

  async read(messages) {
    for await (const message of messages) this.onmessage?.(message);
    this.onclose?.();
  }

  send(message) {
    return this.writer.write(message);
  }

  async close() {
    this.channel.close();
  }
}

await run(
  (_wss, sse) => {
    sse.on('connection', (connection) => {
      const server = new McpServer({ name: 'server', version: '1.0.0' });
      server.registerTool('greet', {}, () => ({ content: [{ type: 'text', text: 'hello' }] }));
      void server.connect(new ChannelTransport(connection));
    });
  },
  async (url, _SseWebSocket, goesOn) => {
    const channel = new SseClient(url.replace('ws', 'http'), { backoff: () => 10 });
    const client = new Client({ name: 'client', version: '1.0.0' });
    await client.connect(new ChannelTransport(channel));
    return useTool(client, goesOn);
  },
);
