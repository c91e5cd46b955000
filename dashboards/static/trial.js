// An objective tried on the past: move a limit or the target, see compliance and pages at once.
// The service recounts the stored facts for every answer; nothing is interpolated here.
import { filter } from "./app.js";
import { draw } from "./charts.js";
import { esc, iso, number, panel, percent, seconds } from "./format.js";

const STEPS = 320; // 20 to a doubling: a limit from 1/256 of itself to 256 times it
const TARGETS = [50, 60, 70, 75, 80, 85, 90, 91, 92, 93, 94, 95, 96, 97, 98, 98.5, 99, 99.1, 99.2, 99.3, 99.4, 99.5, 99.6, 99.7, 99.8, 99.9, 99.95, 99.99, 99.995, 99.999];
const NAMES = { limit: "threshold", value: "threshold", ttft: "first token", tpot: "per token", e2e: "whole answer", patience: "patience" };

const UNITS = { s: "seconds", "%": "percent", "": "in its own unit" };

const stepped = (us, step) => Number((us * 2 ** ((step - STEPS / 2) / 20)).toPrecision(3));
const nearest = (values, wanted) => values.reduce((best, value, at) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? at : best), 0);
const stepOf = (us, value) => Math.max(0, Math.min(STEPS, Math.round(Math.log2(value / us) * 20 + STEPS / 2)));

const row = (name, title, unit, most, step, value, entry) => `<div class="move" data-name="${esc(name)}">
  <label for="slide-${esc(name)}">${esc(title)}</label>
  <input type="range" id="slide-${esc(name)}" min="0" max="${most}" value="${step}" aria-valuetext="${esc(value)} ${unit}">
  <span class="entry"><input type="number" id="exact-${esc(name)}" value="${esc(value)}" ${entry} aria-label="${esc(title)}, ${UNITS[unit]}"> ${unit}</span></div>`;

// The panel: what can be moved, what that would have meant, and the document to copy.
export function trial(one) {
  const limits = Object.entries(one.movable).map(([name, us]) => row(name, NAMES[name] ?? name, "s", STEPS, STEPS / 2, us / 1e6, 'min="0.000001" step="any"'));
  const thresholds = Object.entries(one.numbers).map(([name, at]) => row(name, NAMES[name] ?? name, "", STEPS, STEPS / 2, at, 'step="any"'));
  const target = row("target", "target", "%", TARGETS.length - 1, nearest(TARGETS, Number(one.target)), Number(one.target), 'min="0.001" max="99.999999" step="any"');
  return panel("trial", "Try another promise on the past", "", `<div data-keep data-of="${esc(`${one.name} ${one.version} ${one.group}`)}">
    <div class="moves">${limits.join("")}${thresholds.join("")}${target}</div>
    <p class="tried" id="tried" role="status">Move ${limits.length + thresholds.length ? "the threshold or the target" : "the target"}: each request of this range is judged anew.</p>
    <div class="actions"><button id="untry" disabled>as it stands</button> <button id="copy" disabled>copy as YAML</button> <span id="copied" class="note" role="status"></span></div></div>
    <div class="chart tall" data-keep role="img" aria-label="Try another promise on the past"></div>
    <details class="data" data-keep><summary>as a table</summary><div></div></details>
    <details class="data" data-keep id="yaml"><summary>as YAML</summary><pre tabindex="0"></pre></details>`);
}

const state = { of: null, values: {}, now: null, busy: false, again: false, to: null };
const times = (count, one, none) => (count === 0 ? none : count === 1 ? `${one} once` : count === 2 ? `${one} twice` : `${one} ${number(count)} times`);
const left = (ratio) => (ratio === null ? "no data" : ratio < 0 ? `budget overspent ${number(1 - ratio, 1 - ratio < 1.1 ? 2 : 1 - ratio < 10 ? 1 : 0)}×` : `${percent(ratio)} of the budget left`);

function said(told, now) {
  if (!told.total) return "No data in this range: nothing it counts came.";
  const longest = told.longest_us === null ? "" : `, for ${seconds(told.longest_us / 1e6)} at the longest,`;
  const alerts = told.silent ? `it could never alert: ${esc(told.silent)}` : `it would have ${times(told.pages, "paged", "paged nobody")}${longest} and ${times(told.tickets, "opened a ticket", "opened no ticket")}`;
  const before = now && now !== told ? ` <span class="sub">As it stands: ${percent(now.compliance, 2)}, ${times(now.pages, "paged", "no page")}.</span>` : "";
  return `<b class="${told.kept ? "" : "alarm"}">${told.kept ? "Kept" : "Broken"}: ${percent(told.compliance, 2)}</b> of ${number(told.total)} were good, ${left(told.budget_left)}; ${alerts}.${before}`;
}

async function ask(one, root, data) {
  if (state.busy) return (state.again = true);
  state.busy = true;
  do {
    state.again = false;
    try {
      const query = new URLSearchParams({ range: root.ownerDocument.getElementById("range").value, to: state.to });
      if (filter("dataset")) query.set("dataset", filter("dataset"));
      if (one.group !== null) query.set("group", one.group);
      const moved = Object.entries(state.values);
      for (const [name, value] of moved) name === "target" ? query.set("target", String(value)) : query.append("move", name in one.numbers ? `${name}=${value}` : `${name}=${value}us`);
      const answer = await fetch(`/api/v1/objectives/${encodeURIComponent(one.name)}/trial?${query}`);
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.detail ?? `the service answered ${answer.status}`);
      if (!moved.length) state.now = told;
      await show(told, root, data);
    } catch (error) {
      root.querySelector("#tried").textContent = `This cannot be tried: ${error.message}`;
    }
  } while (state.again);
  state.busy = false;
}

async function show(told, root, data) {
  root.querySelector("#tried").innerHTML = said(told, state.now);
  root.querySelector("#yaml pre").textContent = told.document;
  root.querySelector("#untry").disabled = !Object.keys(state.values).length;
  root.querySelector("#copy").disabled = false;
  const words = (each) => `would have ${times(each.times, "paged", "")}, up to ${number(each.worst, 1)}×`;
  const moments = told.paged.map((each) => ({ kind: "finding", at_ms: each.from_ms, until_ms: each.to_ms, words: words(each) }));
  const columns = { ...told.over_time, now: state.now ? state.now.over_time.share : [] };
  await draw(root, "trial", "trial", columns, { from_ms: data.from_ms, to_ms: data.to_ms, moments });
  document.body.dataset.tried = JSON.stringify({ good: told.good, total: told.total, pages: told.pages, limits: told.limits, target: told.target });
}

async function copy(root) {
  const text = root.querySelector("#yaml pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
    root.querySelector("#copied").textContent = "copied";
  } catch {
    root.querySelector("#yaml").open = true; // a page that came without TLS may not write the clipboard
    getSelection().selectAllChildren(text);
    root.querySelector("#copied").textContent = "selected: press Ctrl-C";
  }
}

// Bring the panel to life once for each objective; what was moved stays while the page is brought up to date.
export async function tryOut(one, root, data) {
  const of = `${location.search} ${one.version}`;
  if (!root.querySelector("#trial") || state.of === of) return;
  Object.assign(state, { of, values: {}, now: null, to: `${iso(data.to_ms)}Z` });
  const begun = { ...one.movable, ...one.numbers, target: Number(one.target) };
  const size = (name) => (name in one.movable ? 1e6 : 1); // limits are microseconds, shown as seconds
  const unit = (name) => (name === "target" ? "percent" : name in one.movable ? "seconds" : "");
  const set = (name, value, box) => {
    const [slide, exact] = [box.querySelector("input[type=range]"), box.querySelector("input[type=number]")];
    const shown = value / size(name);
    if (document.activeElement !== exact) exact.value = String(shown);
    if (document.activeElement !== slide) slide.value = name === "target" ? nearest(TARGETS, value) : stepOf(begun[name], value);
    slide.setAttribute("aria-valuetext", `${shown} ${unit(name)}`.trim());
    state.values[name] = value;
    ask(one, root, data);
  };
  for (const box of root.querySelectorAll("#trial .move")) {
    const name = box.dataset.name;
    box.querySelector("input[type=range]").oninput = (event) => {
      const step = Number(event.target.value);
      const to = name === "target" ? TARGETS[step] : stepped(begun[name], step);
      set(name, name in one.movable ? Math.max(1, Math.round(to)) : to, box);
    };
    box.querySelector("input[type=number]").oninput = (event) => {
      if (event.target.value !== "" && event.target.validity.valid) set(name, name in one.movable ? Math.round(Number(event.target.value) * 1e6) : event.target.value, box);
    };
  }
  root.querySelector("#untry").onclick = () => {
    for (const box of root.querySelectorAll("#trial .move")) set(box.dataset.name, begun[box.dataset.name], box);
    state.values = {};
    ask(one, root, data);
  };
  root.querySelector("#copy").onclick = () => copy(root);
  if (data.tries_unasked) await ask(one, root, data);
}
