// The bill, split: by class, tenant and model; every line sums to the charge.
import { page, put } from "./app.js";
import { draw } from "./charts.js";
import { esc, money, number, panel, percent, table } from "./format.js";

page("cost", async (data, root) => {
  const grid = root.querySelector(".grid") ?? root.appendChild(Object.assign(document.createElement("div"), { className: "grid" }));
  const cash = (nano) => money(nano, data.currency);
  put(grid, "time", panel(`Charged over time, by class, ${data.currency} per hour`, "w7", `<div class="chart tall"></div>`));
  put(grid, "classes", panel("By class", "w5", table([
    { title: "class", cell: (c) => `${esc(c.class)}<div class="sub">${esc(c.meaning)}</div>` },
    { title: "amount", n: true, cell: (c) => cash(c.amount_nano) }, { title: "share", n: true, cell: (c) => percent(c.share, 1) },
  ], data.classes, data.unpriced ? `No price for ${esc(data.unpriced)}: set <code>prices</code> in the settings.` : "Nothing charged in this range yet.")));
  put(grid, "tenants", panel("Who caused it: tenant and model", "", table([
    { title: "tenant", cell: (t) => esc(t.tenant) }, { title: "model", cell: (t) => esc(t.model) },
    { title: "useful", n: true, cell: (t) => cash(t.useful_nano) }, { title: "missed SLO", n: true, cell: (t) => cash(t.slo_miss_nano) },
    { title: "waste", n: true, optional: true, cell: (t) => cash(t.waste_nano) }, { title: "in all", n: true, cell: (t) => cash(t.total_nano) },
    { title: "output tokens", n: true, optional: true, cell: (t) => number(t.output_tokens) },
    { title: "per 1 M output tokens", n: true, cell: (t) => cash(t.per_million_nano) },
  ], data.tenants, "No tenant has been charged in this range.")));
  put(grid, "check", panel("Does it add up", "", `<p>${esc(data.check)}</p><p class="note">${data.notes.map(esc).join(" ")}</p>`));
  await draw(grid.querySelector("#time .chart"), "ledger", data.over_time);
});
