// How numbers, times and money are written. One place; every page uses it.
export const DASH = "–";

export const esc = (text) =>
  String(text ?? "").replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

export const number = (value, digits = 0) =>
  value === null || value === undefined ? DASH : value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });

export const percent = (ratio, digits = 0) => (ratio === null || ratio === undefined ? DASH : `${number(ratio * 100, digits)} %`);

export function seconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1e3)} ms`;
  if (value < 120) return `${number(value, value < 10 ? 2 : 1)} s`;
  if (value < 7200) return `${number(value / 60)} min`;
  return `${number(value / 3600, 1)} h`;
}

const SIGNS = { USD: "$", EUR: "€", GBP: "£", JPY: "¥" };
export function money(nano, currency = "USD") {
  if (nano === null || nano === undefined) return DASH;
  const amount = nano / 1e9;
  const digits = Math.abs(amount) >= 100 ? 0 : Math.abs(amount) >= 0.01 || amount === 0 ? 2 : 6;
  return `${SIGNS[currency] ?? `${currency} `}${number(amount, digits)}`;
}

export function ago(ms, nowMs) {
  if (ms === null || ms === undefined) return DASH;
  const text = seconds(Math.max(0, Math.round((nowMs - ms) / 1000)));
  return `<time datetime="${new Date(ms).toISOString()}" title="${new Date(ms).toISOString()}">${text} ago</time>`;
}

export const clock = (ms) =>
  ms === null || ms === undefined ? DASH : `<time title="${new Date(ms).toISOString()}">${new Date(ms).toISOString().slice(11, 19)}</time>`;

export function burn(rate, fires) {
  if (rate === null || rate === undefined) return `<span class="burn none" title="no requests in this window">no data</span>`;
  const heat = rate >= 6 ? "hot" : rate >= 1 ? "warm" : "";
  return `<span class="burn ${heat} ${fires ? "fires" : ""}" ${fires ? 'title="part of the pair that alerts"' : ""}>${number(rate, rate < 10 ? 1 : 0)}×</span>`;
}

export function meter(ratio) {
  if (ratio === null || ratio === undefined) return `<span class="burn none">no data</span>`;
  const width = Math.min(100, Math.max(0, ratio * 100));
  return `<span class="meter ${ratio < 0.25 ? "low" : ""}" aria-hidden="true"><i style="width:${width}%"></i></span>${percent(ratio)}`;
}

export const tag = (word) => `<span class="tag ${esc(word)}">${esc(word)}</span>`;

// rows -> table. columns: [{title, cell(row) -> html, n: numeric?, optional: hidden on a phone?}]
export function table(columns, rows, empty) {
  if (!rows.length) return `<div class="empty">${empty}</div>`;
  const kind = (c) => `${c.n ? "n" : ""} ${c.optional ? "optional" : ""}`;
  const head = columns.map((c) => `<th class="${kind(c)}" scope="col">${c.title}</th>`).join("");
  const body = rows.map((row) => `<tr>${columns.map((c) => `<td class="${kind(c)}">${c.cell(row)}</td>`).join("")}</tr>`).join("");
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export const panel = (title, width, body) => `<section class="panel ${width}"><h2>${title}</h2>${body}</section>`;
