// An answer on points in the plane, step by step: the legs or triangles known so far, and what the decoder looks at next.
import { scale } from "./choices.js";
import { el } from "./dom.js";
import { unpack } from "./heatmap.js";

const SIDE = 520;
const MARGIN = 26;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Draws predicted pieces over the true ones; the example is the server's. The step is kept in the address. */
export function drawTour(holder, { points, said, pieces, true_pieces: truth, first_items: first, looked }, state) {
  const site = Object.keys(looked).at(-1);
  const weights = site ? unpack(looked[site]) : null;
  const at = projection(points);
  const picture = svg("svg", { class: "tour", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img" });
  const bars = el("div", { class: "bars" });
  const line = el("p", { class: "readout", "aria-live": "polite" });
  const last = said.length; // all of it, a tour's way home too
  const names = [...first, ...points.keys()].map(String); // of what was looked at: the end, where there is one, and the points
  const item = (place) => place + first.length; // the end is the place below 0
  const step = scale(
    "Step", last + 1, Math.min(last, Number(state.get("step", String(last)))), (place) => (place === last ? "the whole" : `${place} of ${last}`),
    (place) => { state.set({ step: place === last ? null : place }); show(place); },
  );
  const swatch = (colour, text, style = "solid") =>
    el("li", {}, el("span", { class: "swatch", style: `border-color:${colour};border-top-style:${style}` }), text);
  holder.append(
    el(
      "div", { class: "tourbox" }, picture,
      el(
        "div", {}, step.element, line,
        el(
          "ul", { class: "legend" },
          swatch("color-mix(in srgb, var(--quiet) 40%, transparent)", "target"),
          swatch("var(--accent)", "predicted, and in the target"),
          swatch("var(--bad)", "predicted, and not in the target", "dashed"),
          weights ? swatch("#e69f00", `weight of ${site} at this step`) : null,
        ),
        bars,
      ),
    ),
  );

  const draw = (places, kind) => {
    const [from, to] = [at[places[0]], at[places[1]]];
    if (places.length === 2) return svg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: kind });
    return svg("polygon", { points: places.map((place) => at[place].join()).join(" "), class: kind });
  };
  const triangles = truth[0]?.length === 3;
  const whole = said.map((place, step) => `${step === 0 ? "" : triangles ? (step % 3 ? " " : " · ") : " → "}${names[item(place)]}`).join("");

  function show(place) {
    // At step s the first s choices are known and the next is made.
    const taken = pieces.filter(({ after }) => place === last || after <= place);
    const row = weights && place < Math.min(last, weights.rows) ? weights.values.subarray(place * weights.columns, (place + 1) * weights.columns) : null;
    const here = place > 0 && place < last ? said[place - 1] : null;
    picture.replaceChildren(
      ...truth.map((places) => draw(places, "target")),
      ...taken.map(({ places, right }) => draw(places, right ? "leg" : "leg wrong")),
    );
    if (row) {
      row.subarray(first.length).forEach((weight, city) => {
        if (weight < 0.005) return;
        picture.append(svg("circle", { cx: at[city][0], cy: at[city][1], r: 6 + 18 * Math.sqrt(weight), class: "weight", opacity: 0.75 }));
      });
    }
    at.forEach(([x, y], city) => {
      picture.append(
        svg("circle", { cx: x, cy: y, r: 5, class: city === here ? "city now" : "city" }),
        svg("text", { x: x + 9, y: y - 8 }, String(city)),
      );
    });
    bars.replaceChildren();
    if (row) {
      const ranked = [...row.keys()].sort((one, other) => row[other] - row[one]).slice(0, 8);
      for (const one of ranked) bars.append(el("span", {}, names[one]), el("i", { style: `width:${(100 * row[one]).toFixed(1)}%` }), el("span", {}, row[one].toFixed(3)));
    }
    line.textContent = place === last
      ? `predicted ${whole}`
      : `${place ? `at ${here}, ` : ""}chooses ${names[item(said[place])]}${row ? ` with weight ${row[item(said[place])].toFixed(3)}` : ""}`;
    picture.setAttribute("aria-label", `${line.textContent}; ${taken.filter(({ right }) => !right).length} of ${taken.length} ${triangles ? "triangles" : "legs"} drawn are not in the target`);
    picture.dataset.legs = String(taken.length);
  }
  show(Math.min(last, Number(state.get("step", String(last)))));
  return { end: step.end };
}

/** Places in the picture, with equal units on both axes. */
function projection(points) {
  const [low, high] = [0, 1].map((axis) => points.map((point) => point[axis])).reduce(
    ([lows, highs], values) => [[...lows, Math.min(...values)], [...highs, Math.max(...values)]], [[], []],
  );
  const unit = Math.max(high[0] - low[0], high[1] - low[1]) || 1;
  const size = SIDE - 2 * MARGIN;
  return points.map(([x, y]) => [MARGIN + (size * (x - low[0])) / unit, SIDE - MARGIN - (size * (y - low[1])) / unit]);
}
