// The filter's language: words that a run must contain, and conditions on any key of choices, config or summary.
//
//   lstm                 somewhere in the run's names, choices, tags or note
//   encoder=lstm,gru     one of them
//   dim>32  mae<=0.3     numbers
//   attention!=none      not that
//   window=null          without a value
//   note~"try again"     contains
//   -failed              without the word

const CONDITION = /^([\w./@-]+?)(!=|<=|>=|=|<|>|~)(.*)$/;

const COMPARE = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

function tokens(text) {
  return [...text.matchAll(/(?:[^\s"]|"[^"]*"?)+/g)].map(([token]) => token.replaceAll('"', ""));
}

/** The value under a key; a key may leave out what stands before its last part: max_steps for trainer.max_steps. */
function find(row, key) {
  const { fields } = row;
  if (key in fields) return fields[key];
  for (const name in fields) {
    if (name.endsWith(key) && "./".includes(name.at(-key.length - 1))) return fields[name];
  }
  return undefined;
}

function same(value, wanted) {
  if (Array.isArray(value)) return value.some((item) => same(item, wanted));
  if (typeof value === "number" && wanted !== "") return value === Number(wanted);
  return String(value ?? "null").toLowerCase() === wanted;
}

function condition(key, sign, wanted) {
  const options = wanted.toLowerCase().split(",");
  if (sign === "=") return (row) => options.some((option) => same(find(row, key), option));
  if (sign === "!=") return (row) => !options.some((option) => same(find(row, key), option));
  if (sign === "~") return (row) => String(find(row, key) ?? "").toLowerCase().includes(options.join(","));
  const bound = Number(wanted);
  if (wanted === "" || Number.isNaN(bound)) return () => true; // still being typed
  return (row) => {
    const value = find(row, key);
    return typeof value === "number" && COMPARE[sign](value, bound);
  };
}

/** A function from a prepared row to whether it is shown. */
export function parseFilter(text) {
  const tests = tokens(text).map((token) => {
    const match = CONDITION.exec(token);
    if (match) return condition(match[1], match[2], match[3]);
    const word = token.toLowerCase();
    if (word.length > 1 && word.startsWith("-")) return (row) => !row.haystack.includes(word.slice(1));
    return (row) => row.haystack.includes(word);
  });
  return (row) => tests.every((test) => test(row));
}

/** Adds to a row what the filter looks at. */
export function prepare(row) {
  const { choices, config, summary, review, ...own } = row;
  row.fields = { ...summary, ...config, ...own, ...review, ...choices };
  row.haystack = [row.id, row.status, row.error, row.device, row.metric, review.note, ...review.tags, ...Object.values(choices)]
    .join(" ")
    .toLowerCase();
  return row;
}
