const NAMES = {
  connecting: 'Connecting',
  open: 'Open',
  cut: 'Cut',
  lost: 'Reconnecting',
  back: 'Back',
  closed: 'Closed',
};

const HINTS = {
  connecting: () => 'You can start to draw',
  open: () => 'Messages flow both ways',
  cut: ({ secondsLeft, bytes }) => `Back in ${secondsLeft} s, ${toSize(bytes)} waiting`,
  lost: ({ bytes }) => `Keep drawing, ${toSize(bytes)} waiting`,
  back({ waited, left }) {
    if (waited === 0) return 'Nothing was lost';
    return `${waited - left} of ${waited} delivered`;
  },
  closed: ({ reason }) => reason,
};

const numbers = new Intl.NumberFormat('en');
const toSize = (bytes) => (bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`);

/** Shows the state of the connection and the numbers of messages. */
export class ConnectionBadge {
  #shown = new Map();

  show(line, counts) {
    const { state } = line;
    document.body.dataset.line = state;
    this.#write('state', NAMES[state]);
    this.#write('state-hint', HINTS[state](line));
    for (const [name, count] of Object.entries(counts)) {
      this.#write(`count-${name}`, numbers.format(count));
    }
    this.#write('cut', state === 'closed' ? 'Join again' : 'Cut the stream');
    document.getElementById('cut').disabled = state === 'cut' || state === 'connecting';
  }

  // Writes only changes: a screen reader may read out a status again when it is written again.
  #write(id, text) {
    if (this.#shown.get(id) === text) return;
    this.#shown.set(id, text);
    document.getElementById(id).textContent = text;
  }
}
