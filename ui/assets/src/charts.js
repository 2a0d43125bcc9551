// The charts. A figure with data-chart has its ECharts option as JSON in a
// <script type="application/json">, with the names of our colours in place of
// colours, and a table or a sentence that says the same.
import * as echarts from "echarts/core";
import { BarChart, CustomChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import {
  AriaComponent, DataZoomComponent, GridComponent, LegendComponent, MarkAreaComponent, MarkLineComponent,
  ParallelComponent, TooltipComponent, VisualMapComponent,
} from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";

echarts.use([
  BarChart, CustomChart, LineChart, ParallelChart, ScatterChart, AriaComponent, DataZoomComponent, GridComponent, LegendComponent,
  MarkAreaComponent, MarkLineComponent, ParallelComponent, TooltipComponent, VisualMapComponent, CanvasRenderer,
]);

const drawn = new Map(); // element → chart

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// colours replaces "$accent" and the like by the theme's colours.
const colours = (value) => {
  if (typeof value === "string") return value.startsWith("$") ? token(value.slice(1)) : value;
  if (Array.isArray(value)) return value.map(colours);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colours(v)]));
  return value;
};

const axis = () => ({
  axisLine: { lineStyle: { color: token("line-strong") } },
  axisTick: { show: false },
  axisLabel: { color: token("muted"), fontSize: 11 },
  nameTextStyle: { color: token("muted") },
  splitLine: { lineStyle: { color: token("line") } },
});

const theme = () => ({
  color: [1, 2, 3, 4, 5, 6].map((n) => token("series-" + n)),
  textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
  valueAxis: axis(), categoryAxis: axis(), timeAxis: axis(), logAxis: axis(),
  legend: { textStyle: { color: token("muted") } },
  parallel: { parallelAxisDefault: axis() },
});

// band fills what lies between two lines: of each point of a series of type
// custom the second and the third value, over the first.
const band = (params, api) => {
  if (params.context.drawn) return null; // the whole of it is one shape
  params.context.drawn = true;
  const low = [], high = [];
  for (let i = 0; i < params.dataInsideLength; i++) {
    low.push(api.coord([api.value(0, i), api.value(1, i)]));
    high.push(api.coord([api.value(0, i), api.value(2, i)]));
  }
  return { type: "polygon", shape: { points: [...low, ...high.reverse()] }, style: { fill: api.visual("color"), opacity: 0.16 } };
};

export function draw(figure) {
  const source = figure.querySelector("script[type='application/json']");
  const box = figure.querySelector(".chart-box");
  if (!source || !box) return;
  let chart = drawn.get(box);
  if (chart?.source === source.textContent && chart.theme === document.documentElement.dataset.theme) return;
  const option = colours(JSON.parse(source.textContent));
  for (const series of option.series ?? []) if (series.type === "custom") series.renderItem = band;
  const zoom = chart?.chart.getOption()?.dataZoom; // a live chart keeps what was zoomed to
  chart?.chart.dispose();
  const made = echarts.init(box, theme());
  made.setOption({
    animation: false, // what moves by itself is hard to read
    aria: { enabled: true },
    tooltip: { trigger: "axis", renderMode: "richText", confine: true, backgroundColor: token("surface"), borderColor: token("line-strong"), textStyle: { color: token("text"), fontSize: 12 } },
    grid: { left: 8, right: 16, top: 28, bottom: 8, containLabel: true },
    ...option,
  });
  if (zoom?.length && option.dataZoom) made.setOption({ dataZoom: zoom.map(({ start, end }) => ({ start, end })) });
  drawn.set(box, { chart: made, source: source.textContent, theme: document.documentElement.dataset.theme });
  figure.dispatchEvent(new CustomEvent("chart", { detail: made, bubbles: true }));
}

export function drawAll(root) {
  for (const [box, { chart }] of drawn) {
    if (!box.isConnected) {
      chart.dispose();
      drawn.delete(box);
    }
  }
  root.querySelectorAll("[data-chart]").forEach(draw);
}

new ResizeObserver(() => drawn.forEach(({ chart }) => chart.resize())).observe(document.documentElement);
