/** Sends requests over an `SseClient`, and waits for their responses. */
export class Requests {
  #client;
  #pending = new Map();
  #last = 0;

  constructor(client) {
    this.#client = client;
    client.addEventListener('message', ({ data: { id, result, error } }) => {
      const call = this.#take(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    });
    const fail = () => {
      for (const id of this.#pending.keys())
        this.#take(id).reject(new Error('the session has ended'));
    };
    client.addEventListener('sessionlost', fail);
    client.addEventListener('close', fail);
  }

  call(method, params, timeout = 5000) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const onTimeout = () => this.#take(id).reject(new Error(`no response in ${timeout} ms`));
      this.#pending.set(id, { resolve, reject, timer: setTimeout(onTimeout, timeout) });
      this.#client.send({ id, method, params });
    });
  }

  #take(id) {
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(call?.timer);
    return call;
  }
}
