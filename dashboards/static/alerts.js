// What fires, what was said to whom with what outcome, and the proof of a finding.
import { anchor, filter, page } from "./app.js";
import { draw } from "./charts.js";
import { ago, chart, clock, esc, lasted, money, panel, percent, sub, table, tag } from "./format.js";

const alerts = (data) => [
  { title: "state", cell: (a) => `<span class="tags">${tag(a.state)} ${a.severities.map(tag).join(" ")}</span>${a.frozen ? sub("not judged now") : ""}` },
  { title: "what", cell: (a) => `${anchor("/alerts", { incident: a.incident }, `<b>${esc(a.name)}</b>`)} <span class="sub optional">${esc(a.labels)}</span><div>${esc(a.summary)}</div>` },
  { title: "since", cell: (a) => ago(a.since_ms, data.now_ms) },
];
const FAILED = ["dead", "disabled"];
const notifications = (data) => [
  { title: "when", cell: (n) => ago(n.at_ms, data.now_ms) },
  { title: "what", cell: (n) => `${tag(n.status)} ${anchor("/alerts", { incident: n.incident }, esc(n.name))}${sub(esc(n.summary))}` },
  { title: "to", cell: (n) => esc(n.receiver) },
  { title: "outcome", cell: (n) => `${tag(n.outcome)}${sub(`${esc(n.detail)}${n.attempts > 1 ? `, attempt ${n.attempts}` : ""}`)}${FAILED.includes(n.outcome) ? `<code>POST /api/v1/notifications/${esc(n.id)}/replay</code>` : ""}` },
];
const findings = (data) => [
  { title: "state", cell: (f) => tag(f.ended_ms ? "resolved" : f.severity) },
  { title: "finding", cell: (f) => `${anchor("/alerts", { finding: f.id }, `<b>${esc(f.title)}</b>`)} <span class="sub">${esc(f.pool ?? "")}</span><div>${esc(f.sentence)}</div>` },
  { title: "began", cell: (f) => ago(f.since_ms, data.now_ms) },
  { title: "lasted", optional: true, cell: (f) => lasted(f.since_ms, f.ended_ms, data.now_ms) },
  { title: "idle cost", n: true, cell: (f) => money(f.cost_nano, data.currency) },
];
const silences = (data) => [
  { title: "mutes", cell: (s) => `<code>${esc(s.matchers)}</code>` },
  { title: "until", cell: (s) => clock(s.until_ms) },
  { title: "by", cell: (s) => `${esc(s.by)}${sub(esc(s.comment))}` },
  { title: "end it sooner", optional: true, cell: (s) => `<code>inferometer alert unsilence ${esc(s.id)}</code>` },
];
// A page and a ticket of one promise say the same: they are one row.
function together(alerts) {
  const rows = new Map();
  for (const a of alerts) {
    const key = `${a.name} ${a.labels} ${a.state}`;
    if (rows.has(key)) rows.get(key).severities.push(a.severity);
    else rows.set(key, { ...a, severities: [a.severity] });
  }
  return [...rows.values()];
}
const OPEN = ["firing", "pending"], FIRST = 8;
const more = (rows, title, html) => (rows.length ? `<details><summary>${rows.length} ${title}</summary>${html(rows)}</details>` : "");
const timeline = (rows) => `<ol class="timeline">${rows.map((s) => `<li><span>${esc(s.what)}</span>${clock(s.at_ms)}</li>`).join("")}</ol>`;
const quieten = (name, label, value) => `<p class="note">Hold its messages back: <code>inferometer alert silence alertname=${esc(name)}${value ? ` ${label}=${esc(value)}` : ""} --for 2h</code></p>`;

function finding(f, data) {
  const where = f.replicas.slice(0, 8).map((r) => anchor("/gpus", { replica: r }, esc(r))).join(", ") + (f.replicas.length > 8 ? ` and ${f.replicas.length - 8} more` : "");
  const cost = f.cost_nano === null ? "" : `<div><dt>idle meanwhile</dt><dd>${money(f.cost_nano, data.currency)}</dd></div>`;
  const rival = f.runner_up ? `<div><dt>most easily taken for</dt><dd>${esc(f.runner_up)}</dd></div>` : "";
  return `<p>${tag(f.ended_ms ? "resolved" : f.severity)} ${esc(f.sentence)}</p>
    <dl class="facts"><div><dt>replicas</dt><dd>${where}</dd></div><div><dt>pool</dt><dd>${anchor("/gpus", { pool: f.pool }, esc(f.pool))}</dd></div><div><dt>lasted</dt><dd>${lasted(f.since_ms, f.ended_ms, data.now_ms)}</dd></div>
    ${cost}<div><dt>confidence</dt><dd>${percent(f.score)}</dd></div>${rival}</dl>${timeline(f.timeline)}${quieten(f.class, "pool", f.pool)}`;
}

const named = (a) => `<p>${tag(a.state)} ${tag(a.severity)} ${esc(a.summary)}</p>${Object.entries(a.notes).map(([name, text]) => sub(`${esc(name.replace(/_/g, " "))}: ${esc(text)}`)).join("")}
  ${timeline(a.timeline)}${a.objective ? `<p>${anchor("/objectives", { name: a.objective, group: a.group }, "The minutes that burnt")}</p>` : ""}${quieten(a.name, "severity", a.severity)}`;

page("alerts", {
  html: (data) => {
    const one = data.selected;
    const asked = filter("finding") ?? filter("incident") ?? location.hash.slice(1);
    const first = one
      ? [panel("one", esc(one.title), "w5", finding(one, data)), chart("evidence", "Evidence: the samples of its replicas", "w7", "Shaded: from the first bad sample to the last.", "taller")]
      : data.named ? [panel("one", `Alert ${esc(data.named.name)}`, "", named(data.named))]
      : asked ? [panel("one", "Not found", "", `<div class="empty">No finding or alert has the id <code>${esc(asked)}</code>, or it is no longer kept.</div>`)] : [];
    const open = together(data.alerts.filter((a) => OPEN.includes(a.state))), over = together(data.alerts.filter((a) => !OPEN.includes(a.state)));
    const nobody = `Nobody would be told: no receiver is set. <code>inferometer alert receiver add NAME URL</code>`;
    return [
      ...first,
      panel("findings", "What was found, in this range", "", table(findings(data), data.findings, "Nothing was found in this range.", "findings")),
      panel("firing", "Alerts, now", "w7", table(alerts(data), open, "Nothing fires, nothing is pending.", "alerts") + more(over, "resolved in the last day", (rows) => table(alerts(data), rows, "", "resolved alerts"))),
      panel("sent", "Messages, newest first", "w5", (data.receivers ? "" : `<div class="empty">${nobody}</div>`) + table(notifications(data), data.notifications.slice(0, FIRST), data.receivers ? `Nothing had to be said. See whether a receiver is reached: <code>inferometer alert receiver test NAME</code>` : "", "messages") + more(data.notifications.slice(FIRST), "older messages", (rows) => table(notifications(data), rows, "", "older messages"))),
      panel("silences", "Silences", "", table(silences(data), data.silences, "Nothing is silenced.", "silences")),
    ].join("");
  },
  draw: async (data, root) => {
    const one = data.selected;
    if (!one) return;
    const mine = data.moments.filter((m) => m.finding === undefined || m.finding === one.id);
    if (!mine.some((m) => m.finding)) mine.push({ kind: "finding", at_ms: one.since_ms, until_ms: one.ended_ms, words: one.title });
    const at = one.evidence.at;
    await draw(root, "evidence", "evidence", one.evidence, { moments: mine.filter((m) => m.at_ms >= at[0]), to_ms: at.at(-1) });
  },
});
