// The frame of every page: time shown, live stream, age of the newest fact, failures said aloud.
import { clock, esc, ago, iso } from "./format.js";

const POLL_MS = 15000;
const NAMES = { name: "objective", class: "cost class" };
const state = { newest: null, offset: 0, stale: 30000, connected: true };
const params = () => new URLSearchParams(location.search);
const at = (id) => document.getElementById(id);

export const filter = (name) => params().get(name);
export const pinned = () => params().has("to") || params().has("dataset");
const KEPT = ["range", "to", "compare", "dataset"]; // what time and facts are shown stays from page to page
export const now = () => Date.now() + state.offset;

// An address within these pages: what time is shown stays, filters are given anew.
export function link(path, filters = {}) {
  const next = new URLSearchParams();
  for (const key of KEPT) if (params().has(key)) next.set(key, params().get(key));
  for (const [key, value] of Object.entries(filters)) if (value !== null && value !== undefined && value !== "") next.set(key, value);
  const query = next.toString();
  return query ? `${path}?${query}` : path;
}

export const anchor = (path, filters, html) => `<a href="${esc(link(path, filters))}">${html}</a>`;

export function go(changes) {
  const next = params();
  for (const [key, value] of Object.entries(changes)) value === null ? next.delete(key) : next.set(key, value);
  location.search = next.toString();
}

function frame() {
  const range = at("range");
  range.value = params().get("range") ?? range.value;
  range.onchange = () => go({ range: range.value });
  const width = range.selectedOptions[0].dataset.seconds * 1000;
  const end = params().has("to") ? Date.parse(params().get("to")) : Date.now();
  const moved = (by) => (end + by >= Date.now() ? null : `${iso(end + by)}Z`);
  at("earlier").onclick = () => go({ to: moved(-width) });
  at("later").onclick = () => go({ to: moved(width) });
  at("later").disabled = !pinned();
  if (params().has("dataset")) for (const id of ["range", "earlier", "later", "compare"]) at(id).disabled = true; // all of it is shown
  at("pin").textContent = pinned() ? "back to live" : "pin";
  at("pin").onclick = () => go({ to: pinned() ? null : `${iso(now())}Z`, dataset: null });
  at("compare").setAttribute("aria-pressed", String(params().has("compare")));
  at("compare").onclick = () => go({ compare: params().has("compare") ? null : "1" });
  for (const each of document.querySelectorAll("nav a")) if (!params().has("dataset")) each.href = link(each.getAttribute("href"));
  at("filters").innerHTML = [...params()]
    .filter(([key, value]) => !KEPT.includes(key) && value)
    .map(([key, value]) => {
      const rest = Object.fromEntries([...params()].filter(([other]) => other !== key));
      return `<a class="chip" href="${esc(link(location.pathname, rest))}" aria-label="no longer only ${esc(NAMES[key] ?? key)} ${esc(value)}">${esc(NAMES[key] ?? key)} <b>${esc(value)}</b> ✕</a>`;
    })
    .join("");
}

function signIn() {
  document.querySelector("main").innerHTML = `<form class="signin panel"><h2>This service asks for a token</h2>
    <p>Use the admin token that <code>inferometer up</code> printed once, or make one: <code>inferometer token create me --role read</code></p>
    <label>token <input name="token" type="password" autocomplete="current-password" required></label><button>Open</button><p class="note" role="alert"></p></form>`;
  document.querySelector("form.signin").onsubmit = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token");
    const answer = await fetch("/api/v1/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) });
    if (answer.ok) location.reload();
    else event.target.querySelector(".note").textContent = "That token is not known here, or was revoked.";
  };
}

async function load(view) {
  const query = params();
  const incident = location.hash.slice(1);
  if (incident) query.set("incident", incident);
  query.set("range", at("range").value);
  const answer = await fetch(`/api/v1/views/${view}?${query}`);
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the service answered ${answer.status}`);
  return answer.json();
}

function age() {
  const badge = at("live");
  const stale = state.newest !== null && now() - state.newest > state.stale;
  const heard = state.newest === null ? "no facts yet" : `newest fact ${ago(state.newest, now())}`;
  const [kind, text] = pinned()
    ? ["pinned", params().has("dataset") ? "an imported recording" : `ends ${clock(Date.parse(params().get("to")))} UTC`]
    : !state.connected ? ["stale", `not connected, ${heard}`]
    : stale ? ["stale", `stale, ${heard}`]
    : state.newest === null ? ["none", heard] : ["", heard];
  badge.className = `live ${kind}`;
  if (badge.innerHTML !== text) badge.innerHTML = text;
  document.body.classList.toggle("stale", kind === "stale");
}

function shown(data) {
  Object.assign(state, { newest: data.newest_ms, offset: data.now_ms - Date.now(), stale: data.stale_ms, connected: true });
  at("marks").textContent = data.marks.join(" · ");
  const sentence = at("sentence");
  sentence.className = `sentence ${data.tone}`;
  const said = data.sentences.map((one) => `<p>${one.path ? anchor(one.path, one.filters, esc(one.text)) : esc(one.text)}</p>`).join("");
  into(sentence, said);
  age();
}

// view: the name of the server's view; html(data) -> panels; draw(data, root) fills its charts.
export async function page(view, { html, draw = () => {} }) {
  frame();
  const root = at("content");
  let busy = false, again = false;
  const refresh = async () => {
    if (busy) return (again = true);
    if (document.hidden) return true;
    busy = true;
    try {
      const data = await load(view);
      if (data === null) return signIn(), false;
      shown(data);
      into(root, html(data));
      document.body.dataset.ready = "yes";
      await draw(data, root);
      document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
      into(at("failure"), "");
    } catch (error) {
      into(at("failure"), `<div class="failed-load" role="alert">This page could not be brought up to date: ${esc(error.message)}. What is shown is older; it tries again by itself.</div>`);
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
    return true;
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  addEventListener("hashchange", refresh);
  if ((await refresh()) && !pinned()) listen(refresh);
  setInterval(age, 1000);
}

// Live without reload: an event for each evaluation; should the stream be refused, ask now and then.
// Only a page that is seen listens: a browser has six connections to a service, and a page that
// was left would hold one of them.
function listen(refresh) {
  let stream = null;
  const leave = () => { stream?.close(); stream = null; };
  const enter = () => {
    if (stream || document.hidden) return;
    stream = new EventSource("/api/v1/stream");
    stream.onmessage = refresh;
    stream.onopen = () => { state.connected = true; age(); };
    stream.onerror = () => { state.connected = stream?.readyState === EventSource.CLOSED; age(); };
  };
  const seen = () => { if (document.hidden) return leave(); enter(); refresh(); };
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) seen(); });
  document.addEventListener("visibilitychange", seen);
  setInterval(() => { if (stream?.readyState === EventSource.CLOSED) refresh(); }, POLL_MS);
  enter();
}

// Change a part of the page to `html`, touching only what differs: focus, selection, open
// details and charts (data-keep) stay as they are.
export function into(target, html) {
  const wanted = document.createElement(target.tagName);
  wanted.innerHTML = html;
  children(target, wanted);
}

function children(from, to) {
  let here = from.firstChild;
  for (const want of [...to.childNodes]) {
    const kept = (want.id && from.querySelector(`:scope > #${CSS.escape(want.id)}`)) || here;
    if (kept && same(kept, want)) {
      if (kept !== here) from.insertBefore(kept, here);
      else here = here.nextSibling;
      update(kept, want);
    } else if (here && !here.id) {
      const next = here.nextSibling;
      from.replaceChild(want, here);
      here = next;
    } else from.insertBefore(want, here);
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? "") === (b.id ?? "");

function update(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.hasAttribute("data-keep")) return;
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  children(from, to);
}
