// A button that opens a list of boxes to tick, with a search where it is long.
import { el } from "./dom.js";

/**
 * options: values, or [value, text]; chosen: values, in the order in which they were ticked. `reopen` of menu.js keeps a
 * menu open, and the focus where it was, when what stands around it is drawn anew.
 */
export function menu(title, options, chosen, onchange) {
  const list = el("div", { class: "options" });
  const search = el("input", { type: "search", placeholder: "find…", "aria-label": `Find in ${title}`, oninput: draw });
  const summary = el("summary", {}, `${title}${chosen.length ? `: ${chosen.join(", ")}` : ""}`);
  const box = el("details", { class: "menu" }, summary, el("div", { class: "popup" }, options.length > 8 ? search : null, list));

  function draw() {
    const wanted = search.value.toLowerCase();
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    list.replaceChildren(
      ...pairs
        .filter(([, text]) => text.toLowerCase().includes(wanted))
        .map(([value, text]) => {
          const tick = () => onchange(chosen.includes(value) ? chosen.filter((item) => item !== value) : [...chosen, value]);
          return el("label", {}, el("input", { type: "checkbox", value, checked: chosen.includes(value), onchange: tick }), text);
        }),
    );
  }

  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    box.open = false;
    summary.focus();
  });
  box.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !box.contains(event.relatedTarget)) box.open = false;
  });
  draw();
  return box;
}

addEventListener("click", (event) => {
  for (const box of document.querySelectorAll("details.menu[open]")) if (!box.contains(event.target)) box.open = false;
});

/** Draws controls anew by `draw`; a menu that was open in `holder` stays open. */
export function reopen(holder, draw) {
  const boxes = () => [...holder.querySelectorAll("details.menu")];
  const place = boxes().findIndex((box) => box.open);
  const { value } = document.activeElement;
  const inside = boxes()[place]?.contains(document.activeElement);
  draw();
  const again = boxes()[place];
  if (!again) return;
  again.open = true;
  if (inside) (again.querySelector(`input[value="${CSS.escape(value ?? "")}"]`) ?? again.querySelector("summary")).focus();
}
