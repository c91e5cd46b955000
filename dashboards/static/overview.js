// Is every promise kept, what burns, what is idle while something waits, what it costs.
import { link, page, put } from "./app.js";
import { draw } from "./charts.js";
import { ago, burn, esc, meter, money, number, panel, percent, table, tag } from "./format.js";

const WINDOWS = ["5m", "1h", "6h", "3d"];

const promises = (rows) =>
  table(
    [
      { title: "promise", cell: (r) => `<a href="${link("/objectives", { name: r.objective })}">${esc(r.title)}</a><div class="sub">${esc(r.group)} · ${r.target} %${r.guess ? " · a guess" : ""}</div>` },
      ...WINDOWS.map((w) => ({ title: `burn ${w}`, n: true, optional: w === "6h" || w === "3d", cell: (r) => burn(r.burn[w], r.fires.includes(w)) })),
      { title: "budget left", n: true, cell: (r) => meter(r.budget_left) },
    ],
    rows,
    `No objective has seen a request yet. Put OpenSLO files beside the service: <code>inferometer up --objectives FILE</code>`,
  );

const finding = (f, data) => `<div class="finding ${f.ended_ms ? "over" : ""}">
  <div class="head">${f.ended_ms ? tag("resolved") : tag(f.severity)}<a href="${link("/alerts", { finding: f.id })}"><b>${esc(f.title)}</b></a>
  <span class="sub">${esc(f.pool ?? "")} · ${ago(f.since_ms, data.now_ms)}</span><span class="money">${f.cost_nano === null ? "" : money(f.cost_nano, data.currency)}</span></div>
  <p>${esc(f.sentence)}</p></div>`;

function cell(replica, gpu) {
  const height = gpu.sm === null ? 0 : Math.round(gpu.sm * 100);
  const kind = gpu.up === false ? "lost" : gpu.up === null ? "unknown" : "";
  const words = `${gpu.uuid} on ${replica.replica}: SM activity ${percent(gpu.sm)}, kernel-busy ${percent(gpu.busy)}, ${number(replica.waiting)} waiting, ${replica.state}`;
  return `<a class="cell ${kind} ${replica.waiting > 0 ? "waits" : ""}" href="${link("/gpus", { replica: replica.replica })}" title="${esc(words)}" aria-label="${esc(words)}"><i style="height:${height}%"></i></a>`;
}

const fleet = (pools) =>
  pools.length
    ? pools.map((p) => `<div class="pool"><b>${esc(p.pool)}</b><span class="cells">${p.replicas.flatMap((r) => r.gpus.map((g) => cell(r, g))).join("")}</span>
        <span class="sub">${number(p.running)} running, ${number(p.waiting)} waiting</span></div>`).join("") +
      `<div class="legend">fill = SM activity · ring = requests wait there · hatch = lost · dashed = not heard of</div>`
    : `<div class="empty">No GPU has reported. On a GPU host: <code>inferometer agent --server URL --token T</code></div>`;

function cost(m, currency) {
  if (!m.classes.length) return `<div class="empty">Nothing charged yet${m.unpriced ? `: no price for ${esc(m.unpriced)}. Set <code>prices</code> in the settings.` : "."}</div>`;
  const most = Math.max(...m.classes.map((c) => c.nano_per_hour), 1);
  return `<div class="bars">${m.classes
    .map((c) => `<span>${esc(c.name)}</span><span class="bar ${esc(c.name.split(".")[0])}" style="width:${(100 * c.nano_per_hour) / most}%"></span><span class="n">${money(c.nano_per_hour, currency)}</span>`)
    .join("")}</div><p class="note">${money(m.total_nano_per_hour, currency)} an hour in all. <a href="${link("/cost", {})}">Who caused it</a></p>`;
}

page("overview", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  put(grid, "promises", panel("Promises, by budget left", "w7", promises(data.promises)));
  put(grid, "now", panel("Now happening", "w5", data.findings.length ? data.findings.map((f) => finding(f, data)).join("") : `<div class="empty">Nothing is wrong that we can see.</div>`));
  put(grid, "fleet", panel("Fleet: a cell for each GPU, by pool", "w7", fleet(data.fleet)));
  put(grid, "money", panel("Money, per hour", "w5", cost(data.money, data.currency)));
  put(grid, "demand", panel("Demand against what is served", "", `<div class="chart" role="img" aria-label="arrivals, finished and waiting requests over time"></div>`));
  await draw(grid.querySelector("#demand .chart"), "demand", data.demand);
});
