/**
 * A `fetch` that can be switched off, to simulate the loss of the network. The page passes it to
 * `SseClient` as the option `fetch`. While it is off, requests in flight are aborted and new ones fail.
 */
export class Network {
  #connection = new AbortController();
  #backAt = 0;

  get isCut() {
    return this.#connection.signal.aborted;
  }

  get secondsLeft() {
    return Math.max(1, Math.ceil((this.#backAt - Date.now()) / 1000));
  }

  fetch = (input, init = {}) => {
    const signals = [this.#connection.signal, init.signal].filter(Boolean);
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  cut(milliseconds) {
    this.#backAt = Date.now() + milliseconds;
    this.#connection.abort(new TypeError('The network is cut'));
    setTimeout(() => {
      this.#connection = new AbortController();
      // Browsers fire this event when the network is back. The client then reconnects immediately.
      window.dispatchEvent(new Event('online'));
    }, milliseconds);
  }
}
