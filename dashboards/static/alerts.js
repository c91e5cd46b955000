// What fires, what was said to whom with what outcome, and the proof of a finding.
import { filter, link, page, put } from "./app.js";
import { draw } from "./charts.js";
import { ago, clock, esc, money, panel, table, tag } from "./format.js";

const alerts = (data) => [
  { title: "state", cell: (a) => tag(a.state) },
  { title: "what", cell: (a) => `<b>${esc(a.name)}</b><div>${esc(a.summary)}</div><div class="sub">${esc(a.labels)}</div>` },
  { title: "severity", cell: (a) => tag(a.severity) },
  { title: "since", cell: (a) => ago(a.since_ms, data.now_ms) },
];
const notifications = (data) => [
  { title: "when", cell: (n) => ago(n.at_ms, data.now_ms) },
  { title: "what", cell: (n) => `${tag(n.status)} ${esc(n.name)}<div class="sub">${esc(n.summary)}</div>` },
  { title: "to", cell: (n) => esc(n.receiver) },
  { title: "outcome", cell: (n) => `${tag(n.outcome)}<div class="sub">${esc(n.detail)}</div>` },
  { title: "tries", n: true, optional: true, cell: (n) => n.attempts },
];
const findings = (data) => [
  { title: "", cell: (f) => (f.ended_ms ? tag("resolved") : tag(f.severity)) },
  { title: "finding", cell: (f) => `<a href="${link("/alerts", { finding: f.id })}"><b>${esc(f.title)}</b></a><div>${esc(f.sentence)}</div>` },
  { title: "began", cell: (f) => ago(f.since_ms, data.now_ms) },
  { title: "ended", optional: true, cell: (f) => (f.ended_ms ? ago(f.ended_ms, data.now_ms) : "still") },
  { title: "cost", n: true, cell: (f) => money(f.cost_nano, data.currency) },
];

page("alerts", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  const one = data.selected;
  if (one) {
    put(grid, "one", panel(esc(one.title), "w5", `<p>${esc(one.sentence)}</p>` + table([
      { title: "", cell: (s) => esc(s.what) }, { title: "", n: true, cell: (s) => clock(s.at_ms) },
    ], one.timeline, "")));
    put(grid, "evidence", panel("Evidence: the samples of its replicas", "w7", `<div class="chart tall"></div>`));
    await draw(grid.querySelector("#evidence .chart"), "evidence", one.evidence);
  } else if (filter("finding")) put(grid, "one", panel("Not found", "", `<div class="empty">No finding has the id <code>${esc(filter("finding"))}</code>.</div>`));
  put(grid, "firing", panel("Alerts", "w6", table(alerts(data), data.alerts, "Nothing fires, nothing is pending.")));
  put(grid, "sent", panel("Notifications", "w6", table(notifications(data), data.notifications, data.receivers ? "Nothing had to be said." : `Nobody would be told: no receiver is set. <code>inferometer alert receiver add NAME URL</code>`)));
  put(grid, "findings", panel("Findings", "", table(findings(data), data.findings, "Nothing was found in this range.")));
});
