/** Makes the global object an event target, as it is on a page and not in Node. */
export function openPage() {
  const page = new EventTarget();
  const names = ['addEventListener', 'removeEventListener'] as const;
  for (const name of names) {
    Object.defineProperty(globalThis, name, { value: page[name].bind(page), configurable: true });
  }
  return {
    dispatch: (type: string, fields = {}) =>
      page.dispatchEvent(Object.assign(new Event(type), fields)),
    leave: () => {
      for (const name of names) Reflect.deleteProperty(globalThis, name);
    },
  };
}
