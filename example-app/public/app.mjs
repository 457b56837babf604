import { BOARD, Board, INKS } from './board.mjs';
import { BoardCanvas } from './canvas.mjs';
import { Chat } from './chat.mjs';
import { ConnectionBadge } from './connection.mjs';
import { recall, remember, toRandomKey, toRandomName } from './identity.mjs';
import { Network } from './network.mjs';
import { Pen } from './pen.mjs';
import { People } from './people.mjs';
import { SharedBoard } from './shared-board.mjs';

const CUT = 5000;
const BACK_SHOWN = 6000;
const CURSOR_INTERVAL = 50;
const WET_ALPHA = 0.4; // how a line looks while it cannot get to the server
const INK_NAMES = ['Cobalt', 'Vermilion', 'Fern', 'Iris', 'Ochre', 'Rose', 'Teal', 'Graphite'];

const element = (id) => document.getElementById(id);
const { body } = document;

const me = {
  key: toRandomKey(),
  id: null,
  name: recall('name') ?? toRandomName(),
  ink: recall('ink'),
};
const network = new Network();
const people = new People(element('people'), element('cursors'));
const badge = new ConnectionBadge();
const canvas = new BoardCanvas(element('sheet'), { onstale: schedule });
const chat = new Chat({
  scroll: element('scroll'),
  lines: element('lines'),
  waiting: element('waiting'),
});

const shared = new SharedBoard({
  me,
  fetch: network.fetch,
  on: {
    change: schedule,
    snapshot() {
      chat.reset(shared.board.chat);
    },
    recognised() {
      element('inks').querySelectorAll('input')[me.ink].checked = true;
    },
    people(present) {
      people.show(present, me.id);
    },
    cursor(by, at) {
      people.point(by, at);
    },
    entry(entry) {
      const isMine = entry.by === me.id;
      if (entry.type === 'line' && !isMine) people.point(entry.by, entry.points.slice(-2));
      if (entry.type !== 'chat' && entry.type !== 'clear') return;
      chat.add(shared.board.chat.at(-1), shared.board.chat.length);
      if (!isMine && body.dataset.view !== 'chat') countUnread();
    },
  },
});

// ---- Drawing

let hover = null;
let cursorSentAt = 0;

const pen = new Pen(element('sheet'), {
  onneeded: schedule,
  onmove(at) {
    hover = at;
  },
  onpoints(points, done) {
    const width = Number(element('nibs').querySelector(':checked').value);
    shared.commit({ type: 'line', points, width, done });
  },
});

function sendCursor() {
  if (hover === null) return;
  if (performance.now() - cursorSentAt < CURSOR_INTERVAL) {
    schedule();
    return;
  }
  shared.point(hover);
  cursorSentAt = performance.now();
  hover = null;
}

for (let ink = 0; ink < INKS; ink++) {
  const input = Object.assign(document.createElement('input'), {
    type: 'radio',
    name: 'ink',
    value: ink,
    ariaLabel: INK_NAMES[ink],
  });
  const label = document.createElement('label');
  label.title = INK_NAMES[ink];
  label.style.setProperty('--ink', `var(--ink-${ink})`);
  label.append(input);
  element('inks').append(label);
}

element('inks').addEventListener('change', ({ target }) => {
  me.ink = Number(target.value);
  remember('ink', me.ink);
  shared.sayHello();
});

// Everybody's drawing goes, so the button asks once more.
element('clear').addEventListener('click', ({ currentTarget: button }) => {
  if (button.dataset.armed) shared.commit({ type: 'clear' });
  arm(button, !button.dataset.armed);
});
element('clear').addEventListener('blur', ({ currentTarget: button }) => arm(button, false));

function arm(button, isArmed) {
  if (isArmed) button.dataset.armed = 'yes';
  else delete button.dataset.armed;
  button.textContent = isArmed ? 'Clear for everyone?' : 'Clear board';
}

// ---- Talking

element('chat-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = element('say').value.trim();
  element('say').value = '';
  if (text !== '') shared.commit({ type: 'chat', text });
});

element('name').value = me.name;
element('name').addEventListener('change', () => {
  me.name = element('name').value.trim() || toRandomName();
  element('name').value = me.name;
  remember('name', me.name);
  shared.sayHello();
});

// ---- On a small screen the board and the chat take turns

let unread = 0;

function countUnread() {
  showUnread(unread + 1);
}

function showUnread(count) {
  unread = count;
  element('unread').hidden = count === 0;
  element('unread').textContent = `${count} new`;
}

function show(view) {
  body.dataset.view = view;
  for (const button of document.querySelectorAll('[data-show]')) {
    if (button.dataset.show === view) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
  if (view === 'chat') showUnread(0);
}

for (const button of document.querySelectorAll('[data-show]')) {
  button.addEventListener('click', () => show(button.dataset.show));
}
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  show('chat');
  element('say').focus();
});

// ---- The connection

element('cut').addEventListener('click', () => {
  if (shared.line.state === 'closed') shared.join();
  else network.cut(CUT);
  schedule();
});

let alarm;

function showConnection() {
  const { line, pending, audit } = shared;
  const { state, later } = toState(line);
  clearTimeout(alarm);
  if (later) alarm = setTimeout(schedule, later);
  const waiting = pending.length;
  const left = pending.filter(({ message }) => message.n <= line.upTo).length;
  badge.show(
    { ...line, state, left, bytes: shared.bytesWaiting, secondsLeft: network.secondsLeft },
    { ...shared.counts, waiting, lost: audit.lost, twice: audit.twice },
  );
}

// What to say about the line now, and after how long it may be something else.
function toState({ state, since }) {
  if (state !== 'closed' && network.isCut) return { state: 'cut', later: 250 };
  const shownFor = Date.now() - since;
  if (state === 'back' && shownFor < BACK_SHOWN) return { state, later: BACK_SHOWN - shownFor };
  return { state: state === 'back' ? 'open' : state };
}

// ---- One frame

let frame = 0;

function schedule() {
  frame ||= requestAnimationFrame(render);
}

function render() {
  frame = 0;
  pen.flush();
  sendCursor();
  showBoard();
  chat.showWaiting(shared.pendingEntries('chat'));
  showConnection();
}

// What is open in the log, and on it what is pending here, by the same rules as the board itself.
function showBoard() {
  const { board, isFlowing } = shared;
  const draft = new Board({ open: structuredClone([...board.open.values()]) });
  for (const entry of shared.pendingEntries('line')) draft.apply(entry);

  const wet = [...draft.strokes, ...draft.open.values()];
  const isStuck = ({ by }) => by === me.id && !isFlowing;
  canvas.render(
    board,
    wet.map((stroke) => ({ stroke, alpha: isStuck(stroke) ? WET_ALPHA : 1 })),
  );

  const count = board.strokes.length + wet.length;
  body.dataset.board = count > 0 ? 'drawn' : 'empty';
  element('tally').textContent = count === 1 ? '1 stroke' : `${count} strokes`;
  element('crosshair').style.left = `${(pen.at[0] / BOARD.width) * 100}%`;
  element('crosshair').style.top = `${(pen.at[1] / BOARD.height) * 100}%`;
}

shared.join();
schedule();

/** For the curious, in the console: `board.log`, `board.fingerprint`. Reading only. */
window.board = Object.freeze({
  get log() {
    const { strokes, chat: lines } = structuredClone(shared.board.toJSON());
    return { strokes, chat: lines };
  },
  get fingerprint() {
    return shared.board.fingerprint;
  },
  get waiting() {
    return shared.pending.length;
  },
  get audit() {
    return { lost: shared.audit.lost, twice: shared.audit.twice };
  },
});
