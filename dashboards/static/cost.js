// The bill, split: by class, pool, tenant and model; its rows; whether every line sums to the charge.
import { anchor, page } from "./app.js";
import { drawAll } from "./charts.js";
import { KWH, PRICE, bar, chart, clock, esc, money, number, panel, percent, short, sub, table, tag } from "./format.js";

page("cost", {
  html: (data) => {
    const cash = (nano) => money(nano, data.currency);
    const amount = (title, key, filters, optional) => ({ title, n: true, optional, cell: (row) => (row[key] ? anchor("/cost", filters(row), cash(row[key])) : cash(row[key])) });
    const party = (t) => ({ tenant: t.tenant, model: t.model });
    const pool = (p) => ({ pool: p.pool });
    const nothing = data.unpriced
      ? `No GPU has a price. Give one: ${PRICE}`
      : `Nothing charged in this range yet: an interval is closed some time after its end. Prices are given by ${PRICE}.`;
    const classes = [
      { title: "class", cell: (c) => `${anchor("/cost", { class: c.class }, esc(c.class))}${sub(esc(c.meaning))}` },
      { title: "amount", n: true, cell: (c) => cash(c.amount_nano) },
      ...(data.compared ? [{ title: "before", n: true, cell: (c) => cash(c.before_nano) }] : []),
      { title: "share", n: true, cell: (c) => `${bar(c.share, c.class.split(".")[0])}${percent(c.share, 1)}` },
    ];
    const tenants = [
      { title: "tenant", cell: (t) => anchor("/cost", { tenant: t.tenant }, esc(t.tenant)) + sub(anchor("/cost", { model: t.model }, esc(t.model ?? "model not known"))) },
      amount("useful", "useful_nano", (t) => ({ ...party(t), class: "useful" }), true), amount("missed limit", "slo_miss_nano", (t) => ({ ...party(t), class: "slo_miss" })),
      amount("waste", "waste_nano", (t) => ({ ...party(t), class: "waste" }), true), amount("in all", "total_nano", party),
      { title: "output tokens", n: true, optional: true, cell: (t) => number(t.output_tokens) },
      { title: "per 1 M output tokens", n: true, cell: (t) => cash(t.per_million_nano) },
    ];
    const pools = [
      { title: "pool", cell: (p) => (p.pool ? anchor("/cost", pool(p), esc(p.pool)) : "no pool") }, { title: "GPUs", n: true, cell: (p) => number(p.gpus) },
      amount("useful", "useful_nano", (p) => ({ ...pool(p), class: "useful" }), true), amount("missed limit", "slo_miss_nano", (p) => ({ ...pool(p), class: "slo_miss" }), true),
      amount("waste", "waste_nano", (p) => ({ ...pool(p), class: "waste" })), amount("idle, headroom", "idle_nano", (p) => ({ ...pool(p), class: "idle" })), amount("in all", "total_nano", pool),
    ];
    const energies = [
      { title: "pool", cell: (p) => (p.pool ? anchor("/cost", pool(p), esc(p.pool)) : "no pool") }, { title: "GPUs", n: true, cell: (p) => number(p.gpus) },
      { title: "kWh", n: true, cell: (p) => number(p.kwh, p.kwh < 100 ? 3 : 0) }, { title: "joules per output token", n: true, cell: (p) => number(p.joules_per_token, 2) },
      { title: "electricity", n: true, cell: (p) => cash(p.amount_nano) },
    ];
    const energy = (e) => panel("energy", "Energy, by the GPUs' own counters", "", table(energies, e.pools, "No GPU told its energy in this range.", "energy by pool")
      + `<p class="note">Beside the bill, not in it: a rented GPU-hour contains its electricity. ${e.nano_per_kwh === null ? `A kWh has no price; give one: ${KWH}` : ""}${e.untold ? ` GPUs that tell no energy, so not counted: ${number(e.untold)}.` : ""}</p>`);
    const rows = [
      { title: "interval, UTC", cell: (r) => `${clock(r.from_ms)}<span class="optional"> – ${clock(r.to_ms)}</span>` }, { title: "GPU", optional: true, cell: (r) => short(r.gpu_uuid) },
      { title: "replica", optional: true, cell: (r) => esc(r.replica === "__unmapped__" ? "unmapped" : r.replica) }, { title: "class", cell: (r) => esc(r.class) },
      { title: "tenant", cell: (r) => esc(r.tenant ?? "nobody's") }, { title: "model", optional: true, cell: (r) => esc(r.model ?? "–") },
      { title: `billionths of ${esc(data.currency)}`, n: true, cell: (r) => (r.amount_nano === null ? "no price" : number(r.amount_nano)) },
    ];
    const verdict = data.check.adds_up === null ? "" : tag(data.check.adds_up ? "adds up" : "does not add up");
    return [
      chart("ledger", `Charged over time, by class, ${esc(data.currency)} per hour`, "w7", data.until_ms ? `Closed until ${clock(data.until_ms)} UTC; the newest minutes are not here yet.` : "", "tall"),
      panel("classes", "By class", "w5", table(classes, data.classes, nothing, "charge by class")),
      panel("tenants", "Who caused it: tenant and model", "", table(tenants, data.tenants, "No tenant has been charged in this range.", "charge by tenant and model")),
      panel("pools", "By pool", "", table(pools, data.pools, "No pool has been charged in this range.", "charge by pool")),
      data.energy ? energy(data.energy) : "",
      panel("check", "Does it add up?", "", `<p>${verdict} ${esc(data.check.words)}</p><p class="note">Amounts are integers of a billionth of the currency. The charge is computed anew from the price book, GPU by GPU; the sums above are of ledger rows. A filter does not change this check.</p>`),
      panel("rows", "Ledger rows, the newest", "", table(rows, data.rows, "No ledger row in this range.", "ledger rows")),
    ].join("");
  },
  draw: (data, root) => drawAll(root, data, [["ledger", "ledger"]]),
});
