// Which page is shown, and what all pages share: navigation, theme, keys.
import { api } from "./api.js";
import { redraw } from "./chart.js";
import { el, message } from "./dom.js";
import { state } from "./state.js";

const PAGES = { runs: "Runs", compare: "Compare", attention: "Attention", predictions: "Predictions", report: "Report" };
const root = document.getElementById("page");
const nav = document.querySelector("nav");
let cleanup;
let shown = 0;

function drawNavigation() {
  nav.replaceChildren(
    ...Object.entries(PAGES).map(([page, title]) =>
      el("a", { href: state.link(page), "aria-current": page === state.page ? "page" : null }, title),
    ),
  );
}

async function show() {
  const turn = ++shown;
  cleanup?.();
  cleanup = undefined;
  const page = state.page in PAGES ? state.page : "runs";
  drawNavigation();
  const element = el("div", { class: `page ${page}` });
  root.replaceChildren(element);
  document.title = `${PAGES[page]} · attnlab`;
  try {
    const { render } = await import(`./pages/${page}.js`);
    const ended = await render(element, state, api);
    if (turn === shown) cleanup = ended;
    else ended?.();
  } catch (error) {
    console.error(error);
    element.replaceChildren(message(error.message, "error"));
  }
  redraw(); // forgets the charts of the page before
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  redraw();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => localStorage.getItem("theme") ?? setTheme(dark.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing) {
    const filter = root.querySelector("input[type=search]");
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  }
});
addEventListener("statechange", drawNavigation);
addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view
  root.focus();
});
show();
