// What the GPUs really do: kernel-busy beside SM, tensor and DRAM activity.
import { anchor, filter, page } from "./app.js";
import { drawAll } from "./charts.js";
import { AGENT, ago, bar, chart, esc, number, panel, percent, seconds, short, sub, table, tag } from "./format.js";

const gib = (bytes, digits) => number(bytes === null ? null : bytes / 2 ** 30, digits);
const memory = (g) => (g.memory_total ? `${bar(g.memory_used / g.memory_total, "plain")}${gib(g.memory_used, 0)} of ${gib(g.memory_total, 0)} GiB` : "–");
const split = (g) => [["weights", g.memory?.weights], ["KV", g.memory?.kv_used, g.memory?.kv_pool], ["other", g.memory?.other], ["reserved", g.memory_reserved]].filter(([, bytes]) => (bytes ?? null) !== null).map(([part, bytes, whole]) => `${part} ${gib(bytes, 0)}${whole ? ` of ${gib(whole, 0)}` : ""}`).join(" · ");
const reasons = (g) => Object.entries(g.throttled_by).filter(([, passed]) => passed).map(([reason, passed]) => `${reason} ${seconds(passed)}`).join(" · ");
const SOURCES = { gpm_counters: "GPM counters", gpm: "GPM", clock_weighted: "estimated from clocks", power: "estimated from power", kernel_busy: "only kernel-busy", recorded: "recorded", simulated: "simulated" };

const models = (data) => [...new Set(data.gpus.map((g) => g.gpu_model).filter(Boolean))];
const several = (data) => models(data).length > 1;
const gpus = (data) => [
  { title: "replica", cell: (g) => `${g.replica ? anchor("/gpus", { replica: g.replica }, esc(g.replica)) : "unmapped"}${sub(g.pool ? anchor("/gpus", { pool: g.pool }, esc(g.pool)) : "")}` },
  { title: "GPU", optional: true, cell: (g) => `${short(g.gpu_uuid)}${sub(esc([g.gpu_index === null ? "" : `index ${g.gpu_index}`, g.host, several(data) ? g.gpu_model : ""].filter(Boolean).join(" · ")))}` },
  { title: "state", cell: (g) => tag(g.state) + (g.concerns.length ? sub(`<b class="alarm">${esc(g.concerns.join("; "))}</b>`) : "") },
  { title: "kernel-busy", n: true, cell: (g) => percent(g.kernel_busy) },
  { title: "SM", n: true, cell: (g) => `${percent(g.sm)}${g.source ? sub(esc(SOURCES[g.source] ?? g.source)) : ""}` },
  { title: "tensor", n: true, optional: true, cell: (g) => percent(g.tensor) },
  { title: "DRAM", n: true, optional: true, cell: (g) => percent(g.dram) },
  { title: "memory", n: true, optional: true, cell: (g) => memory(g) + sub(split(g)) },
  { title: "power", n: true, optional: true, cell: (g) => `${number(g.power)} W` },
  { title: "throttled", n: true, optional: true, cell: (g) => seconds(g.throttled) + sub(reasons(g)) },
  { title: "running", n: true, cell: (g) => number(g.running) },
  { title: "waiting", n: true, cell: (g) => (g.replica ? anchor("/requests", { replica: g.replica }, number(g.waiting)) : number(g.waiting)) },
  { title: "KV", n: true, cell: (g) => percent(g.kv) },
  { title: "heard", optional: true, cell: (g) => (g.at_ms === null ? "never in this range" : ago(g.at_ms, data.now_ms)) },
];

const pools = [
  { title: "pool", cell: (p) => anchor("/gpus", { pool: p.pool }, esc(p.pool === "__unmapped__" ? "unmapped" : p.pool)) + sub(esc(p.model ?? "")) },
  { title: "replicas", n: true, optional: true, cell: (p) => number(p.replicas) },
  { title: "GPUs", n: true, cell: (p) => number(p.gpus) },
  { title: "not heard of", n: true, optional: true, cell: (p) => number(p.gpus - p.heard) },
  { title: "kernel-busy", n: true, cell: (p) => percent(p.busy) },
  { title: "SM", n: true, cell: (p) => percent(p.sm) },
  { title: "running", n: true, cell: (p) => number(p.running) },
  { title: "waiting", n: true, cell: (p) => number(p.waiting) },
  { title: "idle beside a queue", n: true, cell: (p) => (p.idle_while_waiting ? `<b class="alarm">${number(p.idle_while_waiting)}</b>` : "0") },
];

const events = (data) => [
  { title: "when", cell: (e) => ago(e.at_ms, data.now_ms) }, { title: "what", cell: (e) => esc(e.kind) },
  { title: "who", cell: (e) => (e.replica ? anchor("/gpus", { replica: e.replica }, esc(e.replica)) : e.gpu_uuid ? short(e.gpu_uuid) : esc(e.host)) }, { title: "said", cell: (e) => esc(e.message) },
];

page("gpus", {
  html: (data) => {
    const whose = filter("replica") ? `of ${esc(filter("replica"))}` : filter("pool") ? `of pool ${esc(filter("pool"))}` : "of all GPUs";
    const more = data.gpus_in_all > data.gpus.length ? `<p class="note">${data.gpus.length} of ${number(data.gpus_in_all)}, those in trouble first. Choose a pool to see the others.</p>` : "";
    return [
      filter("replica") ? "" : panel("pools", "Pools, now", "", table(pools, data.pools, `No GPU has reported. On a GPU host: ${AGENT}`, "pools")),
      chart("activity", `Activity ${whose}, mean: busy is not work`, "w6"),
      chart("queue", `Queue and KV cache ${whose}`, "w6"),
      panel("gpus", `GPUs${models(data).length === 1 ? `: ${esc(models(data)[0])}` : ""}`, "", table(gpus(data), data.gpus, `No GPU has reported in this range. On a GPU host: ${AGENT}; what could be read there: <code>inferometer doctor</code>`, "GPUs") + more),
      chart("power", `Power ${whose}, together`, "w6"),
      panel("events", "Events", "w6", table(events(data), data.events, "No event in this range.", "events")),
    ].join("");
  },
  draw: (data, root) => drawAll(root, data, [["activity", "activity"], ["queue", "queue"], ["power", "power"]]),
});
