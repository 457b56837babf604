import type { ClusterEngine, EngineListener } from '../../lib/server/cluster-engine';

/** What happens to a call: `lose` loses the request, `lose-reply` its answer. */
export type EngineFault = 'none' | 'lose' | 'lose-reply';

/** The connection of one node to an engine, which can fail. */
export interface FaultyEngine extends ClusterEngine {
  /** Decides what happens to a call of this method. */
  fault: (method: string) => EngineFault;
  /** Milliseconds until a call reaches the engine. Calls do not overtake each other. */
  delay: () => number;
  /** Called when the engine has applied a call, and before the node knows. */
  onApplied: (method: string) => void;
  /** Decides whether a publication arrives. */
  isPublished: () => boolean;
  /** From now on no call is made and none is answered, as if the process had ended. */
  kill(): void;
}

/**
 * Returns an engine whose calls and publications can fail.
 *
 * @param onKilled cuts the node off. By default it leaves the cluster, which a process that ends does not do.
 */
export function createFaultyEngine(
  engine: ClusterEngine,
  onKilled: () => unknown = () => engine.stop(),
): FaultyEngine {
  let isKilled = false;
  const forever = () => new Promise<never>(() => {});
  let lastArrival = 0;
  async function travel(): Promise<void> {
    const now = performance.now();
    lastArrival = Math.max(lastArrival, now + proxy.delay());
    if (lastArrival > now) await new Promise((resolve) => setTimeout(resolve, lastArrival - now));
  }
  const controls = {
    fault: (): EngineFault => 'none',
    delay: () => 0,
    onApplied: () => {},
    isPublished: () => true,
    kill() {
      isKilled = true;
      onKilled();
    },
  };
  const callbacks = (listener: EngineListener): EngineListener => ({
    onBroadcast(broadcast) {
      if (!isKilled && proxy.isPublished()) listener.onBroadcast(broadcast);
    },
    onNotification(notification) {
      if (!isKilled && proxy.isPublished()) listener.onNotification(notification);
    },
  });
  const proxy = new Proxy(controls as unknown as FaultyEngine, {
    get(target, name: keyof FaultyEngine) {
      if (name in target) return target[name];
      if (!(name in engine)) return undefined; // `then`, for example
      return async (...values: unknown[]) => {
        if (isKilled) return forever();
        const fault = proxy.fault(name);
        if (fault === 'lose') throw new Error(`${name}: the request was lost`);
        await travel();
        if (isKilled as boolean) return forever();
        if (name === 'start') values[1] = callbacks(values[1] as EngineListener);
        const method = engine[name as keyof ClusterEngine] as (...values: unknown[]) => unknown;
        const result = await method.apply(engine, values);
        proxy.onApplied(name);
        if (isKilled as boolean) return forever();
        if (fault === 'lose-reply') throw new Error(`${name}: the reply was lost`);
        return result;
      };
    },
  });
  return proxy;
}
