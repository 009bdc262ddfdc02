// A map of weights as one picture: a row for each query, a column for each item, the darker the more weight.
import { el } from "./dom.js";

const CELL = [3, 36]; // pixels, at least and at most
const LABEL = 11; // font size
const LONGEST = 130; // pixels of a label

/** The numbers of a packed map, row by row. */
export function unpack({ shape, low, high, cells }) {
  const bytes = Uint8Array.from(atob(cells), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(shape[0] * shape[1]);
  for (let index = 0; index < values.length; index++) {
    values[index] = low + ((high - low) * view.getUint16(2 * index, true)) / 65535;
  }
  return { values, rows: shape[0], columns: shape[1], low, high };
}

/**
 * Draws a map into an element. One canvas whatever its size: a mark for each of 40,000 cells would be slow.
 *
 * `map` is what the server says of it. `onselect(row)` is called with the row that the cursor stands in, null without.
 * The map can be walked with the arrow keys. Returns {draw}, to draw again in another theme or width.
 */
export function heatmap(element, map, { onselect = () => {}, top = null } = {}) {
  const weights = unpack(map.weights);
  const most = top ?? weights.high;
  const canvas = el("canvas", { tabindex: "0", role: "img", class: "heatmap" });
  const readout = el("p", { class: "readout quiet", "aria-live": "polite" });
  element.replaceChildren(canvas, readout);
  let [cursor, frame] = [null, null];

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `${LABEL}px ${style.fontFamily}`;
    const context = canvas.getContext("2d");
    context.font = font;
    const widest = (labels) => Math.min(LONGEST, Math.max(0, ...labels.map((label) => context.measureText(label).width)));
    const left = Math.ceil(widest(map.rows)) + 26;
    const room = Math.max(120, element.clientWidth - left - 4);
    const width = Math.max(1, Math.min(CELL[1], room / weights.columns));
    const height = Math.max(CELL[0], Math.min(CELL[1], Math.max(width, 12), 520 / weights.rows));
    const upright = widest(map.columns) > width - 3; // labels that do not fit side by side stand on their ends
    const above = (upright ? Math.ceil(widest(map.columns)) : LABEL) + 26;
    const size = [left + width * weights.columns + 2, above + height * weights.rows + 2];
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = size.map((side) => Math.ceil(side * ratio));
    [canvas.style.width, canvas.style.height] = size.map((side) => `${side}px`);
    context.scale(ratio, ratio);

    const picture = new OffscreenCanvas(weights.columns, weights.rows);
    const pixels = new ImageData(weights.columns, weights.rows);
    const [ground, ink] = [colour("--map-ground"), colour("--map-ink")].map(channels);
    weights.values.forEach((value, index) => {
      const share = most > 0 ? Math.max(0, Math.min(1, value / most)) : 0;
      for (let channel = 0; channel < 3; channel++) {
        pixels.data[4 * index + channel] = ground[channel] + share * (ink[channel] - ground[channel]);
      }
      pixels.data[4 * index + 3] = 255;
    });
    picture.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = width < 1 || height < 1;
    context.drawImage(picture, left, above, width * weights.columns, height * weights.rows);
    context.strokeStyle = colour("--line");
    context.strokeRect(left - 0.5, above - 0.5, width * weights.columns + 1, height * weights.rows + 1);

    context.font = font;
    context.fillStyle = colour("--text");
    context.textBaseline = "middle";
    const every = (step) => Math.max(1, Math.ceil((LABEL + 2) / step));
    const cut = (label) => {
      if (context.measureText(label).width <= LONGEST) return label;
      let kept = label;
      while (kept.length > 1 && context.measureText(`${kept}…`).width > LONGEST) kept = kept.slice(0, -1);
      return `${kept}…`;
    };
    context.textAlign = "right";
    for (let row = 0; row < weights.rows; row += every(height)) {
      context.fillText(cut(map.rows[row]), left - 5, above + height * (row + 0.5));
    }
    context.textAlign = upright ? "left" : "center";
    for (let column = 0; column < weights.columns; column += every(width)) {
      context.save();
      context.translate(left + width * (column + 0.5), above - (upright ? 5 : LABEL));
      if (upright) context.rotate(-Math.PI / 2);
      context.fillText(cut(map.columns[column]), 0, 0);
      context.restore();
    }
    context.fillStyle = colour("--quiet");
    context.textAlign = "left";
    context.fillText(map.column_title, left, 8);
    context.save();
    context.translate(8, above + Math.min(height * weights.rows, 120));
    context.rotate(-Math.PI / 2);
    context.fillText(map.row_title, 0, 0);
    context.restore();
    if (cursor) {
      context.strokeStyle = colour("--bad");
      context.lineWidth = 2;
      context.strokeRect(left + width * cursor.column, above + height * cursor.row, width, height);
    }
    frame = { left, above, width, height };
    canvas.setAttribute("aria-label", describe(map, weights));
  }

  function move(place) {
    cursor = place;
    readout.textContent = place
      ? `${map.row_title} ${map.rows[place.row]} → ${map.column_title} ${map.columns[place.column]}: ` +
        `${weights.values[place.row * weights.columns + place.column].toFixed(4)}`
      : "Point at a cell, or walk with the arrow keys.";
    draw();
    onselect(place?.row ?? null);
  }

  const inside = (value, end) => Math.max(0, Math.min(end - 1, value));
  canvas.addEventListener("pointermove", (event) => {
    const column = Math.floor((event.offsetX - frame.left) / frame.width);
    const row = Math.floor((event.offsetY - frame.above) / frame.height);
    if (row < 0 || column < 0 || row >= weights.rows || column >= weights.columns) return;
    if (row !== cursor?.row || column !== cursor?.column) move({ row, column });
  });
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = cursor ?? { row: 0, column: -step[1] };
    move({ row: inside(from.row + step[0], weights.rows), column: inside(from.column + step[1], weights.columns) });
  });
  move(null);
  return { draw };
}

/** In words, for those who cannot see it: where most of the weight of the first rows lies. */
function describe(map, weights) {
  const rows = Math.min(weights.rows, 12);
  const said = [];
  for (let row = 0; row < rows; row++) {
    const line = weights.values.subarray(row * weights.columns, (row + 1) * weights.columns);
    const column = line.indexOf(Math.max(...line));
    if (line[column] > 0) said.push(`${map.rows[row]} → ${map.columns[column]} ${line[column].toFixed(2)}`);
  }
  return `weights of ${weights.rows} queries on ${weights.columns} items; most weight: ${said.join(", ")}`;
}

/** "#rrggbb" → its three numbers. */
function channels(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}
