import { describeCluster } from '../helpers/cluster-suite';
import { MemoryEngine, MemoryStore } from '../helpers/memory-engine';

describeCluster('an engine in memory', () => {
  const store = new MemoryStore();
  return Promise.resolve({
    create() {
      const engine = new MemoryEngine(store, 1_500);
      return { engine, disconnect: () => engine.disconnect() };
    },
    clear: () => Promise.resolve(store.clear()),
    countSessions: () => Promise.resolve(store.sessions.size),
  });
});
