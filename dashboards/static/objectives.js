// Every promise; with ?name= one of them: its minutes, windows and what spent the budget.
import { anchor, page } from "./app.js";
import { draw, drawAll } from "./charts.js";
import { PROMISES, PROXY, budget, burn, chart, esc, number, panel, percent, sub, table, tag } from "./format.js";

const WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"];
const seen = (rows) => [...new Set([...WINDOWS, ...rows.flatMap((r) => Object.keys(r.burn))])].filter((w) => rows.some((r) => w in r.burn));

const list = (rows) =>
  table(
    [
      { title: "objective", cell: (r) => `${anchor("/objectives", { name: r.objective, group: r.group }, esc(r.title))}${sub(`${esc(r.group)}${r.guess ? " · a guess" : ""}`)}` },
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
  ${sub(`Version <code>${esc(one.version)}</code>, ${one.guess ? `a guess made from nothing but habit: write your own with ${PROMISES}` : `from ${esc(one.source)}`}. ${anchor("/objectives", {}, "All objectives")}`)}`;

const pairs = (one) =>
  one.group === null
    ? `<div class="empty">Choose a group below: alerts are judged for each by itself.</div>`
    : table([
        { title: "alerts by", cell: (p) => tag(p.severity) },
        { title: "when both burn above", cell: (p) => `${number(p.factor, p.factor % 1 ? 1 : 0)}×` },
        { title: "long window", n: true, cell: (p) => `${p.long} ${burn(p.long_burn, p.fires)}` },
        { title: "short window", n: true, cell: (p) => `${p.short} ${burn(p.short_burn, p.fires)}` },
        { title: "now", cell: (p) => tag(p.fires ? "firing" : "inactive") },
      ], one.pairs, "This objective asks for no alert.", "pairs of windows that alert");

// What an outcome says of the promise: a request that was served and still is bad came too late.
const CAUSE = { ok: "too late", "under way": "too late already, still under way", error: "failed", aborted: "given up by its client" };
const named = (word) => (word === "__unknown__" ? "not known" : esc(word ?? "all"));
const PARTY = {
  replica: { title: "replica", optional: true, cell: (s) => (s.replica === "__unknown__" ? "not known" : anchor("/gpus", { replica: s.replica }, esc(s.replica))) },
  status: { title: "why", cell: (s) => esc(CAUSE[s.status] ?? s.status) },
};
const spent = (one) =>
  table([
    ...one.spent_parties.map((party) => PARTY[party] ?? { title: party.replace("_", " "), cell: (s) => named(s[party]) }),
    { title: "bad", n: true, cell: (s) => !("tenant" in s || "status" in s) ? number(s.bad) : anchor("/requests", { tenant: s.tenant, model: s.model, replica: s.replica === "__unknown__" ? "" : s.replica, status: s.status === "under way" ? "" : s.status }, number(s.bad)) },
    { title: "of", n: true, optional: true, cell: (s) => number(s.total) },
    { title: "of all bad", n: true, cell: (s) => percent(s.share) },
  ], one.spent, `None of the ${one.unit} in this range was bad.`, `who had the bad ${one.unit}`) +
  (one.spent_by_group ? `<p class="note">This range holds too many facts to read each: only groups are told apart.</p>` : "");

page("objectives", {
  html: (data) => {
    const one = data.selected;
    const detail = one ? [
      panel("detail", `${esc(one.title)}`, "", about(one)),
      chart("good_share", `Good share of ${esc(one.unit)}; a gap is a time without any`, "w7", "", "tall"),
      chart("budget", "Budget left, over its whole window", "w5", "", "tall"),
      panel("pairs", "Windows that alert", "w6", pairs(one)),
      panel("spent", "What spent the budget, in this range", "w6", spent(one)),
    ] : [];
    const more = data.objectives_in_all > data.objectives.length ? `<p class="note">The ${data.objectives.length} with the least budget of ${number(data.objectives_in_all)}.</p>` : "";
    return [...detail, panel("list", one ? `Every group of ${esc(one.name)}` : "Objectives, by budget left", "", list(data.objectives) + more)].join("");
  },
  draw: async (data, root) => {
    if (!data.selected) return;
    await drawAll(root, data, [["good_share", "good_share"]]);
    await draw(root, "budget", "budget", data.selected.budget);
  },
});
