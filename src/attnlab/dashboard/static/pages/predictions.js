// What a run answered to test examples, beside what was right: forecasts, sequences, tours, hulls, triangulations. The worst come first.
import { chart, palette } from "../chart.js";
import { chosenRun, readRuns, scale, selectRun } from "../choices.js";
import { el, message, select } from "../dom.js";
import { number } from "../format.js";
import { heatmap, unpack } from "../heatmap.js";
import { drawTour } from "../tour.js";

export const title = "Predictions";

const HOURS = { hours: "%H:%M", minutes: "%H:%M", day: "%d %b", date: "%d %b", week: "%d %b", month: "%b %Y", year: "%Y" };

export async function render(root, state, api) {
  root.append(message("reading the runs…"));
  const rows = await readRuns(api, state);
  if (!rows.length) {
    root.replaceChildren(message("There are no runs here yet. `attnlab train` makes one."));
    return;
  }
  const bar = el("div", { class: "bar" });
  const holder = el("section", { class: "panel prediction", "aria-label": "prediction" });
  root.replaceChildren(bar, holder);
  let [slider, turn, drawn] = [null, 0, null];

  async function open() {
    const mine = ++turn;
    slider?.end();
    const id = chosenRun(rows, state);
    const picker = selectRun("Run", rows, id, (run) => { state.set({ run, position: null, step: null, variable: null }); open(); });
    bar.replaceChildren(picker);
    holder.replaceChildren(message("reading…"));
    let about;
    try {
      about = await api.get(`api/runs/${encodeURIComponent(id)}/predictions`);
    } catch (error) {
      if (mine === turn) holder.replaceChildren(message(error.message, "error"));
      return;
    }
    if (mine !== turn || !root.isConnected) return;
    if (about.missing) {
      holder.replaceChildren(message(about.missing));
      return;
    }
    const order = about.examples.map(({ position }) => String(position));
    const current = Math.max(0, order.indexOf(state.get("position", order[0])));
    const step = scale(
      `Example, worst ${about.metric} first`, order.length, current,
      (place) => `${place + 1} of ${order.length}`,
      (place) => { state.set({ position: place ? order[place] : null, step: null }); show(id, about); },
    );
    slider = step;
    bar.append(step.element);
    const jump = (text, place) => el("button", { type: "button", onclick: () => step.move(place) }, text);
    bar.append(jump("Worst", 0), jump("Median", Math.floor(order.length / 2)), jump("Best", order.length - 1));
    if (about.kind === "forecast") {
      bar.append(select("Origin", about.examples.map(({ position, begins }) => [String(position), begins]).sort((one, other) => one[1].localeCompare(other[1])), order[current], (position) => step.move(order.indexOf(position)), { class: "origin" }));
    }
    if (about.variables.length > 1) {
      bar.append(select("Variable", about.variables.map((name, place) => [String(place), name]), state.get("variable", "0"), (variable) => { state.set({ variable: variable === "0" ? null : variable }); show(id, about); }));
    }
    await show(id, about);
  }

  async function show(id, about) {
    const mine = ++turn;
    const position = state.get("position", String(about.examples[0].position));
    const origin = bar.querySelector("select.origin");
    if (origin) origin.value = position;
    let example;
    try {
      example = await api.get(`api/runs/${encodeURIComponent(id)}/predictions/${position}?variable=${state.get("variable", "0")}`);
    } catch (error) {
      if (mine === turn) holder.replaceChildren(message(error.message, "error"));
      return;
    }
    if (mine !== turn || !root.isConnected) return;
    drawn?.end?.();
    const scores = Object.entries(example.scores).map(([name, value]) => el("span", {}, `${name} `, el("strong", {}, number(value))));
    const index = about.examples.find((one) => String(one.position) === position).index;
    holder.replaceChildren(el("p", { class: "facts" }, el("span", {}, `${about.split} example ${index}`), scores));
    if (example.question) holder.append(el("p", {}, el("strong", {}, `${example.question}?`)));
    const draw = { forecast: drawForecast, tour: drawTour, hull: drawTour, triangulation: drawTour }[about.kind] ?? drawSequence;
    drawn = draw(holder, example, state);
    holder.dataset.position = position;
  }

  const drawAgain = () => drawn?.draw?.();
  const watched = new ResizeObserver(drawAgain);
  watched.observe(holder);
  const themed = new MutationObserver(drawAgain);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  await open();
  return () => {
    turn++;
    slider?.end();
    drawn?.end?.();
    watched.disconnect();
    themed.disconnect();
  };
}

function drawForecast(holder, { past, future, variable, band, looked }) {
  const times = [...past, ...future].map(({ time }) => time);
  const temporal = new Set(times).size === times.length; // rows of one minute have the same label
  const place = (row, at) => ({ ...row, at: temporal ? row.time.replace(" ", "T") : at });
  const known = past.map((row, index) => place(row, index - past.length));
  const ahead = future.map(place);
  const lines = [
    ...known.map(({ at, time, value }) => ({ at, time, value, what: "known" })),
    ...ahead.flatMap(({ at, time, truth, forecast }) => [
      ...(truth === null ? [] : [{ at, time, value: truth, what: "truth" }]),
      { at, time, value: forecast, what: "forecast" },
    ]),
  ];
  const x = { field: "at", type: temporal ? "temporal" : "quantitative", title: temporal ? null : "rows after the forecast was made", axis: temporal ? { format: HOURS } : {} };
  const layers = [];
  if (band) {
    layers.push({
      data: { values: ahead }, mark: { type: "area", opacity: 0.25, color: palette[5] },
      encoding: { x, y: { field: "low", type: "quantitative" }, y2: { field: "high" } },
    });
  }
  layers.push({
    data: { values: lines }, mark: { type: "line", strokeWidth: 2, point: future.length < 40 ? { size: 18 } : false },
    encoding: {
      x,
      y: { field: "value", type: "quantitative", title: variable, scale: { zero: false } },
      color: { field: "what", type: "nominal", title: null, legend: { orient: "top" }, scale: { domain: ["known", "truth", "forecast"], range: [palette[4], palette[2], palette[5]] } },
      strokeDash: { field: "what", type: "nominal", title: null, legend: { orient: "top" }, scale: { domain: ["known", "truth", "forecast"], range: [[1, 0], [1, 0], [6, 3]] } },
      tooltip: [{ field: "what", title: " " }, { field: "time" }, { field: "value", title: variable, format: ".4~g" }],
    },
  });
  const picture = el("div", { class: "chart forecast" });
  const said = band
    ? `The band is no claim of the model: at each step, ${Math.round(100 * band.share)} % of its errors on the other ${band.examples} kept test examples lie within it.`
    : "There are too few kept test examples for a band of their errors.";
  holder.append(picture, el("p", { class: "quiet" }, said));
  chart(picture, { width: "container", height: 280, layer: layers });
  return drawLooked(holder, looked, future.map(({ time }) => time), past.map(({ time }) => time), "forecast for");
}

/** The maps of the head's sites for this example. */
function drawLooked(holder, looked, rows, columns, rowTitle) {
  const maps = Object.entries(looked).map(([site, weights]) => {
    const box = el("div", { class: "map" });
    holder.append(el("h3", {}, `What ${site} looked at`), box);
    const named = { rows: rows.slice(0, weights.shape[0]), row_title: rowTitle, columns, column_title: "read", weights };
    return heatmap(box, named);
  });
  return { draw: () => maps.forEach((map) => map.draw()) };
}

function drawSequence(holder, { inputs, steps, looked }, state) {
  const site = Object.keys(looked).at(-1);
  const weights = site ? unpack(looked[site]) : null;
  const long = inputs.some((label) => label.length > 14);
  const read = inputs.map((label) => el("li", { class: "token" }, el("i"), el("b", {}, label)));
  const judged = steps.map(({ said, right }, step) => {
    const kind = right === null ? "unasked" : right ? "right" : "wrong";
    const meaning = right === null ? "" : right ? ", right" : ", wrong";
    return el("button", { type: "button", class: `token ${kind}`, "aria-label": `step ${step + 1}: ${said || "nothing"}${meaning}`, onclick: () => choose(step) }, el("b", {}, said || "∅"));
  });
  const asked = steps.map(({ asked: label }) => el("li", { class: "token" }, el("b", {}, label)));
  const line = el("p", { class: "readout quiet", "aria-live": "polite" });
  const wrong = steps.filter(({ right }) => right === false).length;
  const row = (name, list) => [el("span", {}, name), list];
  holder.append(
    el(
      "div", { class: "steps" },
      row("read", el("ul", { class: `tokens ${long ? "long" : ""}` }, read)),
      row("said", el("div", { class: "tokens", role: "group", "aria-label": "said" }, judged)),
      row("right", el("ul", { class: "tokens" }, asked)),
    ),
    el("p", { class: "quiet" }, steps.some(({ right }) => right !== null) ? `${wrong} of ${steps.filter(({ right }) => right !== null).length} wrong` : "", site ? `; choose a step (arrow keys) to see what ${site} looked at` : ""),
    line,
  );

  function choose(step) {
    state.set({ step });
    judged.forEach((button, place) => button.classList.toggle("current", place === step));
    if (!weights || step >= weights.rows) return;
    const row = weights.values.subarray(step * weights.columns, (step + 1) * weights.columns);
    const top = Math.max(...row);
    read.forEach((token, place) => { token.firstChild.style.opacity = top > 0 ? (0.85 * row[place]) / Math.max(top, 0.25) : 0; });
    const ranked = [...row.keys()].sort((one, other) => row[other] - row[one]).slice(0, 3);
    line.textContent = `step ${step + 1} looked at ${ranked.map((place) => `${inputs[place]} (${row[place].toFixed(3)})`).join(", ")}`;
  }
  holder.querySelector("[role=group]").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const here = judged.indexOf(document.activeElement);
    const next = judged[here + by];
    if (here < 0 || !next) return;
    event.preventDefault();
    next.focus();
    choose(here + by);
  });
  const step = state.get("step");
  if (step !== "" && Number(step) < steps.length) choose(Number(step));
  return site ? drawLooked(holder, looked, steps.map(({ said }) => said || "∅"), inputs, "said") : {};
}
