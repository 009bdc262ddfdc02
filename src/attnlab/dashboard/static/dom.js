/**
 * An element: attributes by name, `on…` for listeners, anything else as children.
 * Text is always text and never markup: run names, notes and errors are not ours.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A named choice: <label>name <select>…. Options are values, or [value, text]. */
export function select(name, options, value, onchange, attributes = {}) {
  const box = el("select", { ...attributes, onchange: (event) => onchange(event.target.value) });
  for (const option of options) {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    box.append(el("option", { value: key, selected: key === value }, String(text)));
  }
  return el("label", { class: "field" }, el("span", {}, name), box);
}

/** What stands in the place of content: nothing yet, nothing found, something broken. */
export function message(text, kind = "note") {
  return el("p", { class: `message ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
}
