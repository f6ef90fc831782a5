// The plots of a table: a choice above, a legend that hides rows, one panel a dataset or a comparison.

const GAP = 20;
const COLOURS = 6;

// The reference is grey; beyond six other rows the colours come again, dashed.
function rowStyles(table) {
  const others = table.rows.filter((row) => row.name !== table.reference);
  const style = (i) => ({ colour: `var(--row-${(i % COLOURS) + 1})`, dash: i < COLOURS ? null : "5 3" });
  return Object.fromEntries([
    [table.reference, { colour: "var(--row-reference)", dash: null }],
    ...others.map((row, i) => [row.name, style(i)]),
  ]);
}

// panels(option, off): [{ title, draw(width) -> node, group: heading of its line or none }], without the rows whose names are in the set `off`.
function figure({ title, about, nothing, label, options, styles = {}, extra = null, least = 300, panels }) {
  const head = el("summary", {}, el("h3", {}, title));
  if (!options.length) return el("details", { class: "plots", open: "" }, head, el("p", { class: "muted" }, nothing));
  const off = new Set();
  let shown = options[0];
  const board = el("div", { class: "board" });
  const draw = () => drawPanels(board, panels(shown, off), least);
  const pick = choice(label, options, (option) => { shown = option; draw(); });
  onWidth(board, draw);
  return el("details", { class: "plots", open: "" }, head, el("p", { class: "muted" }, about),
    el("div", { class: "controls" }, pick, rowLegend(styles, off, draw), extra), board);
}

function onWidth(node, draw) {
  let last = 0;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    // It has none while its section is closed.
    if (!width || width === last) return;
    last = width;
    draw();
  }).observe(node);
}

function drawPanels(board, panels, least) {
  const across = clamp(Math.floor((board.clientWidth + GAP) / (least + GAP)), 1, panels.length);
  const width = Math.floor(Math.min(600, (board.clientWidth - GAP * (across - 1)) / across));
  board.replaceChildren(...panels.flatMap((panel, i) => [
    panel.group && panel.group !== panels[i - 1]?.group ? el("h4", {}, panel.group) : [],
    el("figure", { style: `width: ${width}px` }, el("figcaption", {}, panel.title), panel.draw(width)),
  ].flat()));
}

function rowLegend(styles, off, draw) {
  const toggle = (name) => (event) => {
    if (!off.delete(name)) off.add(name);
    event.currentTarget.setAttribute("aria-pressed", !off.has(name));
    draw();
  };
  return el("div", { class: "keys" }, Object.entries(styles).map(([name, style]) =>
    el("button", { class: "key", "aria-pressed": "true", onclick: toggle(name) }, swatch(style), name)));
}

function swatch({ colour, dash }) {
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 18, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": dash, style: `stroke: ${colour}` }));
}

// The runs of a table with the row and dataset that they belong to.
function runsOf(table, report) {
  return table.rows.flatMap((row) => table.datasets.flatMap((dataset) =>
    (row.runs[dataset] ?? []).map((id) => ({ row: row.name, dataset, ...report.runs[id] }))));
}

function gainFigure(table) {
  const reference = table.rows.find((row) => row.name === table.reference);
  const others = table.rows.filter((row) => row !== reference);
  const compared = (dataset, metric) => others.some((row) => (cellOf(row, dataset, metric)?.gain ?? null) !== null);
  const metrics = table.metrics.filter((metric) => table.datasets.some((dataset) => compared(dataset, metric)));
  return figure({
    title: `Gain over ${table.reference}`,
    about: "In percent of the reference, with the 95 % interval of the paired difference; filled: significant.",
    nothing: `Nothing is compared with ${table.reference} yet.`,
    label: "metric",
    options: metrics.map((metric) => metric.name),
    panels: (name) => {
      const metric = metrics.find((one) => one.name === name);
      return table.datasets.filter((dataset) => compared(dataset, metric)).map((dataset) => ({
        title: dataset,
        draw: (width) => forest(table, others, dataset, metric, cellOf(reference, dataset, metric).mean, width),
      }));
    },
  });
}

function forest(table, rows, dataset, metric, base, width) {
  const entries = rows.map((row) => ({ name: row.name, gain: gainInPercent(cellOf(row, dataset, metric), base) }));
  const known = entries.filter((entry) => entry.gain);
  const domain = padded(extent([0, ...known.flatMap(({ gain }) => [gain.at, ...(gain.interval ?? [])])]), 0.06);
  const height = 36 * entries.length + 62;
  const area = plotArea(width, height, []);
  const x = scale(domain, [area.left, area.right]);
  const spoken = known.map(({ name, gain }) => `${name} ${percent(gain.at)}`).join(", ");
  const marks = ticks(domain, tickCount(area));
  const node = drawing(width, height, `Gain in ${metric.name} over ${table.reference} on ${dataset}: ${spoken}`);
  const ruled = marks.map((mark) => svg("line",
    { class: mark.value ? "grid" : "zero", x1: x(mark.value), x2: x(mark.value), y1: 18, y2: area.bottom }));
  const towards = { higher: "better \u2192", lower: "\u2190 better" }[metric.better] ?? "";
  node.append(...[ruled, bottomAxis(area, marks, x, "gain, %"), entries.map((entry, i) => forestRow(entry, metric, area, x, i)),
    text(metric.better === "lower" ? area.left : area.right, 11, towards,
      { class: "label", "text-anchor": metric.better === "lower" ? "start" : "end" })].flat(2));
  return node;
}

// low and high are differences in the metric itself.
function gainInPercent(cell, base) {
  if (!cell || cell.gain === null) return null;
  const interval = cell.low === null ? null : [cell.low, cell.high].map((end) => (100 * end) / base);
  return { at: cell.gain, interval, significant: cell.significant };
}

function forestRow({ name, gain }, metric, area, x, i) {
  const top = 34 + 36 * i;
  const label = text(area.left, top, name, { class: "name" });
  if (!gain) return [label, text(area.right, top, "not run", { class: "value muted", "text-anchor": "end" })];
  const better = gain.significant ? isBetter(metric, gain.at) : null;
  const tone = better === null ? "" : better ? " better" : " worse";
  const line = gain.interval && svg("line",
    { class: `interval${tone}`, x1: x(gain.interval[0]), x2: x(gain.interval[1]), y1: top + 14, y2: top + 14 });
  return [label, line ?? [],
    svg("circle", { class: `gain${gain.significant ? " sure" : ""}${tone}`, cx: x(gain.at), cy: top + 14, r: 5 }),
    text(area.right, top, percent(gain.at) + (gain.significant ? "*" : ""), { class: "value", "text-anchor": "end" })].flat();
}

function curveFigure(table, report) {
  const runs = runsOf(table, report);
  const styles = rowStyles(table);
  const first = ["train/loss", "valid/ndcg@10"];
  const found = union(runs.map((run) => Object.keys(run.curves)));
  const drawn = (name, dataset) => runs.filter((run) => run.dataset === dataset && run.curves[name]?.length);
  return figure({
    title: "Training curves",
    about: "A line a seed. Losses of different objectives are no common measure.",
    nothing: "None of the runs has curves.",
    label: "curve",
    options: [...first.filter((name) => found.includes(name)), ...found.filter((name) => !first.includes(name)).sort()],
    styles,
    panels: (name, off) => table.datasets.filter((dataset) => drawn(name, dataset).length).map((dataset) => ({
      title: dataset,
      draw: (width) => curves(drawn(name, dataset).filter((run) => !off.has(run.row)), name, styles, width),
    })),
  });
}

function curves(runs, name, styles, width) {
  const points = runs.flatMap((run) => run.curves[name]);
  const [height, xs, ys] = [250, extent(points.map(([step]) => step)), padded(extent(points.map((point) => point[1])), 0.05)];
  const node = drawing(width, height, `${name} by step of ${union(runs.map((run) => run.row)).join(", ")}`);
  if (!points.length) return node;
  const area = plotArea(width, height, ticks(ys, 4));
  const [x, y] = [scale(xs, [area.left + 4, area.right - 4]), scale(ys, [area.bottom, area.top])];
  node.append(...[leftAxis(area, ticks(ys, 4), y, name), bottomAxis(area, ticks(xs, tickCount(area)), x, "step"),
    runs.map((run) => curve(run, run.curves[name], styles[run.row], x, y))].flat(2));
  return node;
}

function curve(run, points, { colour, dash }, x, y) {
  const path = points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const dots = points.length > 12 ? [] : points.map(([step, value]) =>
    svg("circle", { cx: x(step), cy: y(value), r: 2.5, style: `fill: ${colour}` }));
  return svg("g", { class: "curve" }, svg("title", {}, `${run.row}, seed ${run.seed}`),
    svg("path", { d: path, "stroke-dasharray": dash, style: `stroke: ${colour}` }), dots);
}

function userFigure(table, report) {
  const gains = report.gains.filter((gain) => gain.table === table.name);
  return figure({
    title: "Gain by user",
    about: `Each user's difference to ${table.reference}, mean over seeds. Bar: all users; histogram: those who differ.`,
    nothing: `No users to compare with ${table.reference} yet.`,
    label: "metric",
    options: union(gains.map((gain) => gain.metric)),
    least: 250,
    panels: (name) => table.datasets.flatMap((dataset) => gains
      .filter((gain) => gain.metric === name && gain.dataset === dataset)
      .map((gain) => ({
        group: dataset,
        title: gain.row,
        draw: (width) => el("div", {}, shares(gain, width), histogram(table, gain, width)),
      }))),
  });
}

function shares({ better, same, worse, users }, width) {
  const parts = [["worse", worse], ["same", same], ["better", better]];
  let from = 0;
  const bars = parts.map(([name, count]) => {
    const bar = svg("rect", { class: `share ${name}`, x: from, y: 0, width: (width * count) / users, height: 8 });
    from += (width * count) / users;
    return bar;
  });
  const words = parts.map(([name, count]) => el("span", {}, el("i", { class: name }), `${count} ${name}`));
  return el("div", { class: "shares" }, svg("svg", { width, height: 8, "aria-hidden": "true" }, bars),
    el("p", {}, words, el("span", { class: "muted" }, `of ${users}`)));
}

function histogram(table, gain, width) {
  const metric = table.metrics.find((one) => one.name === gain.metric);
  const [height, ys] = [170, [0, Math.max(1, ...gain.counts)]];
  const xs = extent(gain.edges);
  // Users are whole.
  const up = ticks(ys, 3).filter((mark) => Number.isInteger(mark.value));
  const area = plotArea(width, height, up);
  const [x, y] = [scale(xs, [area.left, area.right]), scale(ys, [area.bottom, area.top])];
  const bars = gain.counts.map((count, i) => {
    const [from, to] = [gain.edges[i], gain.edges[i + 1]];
    const better = from < 0 && to > 0 ? null : isBetter(metric, from + to);
    const tone = better === null ? "same" : better ? "better" : "worse";
    return svg("rect", { class: `bar ${tone}`, x: x(from) + 0.5, width: Math.max(1, x(to) - x(from) - 1), y: y(count),
      height: area.bottom - y(count) }, svg("title", {}, `${number(from, 3)} to ${number(to, 3)}: ${count} users`));
  });
  const node = drawing(width, height, `${gain.better} better, ${gain.same} same, ${gain.worse} worse of ${gain.users} users`);
  node.append(...[leftAxis(area, up, y, "users"), bars,
    bottomAxis(area, ticks(xs, tickCount(area)), x, `difference in ${gain.metric}`)].flat(2));
  return node;
}

function biasFigure(table, report) {
  const runs = runsOf(table, report).filter((run) => run.fairness);
  const styles = rowStyles(table);
  const measured = (name, dataset) => runs.filter((run) => run.dataset === dataset && run.fairness[name]);
  return figure({
    title: "Popularity and relevance bias",
    about: "Share of the lists (dots, mean over seeds) against share of the histories (grey bars), by fifths of the titles.",
    nothing: "None of the runs was measured for bias.",
    label: "fifths by",
    options: ["popularity", "relevance"].filter((name) => runs.some((run) => run.fairness[name])),
    styles,
    extra: el("span", { class: "key still" }, el("i", { class: "histories" }), "histories"),
    panels: (name, off) => table.datasets.filter((dataset) => measured(name, dataset).length).map((dataset) => ({
      title: dataset,
      draw: (width) => bias(measured(name, dataset), name, off, styles, width),
    })),
  });
}

function bias(runs, name, off, styles, width) {
  const rows = union(runs.map((run) => run.row)).filter((row) => !off.has(row));
  const histories = runs[0].fairness[name].gh;
  const lists = rows.map((row) => meanOf(runs.filter((run) => run.row === row).map((run) => run.fairness[name].gp)));
  const [height, ys] = [250, [0, 105 * Math.max(...histories, ...lists.flat())]];
  const area = plotArea(width, height, ticks(ys, 4));
  const [band, y] = [(area.right - area.left) / histories.length, scale(ys, [area.bottom, area.top])];
  const middle = (bin) => area.left + band * (bin + 0.5);
  const bars = histories.map((share, bin) => svg("rect", { class: "histories", x: middle(bin) - band * 0.42, width: band * 0.84,
    y: y(100 * share), height: area.bottom - y(100 * share) }, svg("title", {}, `histories: ${number(100 * share, 1)} %`)));
  const dots = lists.map((shares, i) => shares.map((share, bin) => svg("circle", { class: "lists",
    cx: middle(bin) + band * 0.7 * ((i + 0.5) / rows.length - 0.5), cy: y(100 * share), r: 4,
    style: `${styles[rows[i]].dash ? "stroke" : "fill"}: ${styles[rows[i]].colour}` },
    svg("title", {}, `${rows[i]}: ${number(100 * share, 1)} %`))));
  const most = { popularity: "most popular", relevance: "most relevant" }[name];
  const bins = histories.map((_, bin) => ({ value: bin, text: String(bin + 1) }));
  const node = drawing(width, height, `Share of lists and of histories by ${name}`);
  node.append(...[leftAxis(area, ticks(ys, 4), y, "share, %"), bars, dots,
    bottomAxis(area, bins, middle, `fifth of the titles, 1 = ${most}`)].flat(2));
  return node;
}

function meanOf(lists) {
  return lists[0].map((_, i) => lists.reduce((sum, list) => sum + list[i], 0) / lists.length);
}
