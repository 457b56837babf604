/**
 * The page's network, with a switch. `SseClient` takes the `fetch` it works with as an option: it
 * gets this one, and while the switch is off nothing gets through, either way. Requests under way
 * fail and new ones are refused, as when a phone enters a tunnel.
 */
export class Network {
  #line = new AbortController();
  #backAt = 0;

  get isCut() {
    return this.#line.signal.aborted;
  }

  get secondsLeft() {
    return Math.max(1, Math.ceil((this.#backAt - Date.now()) / 1000));
  }

  fetch = (input, init = {}) => {
    const signals = [this.#line.signal, init.signal].filter(Boolean);
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  cut(milliseconds) {
    this.#backAt = Date.now() + milliseconds;
    this.#line.abort(new TypeError('The network is cut'));
    setTimeout(() => {
      this.#line = new AbortController();
      // What a browser says when its network is back: the client need not wait for its next try.
      window.dispatchEvent(new Event('online'));
    }, milliseconds);
  }
}
