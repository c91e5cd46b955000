// Fills figure templates (made once in Python) with columns; the server never builds a figure.
const templates = new Map();

async function template(name) {
  if (!templates.has(name)) {
    templates.set(name, fetch(`/api/v1/figures/${name}`).then((answer) => answer.json()));
  }
  return structuredClone(await templates.get(name));
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { ink: value("--ink"), soft: value("--soft"), line: value("--line") };
}

function themed(layout) {
  const { ink, soft, line } = palette();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickfont: { color: soft } };
  const all = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { ...layout.font, color: ink } };
  for (const key of Object.keys(all)) if (/^[xy]axis\d*$/.test(key)) all[key] = { ...all[key], ...axis };
  return all;
}

// columns: {name: array}; each template trace says which columns it takes (`fill`). A template
// with `per` draws its traces once for each series of `columns.series`.
export async function draw(element, name, columns) {
  if (!element) return;
  const { data, layout, fill, per } = await template(name);
  const series = per ? columns.series ?? [] : [{ name: null, ...columns }];
  const traces = series.flatMap((one) =>
    data.map((trace, at) => {
      const filled = { ...trace };
      for (const [slot, column] of Object.entries(fill[at])) filled[slot] = one[column] ?? [];
      if (one.name !== null) filled.name = one.name;
      return filled;
    }),
  );
  const points = traces.reduce((sum, trace) => sum + (trace.x ?? trace.y ?? []).length, 0);
  if (!points) {
    window.Plotly?.purge(element);
    element.innerHTML = `<div class="empty">Nothing measured in this range.</div>`;
    return;
  }
  if (element.querySelector(":scope > .empty")) element.innerHTML = "";
  await window.Plotly.react(element, traces, themed(layout), { displayModeBar: false, responsive: true });
}
