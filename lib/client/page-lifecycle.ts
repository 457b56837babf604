/**
 * Observes the page or the worker, if there is one:
 * - `pagehide`: the page is left for good, or, if `persisted`, goes into the back/forward cache;
 * - `pageshow`: it is back from the cache;
 * - `online`: the network is back.
 *
 * @returns a controller that ends the observation.
 */
export function observePage(listener: (event: PageTransitionEvent) => void): AbortController {
  const controller = new AbortController();
  if ('addEventListener' in globalThis) {
    for (const type of ['pagehide', 'pageshow', 'online']) {
      addEventListener(type, listener as EventListener, controller);
    }
  }
  return controller;
}
