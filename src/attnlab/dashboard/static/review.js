// What is to be said of one run: its facts, and the note, tags, pin and hiding that are kept beside it.
import { el } from "./dom.js";
import { duration, number, when } from "./format.js";

/** `change(row, changes)` writes a part of the review. */
export function openReview(row, api, change) {
  const { review } = row;
  const fault = el("p", { class: "bad", role: "alert" });
  const keep = async (changes) => {
    try {
      await change(row, changes);
      fault.textContent = "";
    } catch (error) {
      fault.textContent = error.message;
    }
  };
  const toggle = (name, text) =>
    el(
      "label", { class: "field inline" },
      el("input", { type: "checkbox", checked: review[name], onchange: (event) => keep({ [name]: event.target.checked }) }),
      el("span", {}, text),
    );
  const words = (text) => text.split(/[\s,]+/).filter(Boolean);
  const facts = [
    ["status", row.status], ["error", row.error], ["started", when(row.started)], ["time", duration(row.seconds)],
    ["steps", number(row.steps)], ["device", row.device],
  ].filter(([, value]) => value !== null && value !== undefined);
  const link = (page, values) => `#/${page}?${new URLSearchParams(values)}`;
  const dialog = el(
    "dialog", { class: "review", "aria-label": `Run ${row.id}`, onclose: () => dialog.remove() },
    el(
      "form", { method: "dialog" },
      el("header", {}, el("h2", {}, row.id), el("button", { "aria-label": "Close" }, "✕")),
    ),
    fault,
    el(
      "div", { class: "bar" },
      toggle("pinned", "Pinned"),
      toggle("hidden", "Hidden"),
      el("a", { href: link("compare", { runs: row.id }) }, "Curves"),
      el("a", { href: link("attention", { runs: row.id }) }, "Attention"),
      el("a", { href: link("predictions", { runs: row.id }) }, "Predictions"),
    ),
    el(
      "label", { class: "field wide" }, el("span", {}, "Tags"),
      el("input", { value: review.tags.join(" "), placeholder: "words", onchange: (event) => keep({ tags: words(event.target.value) }) }),
    ),
    el(
      "label", { class: "field wide" }, el("span", {}, "Note"),
      el("textarea", { rows: 3, onchange: (event) => keep({ note: event.target.value }) }, review.note),
    ),
    definitions(facts),
    section("Results", Object.entries(row.summary), true),
    section("Choices", Object.entries(row.choices), true),
    section("Config", Object.entries(row.config), false),
  );
  for (const anchor of dialog.querySelectorAll("a")) anchor.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function definitions(pairs) {
  return el("dl", {}, pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "number" ? number(value) : String(value))]));
}

function section(title, pairs, open) {
  if (!pairs.length) return null;
  return el("details", { open }, el("summary", {}, title), definitions(pairs));
}
