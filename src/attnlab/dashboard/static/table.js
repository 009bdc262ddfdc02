// A table that stays smooth with thousands of rows: only those in view are in the document.
import { el } from "./dom.js";

const ROW = 32; // height of a row in pixels; style.css has it too
const MORE = 8; // rows above and below those in view

/**
 * columns: [{key, title, width, number, render(row) → text or node, value(row) → what is sorted by, help}]
 * options: {id(row), label, sort: "key" or "-key", onsort(sort), onopen(row), onkey(event, row), onselect(Set), first(row)}
 *   onopen: Enter or a click on a row; onselect: the rows' boxes; first: whether a row stands above all others.
 */
export class Table {
  constructor(columns, options) {
    this.options = options;
    this.rows = [];
    this.selected = new Set(options.selected ?? []);
    this.active = null;
    this.body = el("tbody", { onfocusin: ({ target }) => (this.active = target.closest("tr").dataset.id ?? this.active) });
    this.head = el("thead");
    this.columnWidths = el("colgroup");
    this.table = el("table", { class: "rows", "aria-label": options.label }, this.columnWidths, this.head, this.body);
    this.element = el(
      "div",
      { class: "scroll virtual", onscroll: () => this.drawSoon(), onkeydown: (event) => this.#keydown(event) },
      this.table,
    );
    this.resized = new ResizeObserver(() => this.drawSoon());
    this.resized.observe(this.element);
    this.setColumns(columns);
  }

  setColumns(columns) {
    this.columns = columns;
    const all = this.options.onselect ? [{ width: 34 }, ...columns] : columns;
    this.columnWidths.replaceChildren(...all.map(({ width }) => el("col", { style: `width:${width}px` })));
    this.table.style.width = `${all.reduce((sum, { width }) => sum + width, 0)}px`;
    this.#drawHead();
    this.drawSoon();
  }

  setRows(rows) {
    this.rows = rows;
    this.#sort();
    this.draw();
  }

  #drawHead() {
    const [sorted, falling] = this.#sorted();
    const cells = this.columns.map((column) => {
      const direction = column.key === sorted ? (falling ? "descending" : "ascending") : null;
      const name = el(
        "button",
        { type: "button", class: "sort", title: column.help ?? null, onclick: () => this.#sortBy(column) },
        column.title,
        el("span", { "aria-hidden": "true" }, direction ? (falling ? " ▾" : " ▴") : ""),
      );
      return el("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": direction }, name);
    });
    if (this.options.onselect) {
      this.all = el("input", { type: "checkbox", "aria-label": "Select all shown", onchange: () => this.#selectAll() });
      cells.unshift(el("th", { scope: "col" }, this.all));
    }
    this.head.replaceChildren(el("tr", {}, cells));
  }

  #sorted() {
    const sort = this.options.sort ?? "";
    return sort.startsWith("-") ? [sort.slice(1), true] : [sort, false];
  }

  #sortBy(column) {
    const [key, falling] = this.#sorted();
    this.options.sort = key === column.key && !falling ? `-${key}` : column.key;
    this.options.onsort?.(this.options.sort);
    this.#drawHead();
    this.setRows(this.rows);
  }

  #sort() {
    const [key, falling] = this.#sorted();
    const column = this.columns.find((candidate) => candidate.key === key);
    const first = this.options.first ?? (() => false);
    const value = column?.value ?? (() => 0);
    const keyed = this.rows.map((row) => [first(row) ? 0 : 1, value(row), row]);
    keyed.sort(([a, x], [b, y]) => a - b || order(x, y, falling));
    this.rows = keyed.map(([, , row]) => row);
  }

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const { id, onselect } = this.options;
    const focused = this.body.contains(document.activeElement) && document.activeElement.matches("tr");
    const from = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const to = Math.min(this.rows.length, from + Math.ceil((this.element.clientHeight || 600) / ROW) + 2 * MORE);
    if (!this.rows.some((row) => id(row) === this.active)) this.active = this.rows.length ? id(this.rows[0]) : null;
    const shown = this.rows.slice(from, to).map((row, place) => this.#row(row, from + place));
    this.body.replaceChildren(spacer(from), ...shown, spacer(this.rows.length - to));
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    if (focused) this.body.querySelector('tr[tabindex="0"]')?.focus({ preventScroll: true });
    if (onselect) {
      const chosen = this.rows.filter((row) => this.selected.has(id(row))).length;
      this.all.checked = chosen > 0 && chosen === this.rows.length;
      this.all.indeterminate = chosen > 0 && chosen < this.rows.length;
    }
  }

  #row(row, place) {
    const { id, onselect, onopen, rowClass } = this.options;
    const key = id(row);
    const cells = this.columns.map((column) => {
      const content = column.render(row);
      const text = typeof content === "string" ? content : null;
      return el("td", { class: column.number ? "number" : null, title: text }, content);
    });
    if (onselect) {
      const box = el("input", {
        type: "checkbox", checked: this.selected.has(key), tabIndex: -1, "aria-label": `Select ${key}`,
        onclick: (event) => { event.stopPropagation(); this.#toggle(key); },
      });
      cells.unshift(el("td", {}, box));
    }
    return el(
      "tr",
      {
        "data-id": key, "aria-rowindex": String(place + 2), "aria-selected": String(this.selected.has(key)),
        class: rowClass?.(row) ?? null, tabIndex: key === this.active ? 0 : -1,
        onclick: () => { this.#activate(place); onopen?.(row); },
      },
      cells,
    );
  }

  #toggle(key) {
    if (!this.selected.delete(key)) this.selected.add(key);
    this.options.onselect(this.selected);
    this.draw();
  }

  #selectAll() {
    const keys = this.rows.map(this.options.id);
    if (keys.every((key) => this.selected.has(key))) keys.forEach((key) => this.selected.delete(key));
    else keys.forEach((key) => this.selected.add(key));
    this.options.onselect(this.selected);
    this.draw();
  }

  #activate(place) {
    this.active = this.options.id(this.rows[place]);
    const [top, view] = [place * ROW, this.element.clientHeight - 2 * ROW];
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + view) this.element.scrollTop = top - view;
    this.draw();
    this.body.querySelector('tr[tabindex="0"]')?.focus({ preventScroll: true });
  }

  #keydown(event) {
    if (!event.target.matches("tr") || event.ctrlKey || event.metaKey || event.altKey || !this.rows.length) return;
    const place = this.rows.findIndex((row) => this.options.id(row) === this.active);
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 2);
    const moves = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0 };
    moves.End = this.rows.length - 1;
    if (event.key in moves) this.#activate(Math.min(this.rows.length - 1, Math.max(0, moves[event.key])));
    else if (event.key === " " && this.options.onselect) this.#toggle(this.active);
    else if (event.key === "Enter") this.options.onopen?.(this.rows[place]);
    else if (!this.options.onkey?.(event, this.rows[place])) return;
    event.preventDefault();
  }

  end() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

/** Rows without a value come last in both directions. */
function order(a, b, falling) {
  const [none, other] = [a === null || a === undefined || a === "", b === null || b === undefined || b === ""];
  if (none || other) return none - other;
  const sign = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return falling ? -sign : sign;
}

function spacer(rows) {
  return el("tr", { class: "spacer", "aria-hidden": "true", style: `height:${rows * ROW}px` });
}
