// What the pages do beyond being documents: keep themselves up to date, times
// in the reader's zone, keys, copying. Each page works without it.
import htmx from "htmx.org";
import { copying } from "./copy.js";
import { groups } from "./groups.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { logs } from "./log.js";
import { morph } from "./morph.js";
import { tables } from "./rows.js";
import { times } from "./times.js";

htmx.config.includeIndicatorStyles = false; // the policy allows no inline style
htmx.config.allowEval = false;
htmx.config.allowScriptTags = false;
htmx.config.historyCacheSize = 0; // a page of a minute ago is not to be shown as today's
htmx.config.refreshOnHistoryMiss = true;

// hx-swap="morph"
htmx.defineExtension("morph", {
  isInlineSwap: (style) => style === "morph",
  handleSwap: (style, target, fragment) => {
    if (style !== "morph") return false;
    return morph(target, fragment.firstElementChild.outerHTML);
  },
});

document.documentElement.dataset.script = "yes"; // what needs it is shown from here on

// Who has no mouse scrolls by keys, for which a box has to have the focus.
const reach = () => document.querySelectorAll(".scroll, .code, .evidence").forEach((box) => {
  if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
});

// What is chosen in a graph wider than the window is to be seen, once for each
// address: from then on people scroll.
const centred = new WeakMap();
const centre = () => document.querySelectorAll(".graph [aria-current]").forEach((box) => {
  const around = box.closest(".scroll");
  if (centred.get(around) === location.href) return;
  centred.set(around, location.href);
  const [a, b] = [around, box].map((e) => e.getBoundingClientRect());
  if (b.left < a.left || b.right > a.right) around.scrollLeft += (b.left + b.right - a.left - a.right) / 2;
});

// painted does what the first picture of a page does not have to wait for.
const painted = (then) => requestAnimationFrame(() => setTimeout(then));

const settle = () => {
  times(document);
  logs(document);
  painted(() => {
    reach();
    centre();
    tables(document);
  });
  const charts = document.querySelector("[data-chart]");
  if (charts) import("./charts.js").then(({ drawAll }) => drawAll(document));
};
document.addEventListener("htmx:afterSettle", settle);
keys();
copying();
groups();
live(morph, settle);
settle();
