/** An event that {@link observePage} reports. */
export interface PageEvent {
  type: string;
  /** Whether the page goes into the back/forward cache, or comes from it. */
  persisted?: boolean;
}

/**
 * Observes the page or the worker, if there is one:
 * - `pagehide`: the page is left for good, or, if `persisted`, goes into the back/forward cache;
 * - `pageshow`: it is back from the cache (not when it has loaded, which is no reason to try again);
 * - `online`: the network is back.
 *
 * @returns a controller that ends the observation.
 */
export function observePage(listener: (event: PageEvent) => void): AbortController {
  const controller = new AbortController();
  if ('addEventListener' in globalThis) {
    for (const type of ['pagehide', 'pageshow', 'online']) {
      const report = (event: PageEvent) => {
        if (type !== 'pageshow' || event.persisted) listener(event);
      };
      addEventListener(type, report, controller);
    }
  }
  return controller;
}
