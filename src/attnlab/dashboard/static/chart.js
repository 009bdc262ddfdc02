// Vega-Lite in the theme's colours. Vega is loaded when the first chart is drawn.

/** Okabe & Ito's colours, told apart by colour-blind readers; their black stands last, as the text's colour. */
export const palette = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"];

const drawn = new Map(); // element → {spec, options, form, result}
let loading;

function vega() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "vega.js";
    script.onload = () => resolve(window.vegaEmbed);
    script.onerror = () => reject(new Error("vega.js could not be loaded from the dashboard"));
    document.head.append(script);
  });
  return loading;
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const [text, quiet, line] = [colour("--text"), colour("--quiet"), colour("--line")];
  const font = style.getPropertyValue("font-family");
  return {
    background: "transparent",
    font,
    axis: {
      labelColor: quiet, titleColor: text, gridColor: line, domainColor: line, tickColor: line,
      titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 12,
    },
    header: { labelColor: text, titleColor: text },
    legend: { labelColor: text, titleColor: quiet, titleFontWeight: "normal", labelLimit: 260, symbolStrokeWidth: 2 },
    title: { color: text, fontWeight: 600, fontSize: 13, anchor: "start" },
    view: { stroke: null },
    range: { category: [...palette, text] },
    mark: { color: palette[0] },
    text: { color: text },
    rule: { color: quiet },
  };
}

/**
 * Draws a Vega-Lite spec into an element, in place of what it drew there before. Where only the spec's `datasets` have
 * changed, the drawn chart takes them without being made anew: a live curve does not flicker. Returns Vega's view.
 */
export async function chart(element, spec, options = {}) {
  const config = { ...theme(), ...spec.config };
  const form = JSON.stringify([{ ...spec, datasets: null, config }, options]);
  const previous = drawn.get(element);
  if (previous?.result && previous.form === form) {
    previous.spec = spec;
    for (const [name, values] of Object.entries(spec.datasets ?? {})) previous.result.view.data(name, values);
    return previous.result.view.resize().runAsync();
  }
  const entry = { spec, options, form };
  drawn.set(element, entry);
  const embed = await vega();
  if (drawn.get(element) !== entry || !element.isConnected) return previous?.result?.view; // overtaken by a later spec
  entry.result = await embed(element, { ...spec, config }, { actions: false, renderer: "canvas", ...options });
  previous?.result?.finalize();
  return entry.result.view;
}

/** In the other theme's colours; charts that have left the page are forgotten. */
export function redraw() {
  for (const [element, { spec, options, result }] of drawn) {
    if (element.isConnected) chart(element, spec, options);
    else {
      result?.finalize();
      drawn.delete(element);
    }
  }
}
