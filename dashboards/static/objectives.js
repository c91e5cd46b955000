// Every promise; with ?name= one of them: its minutes, windows and what spent the budget.
import { filter, link, page, put } from "./app.js";
import { draw } from "./charts.js";
import { burn, esc, meter, number, panel, percent, table, tag } from "./format.js";

const WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"];

const list = (rows) =>
  table(
    [
      { title: "objective", cell: (r) => `<a href="${link("/objectives", { name: r.objective, group: r.group })}">${esc(r.title)}</a><div class="sub">${esc(r.group)}</div>` },
      { title: "target", n: true, cell: (r) => `${r.target} %` },
      { title: "good of all", n: true, optional: true, cell: (r) => `${number(r.good)} / ${number(r.total)}` },
      ...WINDOWS.map((w) => ({ title: w, n: true, optional: !["5m", "1h"].includes(w), cell: (r) => burn(r.burn[w], r.fires.includes(w)) })),
      { title: "budget left", n: true, cell: (r) => meter(r.budget_left) },
      { title: "state", cell: (r) => tag(r.state) },
    ],
    rows,
    `No objective has seen a request yet.`,
  );

const detail = (one) =>
  `<p>${esc(one.description)}</p><p class="sub">Indicator <b>${esc(one.indicator)}</b> over ${esc(one.window)}, version ${esc(one.version)}, ${one.guess ? "a guess made from nothing but habit: <b>write your own</b>" : `from ${esc(one.source)}`}.</p>`;

page("objectives", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  const one = data.selected;
  if (one) {
    put(grid, "detail", panel(esc(one.title), "", detail(one)));
    put(grid, "minutes", panel("Good share, minute by minute; gaps are minutes without requests", "w7", `<div class="chart"></div>`));
    put(grid, "burndown", panel("Budget left over its window", "w5", `<div class="chart"></div>`));
    await draw(grid.querySelector("#minutes .chart"), "good_share", one.minutes);
    await draw(grid.querySelector("#burndown .chart"), "budget", one.budget);
    put(grid, "pairs", panel("Windows that alert", "w6", table([
      { title: "severity", cell: (p) => tag(p.severity) },
      { title: "windows", cell: (p) => `${p.long} and ${p.short}` },
      { title: "alerts above", n: true, cell: (p) => `${p.factor}×` },
      { title: "now", cell: (p) => `${burn(p.long_burn, p.fires)} ${burn(p.short_burn, p.fires)}` },
    ], one.pairs, "")));
    put(grid, "spent", panel("What spent the budget, in this range", "w6", table([
      { title: "tenant", cell: (s) => esc(s.tenant) }, { title: "model", cell: (s) => esc(s.model) },
      { title: "bad", n: true, cell: (s) => number(s.bad) }, { title: "of", n: true, cell: (s) => number(s.total) },
      { title: "share of all bad", n: true, cell: (s) => percent(s.share) },
    ], one.spent, "No bad request in this range.")));
  }
  put(grid, "list", panel(one ? "All objectives" : "Objectives, by budget left", "", list(data.objectives)));
  if (filter("name") && !one) put(grid, "detail", panel("Not found", "", `<div class="empty">No objective is called <code>${esc(filter("name"))}</code>.</div>`));
});
