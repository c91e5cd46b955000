// Is every promise kept, what burns, what is idle while something waits, what it costs.
import { anchor, link, page } from "./app.js";
import { drawAll } from "./charts.js";
import { AGENT, PRICE, PROMISES, PROXY, ago, budget, burn, chart, clock, esc, group, lasted, money, number, panel, percent, sub, table, tag } from "./format.js";

// A burn leads to the minutes that burnt: the range that just holds its window.
const WINDOWS = { "5m": "5m", "1h": "1h", "6h": "6h", "3d": "7d" };
const TILES = 64, CELLS = 3000;

const objective = (r, html, range) => {
  const address = new URL(link("/objectives", { name: r.objective, group: r.group }), location.origin);
  if (range) address.searchParams.set("range", range);
  return `<a class="quiet" href="${esc(address.pathname + address.search)}">${html}</a>`;
};

const promises = (data, mixed = data.promises.some((r) => !r.guess)) =>
  table(
    [
      { title: "promise", cell: (r) => `${anchor("/objectives", { name: r.objective, group: r.group }, esc(r.title))}${sub(`${group(r.group)} · ${r.target}\u202f%${mixed && r.guess ? " · a guess" : ""}`)}` },
      ...Object.entries(WINDOWS).map(([w, range]) => ({ title: `burn ${w}`, n: true, optional: w === "6h" || w === "3d", cell: (r) => objective(r, burn(r.burn[w], r.fires.includes(w)), range) })),
      { title: "budget left", n: true, cell: (r) => budget(r.budget_left) },
    ],
    data.promises,
    `No objective has seen a request yet. Put your promises beside the service: ${PROMISES}`,
    "promises by budget left",
  ) +
  (data.promises_in_all > data.promises.length ? `<p class="note">${anchor("/objectives", {}, `and ${number(data.promises_in_all - data.promises.length)} more promises`)}</p>` : "");

const finding = (f, data) => `<div class="finding ${f.ended_ms ? "over" : ""}">
  <div class="head">${tag(f.ended_ms ? "resolved" : f.severity)}${anchor("/alerts", { finding: f.id }, `<b>${esc(f.title)}</b>`)}
  <span class="sub">${f.pool ? anchor("/gpus", { pool: f.pool }, esc(f.pool)) : ""} · ${ago(f.since_ms, data.now_ms)}, ${lasted(f.since_ms, f.ended_ms, data.now_ms)}</span></div>
  ${f.ended_ms ? `<p>${esc(f.sentence)}</p>` : facts(f, data)}</div>`;

// What the opening sentence of an open finding leaves out.
const facts = (f, data) => sub([
  f.cost_nano === null ? "" : `<b class="alarm">${money(f.cost_nano, data.currency)} idle so far</b>`,
  `at ${f.replicas.slice(0, 4).map((r) => anchor("/gpus", { replica: r }, esc(r))).join(", ")}${f.replicas.length > 4 ? ` and ${f.replicas.length - 4} more` : ""}`,
  f.gpus.length ? `${number(f.gpus.length)} GPUs` : "", `confidence ${percent(f.score)}`, f.runner_up ? `next likeliest ${esc(f.runner_up)}` : "",
].filter(Boolean).join(" · "));

const happening = (data) =>
  data.findings.map((f) => finding(f, data)).join("") ||
  `<div class="empty">No detector has found anything in the last hour. ${anchor("/alerts", {}, "Alerts and messages")}</div>`;

function cell(replica, gpu, many) {
  const kind = gpu.up === false ? "lost" : gpu.up === null ? "silent" : gpu.sm === null ? "unmeasured" : "";
  const said = gpu.up === null ? "not heard of" : gpu.up === false ? "lost" : `SM activity ${percent(gpu.sm)}, kernel-busy ${percent(gpu.busy)}`;
  const words = esc(`${gpu.uuid}${replica.replica ? ` on ${replica.replica}` : ""}: ${said}; ${number(replica.running)} running, ${number(replica.waiting)} waiting; ${replica.state}`);
  const where = replica.replica ? { replica: replica.replica } : {};
  return `<a class="cell ${kind} ${replica.waiting > 0 ? "waits" : ""} ${replica.state}" href="${esc(link("/gpus", where))}" title="${words}" aria-label="${words}"${many ? " tabindex=-1" : ""}><i style="height:${Math.round((gpu.sm ?? 0) * 100)}%"></i></a>`;
}

const heading = (p) => `${anchor("/gpus", { pool: p.pool }, `<b>${esc(p.pool === "__unmapped__" ? "unmapped" : p.pool)}</b>`)}`;
const load = (p) => `SM ${percent(p.sm)}, kernel-busy ${percent(p.busy)} · ${number(p.running)} running, ${number(p.waiting)} waiting`;

const total = (pools) => pools.reduce((sum, p) => sum + p.gpus, 0);
const many = (data) => total(data.fleet) > TILES;

function fleet(pools) {
  const gpus = total(pools);
  if (!gpus) return `<div class="empty">No GPU has reported. On a GPU host: ${AGENT}</div>`;
  if (gpus > CELLS) {
    return table([
      { title: "pool", cell: heading }, { title: "GPUs", n: true, cell: (p) => number(p.gpus) }, { title: "not heard of", n: true, cell: (p) => number(p.gpus - p.heard) },
      { title: "SM", n: true, cell: (p) => percent(p.sm) }, { title: "running", n: true, cell: (p) => number(p.running) }, { title: "waiting", n: true, cell: (p) => number(p.waiting) },
    ], pools, "", "pools");
  }
  const small = gpus > TILES;
  const rows = pools.map((p) => `<div class="pool">${heading(p)}<span class="cells">${p.replicas.flatMap((r) => r.gpus.map((g) => cell(r, g, small))).join("")}</span><span class="sub">${load(p)}</span></div>`);
  return `<div class="${small ? "many" : ""}">${rows.join("")}</div><div class="legend">fill = SM activity · ring = requests wait there · dot = starting · hatch = lost · dashed = not heard of, or not measured</div>`;
}

function cost(m, currency) {
  if (!m.classes.length) {
    const why = m.unpriced ? `no GPU has a price. Give one: ${PRICE}` : "the first interval is closed some time after its end.";
    return `<div class="empty">Nothing charged yet: ${why}</div>`;
  }
  const most = Math.max(...m.classes.map((c) => c.nano_per_hour), 1);
  const bars = m.classes.map((c) => `${anchor("/cost", { class: c.name }, esc(c.name))}<span class="bar ${esc(c.name.split(".")[0])}" style="width:${(100 * c.nano_per_hour) / most}%"></span><span class="n">${money(c.nano_per_hour, currency)}</span>`);
  return `<div class="bars">${bars.join("")}</div><p class="note"><b>${money(m.total_nano_per_hour, currency)} an hour</b>, mean of ${number(m.minutes, m.minutes < 2 ? 1 : 0)} min until ${clock(m.until_ms)} UTC${m.unpriced ? "; some GPUs have no price" : ""}. ${anchor("/cost", {}, "Who caused it")}</p>`;
}

const start = `<p>Nothing has been heard yet. Three commands bring the first facts:</p><ol>
  <li>here: <code>inferometer token create gpu-host-1 --role agent</code></li><li>on the GPU host: ${AGENT}</li><li>beside the engine: ${PROXY}, and point clients at it</li></ol>
  <p class="note">Nothing at hand? <code>inferometer demo</code> shows a simulated fleet that gets into trouble.</p>`;

page("overview", {
  html: (data) => [
    data.newest_ms === null ? panel("start", "Bring the first facts", "", start) : "",
    panel("promises", "Promises, by budget left", many(data) ? "w7 pair" : "w7 high", promises(data)),
    panel("now", "Now happening", "w5", happening(data)),
    panel("money", `Money, ${esc(data.currency)} per hour`, "w5", cost(data.money, data.currency)),
    panel("fleet", "Fleet: a cell for each GPU, by pool", many(data) ? "" : "w5", fleet(data.fleet)),
    chart("demand", "Demand against what is served", "", "", "tall"),
  ].join(""),
  draw: (data, root) => drawAll(root, data, [["demand", "demand"]]),
});
