// What a run looked at: one map, alone or beside that of another run, through its training.
import { chart } from "../chart.js";
import { chosenRun, readRuns, scale, selectRun } from "../choices.js";
import { el, message, select } from "../dom.js";
import { heatmap } from "../heatmap.js";

export const title = "Attention";

export async function render(root, state, api) {
  root.append(message("reading the runs…"));
  const rows = await readRuns(api, state);
  if (!rows.length) {
    root.replaceChildren(message("There are no runs here yet. `attnlab train` makes one."));
    return;
  }
  const bar = el("div", { class: "bar" });
  const panels = el("div", { class: "maps" });
  root.replaceChildren(bar, panels);
  let [sides, epochs, slider, turn, watching] = [[], [], null, 0, []];

  /** Reads what there is to see of the chosen runs, shows it, and watches those that are being trained. */
  async function open() {
    const mine = ++turn;
    leave();
    const ids = [chosenRun(rows, state), state.get("beside")].filter(Boolean);
    const found = await Promise.all(
      ids.map((id) => api.get(`api/runs/${encodeURIComponent(id)}/attention`).catch((error) => ({ error: error.message }))),
    );
    if (mine !== turn || !root.isConnected) return;
    sides = ids.map((id, index) => ({ id, index, ...found[index] }));
    watching = sides.filter(({ id }) => isTraining(id)).map(watch);
    await show();
  }

  /** Builds the controls anew. */
  async function show() {
    slider?.end();
    epochs = [...new Set(sides.flatMap((side) => side.epochs ?? []))].sort((one, other) => one - other);
    const change = (values) => { state.set(values); open(); };
    const examples = sides.find((side) => side.examples?.length)?.examples ?? [];
    bar.replaceChildren(
      selectRun("Run", rows, sides[0].id, (run) => change({ run })),
      selectRun("Beside", rows, state.get("beside"), (beside) => change({ beside }), "no other run"),
    );
    if (examples.length) {
      const names = examples.map(({ index, inputs }, place) => [
        String(place), `${index === null ? `example ${place + 1}` : `#${index}`}  ${shortened(inputs)}`,
      ]);
      bar.append(select("Example", names, state.get("example", "0"), (example) => { state.set({ example }); drawMaps(); }));
    }
    if (epochs.length) {
      const at = epochs.indexOf(Number(state.get("epoch", String(epochs.at(-1)))));
      const last = epochs.length - 1;
      slider = scale(
        "Epoch", epochs.length, at < 0 ? last : at, (place) => `${epochs[place]} of ${epochs[last]}`,
        (place) => { state.set({ epoch: place === last ? null : epochs[place] }); drawMaps(); },
      );
      bar.append(slider.element);
    }
    panels.classList.toggle("two", sides.length > 1);
    panels.replaceChildren(...sides.map(buildSide));
    await drawMaps();
  }

  const isTraining = (id) => rows.find((row) => row.id === id)?.status === "running";

  /** A run that is being trained gets new epochs: the slider grows, and where it stood at the end the map follows. */
  function watch(side) {
    return api.poll(`api/runs/${encodeURIComponent(side.id)}/attention`, 3, (found) => {
      if ((found?.epochs?.length ?? 0) <= (side.epochs?.length ?? 0)) return;
      Object.assign(side, found, { error: undefined });
      show();
    });
  }

  function leave() {
    slider?.end();
    watching.forEach((end) => end());
    watching = [];
  }

  function buildSide(side) {
    const suffix = side.index ? "2" : "";
    side.map = el("div", { class: "map" });
    side.entropy = el("div", { class: "chart entropy" });
    side.distance = el("div", { class: "chart distance" });
    side.said = el("p", { class: "quiet" });
    const panel = el("section", { class: "panel", "aria-label": side.id }, el("h2", {}, side.id));
    if (side.error || !side.sites?.length) {
      panel.append(message(side.error ?? "This run kept no attention: it has none, or it had no validation yet.", side.error ? "error" : "note"));
      return panel;
    }
    const chosen = side.sites.find(({ name }) => name === state.get(`site${suffix}`));
    side.site = chosen ?? side.sites.find(({ name }) => name.startsWith("head")) ?? side.sites[0];
    side.head = Number(state.get(`head${suffix}`, "0")) <= side.site.heads ? state.get(`head${suffix}`, "0") : "0";
    const change = (values) => { state.set(values); panel.replaceWith(buildSide(side)); drawMaps(); };
    const heads = [["0", side.site.heads > 1 ? "mean of all" : "the only one"]];
    if (side.site.heads > 1) for (let head = 1; head <= side.site.heads; head++) heads.push([String(head), `head ${head}`]);
    panel.append(
      el(
        "div", { class: "bar" },
        select("Site", side.sites.map(({ name, heads: count }) => [name, count > 1 ? `${name} (${count} heads)` : name]), side.site.name, (site) => change({ [`site${suffix}`]: site })),
        select("Head", heads, side.head, (head) => change({ [`head${suffix}`]: head === "0" ? null : head })),
      ),
      side.said, side.map,
      el("h3", {}, "Entropy of each query, bits"), side.entropy,
      el("h3", {}, "How far it looks"), side.distance,
    );
    return panel;
  }

  async function drawMaps() {
    const mine = ++turn;
    const chosen = epochs.indexOf(Number(state.get("epoch", String(epochs.at(-1)))));
    const epoch = epochs[chosen] ?? epochs.at(-1);
    const shown = sides.filter((side) => side.site && side.map);
    await Promise.all(
      shown.map(async (side) => {
        side.epoch = side.epochs.filter((one) => one <= epoch).at(-1) ?? side.epochs[0]; // the other may have fewer
        side.example = Math.min(Number(state.get("example", "0")), side.examples.length - 1);
        const asked = new URLSearchParams({
          epoch: side.epoch, site: side.site.name, example: side.example, head: side.head === "0" ? "mean" : Number(side.head) - 1,
        });
        side.answer = await api.get(`api/runs/${encodeURIComponent(side.id)}/attention/map?${asked}`).catch((error) => ({ error: error.message }));
      }),
    );
    if (mine !== turn || !root.isConnected) return;
    const good = shown.filter((side) => !side.answer.error);
    const top = Math.max(0, ...good.map((side) => side.answer.weights.high)); // the same shades mean the same on both sides
    for (const side of shown) {
      if (side.answer.error) {
        side.map.replaceChildren(message(side.answer.error, "error"));
        continue;
      }
      side.drawn = heatmap(side.map, side.answer, { top });
      side.said.replaceChildren(...caption(side, top));
      drawProfiles(side);
    }
    panels.dataset.epoch = epoch ?? "";
  }

  const drawAgain = () => sides.forEach((side) => side.drawn?.draw());
  const watched = new ResizeObserver(drawAgain);
  watched.observe(panels);
  const themed = new MutationObserver(drawAgain);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  await open();
  return () => {
    turn++;
    leave();
    watched.disconnect();
    themed.disconnect();
  };
}

/** What is shown, in a line; with the question that came with the example, and a word on old records. */
function caption(side, top) {
  const { question, inputs } = side.examples[side.example];
  const parts = [`epoch ${side.epoch}, ${side.split} example ${side.examples[side.example].index ?? side.example + 1}; strongest weight: ${top.toPrecision(3)}`];
  if (question) parts.push(el("br"), el("strong", {}, `${question}?`));
  if (!side.described) {
    parts.push(el("br"), "This record is older than the names on its axes: queries and items have numbers, padding included.");
  }
  return inputs ? parts : [];
}

function drawProfiles(side) {
  const { rows, columns, row_title: rowTitle, entropy, distance } = side.answer;
  const queries = entropy.map((bits, place) => ({ place, bits, name: rows[place] }));
  const most = Math.log2(Math.max(2, columns.length));
  chart(side.entropy, {
    data: { values: queries }, width: "container", height: 90,
    layer: [
      {
        mark: { type: queries.length > 60 ? "area" : "bar", tooltip: true },
        encoding: {
          x: {
            field: "place", type: queries.length > 60 ? "quantitative" : "ordinal", title: rowTitle,
            axis: { labelExpr: `(${JSON.stringify(rows)})[datum.value]`, labelOverlap: true, labelLimit: 110, values: spaced(rows.length), labelAngle: Math.max(...rows.map((row) => row.length)) > 3 ? -90 : 0 },
          },
          y: { field: "bits", type: "quantitative", title: "bits", scale: { domain: [0, most] } },
          tooltip: [{ field: "name", title: rowTitle }, { field: "bits", format: ".3f" }],
        },
      },
      {
        data: { values: [{ most, text: `uniform over ${columns.length}` }] },
        mark: { type: "rule", strokeDash: [4, 4] }, encoding: { y: { field: "most", type: "quantitative" }, tooltip: { field: "text" } },
      },
    ],
  });
  if (!distance) {
    side.distance.replaceChildren(message("Items of a set, or slots of a memory: none is nearer than another."));
    return;
  }
  chart(side.distance, {
    data: { values: distance }, width: "container", height: 110,
    mark: { type: distance.length > 60 ? "area" : "bar", tooltip: true },
    encoding: {
      x: { field: "distance", type: distance.length > 60 ? "quantitative" : "ordinal", title: "item's place less the query's", axis: { labelOverlap: true, labelAngle: 0 }, scale: distance.length > 60 ? { nice: false, zero: false } : {} },
      y: { field: "weight", type: "quantitative", title: "mean weight" },
      tooltip: [{ field: "distance" }, { field: "weight", format: ".4f" }],
    },
  });
}

function spaced(count) {
  const every = Math.max(1, Math.ceil(count / 16));
  return [...Array(count).keys()].filter((place) => place % every === 0);
}

function shortened(labels) {
  if (labels[0]?.length > 9) return `from ${labels[0].slice(0, 40)}`; // dates, sentences
  const text = labels.slice(0, 12).join(" ");
  return text.length > 46 || labels.length > 12 ? `${text.slice(0, 44)}…` : text;
}
