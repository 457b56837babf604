import { BOARD, Board, INKS } from './board.mjs';
import { BoardCanvas } from './canvas.mjs';
import { Chat } from './chat.mjs';
import { ConnectionBadge } from './connection.mjs';
import { showQrCode } from './invitation.mjs';
import { recall, recallKey, remember, toRandomKey, toRandomName } from './identity.mjs';
import { Network } from './network.mjs';
import { Pen } from './pen.mjs';
import { People } from './people.mjs';
import { SharedBoard } from './shared-board.mjs';

const CUT_DURATION = 5000; // ms
const BACK_DURATION = 6000; // ms for which the page shows that the connection is back
const CURSOR_INTERVAL = 50; // ms
const WAITING_ALPHA = 0.4; // opacity of a line that waits for the connection
const INK_NAMES = ['Cobalt', 'Vermilion', 'Fern', 'Iris', 'Ochre', 'Rose', 'Teal', 'Graphite'];

const element = (id) => document.getElementById(id);
const { body } = document;

const me = {
  key: recallKey(),
  page: toRandomKey(), // a new one after each reload: its entries are numbered from 1
  id: null,
  name: recall('name') ?? toRandomName(),
  ink: recall('ink'),
};
showQrCode(element('phone'));
const network = new Network();
const people = new People(element('people'), element('people-title'), element('cursors'));
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
      showWaitingLines();
      showPeople();
      showNode();
    },
    identified() {
      element('inks').querySelectorAll('input')[me.ink].checked = true;
      showPeople();
    },
    cursor(by, at) {
      people.point(by, at);
    },
    entry(entry) {
      const isMine = entry.by === me.id;
      if (entry.type === 'person') showPeople();
      if (entry.type === 'line' && !isMine) people.point(entry.by, entry.points.slice(-2));
      if (entry.type !== 'chat' && entry.type !== 'clear') return;
      chat.add(shared.board.chat.at(-1), shared.board.chat.length);
      showWaitingLines(); // Now, not in the next frame: a line of this page must not appear twice.
      // On a phone, the last lines may be visible below the board.
      if (!isMine && element('scroll').clientHeight < 40) countUnread();
    },
  },
});

function showPeople() {
  people.show([...shared.board.people.values()], me.id);
}

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

// This deletes the drawings of all people, so the button asks for a confirmation.
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

// ---- Chat

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

function showWaitingLines() {
  chat.showWaiting(shared.pendingEntries('chat'));
}

// ---- Views: a small screen shows either the board or the chat

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
  else network.cut(CUT_DURATION);
  schedule();
});

// With `npm run start:cluster` there are several nodes.
function showNode() {
  element('kill').hidden = shared.node === undefined;
  element('kill').textContent = `Kill ${shared.node}`;
}
element('kill').addEventListener('click', () => shared.killNode());

// On a touch screen, a tap on a counter shows its title.
document.querySelector('.wire dl').addEventListener('click', ({ target }) => {
  element('explanation').textContent = target.closest('div').title;
  element('explanation').showPopover();
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

// Returns the connection state to show, and the ms after which it may be another one.
function toState({ state, since }) {
  if (state !== 'closed' && network.isCut) return { state: 'cut', later: 250 };
  const shownFor = Date.now() - since;
  if (state === 'back' && shownFor < BACK_DURATION)
    return { state, later: BACK_DURATION - shownFor };
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
  showWaitingLines();
  showConnection();
}

// Draws the lines that are not finished yet: those of the board, and this page's pending ones on top.
function showBoard() {
  const { board, isFlowing } = shared;
  const draft = new Board({ open: structuredClone([...board.open.values()]) });
  for (const entry of shared.pendingEntries('line')) draft.apply(entry);

  const wet = [...draft.strokes, ...draft.open.values()];
  const isStuck = ({ by }) => by === me.id && !isFlowing;
  canvas.render(
    board,
    wet.map((stroke) => ({ stroke, alpha: isStuck(stroke) ? WAITING_ALPHA : 1 })),
  );

  const count = board.strokes.length + wet.length;
  body.dataset.board = count > 0 ? 'drawn' : 'empty';
  element('tally').textContent = count === 1 ? '1 stroke' : `${count} strokes`;
  element('crosshair').style.left = `${(pen.at[0] / BOARD.width) * 100}%`;
  element('crosshair').style.top = `${(pen.at[1] / BOARD.height) * 100}%`;
}

shared.join();
schedule();

/** Read-only state for the browser console and for tests: `board.log`, `board.fingerprint`. */
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
