import { BOARD } from './board.mjs';

const IDLE_TIME = 4000; // ms after which a cursor that does not move fades out

/** The list of the people who are here, and the cursors of the others on the sheet. */
export class People {
  #list;
  #title;
  #layer;
  #cursors = new Map();
  #known = new Map();

  constructor(list, title, layer) {
    this.#list = list;
    this.#title = title;
    this.#layer = layer;
  }

  show(people, me) {
    const meFirst = people.toSorted((a, b) => (b.id === me) - (a.id === me));
    this.#list.replaceChildren(...meFirst.map((person) => toItem(person, person.id === me)));
    this.#title.textContent = `Here now: ${people.length}`;
    for (const [id, { element }] of this.#cursors) {
      const person = people.find((candidate) => candidate.id === id);
      if (person?.state === 'here') dress(element, person);
      else this.#remove(id);
    }
    this.#known = new Map(people.map((person) => [person.id, person]));
  }

  point(id, [x, y]) {
    const person = this.#known.get(id);
    if (!person) return;
    const cursor = this.#cursors.get(id) ?? this.#add(person);
    cursor.element.style.left = `${(x / BOARD.width) * 100}%`;
    cursor.element.style.top = `${(y / BOARD.height) * 100}%`;
    cursor.element.classList.toggle('at-right', x > BOARD.width * 0.85);
    cursor.element.classList.toggle('at-bottom', y > BOARD.height * 0.9);
    cursor.element.classList.remove('idle');
    clearTimeout(cursor.timer);
    cursor.timer = setTimeout(() => cursor.element.classList.add('idle'), IDLE_TIME);
  }

  #add(person) {
    const element = document.createElement('div');
    element.className = 'cursor';
    element.append(document.createElement('span'));
    dress(element, person);
    this.#layer.append(element);
    const cursor = { element, timer: undefined };
    this.#cursors.set(person.id, cursor);
    return cursor;
  }

  #remove(id) {
    const { element, timer } = this.#cursors.get(id);
    clearTimeout(timer);
    element.remove();
    this.#cursors.delete(id);
  }
}

function dress(element, { name, ink }) {
  element.style.setProperty('--ink', `var(--ink-${ink})`);
  element.firstChild.textContent = name;
}

function toItem({ name, ink, state }, isMe) {
  const item = document.createElement('li');
  item.style.setProperty('--ink', `var(--ink-${ink})`);
  item.textContent = name;
  if (isMe) item.append(aside('you'));
  else if (state === 'away') item.append(aside('reconnecting'));
  item.classList.toggle('away', state === 'away');
  return item;
}

function aside(text) {
  const element = document.createElement('small');
  element.textContent = text;
  return element;
}
