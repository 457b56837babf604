import { BOARD, INKS } from './board.mjs';

/**
 * Draws a board on two canvases. The lower one holds the strokes that are settled, each drawn once.
 * The upper one holds the few that are still wet, and is drawn anew in every frame.
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
    const renewSession = () => {
      this.#fit();
      onstale();
    };
    new ResizeObserver(renewSession).observe(sheet);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', renewSession);
    this.#fit();
  }

  /** `wet`: `{ stroke, alpha }`, in order. */
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

  // As many device pixels as the sheet covers, and the board's own units to draw in. The strokes are
  // kept as data, so a new size costs a redraw and loses nothing.
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

// A curve through the middles between the points, bent towards each point: no corners.
function trace(context, points) {
  const end = points.length - 2;
  context.moveTo(points[0], points[1]);
  for (let i = 0; i < end; i += 2) {
    const x = (points[i] + points[i + 2]) / 2;
    const y = (points[i + 1] + points[i + 3]) / 2;
    context.quadraticCurveTo(points[i], points[i + 1], x, y);
  }
  // A line of no length would not be drawn, and a tap should leave a dot.
  context.lineTo(points[end] + 0.01, points[end + 1]);
}
