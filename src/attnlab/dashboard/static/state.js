// The view, kept in the address: #/PAGE?key=value&…

/** Keys that go along from page to page. */
export const SHARED = ["runs", "group", "metric", "filter"];

function parse(hash) {
  const [page, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { page: page || "runs", values: new URLSearchParams(query) };
}

function format(page, values) {
  const query = values.toString();
  return `#/${page}${query ? `?${query}` : ""}`;
}

function assign(values, changes) {
  for (const [key, value] of Object.entries(changes)) {
    const text = Array.isArray(value) ? value.join(",") : value;
    if (text === null || text === undefined || text === "") values.delete(key);
    else values.set(key, String(text));
  }
  return values;
}

export const state = {
  get page() {
    return parse(location.hash).page;
  },

  get(key, otherwise = "") {
    return parse(location.hash).values.get(key) ?? otherwise;
  },

  /** A value that is a list, such as the selected runs. */
  list(key) {
    return this.get(key).split(",").filter(Boolean);
  },

  set(changes) {
    const { page, values } = parse(location.hash);
    const hash = format(page, assign(values, changes));
    if (hash === location.hash) return;
    history.replaceState(null, "", hash);
    dispatchEvent(new CustomEvent("statechange"));
  },

  /** An href to a page that keeps what is shared between pages. */
  link(page, changes = {}) {
    const { page: here, values } = parse(location.hash);
    const kept = new URLSearchParams([...values].filter(([key]) => page === here || SHARED.includes(key)));
    return format(page, assign(kept, changes));
  },
};
