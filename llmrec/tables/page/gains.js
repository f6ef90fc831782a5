// Plots of what is gained over the reference: over all with intervals, and user by user.

const FOREST_ROW = 36;

function gainFigure(table) {
  const reference = table.rows.find((row) => row.name === table.reference);
  const others = table.rows.filter((row) => row !== reference);
  const compared = (dataset, metric) => others.some((row) => (cellOf(row, dataset, metric)?.gain ?? null) !== null);
  const tested = (metric) =>
    table.datasets.some((dataset) => others.some((row) => cellOf(row, dataset, metric)?.gain_interval));
  // Those with intervals first, for the first is shown.
  const metrics = table.metrics.filter((metric) => table.datasets.some((dataset) => compared(dataset, metric)))
    .sort((a, b) => tested(b) - tested(a));
  return figure({
    title: `Gain over ${table.reference}`,
    about: "In percent of the reference's mean, with the 95 % interval of the difference, not corrected; filled: significant, corrected.",
    nothing: `No gains: nothing is compared with ${table.reference} yet.`,
    label: "metric",
    options: metrics.map((metric) => metric.name),
    panels: (name) => {
      const metric = metrics.find((one) => one.name === name);
      return table.datasets.filter((dataset) => compared(dataset, metric)).map((dataset) => {
        const entries = others.map((row) => ({ name: row.name, gain: gainOf(cellOf(row, dataset, metric)) }));
        const label = `Gain in ${name} over ${table.reference} on ${dataset}`;
        return { title: dataset, draw: (width) => forest(entries, metric, label, width) };
      });
    },
  });
}

// In percent.
function gainOf(cell) {
  if (!cell || cell.gain === null) return null;
  return { at: cell.gain, interval: cell.gain_interval ?? [], significant: cell.significant };
}

function forest(entries, metric, label, width) {
  const known = entries.filter((entry) => entry.gain);
  const domain = padded(extent([0, ...known.flatMap(({ gain }) => [gain.at, ...gain.interval])]), 0.06);
  const height = FOREST_ROW * entries.length + 62;
  const area = plotArea(width, height, []);
  const x = scale(domain, [area.left, area.right]);
  const marks = ticks(domain, tickCount(area));
  const rules = marks.map(({ value }) =>
    svg("line", { class: value ? "grid" : "zero", x1: x(value), x2: x(value), y1: 18, y2: area.bottom }));
  const spoken = known.map(({ name, gain }) => `${name} ${percent(gain.at)}`).join(", ");
  return drawing(width, height, `${label}: ${spoken}`, rules, bottomAxis(area, marks, x, "gain, %"),
    betterEnd(metric, area), entries.map((entry, i) => forestRow(entry, metric, area, x, 34 + FOREST_ROW * i)));
}

function betterEnd(metric, area) {
  if (metric.better === "lower") return text(area.left, 11, "\u2190 better", { class: "label" });
  return metric.better ? text(area.right, 11, "better \u2192", { class: "label", "text-anchor": "end" }) : null;
}

function forestRow({ name, gain }, metric, area, x, top) {
  const end = { "text-anchor": "end" };
  const label = text(area.left, top, name, { class: "name" });
  if (!gain) return [label, text(area.right, top, "not compared", { class: "value muted", ...end })];
  const tone = toneOf(metric, gain);
  const y = top + 14;
  const [low, high] = gain.interval.map(x);
  return [label,
    gain.interval.length ? svg("line", { class: `interval${tone}`, x1: low, x2: high, y1: y, y2: y }) : null,
    svg("circle", { class: `gain${tone}${gain.significant ? " sure" : ""}`, cx: x(gain.at), cy: y, r: 5 }),
    text(area.right, top, percent(gain.at) + (gain.significant ? "*" : ""), { class: "value", ...end })];
}

function toneOf(metric, { at, significant }) {
  const better = significant ? isBetter(metric, at) : null;
  return { true: " better", false: " worse" }[better] ?? "";
}

function userFigure(table, report) {
  const gains = report.gains.filter((gain) => gain.table === table.name);
  const shown = (name, dataset) => gains.filter((gain) => gain.metric === name && gain.dataset === dataset);
  return figure({
    title: "Gain by user",
    about: `Each user's difference to ${table.reference}, mean over seeds; bar: all users, histogram: who differs.`,
    nothing: `No gains by user: none are compared with ${table.reference} yet.`,
    label: "metric",
    options: union(gains.map((gain) => gain.metric)),
    least: 250,
    panels: (name) => table.datasets.flatMap((dataset) => shown(name, dataset).map((gain) => ({
      title: gain.row,
      group: dataset,
      draw: (width) =>
        el("div", {}, shares(gain, width), gain.counts.some((count) => count) ? histogram(table, gain, width) : null),
    }))),
  });
}

// Of all users: worse, same, better, as one bar and in words.
function shares(gain, width) {
  const names = ["worse", "same", "better"];
  const size = (name) => (width * gain[name]) / gain.users;
  const from = { worse: 0, same: size("worse"), better: size("worse") + size("same") };
  const bars = names.map((name) =>
    svg("rect", { class: `share ${name}`, x: from[name], width: size(name), height: 8 }));
  const words = names.map((name) => el("span", {}, el("i", { class: name }), `${gain[name]} ${name}`));
  return el("div", { class: "shares" }, svg("svg", { width, height: 8, "aria-hidden": "true" }, bars),
    el("p", {}, words, el("span", { class: "muted" }, `of ${gain.users}`)));
}

function histogram(table, gain, width) {
  const metric = table.metrics.find((one) => one.name === gain.metric);
  const height = 170;
  const [differences, up] = [extent(gain.edges), [0, Math.max(1, ...gain.counts)]];
  // Users are whole.
  const counts = ticks(up, 3).filter((mark) => Number.isInteger(mark.value));
  const area = plotArea(width, height, counts);
  const [x, y] = [scale(differences, [area.left, area.right]), scale(up, [area.bottom, area.top])];
  const bars = gain.counts.map((count, i) => {
    const [from, to] = [gain.edges[i], gain.edges[i + 1]];
    const across = { x: x(from) + 0.5, width: Math.max(1, x(to) - x(from) - 1) };
    const box = { ...across, y: y(count), height: area.bottom - y(count) };
    return svg("rect", { ...box, class: `bar ${sideOf(metric, from, to)}` },
      svg("title", {}, `${number(from, 3)} to ${number(to, 3)}: ${count} users`));
  });
  const label = `${gain.better} better, ${gain.same} same, ${gain.worse} worse of ${gain.users} users`;
  return drawing(width, height, label, leftAxis(area, counts, y, "users"), bars,
    bottomAxis(area, ticks(differences, tickCount(area)), x, `difference in ${gain.metric}`));
}

function sideOf(metric, from, to) {
  const better = from < 0 && to > 0 ? null : isBetter(metric, from + to);
  return { true: "better", false: "worse" }[better] ?? "same";
}
