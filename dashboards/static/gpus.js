// What the GPUs really do: kernel-busy beside SM, tensor and DRAM activity.
import { filter, link, page, put } from "./app.js";
import { draw } from "./charts.js";
import { ago, esc, number, panel, percent, table, tag } from "./format.js";

const gib = (bytes) => (bytes === null ? null : bytes / 2 ** 30);
const columns = (data) => [
  { title: "replica", cell: (g) => `<a href="${link("/gpus", { replica: g.replica ?? "" })}">${esc(g.replica ?? "unmapped")}</a><div class="sub">${esc(g.pool ?? "")}</div>` },
  { title: "GPU", optional: true, cell: (g) => `${esc(g.gpu_uuid)}<div class="sub">${esc(g.gpu_model ?? "")}</div>` },
  { title: "state", cell: (g) => tag(g.up === false ? "lost" : g.state) },
  { title: "kernel-busy", n: true, cell: (g) => percent(g.kernel_busy) },
  { title: "SM", n: true, cell: (g) => percent(g.sm) },
  { title: "tensor", n: true, optional: true, cell: (g) => percent(g.tensor) },
  { title: "DRAM", n: true, optional: true, cell: (g) => percent(g.dram) },
  { title: "memory", n: true, optional: true, cell: (g) => `${number(gib(g.memory_used), 1)} / ${number(gib(g.memory_total), 0)} GiB` },
  { title: "power", n: true, optional: true, cell: (g) => `${number(g.power)} W` },
  { title: "running", n: true, cell: (g) => number(g.running) },
  { title: "waiting", n: true, cell: (g) => number(g.waiting) },
  { title: "KV", n: true, cell: (g) => percent(g.kv) },
  { title: "heard", optional: true, cell: (g) => ago(g.at_ms, data.now_ms) },
];

page("gpus", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  const whose = filter("replica") ? ` of ${esc(filter("replica"))}` : ", mean of all shown";
  put(grid, "activity", panel(`Activity${whose}: busy is not work`, "w7", `<div class="chart"></div>`));
  put(grid, "queue", panel(`Requests running and waiting, KV usage${whose}`, "w5", `<div class="chart"></div>`));
  put(grid, "gpus", panel("GPUs", "", table(columns(data), data.gpus, `No GPU has reported. On a GPU host: <code>inferometer agent --server URL --token T</code>`)));
  put(grid, "events", panel("Events", "", table([
    { title: "when", cell: (e) => ago(e.at_ms, data.now_ms) }, { title: "what", cell: (e) => esc(e.kind) },
    { title: "who", cell: (e) => esc(e.gpu_uuid ?? e.replica ?? e.host) }, { title: "", cell: (e) => esc(e.message) },
  ], data.events, "No event in this range.")));
  await draw(grid.querySelector("#activity .chart"), "activity", data.activity);
  await draw(grid.querySelector("#queue .chart"), "queue", data.queue);
});
