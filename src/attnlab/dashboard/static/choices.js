// What Attention and Predictions choose in the same way: a run, and a place on a scale.
import { el, select } from "./dom.js";

/** All runs, those that were selected elsewhere first, then the newest. */
export async function readRuns(api, state) {
  const { rows } = await api.get("api/runs");
  const selected = state.list("runs");
  const rank = (row) => (selected.includes(row.id) ? selected.indexOf(row.id) : selected.length);
  return rows.sort((one, other) => rank(one) - rank(other) || String(other.started).localeCompare(String(one.started)));
}

/** The run in the address, else the first that was selected, else the newest that is finished. */
export function chosenRun(rows, state) {
  const selected = state.list("runs").length ? rows[0] : rows.find((row) => row.status === "finished");
  return state.get("run") || (selected ?? rows[0]).id;
}

/** A choice of one run. `none` is what stands for no run, where that is possible. */
export function selectRun(name, rows, value, onchange, none = null) {
  const options = rows.map((row) => [row.id, row.status === "finished" ? row.id : `${row.id} (${row.status})`]);
  return select(name, none === null ? options : [["", none], ...options], value, onchange);
}

/**
 * A slider with buttons beside it. `show(index)` is called whenever it has been moved, `name(index)` says what stands
 * there. Returns {element, move, end}.
 */
export function scale(label, count, index, name, show) {
  const slider = el("input", { type: "range", min: "0", max: String(count - 1), value: String(index), "aria-label": label });
  const text = el("output", { class: "where" });
  const play = el("button", { type: "button", "aria-label": `play: ${label}`, title: "play" }, "▶");
  let timer = 0;

  function move(to) {
    slider.value = String(Math.max(0, Math.min(count - 1, to)));
    write();
    show(Number(slider.value));
  }
  function write() {
    text.textContent = name(Number(slider.value));
    slider.setAttribute("aria-valuetext", text.textContent);
  }
  function end() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
  }
  const step = (by, sign) =>
    el("button", { type: "button", "aria-label": `${label}: ${by < 0 ? "previous" : "next"}`, onclick: () => move(Number(slider.value) + by) }, sign);
  slider.addEventListener("input", () => move(Number(slider.value)));
  play.addEventListener("click", () => {
    if (timer) return end();
    if (Number(slider.value) === count - 1) move(0);
    play.textContent = "⏸";
    timer = setInterval(() => {
      move(Number(slider.value) + 1);
      if (Number(slider.value) === count - 1) end();
    }, 600);
  });
  write();
  const parts = count > 1 ? [step(-1, "‹"), slider, step(1, "›"), play, text] : [text];
  return { element: el("div", { class: "field scale" }, el("span", {}, label), el("div", {}, parts)), move, end };
}
