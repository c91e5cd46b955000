// The frame of every page: token, range, live stream, age of the newest fact, failures said aloud.
import { ago, esc } from "./format.js";

const RANGES = { "15m": "15 minutes", "1h": "1 hour", "6h": "6 hours", "1d": "1 day", "7d": "7 days", "30d": "30 days" };
const STALE_MS = 30000;
const state = { newest: null, offset: 0, timer: null };
const params = () => new URLSearchParams(location.search);

export const range = () => params().get("range") ?? "1h";
export const filter = (name) => params().get(name);
export const link = (path, extra) => {
  const next = new URLSearchParams({ range: range(), ...extra });
  return `${path}?${next}`;
};

function frame() {
  const choose = document.getElementById("range");
  choose.innerHTML = Object.entries(RANGES).map(([key, text]) => `<option value="${key}">last ${text}</option>`).join("");
  choose.value = range();
  choose.onchange = () => {
    const next = params();
    next.set("range", choose.value);
    location.search = next.toString();
  };
  for (const anchor of document.querySelectorAll("nav a")) anchor.href = link(anchor.getAttribute("href"));
}

function signIn() {
  document.querySelector("main").innerHTML = `<form class="signin panel"><h2>This service asks for a token</h2>
    <p>Use the admin token that <code>inferometer up</code> printed once, or make one: <code>inferometer token create me --role read</code></p>
    <input name="token" type="password" autocomplete="current-password" aria-label="token" required><button>Open</button><p class="note" role="alert"></p></form>`;
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
  query.set("range", range());
  const answer = await fetch(`/api/v1/views/${view}?${query}`);
  if (answer.status === 401) return null;
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the service answered ${answer.status}`);
  return answer.json();
}

function age() {
  const badge = document.getElementById("live");
  const now = Date.now() + state.offset;
  const stale = state.newest === null || now - state.newest > STALE_MS;
  badge.className = `live ${stale ? "stale" : ""}`;
  badge.innerHTML = state.newest === null ? "no facts yet" : `${stale ? "stale: newest fact " : "newest fact "}${ago(state.newest, now)}`;
  document.body.classList.toggle("stale", stale && state.newest !== null);
}

function shown(data) {
  state.newest = data.newest_ms;
  state.offset = data.now_ms - Date.now();
  document.getElementById("marks").textContent = data.marks.join(" · ");
  const sentence = document.getElementById("sentence");
  sentence.className = `sentence ${data.tone}`;
  sentence.innerHTML = data.sentences.map((line) => `<p>${esc(line)}</p>`).join("");
  age();
}

// view: the name of the server's view; render(data, root) draws it.
export async function page(view, render) {
  frame();
  const root = document.getElementById("content");
  let busy = false;
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const data = await load(view);
      if (data === null) return signIn();
      shown(data);
      await render(data, root);
      document.body.dataset.ready = "yes";
    } catch (error) {
      document.getElementById("failure").innerHTML = `<div class="failed-load" role="alert">This page could not be brought up to date: ${esc(error.message)}. What is shown is older; trying again.</div>`;
      busy = false;
      return;
    }
    document.getElementById("failure").innerHTML = "";
    busy = false;
  };
  await refresh();
  const stream = new EventSource("/api/v1/stream");
  stream.onmessage = refresh;
  document.addEventListener("visibilitychange", refresh);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  setInterval(age, 1000);
}

// Keep the page still while it refreshes: only replace what changed.
export function put(root, id, html) {
  let slot = root.querySelector(`#${id}`);
  if (!slot) {
    slot = document.createElement("div");
    slot.id = id;
    slot.style.display = "contents";
    root.append(slot);
  }
  if (slot.dataset.html !== html) {
    slot.innerHTML = html;
    slot.dataset.html = html;
  }
  return slot;
}
