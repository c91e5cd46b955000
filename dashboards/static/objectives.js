// Every promise; with ?name= one of them: its minutes, windows and what spent the budget.
import { anchor, filter, go, page } from "./app.js";
import { draw, drawAll } from "./charts.js";
import { PROMISES, PROXY, budget, burn, chart, esc, group, number, panel, percent, short, sub, table, tag, utc } from "./format.js";
import { trial, tryOut } from "./trial.js";

const WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"];
const seen = (rows) => [...new Set([...WINDOWS, ...rows.flatMap((r) => Object.keys(r.burn))])].filter((w) => rows.some((r) => w in r.burn));

const list = (rows) =>
  table(
    [
      { title: "objective", cell: (r) => `${anchor("/objectives", { name: r.objective, group: r.group }, esc(r.title))}${sub(`${group(r.group)}${r.guess ? " · a guess" : ""}`)}` },
      { title: "target", n: true, optional: true, cell: (r) => `${r.target}\u202f%` },
      { title: "good of all", n: true, optional: true, cell: (r) => `${number(r.good)} / ${number(r.total)}` },
      ...seen(rows).map((w) => ({ title: w, n: true, optional: !["5m", "1h"].includes(w), cell: (r) => burn(r.burn[w], r.fires.includes(w)) })),
      { title: "budget left", n: true, cell: (r) => budget(r.budget_left) },
      { title: "state", optional: true, cell: (r) => tag(r.state) },
    ],
    rows,
    `No objective has seen a request yet. Requests come by the proxy: ${PROXY}; your own promises by ${PROMISES}.`,
    "burn rates by window",
  );

const about = (one) => `<p>${esc(one.promise)}${one.description ? `. ${esc(one.description)}` : ""}</p>
  ${sub(`Version <code>${esc(one.version)}</code>${one.versions.length ? ` in force since ${utc(one.versions[0].from_ms)}` : ""}, ${one.guess ? `a guess made from nothing but habit: write your own with ${PROMISES}` : `from ${esc(one.source)}`}. ${anchor("/objectives", {}, "All objectives")}`)}
  ${one.versions.length > 1 ? `<details class="data"><summary>${number(one.versions.length - 1)} earlier</summary>${table([
    { title: "version", cell: (v) => `<code>${esc(v.version)}</code>` },
    { title: "promise", cell: (v) => esc(v.promise) },
    { title: "in force", cell: (v) => `${utc(v.from_ms)} ${v.to_ms === null ? "on" : `to ${utc(v.to_ms)}`}` },
  ], one.versions, "", "versions")}</details>` : ""}`;

// What is on its way into force, and what is wrong in files: neither stands in the way of what is in force.
const changes = (data) => {
  const told = [];
  if (data.counting) {
    const { names, done, total } = data.counting;
    told.push(`<p><b>${names.map(esc).join(", ")}</b> ${names.length === 1 ? "is" : "are"} being counted: <progress value="${done}" max="${Math.max(total, 1)}"></progress> ${number(done)} of ${number(total)} hours. Until then an earlier version stays in force.</p>`);
  }
  if (data.mistakes.length) told.push(`<p class="alarm">A file of objectives cannot be read; what it said before is in force.</p><ul>${data.mistakes.map((one) => `<li><code>${esc(one)}</code></li>`).join("")}</ul>`);
  return told.length ? [panel("changes", "Objectives that change", "", told.join(""))] : [];
};

const facts = (data) => {
  if (!Object.keys(data.datasets).length) return [];
  const options = [["", "what is live"], ...Object.entries(data.datasets).map(([name, title]) => [name, `imported: ${title}`])];
  return [`<div class="chooser" id="chooser"><label for="dataset">facts</label> <select id="dataset">${options.map(([value, title]) => `<option value="${esc(value)}"${value === (filter("dataset") ?? "") ? " selected" : ""}>${esc(title)}</option>`).join("")}</select></div>`];
};

const ahead = (one) => {
  const { forecast } = one;
  if (!forecast) return "";
  if (one.budget.over.at(-1) < 0) return "The budget is spent; the band is where four futures of five go on from there.";
  const when = (us) => (us === null ? "not within one period" : utc(us / 1000));
  if (forecast.earliest_us === null) return "Four in five futures leave budget until the period has passed.";
  return `Four in five times the rest is spent between ${when(forecast.earliest_us)} and ${forecast.latest_us === null ? "after one period" : when(forecast.latest_us)}, likely ${forecast.likely_us === null ? "not within one period" : `by ${when(forecast.likely_us)}`}.`;
};
const BUDGET = "Budget left, over its whole window";
const alone = (one, data) => one.group === null && !one.budget.at.length && data.objectives.some((each) => each.unit === "slices"); // a slice is one group's
// As far ahead as the past reaches back, or a day: what comes later is said in words.
const burnDown = (one) => {
  const past = one.budget.at, { at = [], low = [], middle = [], high = [] } = one.forecast?.band ?? {};
  const end = past.length ? past.at(-1) + Math.max(past.at(-1) - past[0], 864e5) : 0;
  const near = (values) => values.filter((_, index) => at[index] <= end);
  return { ...one.budget, ahead: near(at), low: near(low), middle: near(middle), high: near(high) };
};

// Alerts are judged for each group by itself: without one, the group that burns a pair the fastest stands for it.
const firing = (p) => p.never ? `<span class="sub" title="${esc(p.never)}">can never fire</span>` : (p.groups > 1 && p.fires ? `<span class="tag firing">${number(p.fires)} of ${number(p.groups)}</span>` : tag(p.fires ? "firing" : "inactive"));
const fastest = (one) => (one.group !== null || !one.pairs.length ? "" : `<p class="note">Judged group by group; shown is the one that burns each pair fastest, for the first ${anchor("/objectives", { name: one.name, group: one.pairs[0].group }, group(one.pairs[0].group))}.</p>`);
const pairs = (one) =>
  table([
    { title: "alerts by", cell: (p) => tag(p.severity) },
    { title: "both above", n: true, cell: (p) => `${number(p.factor, p.factor % 1 ? 1 : 0)}×` },
    { title: "long window", n: true, cell: (p) => `${p.long} ${burn(p.long_burn, p.fires)}` },
    { title: "short window", n: true, cell: (p) => `${p.short} ${burn(p.short_burn, p.fires)}` },
    { title: one.group === null ? "groups firing" : "now", optional: true, cell: firing },
  ], one.pairs, "This objective asks for no alert, or nothing was judged by it yet.", "pairs of windows that alert") + fastest(one);

// What an outcome says of the promise: a request that was served and still is bad came too late.
const CAUSE = { ok: "too late", "under way": "too late already, still under way", error: "failed", aborted: "given up by its client" };
const named = (word) => group(word ?? "all");
const UNKNOWN = "__unknown__";
const WORD = {
  gpu_uuid: short,
  replica: (word) => (word === UNKNOWN ? named(word) : anchor("/gpus", { replica: word }, esc(word))),
  status: (word) => esc(CAUSE[word] ?? word),
};
const title = (party) => esc(party === "status" ? "why" : party.replaceAll("_", " "));
const word = (party, row) => (WORD[party] ?? named)(row[party]);
// Each party by itself, the worst first: a bar's width is its share of all that was bad.
const ranks = ({ party, rows }) => `<section><h3>${title(party)}</h3><div class="bars">${rows.map((row) => `<span>${word(party, row)}</span><span><span class="bar slo_miss" style="width:${100 * row.share}%"></span></span><span class="n">${number(row.bad)} <span class="sub">${percent(row.share)}</span></span>`).join("")}</div></section>`;
const spent = (one) =>
  one.spent.length === 0 ? `<div class="empty">None of the ${one.unit} in this range was bad.</div>` : `<div class="ranks">${one.spent_by_party.map(ranks).join("")}</div><details class="data" id="together"><summary>${one.spent.length === 20 ? "the 20 worst together" : "all together"}</summary>${together(one)}</details>`;
const together = (one) =>
  table([
    ...one.spent_parties.map((party) => ({ title: title(party), cell: (s) => word(party, s) })),
    { title: "bad", n: true, cell: (s) => !("tenant" in s || "status" in s) ? number(s.bad) : anchor("/requests", { tenant: s.tenant, model: s.model, replica: s.replica === UNKNOWN ? "" : s.replica, status: s.status === "under way" ? "" : s.status }, number(s.bad)) },
    { title: "of", n: true, optional: true, cell: (s) => number(s.total) },
    { title: "of all bad", n: true, cell: (s) => percent(s.share) },
  ], one.spent, "", `who had the bad ${one.unit}`) +
  (one.spent_by_group ? `<p class="note">This range holds too many facts to read each: only groups are told apart.</p>` : "");

page("objectives", {
  html: (data) => {
    const one = data.selected;
    const detail = one ? [
      panel("detail", `${esc(one.title)}`, "", about(one)),
      trial(one),
      chart("good_share", `Good share of ${esc(one.unit)}; a gap is a time without any`, "w7", "", "tall"),
      alone(one, data) ? panel("budget", BUDGET, "w5", `<div class="empty">Slices are one group's: choose a group below.</div>`) : chart("budget", BUDGET, "w5", ahead(one), "tall"),
      panel("spent", "What spent the budget, in this range", "w7", spent(one)),
      panel("pairs", "Windows that alert", "w5", pairs(one)),
    ] : [];
    const more = data.objectives_in_all > data.objectives.length ? `<p class="note">The ${data.objectives.length} with the least budget of ${number(data.objectives_in_all)}.</p>` : "";
    return [...facts(data), ...changes(data), ...detail, panel("list", one ? `Every group of ${esc(one.name)}` : "Objectives, by budget left", "", list(data.objectives) + more)].join("");
  },
  draw: async (data, root) => {
    const chooser = root.querySelector("#dataset");
    if (chooser) chooser.onchange = () => go({ dataset: chooser.value || null, group: null, to: null });
    if (!data.selected) return;
    await tryOut(data.selected, root, data);
    await drawAll(root, data, [["good_share", "good_share"]]);
    await draw(root, "budget", "budget", burnDown(data.selected));
  },
});
