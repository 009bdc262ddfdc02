// The live table of runs, one row a run or one row a group of runs.
import { el, message, select } from "../dom.js";
import { parseFilter, prepare } from "../filter.js";
import { bytes, duration, number, shortNames, spread, when } from "../format.js";
import { menu, reopen } from "../menu.js";
import { openReview } from "../review.js";
import { Table } from "../table.js";

export const title = "Runs";

const SECONDS = 2; // between two looks for changes
const PARTS = ["data", "encoder", "attention"];
const STATUS = {
  finished: "✓", running: "▶", failed: "✗", stale: "⏸", broken: "⚠", foreign: "?", empty: "∅",
};
const MEANING = {
  stale: "its process is gone without a word: killed, or the machine stopped",
  broken: "meta.json or summary.json cannot be read",
  foreign: "this folder is no run record: it has no meta.json of attnlab",
  empty: "this folder is empty",
};

export async function render(root, state, api) {
  const rows = new Map();
  let [version, loaded, shown, table, mode, groupTurn] = ["", false, [], null, null, 0];

  const search = el("input", {
    type: "search", class: "grow", value: state.get("filter"), spellcheck: "false",
    placeholder: "Filter:  lstm   encoder=gru,lstm   dim>32   mae<0.3   -failed   ( / )",
    "aria-label": "Filter runs", oninput: () => { state.set({ filter: search.value }); update(); },
  });
  const controls = el("div", { class: "controls" });
  const count = el("span", { class: "quiet count", role: "status" });
  const actions = el("div", { class: "bar actions" });
  const holder = el("div");
  root.append(el("div", { class: "bar" }, search, controls), el("div", { class: "bar" }, count, actions), holder);
  holder.append(message("reading the runs…"));

  function drawControls() {
    reopen(controls, drawControlsClosed);
  }

  function drawControlsClosed() {
    const all = [...rows.values()];
    const keys = varied(all);
    const numbers = new Set();
    for (const { summary } of all) {
      for (const key in summary) if (typeof summary[key] === "number" && !key.startsWith("baseline/")) numbers.add(key);
    }
    const change = (values) => { state.set(values); drawControls(); update(); };
    const metrics = [["", "each data set's own"], ...[...numbers].sort()];
    controls.replaceChildren(
      menu("Group by", keys, state.list("group"), (group) => change({ group, sort: null })),
      menu("Columns", keys, state.list("columns"), (columns) => change({ columns })),
      select("Metric", metrics, state.get("metric"), (metric) => change({ metric })),
      el(
        "label", { class: "field inline" },
        el("input", {
          type: "checkbox", checked: state.get("hidden") === "1",
          onchange: (event) => change({ hidden: event.target.checked ? 1 : null }),
        }),
        el("span", {}, "Show hidden"),
      ),
    );
  }

  function metricOf(row) {
    const chosen = state.get("metric");
    return chosen ? [chosen, row.summary[chosen]] : [row.metric, row.value];
  }

  function runColumns() {
    const narrow = matchMedia("(max-width: 640px)").matches;
    const names = shortNames([...rows.keys()]);
    const columns = [
      {
        key: "status", title: narrow ? "" : "Status", help: "status", width: narrow ? 34 : 110, value: (row) => row.status,
        render: (row) => status(row, narrow),
      },
      {
        key: "id", title: "Run", width: narrow ? 190 : 230, value: (row) => row.id,
        render: (row) =>
          el("span", { class: "name", title: row.error ?? MEANING[row.status] ?? row.id }, row.review.pinned ? "★ " : "", names.get(row.id)),
      },
    ];
    const extra = state.list("columns").filter((key) => !PARTS.includes(key));
    for (const key of [...PARTS, "seed", ...extra]) {
      const value = (row) => (key === "seed" ? row.seed : row.choices[key] ?? row.config[key]);
      columns.push({
        key, title: key, width: key === "seed" ? 54 : PARTS.includes(key) ? 104 : 150, value, number: key === "seed",
        render: (row) => plain(value(row)),
      });
    }
    const results = [
      { key: "metric", title: "Metric", width: 118, value: (row) => metricOf(row)[0], render: (row) => short(metricOf(row)[0]) },
      { key: "value", title: "Value", width: 78, number: true, value: (row) => metricOf(row)[1], render: (row) => number(metricOf(row)[1]) },
      { key: "parameters", title: "Parameters", width: 104, number: true, value: (row) => row.parameters, render: (row) => number(row.parameters) },
      { key: "seconds", title: "Time", width: 72, number: true, help: "training", value: (row) => row.seconds, render: (row) => duration(row.seconds) },
      { key: "memory", title: "Memory", width: 84, number: true, help: "at most", value: (row) => row.memory, render: (row) => bytes(row.memory) },
      { key: "started", title: "Started", width: 138, value: (row) => row.started, render: (row) => when(row.started) },
      {
        key: "tags", title: "Tags, note", width: 240, value: (row) => row.review.tags.join(" ") + row.review.note,
        render: (row) => el("span", { title: row.review.note || null }, row.review.tags.map((tag) => el("span", { class: "tag" }, tag)), row.review.note),
      },
    ];
    return narrow ? [...columns.slice(0, 2), results[1], ...columns.slice(2), results[0], ...results.slice(2)] : [...columns, ...results];
  }

  function groupColumns(keys) {
    const cost = (key, title, format) => ({
      key, title, width: 104, number: true, value: (row) => row[key]?.mean, render: (row) => (row[key] ? format(row[key].mean) : "–"),
    });
    return [
      ...keys.map((key) => ({ key: `by.${key}`, title: key, width: 118, value: (row) => row.key[key], render: (row) => row.key[key] })),
      {
        key: "value", title: "Mean ± 95 % (n)", width: 172, number: true, value: (row) => row.value?.mean,
        help: "the mean over the group's runs and its 95 % interval by Student's t; n runs have the number",
        render: (row) => (row.value ? spread(row.value) : "–"),
      },
      { key: "interval", title: "", width: 190, value: (row) => row.value?.mean, render: (row) => whisker(row) },
      { key: "runs", title: "Runs", width: 66, number: true, value: (row) => row.runs.length, render: (row) => number(row.runs.length) },
      { key: "seeds", title: "Seeds", width: 70, number: true, value: (row) => row.seeds, render: (row) => number(row.seeds) },
      { key: "metric", title: "Metric", width: 118, value: (row) => row.metric, render: (row) => short(row.metric) },
      cost("parameters", "Parameters", (value) => number(Math.round(value))),
      cost("seconds", "Time", duration),
      cost("memory", "Memory", bytes),
    ];
  }

  /** A group's mean and interval on the common scale of the groups with its metric. */
  function whisker(row) {
    if (!row.value) return "";
    const [low, high] = row.scale;
    const place = (value) => `${(4 + 92 * (high > low ? (value - low) / (high - low) : 0.5)).toFixed(2)}%`;
    const half = row.value.half_width ?? 0;
    const span = el("span", { class: "whisker", "aria-hidden": "true" });
    span.append(
      el("i", { class: "line", style: `left:${place(row.value.mean - half)};right:calc(100% - ${place(row.value.mean + half)})` }),
      el("i", { class: "dot", style: `left:${place(row.value.mean)}` }),
    );
    return span;
  }

  function status(row, narrow) {
    const percent = row.status === "running" && row.progress !== null ? ` ${Math.floor(100 * row.progress)} %` : "";
    return el("span", { class: `status ${row.status}`, title: row.error ?? MEANING[row.status] ?? null }, narrow ? el("span", { "aria-label": row.status }, STATUS[row.status] ?? "") : `${STATUS[row.status] ?? ""} ${row.status}${percent}`);
  }

  function newTable(wanted) {
    table?.end();
    mode = wanted;
    const common = { sort: state.get("sort"), onsort: (sort) => state.set({ sort }) };
    if (wanted === "runs") {
      table = new Table(runColumns(), {
        ...common, label: "Runs", id: (row) => row.id, first: (row) => row.review.pinned, selected: state.list("runs"),
        rowClass: (row) => (row.review.hidden ? "hidden" : null),
        sort: common.sort || "-started",
        onselect: (chosen) => { state.set({ runs: [...chosen] }); drawActions(); },
        onopen: (row) => openReview(row, api, review),
        onkey: (event, row) => {
          if (event.key === "p") review(row, { pinned: !row.review.pinned }).catch(tell);
          else if (event.key === "h") review(row, { hidden: !row.review.hidden }).catch(tell);
          else return false;
          return true;
        },
      });
    } else {
      table = new Table(groupColumns(state.list("group")), {
        ...common, label: "Groups", id: (row) => JSON.stringify([row.key, row.metric]),
        onopen: (group) => openGroup(group),
      });
    }
    holder.replaceChildren(table.element);
  }

  /** A group's runs, as the selection of the ungrouped table. */
  function openGroup(group) {
    const word = (value) => (value === "–" ? "null" : /[\s,]/.test(value) ? `"${value}"` : value);
    const conditions = Object.entries(group.key).map(([key, value]) => `${key}=${word(value)}`);
    search.value = [search.value.trim(), ...conditions].filter(Boolean).join(" ");
    state.set({ group: null, sort: null, filter: search.value, runs: group.runs });
    mode = null;
    drawControls();
    update();
  }

  function tell(error) {
    count.replaceChildren(el("span", { class: "bad", role: "alert" }, error.message));
  }

  async function review(row, changes) {
    row.review = await api.put(`api/runs/${encodeURIComponent(row.id)}/review`, changes);
    prepare(row);
    update();
  }

  function drawActions() {
    const chosen = [...(table?.selected ?? [])].map((id) => rows.get(id)).filter(Boolean);
    if (mode !== "runs" || !chosen.length) {
      const what = mode === "groups" ? "Enter on a group shows its runs" : "Space selects, Enter opens, p pins, h hides";
      actions.replaceChildren(el("span", { class: "quiet keys" }, what));
      return;
    }
    const toggle = (name, text, undo) => {
      const on = chosen.every((row) => row.review[name]);
      return el("button", { type: "button", onclick: () => Promise.all(chosen.map((row) => review(row, { [name]: !on }))).then(drawActions, tell) }, on ? undo : text);
    };
    actions.replaceChildren(
      el("strong", {}, `${chosen.length} selected`),
      el("a", { class: "button primary", href: state.link("compare") }, "Compare"),
      toggle("pinned", "Pin", "Unpin"),
      toggle("hidden", "Hide", "Show again"),
      el("button", { type: "button", onclick: () => { table.selected.clear(); state.set({ runs: null }); table.draw(); drawActions(); } }, "Clear"),
    );
  }

  async function update() {
    if (!loaded) return;
    const started = performance.now();
    const passes = parseFilter(search.value);
    const all = [...rows.values()];
    const visible = state.get("hidden") === "1" ? all : all.filter((row) => !row.review.hidden);
    shown = visible.filter(passes);
    const hidden = all.length - visible.length;
    count.textContent =
      `${number(shown.length)} of ${number(all.length)} ${all.length === 1 ? "run" : "runs"}` + (hidden ? `, ${hidden} hidden` : "");
    if (!all.length) {
      table?.end();
      [table, mode] = [null, null];
      holder.replaceChildren(message("There are no runs here yet. `attnlab train` makes one; it appears by itself."));
    } else if (state.list("group").length) {
      await drawGroups();
    } else {
      if (mode !== "runs") newTable("runs");
      table.setRows(shown);
    }
    drawActions();
    performance.measure("filter", { start: started });
  }

  async function drawGroups() {
    const turn = ++groupTurn;
    const by = state.list("group");
    const runs = shown.map((row) => row.id);
    let groups;
    try {
      groups = await api.post("api/groups", { runs, by, metric: state.get("metric") });
    } catch (error) {
      if (turn !== groupTurn) return;
      mode = null; // the next answer needs a table again
      holder.replaceChildren(message(error.message, "error"));
      return;
    }
    if (turn !== groupTurn || !root.isConnected) return;
    const scales = new Map();
    for (const { metric, value } of groups) {
      if (!value) continue;
      const [low, high] = scales.get(metric) ?? [Infinity, -Infinity];
      const half = value.half_width ?? 0;
      scales.set(metric, [Math.min(low, value.mean - half), Math.max(high, value.mean + half)]);
    }
    for (const group of groups) group.scale = scales.get(group.metric);
    const wanted = `groups ${by}`;
    if (mode !== "groups" || table.by !== wanted) newTable("groups");
    table.by = wanted;
    table.setRows(groups);
  }

  function take(answer, error) {
    if (error) {
      tell(error);
      return false;
    }
    if (answer) {
      version = answer.version;
      if (answer.complete) rows.clear();
      for (const id of answer.removed) rows.delete(id);
      for (const row of answer.rows) rows.set(row.id, prepare(row));
      const typing = controls.contains(document.activeElement) && controls.querySelector("details[open]");
      if (!loaded || (answer.rows.length && !typing)) drawControls();
    }
    loaded = true;
    if (mode === "runs" && table) table.setColumns(runColumns());
    update();
    return Boolean(answer?.reading);
  }

  const stop = api.poll(() => `api/runs?since=${version}`, SECONDS, take);
  return () => {
    stop();
    table?.end();
  };
}

/** Keys of choices and configs in which the runs differ; choices first. */
function varied(rows) {
  const seen = new Map();
  const keys = (part) => {
    for (const row of rows) {
      for (const key in row[part]) {
        const text = JSON.stringify(row[part][key]);
        if (!seen.has(key)) seen.set(key, text);
        else if (seen.get(key) !== text) seen.set(key, null);
      }
    }
  };
  keys("choices");
  const choices = [...seen.keys()].sort();
  keys("config");
  const differs = (key) => seen.get(key) === null;
  const config = [...seen.keys()].filter((key) => !choices.includes(key) && !key.endsWith("_target_")).sort();
  const main = PARTS.filter((key) => seen.has(key));
  return [...new Set([...main, ...choices.filter(differs), ...config.filter(differs)])];
}

/** Test metrics are the rule: what is only said of others. */
function short(metric) {
  return metric ? metric.replace(/^test\//, "") : "–";
}

function plain(value) {
  return value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
