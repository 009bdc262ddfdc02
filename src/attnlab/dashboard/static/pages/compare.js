// The selected runs against each other: learning curves, cost, parameters, differences.
import { chart, palette } from "../chart.js";
import { el, message, select } from "../dom.js";
import { bytes, duration, number, shortNames } from "../format.js";
import { menu, reopen } from "../menu.js";

export const title = "Compare";

const SECONDS = 2;
const AXES = { step: "training steps", time: "seconds of training", examples: "training examples" };
const COSTS = {
  seconds: ["time", "seconds of training", duration],
  parameters: ["parameters", "parameters", number],
  memory: ["memory", "bytes of memory at most", bytes],
};
const DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]; // for curves beyond the palette
const MAX_LEGEND = 24;
const MAX_AXES = 8; // of parallel coordinates
const MAX_COLUMNS = 40; // of the table of differences

export async function render(root, state, api) {
  let [curves, facts, stop, turns] = [null, null, () => {}, 0];
  const panel = (heading, ...content) => el("section", { class: "panel" }, el("h2", {}, heading), ...content);
  const bars = { what: el("div", { class: "bar" }), curves: el("div", { class: "bar" }), cost: el("div", { class: "bar" }) };
  const says = { curves: el("p", { class: "quiet", role: "status" }), cost: el("p", { class: "quiet" }), axes: el("p", { class: "quiet" }) };
  const charts = { curves: el("div", { class: "chart" }), cost: el("div", { class: "chart" }), axes: el("div", { class: "chart" }) };
  const tables = { importance: el("div"), differences: el("div", { class: "scroll" }) };

  const fault = el("p", { class: "bad", role: "alert" });
  const parts = [
    fault,
    bars.what,
    panel("Learning curves", bars.curves, charts.curves, says.curves),
    el(
      "div", { class: "columns" },
      panel("Quality against cost", bars.cost, charts.cost, says.cost),
      panel("Which parameters matter", tables.importance),
    ),
    panel("Parallel coordinates", charts.axes, says.axes),
    panel("What differs", tables.differences),
  ];
  root.append(...parts);

  const query = (values) => {
    const given = Object.entries({ runs: state.get("runs"), data: state.get("data"), ...values }).filter(([, value]) => value);
    return new URLSearchParams(given).toString();
  };

  function change(values) {
    state.set(values);
    drawBars();
    drawCurves();
    drawCost();
  }

  /** Of what the server must be asked again. */
  function ask(values) {
    state.set(values);
    start().catch((error) => { fault.textContent = error.message; });
  }

  function drawBars() {
    reopen(bars.curves, drawBarsClosed);
  }

  function drawBarsClosed() {
    const chosen = state.list("runs");
    const count = facts.runs.length;
    bars.what.replaceChildren(
      el("span", {}, el("strong", {}, `${number(count)} ${count === 1 ? "run" : "runs"}`), chosen.length ? " selected" : ": all that are not hidden"),
      facts.data_sets.length > 1
        ? select("Data (one at a time: their numbers do not compare)", facts.data_sets, facts.data, (data) => ask({ data, curve: null, metric: null }))
        : el("span", { class: "quiet" }, `on ${facts.data}`),
      select("Metric", facts.metrics.includes(facts.metric) ? facts.metrics : [facts.metric, ...facts.metrics], facts.metric, (metric) => ask({ metric })),
      ...(chosen.length ? [el("button", { type: "button", onclick: () => ask({ runs: null }) }, "All runs")] : []),
    );
    const box = (key, text) =>
      el(
        "label", { class: "field inline" },
        el("input", { type: "checkbox", checked: state.get(key) === "1", onchange: (event) => change({ [key]: event.target.checked ? 1 : null }) }),
        el("span", {}, text),
      );
    const smooth = el("input", {
      type: "range", min: "0", max: "0.98", step: "0.02", value: state.get("smooth", "0"), "aria-label": "Smoothing",
      oninput: (event) => { state.set({ smooth: event.target.value === "0" ? null : event.target.value }); drawCurves(); },
    });
    const keys = facts.differences.flatMap((line) => line.keys.slice(0, 1)).filter((key) => key !== "seed");
    bars.curves.replaceChildren(
      select("Curve", curves.metrics.includes(curves.metric) ? curves.metrics : [curves.metric, ...curves.metrics], curves.metric, (curve) => ask({ curve })),
      select("By", Object.entries(AXES), state.get("x", "step"), (x) => change({ x: x === "step" ? null : x })),
      menu("Band over runs with the same", keys, state.list("group"), (group) => ask({ group })),
      el("label", { class: "field" }, el("span", {}, "Smoothing"), smooth),
      box("logx", "log x"),
      box("logy", "log y"),
    );
    bars.cost.replaceChildren(
      select("Cost", Object.entries(COSTS).map(([key, [text]]) => [key, text]), state.get("cost", "seconds"), (cost) => change({ cost: cost === "seconds" ? null : cost })),
    );
  }

  function drawCurves() {
    const weight = Number(state.get("smooth", "0"));
    const x = state.get("x", "step");
    const [logX, logY] = [state.get("logx") === "1", state.get("logy") === "1"];
    const short = shortNames(curves.curves.map((curve) => curve.name));
    const names = [...short.values()];
    const bands = curves.curves.some((curve) => curve.points.some((point) => typeof point.low === "number"));
    const usable = (point) => point[x] !== null && (!logX || point[x] > 0) && (!logY || point.value > 0);
    const values = curves.curves.flatMap(({ name, points }) =>
      smoothed(points, weight).filter(usable).map((point) => ({ name: short.get(name), ...point, low: logY && point.low <= 0 ? null : point.low })),
    );
    const ends = curves.curves.filter((curve) => curve.points.length).map(({ name, points }) => [short.get(name), points.at(-1).value]);
    ends.sort(([, a], [, b]) => (curves.rising ? b - a : a - b));
    const left = curves.left_out
      ? ` ${number(curves.left_out)} older ${curves.left_out === 1 ? "run is" : "runs are"} left out: select fewer, or join them into bands.`
      : "";
    const last = Math.max(0, ...curves.curves.flatMap(({ points }) => points.slice(-1).map((point) => point.step)));
    says.curves.textContent = ends.length
      ? `${ends.length} ${ends.length === 1 ? "curve" : "curves"} up to step ${number(last)}; ` +
        `${curves.rising ? "highest" : "lowest"} at its end: ${ends[0][0]}, ${number(ends[0][1])}.${left}` +
        (bands ? " Bands: 95 % interval of the mean over runs; where it leaves the picture it is cut." : "")
      : "";
    if (!values.length) {
      charts.curves.replaceChildren(message(curves.metrics.length ? "No run has such a curve." : "No run has been validated yet."));
      return;
    }
    const colours = names.map((_, place) => palette[place % palette.length]);
    const dashes = names.map((_, place) => DASHES[Math.floor(place / palette.length) % DASHES.length]);
    const narrow = charts.curves.clientWidth < 600;
    const legend = names.length > MAX_LEGEND ? null : { title: state.list("group").join(", ") || null, symbolOpacity: 1, orient: narrow ? "bottom" : "right", columns: 1, symbolType: "stroke", labelLimit: narrow ? 280 : 240 };
    const shared = {
      x: { field: x, type: "quantitative", title: AXES[x], scale: { type: logX ? "log" : "linear", zero: false, nice: false }, axis: { tickCount: 8, tickMinStep: x === "time" ? 0.1 : 1 } },
      color: { field: "name", type: "nominal", scale: { domain: names, range: colours }, legend },
    };
    const y = { type: "quantitative", title: curves.metric, scale: { type: logY ? "log" : "linear", zero: false } };
    if (bands && !logY) { // the interval of two runs may be ten times as wide as all curves together
      const [low, high] = [Math.min(...values.map((point) => point.value)), Math.max(...values.map((point) => point.value))];
      const room = (high - low || Math.abs(high) || 1) / 3;
      y.scale.domain = [Math.max(low - room, Math.min(...values.map((point) => point.low ?? low))), Math.min(high + room, Math.max(...values.map((point) => point.high ?? high)))];
    }
    const faded = { condition: { param: "picked", value: 1 }, value: 0.12 };
    const tooltip = [
      { field: "name", title: "run" }, { field: "value", format: ".5~g", title: curves.metric },
      { field: "step", format: "," }, { field: "examples", format: "," }, { field: "time", format: ".1f", title: "seconds" },
    ];
    const layers = [
      {
        mark: { type: "line", strokeWidth: 1.8, clip: true },
        params: [{ name: "picked", select: { type: "point", fields: ["name"] }, bind: "legend" }],
        encoding: {
          ...shared, y: { ...y, field: "value" }, opacity: faded,
          strokeDash: { field: "name", type: "nominal", scale: { domain: names, range: dashes }, legend },
        },
      },
      {
        mark: { type: "point", filled: true, size: 34 },
        encoding: {
          ...shared, y: { ...y, field: "value" }, tooltip,
          opacity: values.length > 200 ? { condition: { param: "near", empty: false, value: 1 }, value: 0 } : faded,
        },
        params: [{ name: "near", select: { type: "point", on: "pointerover", nearest: true } }],
      },
    ];
    if (bands) {
      const area = { condition: { param: "picked", value: 0.18 }, value: 0.03 };
      layers.unshift({ mark: { type: "area", clip: true }, encoding: { ...shared, y: { ...y, field: "low" }, y2: { field: "high" }, opacity: area } });
    }
    chart(charts.curves, { width: "container", height: 320, data: { name: "curves" }, datasets: { curves: values }, layer: layers });
  }

  function drawCost() {
    const cost = state.get("cost", "seconds");
    const [name, axis, format] = COSTS[cost];
    const front = new Set(facts.front[cost]);
    const names = shortNames(facts.runs.map((run) => run.id));
    const points = facts.runs.filter((run) => typeof run.value === "number" && typeof run[cost] === "number")
      .map((run) => ({ run: run.id, name: names.get(run.id), value: run.value, cost: run[cost], label: format(run[cost]), front: front.has(run.id), kind: kind(run) }));
    if (!points.length) {
      charts.cost.replaceChildren(message("No run has both numbers yet."));
      says.cost.textContent = "";
      return;
    }
    const kinds = [...new Set(points.map((point) => point.kind))];
    const x = { field: "cost", type: "quantitative", title: axis, scale: { zero: false, type: state.get("logx") === "1" ? "log" : "linear" }, axis: { format: "~s", tickCount: 6 } };
    const y = { field: "value", type: "quantitative", title: facts.metric, scale: { zero: false } };
    const line = { interpolate: "step-after", strokeDash: [4, 3], strokeWidth: 1.5 };
    chart(charts.cost, {
      width: "container", height: 260, data: { name: "points" }, datasets: { points },
      layer: [
        { transform: [{ filter: "datum.front" }], mark: { type: "line", ...line, color: "#888" }, encoding: { x, y, order: { field: "cost" } } },
        {
          mark: { type: "point", filled: true, opacity: 0.9 },
          encoding: {
            x, y,
            color: kinds.length > palette.length ? { value: palette[0] } : { field: "kind", type: "nominal", title: null, legend: { orient: "bottom", columns: 2 } },
            size: { condition: { test: "datum.front", value: 110 }, value: 45 },
            tooltip: [{ field: "run" }, { field: "value", title: facts.metric, format: ".5~g" }, { field: "label", title: name }],
          },
        },
      ],
    });
    const best = facts.front[cost].map((id) => points.find((point) => point.run === id)).filter(Boolean);
    says.cost.textContent =
      `${best.length} of ${points.length} on the Pareto front (large, joined): no run has less ${name} and is better. ` +
      best.slice(0, 5).map((point) => `${point.name} ${number(point.value)} in ${point.label}`).join("; ") + (best.length > 5 ? "; …" : "");
  }

  /** What the colours of the cost chart tell apart. */
  function kind(run) {
    const keys = state.list("group").filter((key) => key in run.choices);
    return (keys.length ? keys : ["encoder", "attention"]).map((key) => run.choices[key] ?? "–").join(" + ");
  }

  function drawImportance() {
    const lines = facts.importance.slice(0, 12);
    if (!lines.length) {
      tables.importance.replaceChildren(message("Select runs that differ in a parameter, more than one for some of its values."));
      return;
    }
    const bar = (share) => el("span", { class: "share", "aria-hidden": "true" }, el("i", { style: `width:${(100 * share).toFixed(1)}%` }));
    tables.importance.replaceChildren(
      el(
        "div", { class: "scroll" },
        el(
          "table", { class: "importance" },
          el("thead", {}, el("tr", {}, ["Parameter", "", "ε²", "η²", "Values", "Runs"].map((text, place) => el("th", { scope: "col", class: place > 1 ? "number" : null }, text)))),
          el("tbody", {}, lines.map((line) =>
            el(
              "tr", {}, el("th", { scope: "row" }, together(line.keys)), el("td", {}, bar(line.epsilon)),
              ...[line.epsilon.toFixed(2), line.eta.toFixed(2), number(line.levels), number(line.runs)].map((text) => el("td", { class: "number" }, text)),
            ),
          )),
        ),
      ),
      el(
        "p", { class: "quiet" },
        `Share of the variance of ${facts.metric} that goes with each parameter alone (one-way analysis of variance): η² as it stands, ε² less ` +
        "what chance would give, among the runs that have it. It sees no interactions, and says nothing about values that were not tried.",
      ),
    );
  }

  function drawAxes() {
    const order = new Map(facts.importance.map((line, place) => [line.keys[0], place]));
    const lines = facts.differences.filter((line) => line.given.every(Boolean)).sort((a, b) => (order.get(a.keys[0]) ?? 99) - (order.get(b.keys[0]) ?? 99)).slice(0, MAX_AXES);
    const scored = facts.runs.map((run, place) => [run, place]).filter(([run]) => typeof run.value === "number");
    if (!lines.length || scored.length < 2) {
      charts.axes.replaceChildren(message("Needs two finished runs that differ in something."));
      says.axes.textContent = "";
      return;
    }
    const axes = [...lines.map((line) => ({ name: line.keys[0], values: line.values })), { name: facts.metric, values: facts.runs.map((run) => run.value) }];
    const [points, ticks] = [[], []];
    for (const [place, { name, values }] of axes.entries()) {
      const used = scored.map(([, run]) => values[run]);
      const { at, labels } = scale(used);
      for (const [run, index] of scored) points.push({ run: run.id, axis: place, at: at(values[index]), value: run.value });
      for (const [label, height] of labels) ticks.push({ axis: place, at: height, label: shorten(label) });
      ticks.push({ axis: place, at: 1.1, label: shorten(name), name: true });
    }
    const x = { field: "axis", type: "quantitative", axis: null, scale: { domain: [-0.25, axes.length - 0.6], nice: false } };
    const y = { field: "at", type: "quantitative", axis: null, scale: { domain: [-0.05, 1.15], nice: false } };
    const colour = { field: "value", type: "quantitative", title: facts.metric, scale: { scheme: "cividis", reverse: !facts.rising }, legend: { orient: "bottom", gradientLength: 200 } };
    const width = Math.max(charts.axes.clientWidth - 20, 120 * axes.length);
    const label = { type: "text", align: "left", dx: 5 };
    const text = getComputedStyle(document.documentElement).getPropertyValue("--text").trim();
    chart(charts.axes, {
      width, height: 300, autosize: { type: "fit", contains: "padding" },
      layer: [
        { data: { values: axes.map((_, place) => ({ axis: place, from: 0, to: 1 })) }, mark: "rule", encoding: { x, y: { ...y, field: "from" }, y2: { field: "to" } } },
        {
          data: { values: points }, mark: { type: "line", strokeWidth: 1.6 },
          params: [{ name: "line", select: { type: "point", fields: ["run"], on: "pointerover", nearest: false } }],
          encoding: { x, y, detail: { field: "run" }, color: colour, opacity: { condition: { param: "line", value: 0.85 }, value: 0.08 }, tooltip: [{ field: "run" }, { field: "value", title: facts.metric, format: ".5~g" }] },
        },
        { data: { values: ticks }, transform: [{ filter: "!datum.name" }], mark: { ...label, fontSize: 11, color: text }, encoding: { x, y, text: { field: "label" } } },
        { data: { values: ticks }, transform: [{ filter: "datum.name" }], mark: { type: "text", fontSize: 11.5, fontWeight: 600, color: text }, encoding: { x, y, text: { field: "label" } } },
      ],
    });
    says.axes.textContent =
      `Each line is a run; the lighter, the better. ` + (lines.length === MAX_AXES ? `The ${MAX_AXES} parameters that matter most.` : "");
  }

  function drawDifferences() {
    if (!facts.differences.length) {
      tables.differences.replaceChildren(message(facts.runs.length < 2 ? "Select two runs or more." : "These runs are configured alike."));
      return;
    }
    const runs = facts.runs.slice(0, MAX_COLUMNS);
    const names = shortNames(facts.runs.map((run) => run.id));
    tables.differences.replaceChildren(
      el(
        "table", { class: "differences" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Key"), runs.map((run) => el("th", { scope: "col", title: run.id }, el("span", { class: "clip" }, names.get(run.id)))))),
        el(
          "tbody", {},
          facts.differences.map((line) =>
            el("tr", {}, el("th", { scope: "row" }, together(line.keys)), line.values.slice(0, MAX_COLUMNS).map((value) => el("td", {}, written(value)))),
          ),
          el("tr", {}, el("th", { scope: "row" }, facts.metric), runs.map((run) => el("td", {}, number(run.value)))),
        ),
      ),
      ...(facts.runs.length > MAX_COLUMNS ? [message(`The first ${MAX_COLUMNS} of ${facts.runs.length} runs.`)] : []),
    );
  }

  function together([first, ...more]) {
    if (!more.length) return first;
    return el("details", {}, el("summary", { title: "these always change together" }, `${first} `, el("span", { class: "quiet" }, `+ ${more.length}`)), more.join(", "));
  }

  const comparison = () => `api/compare?${query({ metric: state.get("metric") })}`;

  async function start() {
    stop();
    const turn = ++turns;
    fault.textContent = "";
    const answer = await api.get(comparison());
    if (turn !== turns || !root.isConnected) return; // something else has been asked meanwhile
    if (answer.runs.length) return follow(answer);
    root.replaceChildren(message("There is nothing to compare yet: select runs on the page Runs, or train some."));
    stop = api.poll(comparison, SECONDS, (later) => {
      if (!later?.runs.length) return;
      root.replaceChildren(...parts);
      follow(later);
    });
  }

  /** Draws the comparison, and its curves as they grow. */
  function follow(answer) {
    stop();
    facts = answer;
    drawCost();
    drawImportance();
    drawAxes();
    drawDifferences();
    if (!curves) charts.curves.replaceChildren(message("reading the curves…"));
    let first = true; // after a new question, whose answer may be of other runs
    let statuses = JSON.stringify(facts.runs.map((run) => run.status));
    stop = api.poll(`api/curves?${query({ metric: state.get("curve"), by: state.get("group") })}`, SECONDS, async (answer, error) => {
      if (error) {
        says.curves.textContent = error.message;
        return;
      }
      if (!answer) { // as before, after an error
        if (curves) drawCurves();
        return;
      }
      const other = !curves || JSON.stringify([curves.metrics, curves.metric]) !== JSON.stringify([answer.metrics, answer.metric]);
      curves = answer;
      if (first || other) drawBars();
      first = false;
      drawCurves();
      const now = await api.get(comparison());
      const changed = JSON.stringify(now.runs.map((run) => run.status));
      if (changed !== statuses && root.isConnected) { // one has ended meanwhile: it has results now
        [facts, statuses] = [now, changed];
        drawBars();
        drawCost();
        drawImportance();
        drawAxes();
        drawDifferences();
      }
    });
  }

  await start();
  return () => stop();
}

/** Exponential moving average, corrected for its start (Kingma & Ba 2015, §3). */
function smoothed(points, weight) {
  if (!weight) return points;
  const last = { value: 0, low: 0, high: 0 };
  return points.map((point, place) => {
    const correction = 1 - weight ** (place + 1);
    const now = { ...point };
    for (const key of Object.keys(last)) {
      if (point[key] === null || point[key] === undefined) continue;
      last[key] = weight * last[key] + (1 - weight) * point[key];
      now[key] = last[key] / correction;
    }
    return now;
  });
}

/** Where on an axis from 0 to 1 each value stands: numbers by size, anything else in order. */
function scale(values) {
  const numbers = values.filter((value) => typeof value === "number");
  const others = [...new Set(values.filter((value) => typeof value !== "number").map(written))].sort();
  if (others.length) {
    const all = [...new Set(values.map(written))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const at = (value) => (all.length > 1 ? all.indexOf(written(value)) / (all.length - 1) : 0.5);
    return { at, labels: all.slice(0, 12).map((text) => [text, all.length > 1 ? all.indexOf(text) / (all.length - 1) : 0.5]) };
  }
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const distinct = [...new Set(numbers)].sort((a, b) => a - b);
  if (distinct.length <= 6) { // few levels, such as learning rates: evenly apart
    const at = (value) => (distinct.length > 1 ? distinct.indexOf(value) / (distinct.length - 1) : 0.5);
    return { at, labels: distinct.map((value) => [number(value), at(value)]) };
  }
  const at = (value) => (value - low) / (high - low);
  return { at, labels: [0, 0.5, 1].map((height) => [number(low + height * (high - low)), height]) };
}

function shorten(text) {
  return text.length > 18 ? `…${text.slice(-17)}` : text;
}

function written(value) {
  return value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
