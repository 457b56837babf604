const NAMES = {
  connecting: 'Connecting',
  open: 'Open',
  cut: 'Cut',
  lost: 'Reconnecting',
  back: 'Back',
  closed: 'Closed',
};

const HINTS = {
  connecting: () => 'Draw already, it waits',
  open: () => 'Two ways, over plain HTTP',
  cut: ({ secondsLeft, bytes }) => `Back in ${secondsLeft} s, ${toSize(bytes)} wait`,
  lost: ({ bytes }) => `Draw on, ${toSize(bytes)} wait`,
  back({ owed, left }) {
    if (owed === 0) return 'Nothing was missed';
    return `${owed} waited, ${owed - left} arrived`;
  },
  closed: ({ reason }) => reason,
};

const numbers = new Intl.NumberFormat('en');
const toSize = (bytes) => (bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`);

/** Shows in what state the connection is, and what has gone over it. */
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

  // Only what has changed: a status that is written again may be read out again.
  #write(id, text) {
    if (this.#shown.get(id) === text) return;
    this.#shown.set(id, text);
    document.getElementById(id).textContent = text;
  }
}
