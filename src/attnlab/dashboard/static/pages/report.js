// The current comparison as a document to keep: seen here as it will be, and taken along as a file.
import { el, message, select } from "../dom.js";
import { menu } from "../menu.js";

export const title = "Report";

export async function render(root, state, api) {
  const bar = el("div", { class: "bar" });
  const holder = el("div");
  root.append(bar, holder);

  const query = (more = {}) =>
    new URLSearchParams(
      Object.entries({ runs: state.get("runs"), data: state.get("data"), group: state.get("group"), metric: state.get("metric"), ...more }).filter(([, value]) => value),
    ).toString();

  let turns = 0;

  async function draw() {
    const turn = ++turns;
    try {
      await drawTurn(() => turn === turns);
    } catch (error) {
      if (turn === turns) holder.replaceChildren(message(error.message, "error"));
    }
  }

  /** `current` says whether nothing else has been chosen meanwhile. */
  async function drawTurn(current) {
    holder.replaceChildren(message("reading the runs…"));
    const options = await api.get(`api/report?${query()}`);
    if (!current()) return;
    const change = (values) => { state.set(values); draw(); };
    const group = state.list("group").length ? state.list("group") : options.group;
    bar.replaceChildren(
      el("span", {}, el("strong", {}, `${options.finished} finished runs`), state.list("runs").length ? " of the selected" : "", options.data ? ` on ${options.data}` : ""),
      options.data_sets.length > 1 ? select("Data", options.data_sets, options.data, (data) => change({ data, metric: null })) : "",
      menu("Group by", options.keys, group, (chosen) => change({ group: chosen })),
      options.metrics.length ? select("Metric", options.metrics, state.get("metric") || options.metric, (metric) => change({ metric })) : "",
    );
    if (!options.finished) {
      holder.replaceChildren(message("A report needs finished runs, and there are none among these."));
      return;
    }
    bar.append(
      el("a", { class: "button", href: `api/report.html?${query({ download: 1 })}`, download: "report.html" }, "Download HTML"),
      el("a", { class: "button", href: `api/report.zip?${query()}`, download: "report.zip" }, "Download Markdown and figures"),
    );
    const note = el("p", { class: "quiet", role: "status" }, "Drawing the figures; the first report takes some seconds…");
    holder.replaceChildren(note);
    const page = await api.text(`api/report.html?${query()}`); // a frame would show an error as the server's JSON
    if (!current()) return;
    note.textContent = "The page is one file that needs no network. The folder holds Markdown, a CSV, and every figure as PNG and SVG.";
    holder.append(el("iframe", { title: "the report as it will be", sandbox: "", srcdoc: page }));
  }

  await draw();
}
