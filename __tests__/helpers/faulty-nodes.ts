import { setTimeout as sleep } from 'node:timers/promises';
import type { SseOptions } from '../../lib/index';
import type { ClusterEngine } from '../../lib/server/cluster-engine';
import { startNode, stopNode } from './cluster';
import type { NodeConnection, TestNode } from './cluster';
import { createFaultyEngine } from './faulty-engine';
import type { FaultyEngine } from './faulty-engine';
import { onTestFinished } from './on-test-finished';

/** A node whose connection to the engine can fail. */
export interface FaultyNode extends TestNode {
  engine: FaultyEngine;
  /** Ends the node at once: it writes nothing to the engine and sends nothing. */
  kill(): void;
}

/** Starts a node with an engine that can fail. Both are stopped when the test is finished. */
export async function startFaultyNode(created: ClusterEngine) {
  const engine = createFaultyEngine(created);
  const node = await startNode(engine, { reconnectJitter: 1 }); // the default delays the close by up to 5 s
  onTestFinished(async () => {
    await stopNode(node);
    await node.sse.close();
  });
  return { engine, node };
}

/** Creates engines that share one database, whose data it can delete. */
export interface EngineSource {
  create(): { engine: ClusterEngine; disconnect(): void };
  /** Loses all data. */
  clear(): Promise<void>;
  /** Loses the broadcasts that nodes may still need. */
  trimBroadcasts(): Promise<void>;
  /** Number of sessions that are stored. */
  countSessions(): Promise<number>;
}

/**
 * Opens a source before each test. Returns functions that return it, and that start nodes whose engines are from there.
 */
export function useFaultyNodes(openSource: () => Promise<EngineSource>) {
  let source: EngineSource;
  beforeEach(async () => {
    source = await openSource();
  });

  /** Starts nodes whose application calls `accept` with each connection. */
  async function startNodes(
    count: number,
    accept: (connection: NodeConnection, node: FaultyNode) => void = () => {},
    options: SseOptions = {},
  ): Promise<FaultyNode[]> {
    const nodes: FaultyNode[] = [];
    for (let i = 0; i < count; i++) {
      const created = source.create();
      const engine = createFaultyEngine(created.engine, created.disconnect);
      onTestFinished(() => created.engine.stop().catch(() => {}));
      const started = await startNode(engine, options);
      const node: FaultyNode = {
        ...started,
        engine,
        kill() {
          engine.kill();
          started.server.close();
          started.server.closeAllConnections();
        },
      };
      node.sse.on('connection', (connection) => accept(connection, node));
      nodes.push(node);
    }
    onTestFinished(async () => {
      for (const node of nodes) {
        await stopNode(node);
        await Promise.race([node.sse.close(), sleep(100)]);
        node.engine.kill();
        // A connection with unread messages would emit `close` up to 30 s later, in the test of another file.
        for (const connection of node.connections) {
          connection.on('message', () => {});
          connection.resume();
        }
      }
    });
    return nodes;
  }

  return { startNodes, source: () => source };
}
