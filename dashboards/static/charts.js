// Fills figure templates (made once in Python) with columns; the server never builds a figure.
import { esc, iso, number } from "./format.js";

const templates = new Map();
const DASHED = { dash: "dot", width: 1.3 };
const MOST_ROWS = 300;

// Plotly comes beside the page, not before it: sentences and tables never wait for it.
const plotly = () =>
  new Promise((ready, failed) => {
    if (window.Plotly) return ready(window.Plotly);
    const script = document.getElementById("plotly");
    script.addEventListener("load", () => ready(window.Plotly));
    script.addEventListener("error", () => failed(new Error("the chart library did not load; reload the page")));
  });

async function template(name) {
  if (!templates.has(name)) {
    const asked = fetch(`/api/v1/figures/${name}`).then((answer) => {
      if (!answer.ok) throw new Error(`figure ${name}: the service answered ${answer.status}`);
      return answer.json();
    });
    asked.catch(() => templates.delete(name));
    templates.set(name, asked);
  }
  return structuredClone(await templates.get(name));
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { ink: value("--ink"), soft: value("--soft"), line: value("--line"), paper: value("--paper"), bad: value("--bad") };
}

function themed(layout) {
  const { ink, soft, line, paper } = palette();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
  const all = {
    ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: ink },
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    uirevision: location.search,
  };
  for (const key of Object.keys(all)) {
    if (/^[xy]axis\d*$/.test(key)) all[key] = { ...all[key], ...axis, tickfont: { color: soft }, title: { ...all[key].title, font: { color: soft, size: 11.5 } } };
  }
  return all;
}

// columns: {name: array}. A template with `per` draws its traces once for each of `columns.series`.
function filled(one, columns) {
  const series = one.per ? columns.series ?? [] : [{ name: null, ...columns }];
  return series.flatMap((each, number) =>
    one.data.map((trace, at) => {
      const style = one.styles[each.name] ?? one.cycle[number % (one.cycle.length || 1)] ?? {};
      const full = { ...trace, ...style };
      for (const [slot, column] of Object.entries(one.fill[at])) full[slot] = each[column] ?? [];
      if (each.name !== null) full.name = each.name;
      return lines(full) && lonely(full.y) ? { ...full, mode: "lines+markers", marker: { size: 4 } } : full;
    }),
  );
}

// A point between two gaps has no line to be seen by.
const lonely = (values) => values.some((v, at) => v !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
const drawable = (trace) => trace.type !== "heatmap";
const lines = (trace) => trace.type === "scatter" && /lines/.test(trace.mode ?? "");

// The period before, dotted, under the one that is shown.
const earlier = (traces, shift) =>
  traces.filter((trace) => lines(trace) && trace.name !== "target").map((trace, at) => ({
    ...trace, name: `${trace.name}, before`, showlegend: at === 0, x: trace.x.map((at) => at + shift), fill: "none", opacity: 0.65, line: { ...trace.line, ...DASHED },
  }));

// What happened, as thin marks: an instant is a line, a finding the span it lasted.
function marked(moments, layout, until) {
  const { soft, bad } = palette();
  const line = (at, color, dash) => ({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line: { color, width: 1, dash }, layer: "below" });
  layout.shapes = moments.flatMap((m) =>
    m.kind === "finding"
      ? [{ type: "rect", xref: "x", yref: "paper", x0: m.at_ms, x1: m.until_ms ?? until, y0: 0, y1: 1, fillcolor: bad, opacity: 0.07, line: { width: 0 }, layer: "below" }, line(m.at_ms, bad, "solid")]
      : [line(m.at_ms, soft, "dot")],
  );
  layout.yaxis9 = { overlaying: "y", visible: false, range: [0, 1], fixedrange: true };
  return {
    type: "scatter", mode: "markers", name: "events", yaxis: "y9", x: moments.map((m) => m.at_ms), y: moments.map(() => 0.97),
    text: moments.map((m) => esc(m.words)), hovertemplate: "%{text}<extra></extra>", showlegend: false, cliponaxis: false,
    marker: { symbol: "triangle-down", size: 8, color: moments.map((m) => (m.kind === "finding" ? bad : soft)) },
  };
}

const known = (trace) => (trace.y ?? []).filter((value) => value !== null && value !== undefined);
const brief = (value) => (Math.abs(value) >= 100 ? number(value) : Math.abs(value) >= 1 ? number(value, 1) : String(Number(value.toPrecision(3))));

// The chart in words, for those who do not see it.
function summary(title, traces) {
  const told = traces.filter(drawable).map((trace) => {
    const values = known(trace);
    if (!values.length) return `${trace.name}: not measured`;
    return `${trace.name}: last ${brief(values.at(-1))}, from ${brief(Math.min(...values))} to ${brief(Math.max(...values))}`;
  });
  return `${title}. ${told.join("; ")}.`;
}

function asTable(traces, isTime) {
  const shown = traces.filter(drawable);
  const places = [...new Set(shown.flatMap((trace) => trace.x ?? []))].sort((a, b) => b - a);
  const at = shown.map((trace) => new Map((trace.x ?? []).map((x, index) => [x, trace.y[index]])));
  const rows = places.filter((x) => at.some((values) => (values.get(x) ?? null) !== null)).slice(0, MOST_ROWS);
  const cell = (value) => `<td class="n">${value === null || value === undefined ? "–" : brief(value)}</td>`;
  return `<div class="scroll short"><table><thead><tr><th scope="col">${isTime ? "time, UTC" : "at"}</th>${shown.map((trace) => `<th class="n" scope="col">${esc(trace.name)}</th>`).join("")}</tr></thead>
    <tbody>${rows.map((x) => `<tr><td>${isTime ? iso(x).replace("T", " ") : brief(x)}</td>${at.map((values) => cell(values.get(x))).join("")}</tr>`).join("")}</tbody></table></div>`;
}

// panel: the id of a `chart()`; options: before (columns), shift_ms, moments, from_ms, to_ms.
export async function draw(root, panel, name, columns, options = {}) {
  const element = root.querySelector(`#${panel} .chart`);
  if (!element || !columns) return;
  const [one, Plotly] = await Promise.all([template(name), plotly()]);
  const traces = filled(one, columns);
  const title = root.querySelector(`#${panel} h2`).textContent;
  const details = root.querySelector(`#${panel} details`);
  details.hidden = !traces.some((trace) => known(trace).length);
  if (details.hidden) {
    Plotly.purge(element);
    element.innerHTML = `<div class="empty">Nothing was measured in this range.</div>`;
    element.setAttribute("aria-label", `${title}. Nothing was measured in this range.`);
    return;
  }
  if (element.querySelector(":scope > .empty")) element.innerHTML = "";
  const layout = themed(one.layout);
  const isTime = layout.xaxis.type === "date";
  // A time takes some 80 pixels: on a phone there is room for fewer.
  if (isTime) layout.xaxis.nticks = Math.min(8, Math.max(2, Math.floor(element.clientWidth / 80)));
  const extra = [];
  if (isTime && options.from_ms) layout.xaxis.range = [options.from_ms, options.to_ms];
  if (options.before) extra.push(...earlier(filled(one, options.before), options.shift_ms));
  if (isTime && options.moments?.length) extra.push(marked(options.moments, layout, options.to_ms));
  await Plotly.react(element, [...traces, ...extra], layout, { displayModeBar: false, responsive: true });
  element.setAttribute("aria-label", summary(title, traces));
  const fill = () => { if (details.open) details.lastElementChild.innerHTML = asTable(traces, isTime); };
  details.ontoggle = fill;
  fill();
}

// Draw a view's charts: pairs of panel and figure, filled from data.charts.
export async function drawAll(root, data, pairs) {
  for (const [panel, name, column] of pairs) {
    const chosen = column ?? panel;
    await draw(root, panel, name, data.charts[chosen], { ...data, before: data.before?.[chosen] });
  }
}
