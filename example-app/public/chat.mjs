const GROUP_TIME = 3 * 60_000; // ms within which consecutive lines of a person share one name

/** The chat log: `lines` of the server, then the `waiting` ones that are not in its log yet. */
export class Chat {
  #scroll;
  #lines;
  #waiting;
  #last;
  #shown = '';

  constructor({ scroll, lines, waiting }) {
    this.#scroll = scroll;
    this.#lines = lines;
    this.#waiting = waiting;
    new ResizeObserver(() => this.#toEnd()).observe(scroll);
  }

  /** Shows all lines. `aria-busy` keeps screen readers from reading out the whole history. */
  reset(lines) {
    this.#scroll.setAttribute('aria-busy', 'true');
    this.#lines.replaceChildren();
    this.#last = undefined;
    for (const line of lines) this.#append(line);
    this.#toEnd();
    requestAnimationFrame(() => this.#scroll.removeAttribute('aria-busy'));
  }

  add(line, limit) {
    this.#keepEnd(() => {
      this.#append(line);
      while (this.#lines.children.length > limit) this.#lines.firstChild.remove();
    });
  }

  showWaiting(lines) {
    const numbers = lines.map(({ n }) => n).join();
    if (numbers === this.#shown) return;
    this.#shown = numbers;
    this.#keepEnd(() => this.#waiting.replaceChildren(...lines.map((line) => toItem(line))));
  }

  #append(line) {
    const item = toItem(line);
    const last = this.#last;
    const continuesGroup =
      last?.by === line.by && line.at - last.at < GROUP_TIME && !last.note && !line.note;
    item.classList.toggle('goes-on', continuesGroup);
    this.#lines.append(item);
    this.#last = line;
  }

  // Scrolls to new lines, unless the user has scrolled up to read older ones.
  #keepEnd(change) {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    const wasAtEnd = scrollHeight - scrollTop - clientHeight < 40;
    change();
    if (wasAtEnd) this.#toEnd();
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }
}

// Names and messages are untrusted: they are inserted as text, never as markup.
function toItem({ name, ink, text, note, at }) {
  const item = document.createElement('li');
  item.style.setProperty('--ink', `var(--ink-${ink})`);
  const who = document.createElement('strong');
  who.textContent = name;
  const what = document.createElement('span');
  what.textContent = note ?? text;
  item.append(who, ' ', what);
  item.classList.toggle('note', note !== undefined);
  if (at === undefined) return item;
  const when = document.createElement('time');
  when.dateTime = new Date(at).toISOString();
  when.textContent = new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  who.after(' ', when);
  return item;
}
