import { BOARD, INKS } from './board.mjs';

/**
 * Draws a board on two canvases. The lower canvas has the settled strokes; each is drawn once. The upper
 * canvas has the few strokes in progress ("wet"), and is redrawn in every frame.
 */
export class BoardCanvas {
  #sheet;
  #settled;
  #wet;
  #inks = [];
  #drawn = { board: null, losses: 0, strokes: 0 };

  constructor(sheet, { onstale }) {
    this.#sheet = sheet;
    [this.#settled, this.#wet] = [...sheet.querySelectorAll('canvas')].map((canvas) =>
      canvas.getContext('2d'),
    );
    const redraw = () => {
      this.#fit();
      onstale();
    };
    new ResizeObserver(redraw).observe(sheet);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    this.#fit();
  }

  /** @param wet the strokes in progress, in order: `{ stroke, alpha }`. */
  render(board, wet) {
    const drawn = this.#drawn;
    if (drawn.board !== board || drawn.losses !== board.losses) {
      wipe(this.#settled);
      this.#drawn = { board, losses: board.losses, strokes: 0 };
    }
    for (const stroke of board.strokes.slice(this.#drawn.strokes)) this.#ink(this.#settled, stroke);
    this.#drawn.strokes = board.strokes.length;

    wipe(this.#wet);
    for (const { stroke, alpha } of wet) {
      this.#wet.globalAlpha = alpha;
      this.#ink(this.#wet, stroke);
    }
  }

  // Gives the canvases as many device pixels as the sheet covers, and scales to the board's units. The
  // strokes are stored as data, so after a change of size they can be drawn again.
  #fit() {
    const { clientWidth, clientHeight } = this.#sheet;
    for (const context of [this.#settled, this.#wet]) {
      context.canvas.width = Math.round(clientWidth * devicePixelRatio);
      context.canvas.height = Math.round(clientHeight * devicePixelRatio);
      context.scale(context.canvas.width / BOARD.width, context.canvas.height / BOARD.height);
      context.lineCap = context.lineJoin = 'round';
    }
    const style = getComputedStyle(this.#sheet);
    this.#inks = Array.from({ length: INKS }, (_, ink) => style.getPropertyValue(`--ink-${ink}`));
    this.#drawn.board = null;
  }

  #ink(context, { ink, width, points }) {
    context.strokeStyle = this.#inks[ink];
    context.lineWidth = width;
    context.beginPath();
    trace(context, points);
    context.stroke();
  }
}

function wipe(context) {
  context.clearRect(0, 0, BOARD.width, BOARD.height);
}

// Draws a smooth curve: through the midpoints of neighbouring points, with the points as controls.
function trace(context, points) {
  const end = points.length - 2;
  context.moveTo(points[0], points[1]);
  for (let i = 0; i < end; i += 2) {
    const x = (points[i] + points[i + 2]) / 2;
    const y = (points[i + 1] + points[i + 3]) / 2;
    context.quadraticCurveTo(points[i], points[i + 1], x, y);
  }
  // The offset makes a tap draw a dot: canvases do not draw lines of length 0.
  context.lineTo(points[end] + 0.01, points[end + 1]);
}
