// Latency as users felt it: TTFT and gaps over time, latency against concurrency, the worst ones.
import { page, put } from "./app.js";
import { draw } from "./charts.js";
import { ago, esc, number, panel, seconds, table, tag } from "./format.js";

const worst = (data) => [
  { title: "ended", cell: (r) => ago(r.ended_ms, data.now_ms) },
  { title: "request", optional: true, cell: (r) => `<span class="sub">${esc(r.request_id)}</span>` },
  { title: "tenant", cell: (r) => `${esc(r.tenant)}<div class="sub">${esc(r.model)}</div>` },
  { title: "replica", optional: true, cell: (r) => esc(r.replica ?? "not known") },
  { title: "status", cell: (r) => `${tag(r.status)} <span class="sub">${esc(r.error_class ?? r.finish ?? "")}</span>` },
  { title: "queue", n: true, optional: true, cell: (r) => seconds(r.queue) },
  { title: "TTFT", n: true, cell: (r) => seconds(r.ttft) },
  { title: "worst gap", n: true, optional: true, cell: (r) => seconds(r.gap_max) },
  { title: "end to end", n: true, cell: (r) => seconds(r.e2e) },
  { title: "tokens in / out", n: true, optional: true, cell: (r) => `${number(r.prompt_tokens)} / ${number(r.output_tokens)}` },
];

page("requests", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  put(grid, "ttft", panel("Time to first token", "w6", `<div class="chart"></div>`));
  put(grid, "tpot", panel("Time per output token", "w6", `<div class="chart"></div>`));
  put(grid, "knee", panel("Latency against concurrency, a mark for each minute and pool (the knee)", "w6", `<div class="chart"></div>`));
  put(grid, "outcome", panel("How requests ended", "w6", `<div class="chart"></div>`));
  put(grid, "summary", panel("By model and tenant", "", table([
    { title: "model", cell: (s) => esc(s.model) }, { title: "tenant", cell: (s) => esc(s.tenant) },
    { title: "requests", n: true, cell: (s) => number(s.requests) }, { title: "failed", n: true, cell: (s) => number(s.errors) },
    { title: "aborted", n: true, optional: true, cell: (s) => number(s.aborted) },
    { title: "TTFT p50", n: true, optional: true, cell: (s) => seconds(s.ttft_p50) }, { title: "p95", n: true, cell: (s) => seconds(s.ttft_p95) }, { title: "p99", n: true, cell: (s) => seconds(s.ttft_p99) },
    { title: "TPOT p95", n: true, optional: true, cell: (s) => seconds(s.tpot_p95) }, { title: "e2e p95", n: true, optional: true, cell: (s) => seconds(s.e2e_p95) },
  ], data.summary, `No request has ended in this range. Put the proxy in front of an engine: <code>inferometer proxy --upstream URL</code>`)));
  put(grid, "worst", panel("Failed and slowest", "", table(worst(data), data.worst, "None in this range.")));
  await draw(grid.querySelector("#ttft .chart"), "latency", data.ttft);
  await draw(grid.querySelector("#tpot .chart"), "latency", data.tpot);
  await draw(grid.querySelector("#knee .chart"), "knee", data.knee);
  await draw(grid.querySelector("#outcome .chart"), "outcome", data.outcome);
});
