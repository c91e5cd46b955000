// How numbers, times and money are written, and the marks made of them. One place; every page uses it.
export const DASH = "–";
const missing = (value) => value === null || value === undefined;

export const esc = (text) =>
  String(text ?? "").replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

// A group in words: what nobody told is no name.
export const group = (words) => esc(words).replaceAll("__unknown__", "not known");

const written = new Map();
export function number(value, digits = 0) {
  if (missing(value)) return DASH;
  if (!written.has(digits)) {
    written.set(digits, new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }));
  }
  return written.get(digits).format(value);
}

export const percent = (ratio, digits = 0) => (missing(ratio) ? DASH : `${number(ratio * 100, digits)}\u202f%`);

export function seconds(value) {
  if (missing(value)) return DASH;
  if (value === 0) return "0 s";
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1e3)} ms`;
  if (value < 120) return `${number(value, value < 10 ? 2 : 1)} s`;
  return span(value);
}

const span = (s) => (s < 120 ? `${number(s)} s` : s < 7200 ? `${number(s / 60)} min` : s < 172800 ? `${number(s / 3600)} h` : `${number(s / 86400)} days`);

const SIGNS = { USD: "$", EUR: "€", GBP: "£", JPY: "¥" };
export function money(nano, currency = "USD") {
  if (missing(nano)) return DASH;
  const amount = nano / 1e9;
  const digits = Math.abs(amount) >= 100 ? 0 : Math.abs(amount) >= 0.01 || amount === 0 ? 2 : 6;
  return `${SIGNS[currency] ?? `${currency} `}${number(amount, digits)}`;
}

export const iso = (ms) => new Date(ms).toISOString().slice(0, 19);
export const utc = (ms) => `${iso(ms).replace("T", " ")} UTC`;

// Relative, with the absolute time on hover; the other way round in `clock`.
export function ago(ms, nowMs) {
  if (missing(ms)) return DASH;
  const past = span(Math.max(0, Math.floor((nowMs - ms) / 1000)));
  return `<time datetime="${iso(ms)}Z" title="${utc(ms)}">${past} ago</time>`;
}

export const clock = (ms) => (missing(ms) ? DASH : `<time datetime="${iso(ms)}Z" title="${utc(ms)}">${iso(ms).slice(11)}</time>`);

export function lasted(fromMs, untilMs, nowMs) {
  const text = span(Math.max(0, Math.round(((untilMs ?? nowMs) - fromMs) / 1000)));
  return `<span class="nowrap">${untilMs === null ? `${text} so far` : `for ${text}`}</span>`;
}

// How fast a budget burns: 1× spends it just within its period.
export function burn(rate, fires) {
  if (missing(rate)) return `<span class="burn none" title="no requests in this window">no data</span>`;
  const heat = rate >= 6 ? "hot" : rate >= 1 ? "warm" : "";
  return `<span class="burn ${heat} ${fires ? "fires" : ""}"${fires ? ' title="one of the two windows that alert"' : ""}>${number(rate, rate < 10 ? 1 : 0)}×</span>`;
}

export function budget(ratio) {
  if (missing(ratio)) return `<span class="burn none">no data</span>`;
  if (ratio < 0) return `<span class="meter spent" aria-hidden="true"></span><span class="over">overspent ${number(1 - ratio, 1 - ratio < 10 ? 1 : 0)}×</span>`;
  return `${bar(ratio, ratio < 0.25 ? "low" : "")}${percent(ratio)}`;
}

export const bar = (ratio, kind = "") =>
  `<span class="meter ${kind}" aria-hidden="true"><i style="width:${Math.min(100, Math.max(0, ratio * 100))}%"></i></span>`;

export const tag = (word) => `<span class="tag ${esc(String(word).replace(/\s+/g, "-"))}">${esc(word)}</span>`;
export const sub = (html) => `<div class="sub">${html}</div>`;
export const short = (uuid) => (uuid && uuid.length > 16 ? `<span title="${esc(uuid)}">${esc(uuid.slice(0, 12))}…</span>` : esc(uuid));

// rows -> table. columns: [{title, cell(row) -> html, n: numeric?, optional: hidden on a phone?}]
export function table(columns, rows, empty, label = "") {
  if (!rows.length) return `<div class="empty">${empty}</div>`;
  const kind = (c) => [c.n ? "n" : "", c.optional ? "optional" : ""].filter(Boolean).join(" ");
  const head = columns.map((c) => `<th class="${kind(c)}" scope="col">${c.title}</th>`).join("");
  const body = rows.map((row) => `<tr>${columns.map((c) => `<td class="${kind(c)}">${c.cell(row)}</td>`).join("")}</tr>`).join("");
  return `<div class="scroll"><table${label ? ` aria-label="${esc(label)}"` : ""}><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export const panel = (id, title, width, body) => `<section class="panel ${width}" id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>${body}</section>`;

// What brings the facts that a page lacks, as a command.
export const AGENT = `<code>inferometer agent --server ${location.origin} --token T</code>`;
export const PROXY = `<code>inferometer proxy --upstream http://127.0.0.1:8000</code>`;
export const PRICE = `<code>inferometer up --price H100=2.95</code>`;
export const KWH = `<code>inferometer up --kwh-price 0.08</code>`;
export const PROMISES = `<code>inferometer up --objectives FILE</code>`;

// A place for a figure; `draw` fills it, its summary and its table.
export const chart = (id, title, width, note = "", tall = "") =>
  panel(id, title, width, `<div class="chart ${tall}" data-keep role="img" aria-label="${esc(title)}"></div>
    <details class="data" data-keep><summary>as a table</summary><div></div></details>${note ? `<p class="note">${note}</p>` : ""}`);
