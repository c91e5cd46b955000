// Latency as users felt it: TTFT and gaps over time, latency against concurrency, the worst ones.
import { anchor, page } from "./app.js";
import { draw, drawAll } from "./charts.js";
import { PROXY, ago, chart, clock, esc, iso, number, panel, seconds, sub, table, tag } from "./format.js";

// An address that still finds the request when "now" has moved on.
const one = (r) => {
  const to = Math.min(Date.now(), r.ended_ms + 120000);
  return `<a href="/requests?${new URLSearchParams({ range: "15m", to: `${iso(to)}Z`, request: r.request_id })}">${esc(r.request_id)}</a>`;
};
const worst = (data) => [
  { title: "ended", cell: (r) => ago(r.ended_ms, data.now_ms) },
  { title: "request", cell: one },
  { title: "tenant", optional: true, cell: (r) => `${esc(r.tenant)}${sub(esc(r.model))}` },
  { title: "replica", optional: true, cell: (r) => (r.replica ? anchor("/gpus", { replica: r.replica }, esc(r.replica)) : "not known") },
  { title: "status", cell: (r) => `${tag(r.status)} <span class="sub">${esc(r.error_class ?? r.finish ?? "")}</span>` },
  { title: "queue", n: true, optional: true, cell: (r) => seconds(r.queue) },
  { title: "TTFT", n: true, cell: (r) => seconds(r.ttft) },
  { title: "worst gap", n: true, optional: true, cell: (r) => seconds(r.gap_max) },
  { title: "end to end", n: true, cell: (r) => seconds(r.e2e) },
  { title: "tokens in / out", n: true, optional: true, cell: (r) => `${number(r.prompt_tokens)} / ${number(r.output_tokens)}` },
];

const summary = [
  { title: "model", cell: (s) => anchor("/requests", { model: s.model }, esc(s.model)) },
  { title: "tenant", cell: (s) => anchor("/requests", { model: s.model, tenant: s.tenant }, esc(s.tenant)) },
  { title: "requests", n: true, cell: (s) => number(s.requests) },
  { title: "failed", n: true, cell: (s) => (s.errors ? anchor("/requests", { model: s.model, tenant: s.tenant, status: "error" }, number(s.errors)) : "0") },
  { title: "aborted", n: true, optional: true, cell: (s) => (s.aborted ? anchor("/requests", { model: s.model, tenant: s.tenant, status: "aborted" }, number(s.aborted)) : "0") },
  { title: "TTFT p50", n: true, optional: true, cell: (s) => seconds(s.ttft_p50) },
  { title: "TTFT p95", n: true, cell: (s) => seconds(s.ttft_p95) },
  { title: "TTFT p99", n: true, optional: true, cell: (s) => seconds(s.ttft_p99) },
  { title: "TPOT p95", n: true, optional: true, cell: (s) => seconds(s.tpot_p95) },
  { title: "e2e p95", n: true, optional: true, cell: (s) => seconds(s.e2e_p95) },
];

const share = (at, whole) => `${(100 * at) / (whole || 1)}%`;
function waterfall(r) {
  const bars = r.phases.map((p) => `<div class="phase"><span>${esc(p.name)}</span><span class="track"><i class="${esc(p.name.split(" ")[0])}" style="left:${share(p.from, r.e2e)};width:${share(p.to - p.from, r.e2e)}"></i></span><span class="n">${seconds(p.to - p.from)}</span></div>`);
  const ticks = r.tokens_at.length ? `<div class="phase"><span>each token</span><span class="track">${r.tokens_at.map((at) => `<b style="left:${share(at, r.e2e)}"></b>`).join("")}</span><span class="n">${number(r.tokens_at.length)}</span></div>` : "";
  return `<div class="waterfall">${bars.join("")}${ticks}</div><p class="note">${seconds(r.e2e)} in all, from ${clock(r.started_ms)} to ${clock(r.ended_ms)} UTC; longest gap between tokens ${seconds(r.gap_max)}. ${r.tokens_at.length ? "" : "Single gaps are kept for failed, slow and 1 in 100 requests."}</p>`;
}
const FACTS = [["tenant"], ["team"], ["model"], ["pool"], ["replica"], ["route"], ["vantage", "timed at"], ["status"], ["finish"], ["http_status", "HTTP status"], ["error_class", "error"], ["retry", "earlier attempts"],
  ["prompt_tokens", "prompt tokens"], ["cached_tokens", "of these cached"], ["output_tokens", "output tokens"], ["reasoning_tokens", "of these reasoning"], ["preemptions"]];
const facts = (r) => `<dl class="facts">${FACTS.map(([key, name]) => `<div><dt>${name ?? key}</dt><dd>${r[key] === null ? "not known" : esc(typeof r[key] === "number" ? number(r[key]) : r[key])}</dd></div>`).join("")}</dl>${r.tokens_estimated ? `<p class="note">Tokens were counted from chunks; the engine did not state them.</p>` : ""}`;

page("requests", {
  html: (data) => {
    const r = data.selected;
    const detail = r ? [
      panel("one", `Request ${esc(r.request_id)}: where its time went`, "w7", waterfall(r)),
      panel("facts", "What is known of it", "w5", facts(r)),
      r.evidence ? chart("evidence", `What ${esc(r.replica)} was doing then`, "", "", "tall") : "",
    ] : data.selected === null && new URLSearchParams(location.search).get("request") ? [panel("one", "Not found", "", `<div class="empty">No request of this id ended in this range.</div>`)] : [];
    return [
      ...detail,
      chart("ttft", "Time to first token, queueing included", "w6", "The darker a cell, the more requests."),
      chart("gaps", "Gaps between tokens", "w6", "Percentiles are read from log buckets: within a factor of 2; the longest is exact."),
      chart("knee", "Latency against concurrency: a mark for each minute and pool", "w6", "Concurrency is the time that requests spent, over the minute they ended in."),
      chart("outcome", "How requests ended", "w6"),
      panel("summary", "By model and tenant", "", table(summary, data.summary, `No request has ended in this range. Put the proxy in front of an engine: ${PROXY}`, "by model and tenant")),
      panel("worst", "Failed ones, then the slowest to the first token", "", table(worst(data), data.worst, "None in this range.", "failed and slowest requests")),
    ].join("");
  },
  draw: async (data, root) => {
    const r = data.selected;
    if (r?.evidence) await draw(root, "evidence", "evidence", r.evidence, { moments: [...data.moments, { at_ms: r.started_ms, kind: "request", words: "the request came" }, { at_ms: r.ended_ms, kind: "request", words: "the request ended" }], to_ms: data.to_ms });
    await drawAll(root, data, [["ttft", "latency", "ttft"], ["gaps", "gaps"], ["knee", "knee"], ["outcome", "outcome"]]);
  },
});
