// The table of results: rows by datasets and metrics, sortable, each cell a way to its runs.

function resultTable(table, openCell) {
  const body = el("tbody");
  const rows = table.rows.map((row) => ({ node: resultRow(table, row, openCell), keys: sortKeys(table, row) }));
  body.append(...rows.map((row) => row.node));
  const grid = el("table", { class: "results" }, tableHead(table, rows, body), body);
  return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `${table.title}: results` }, grid);
}

function columns(table) {
  return table.datasets.flatMap((dataset) => table.metrics.map((metric) => ({ dataset, metric })));
}

function cellOf(row, dataset, metric) {
  return row.cells[dataset]?.[metric.name] ?? null;
}

function cellsOf(table, row, dataset) {
  return table.metrics.map((metric) => cellOf(row, dataset, metric));
}

function sortKeys(table, row) {
  return [row.name, ...columns(table).map(({ dataset, metric }) => cellOf(row, dataset, metric)?.mean ?? null)];
}

function tableHead(table, rows, body) {
  const metrics = columns(table).map(({ metric }, i) =>
    sortableHead(metricLabel(metric), metric.direction, i + 1, rows, body));
  return headRows(table.datasets, sortableHead("method", null, 0, rows, body), metrics);
}

// A line of datasets over a line of metrics, beside the head of the first column.
function headRows(datasets, corner, metrics) {
  const each = metrics.length / datasets.length;
  const span = { scope: "colgroup", colspan: each, class: "dataset first" };
  const names = datasets.map((name) => el("th", span, el("span", {}, name)));
  corner.setAttribute("rowspan", 2);
  metrics.forEach((head, i) => head.classList.toggle("first", i % each === 0));
  return el("thead", {}, el("tr", {}, corner, names), el("tr", {}, metrics));
}

function sortableHead(label, direction, column, rows, body) {
  const arrow = { higher: "\u2191", lower: "\u2193" }[direction];
  const head = el("th", { scope: "col", "aria-sort": "none" },
    el("button", { class: "sort", onclick: () => sortBy(head, column, rows, body) }, label,
      arrow ? el("span", { class: "aim", title: `${direction} is better` }, `\u00a0${arrow}`) : null));
  return head;
}

function sortBy(head, column, rows, body) {
  const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  for (const other of head.closest("thead").querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", direction);
  rows.sort((a, b) => compare(a.keys[column], b.keys[column], direction === "ascending" ? 1 : -1));
  body.append(...rows.map((row) => row.node));
}

// What is missing comes last in either direction.
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
}

function resultRow(table, row, openCell) {
  const reference = row.name === table.reference;
  const name = el("th", { scope: "row" }, row.name, reference ? el("span", { class: "tag" }, "reference") : null);
  const cells = table.datasets.map((dataset) => datasetCells(table, row, dataset, openCell));
  return el("tr", { class: reference ? "reference" : null }, name, cells);
}

function datasetCells(table, row, dataset, openCell) {
  const cells = cellsOf(table, row, dataset);
  const leftOut = row.left_out[dataset] ?? [];
  if (!cells.some((cell) => cell)) {
    const reason = row.missing[dataset] ?? (leftOut.length ? "left out" : "not run");
    return el("td", { class: "missing first", colspan: cells.length }, reason);
  }
  return table.metrics.map((metric, i) => {
    const open = (event) => openCell(event.currentTarget, row, dataset, metric);
    const best = cells[i]?.mean === bestOf(table, dataset, metric);
    const node = cells[i] ? figureCell(metric, cells[i], best, row.missing[dataset], open) : emptyCell(leftOut.includes(metric.name));
    node.classList.toggle("first", i === 0);
    return node;
  });
}

function emptyCell(isLeftOut) {
  return el("td", { class: "missing" }, "\u2013", hidden(isLeftOut ? "left out" : "not measured"));
}

function figureCell(metric, cell, best, incomplete, open) {
  const said = el("span", { class: "figure" }, figureText(metric, cell), best ? hidden(" (best)") : null,
    incomplete ? el("span", { class: "dagger", title: incomplete }, "\u2020") : null);
  const opens = { class: "cell", "aria-haspopup": "dialog", onclick: open };
  return el("td", { class: best ? "best" : null },
    el("button", opens, said, intervalText(metric, cell), gainText(metric, cell)));
}

// null where there is nothing to be best of.
function bestOf(table, dataset, metric) {
  const means = table.rows.map((row) => cellOf(row, dataset, metric)?.mean ?? null).filter((mean) => mean !== null);
  if (!metric.direction || means.length < 2) return null;
  return metric.direction === "higher" ? Math.max(...means) : Math.min(...means);
}

function figureText(metric, cell) {
  const mean = el("span", { class: "mean" }, number(cell.mean, metric.digits));
  if (cell.std === null) return [mean];
  return [mean, el("span", { class: "std" }, ` \u00b1 ${number(cell.std, metric.digits)}`)];
}

function intervalText(metric, cell) {
  if (!cell.interval) return null;
  return el("span", { class: "std" }, `[${cell.interval.map((end) => number(end, metric.digits)).join(", ")}]`);
}

function gainText(metric, cell) {
  const mark = cell.significant ? [el("span", { "aria-hidden": "true" }, "*"), hidden(" significant")] : null;
  if (cell.gain === null) return mark && el("span", { class: "gain" }, mark);
  return el("span", { class: `gain${toneOf(metric, cell)}` }, percent(cell.gain), mark);
}

// The class of a significant gain; none where a metric has no better direction.
function toneOf(metric, cell) {
  if (!metric.direction || !cell.significant || !cell.gain) return "";
  return cell.gain > 0 === (metric.direction === "higher") ? " better" : " worse";
}

function seedCount(seeds) {
  return `${seeds} ${seeds === 1 ? "seed" : "seeds"}`;
}

// How to read the table, of what occurs in it.
function legend(table) {
  const held = table.rows.flatMap((row) => columns(table).map(({ dataset, metric }) =>
    ({ cell: cellOf(row, dataset, metric), reason: row.missing[dataset] }))).filter(({ cell }) => cell);
  const filled = held.map(({ cell }) => cell);
  if (!filled.length) return null;
  const counts = union([filled.map((cell) => cell.seeds)]).sort((a, b) => a - b);
  const seeds = counts.length > 1 ? `${counts[0]} to ${counts.at(-1)}` : counts[0];
  const lines = [
    `Mean${filled.some((cell) => cell.std !== null) ? " \u00b1 standard deviation" : ""} over ${seedCount(seeds)}.`,
    filled.some((cell) => cell.interval) ? "In brackets: 95 % interval." : "",
    filled.some((cell) => cell.gain !== null) ? `Below it: gain over ${table.reference}.` : "",
    filled.some((cell) => cell.significant) ? "* significant." : "",
    held.some(({ reason }) => reason) ? "\u2020 incomplete." : "",
    "Shaded: best of its column. A cell opens its runs.",
  ];
  return el("p", { class: "legend" }, lines.filter((line) => line).join(" "));
}

// Figures of others stand apart: another backbone, other data, another way to choose.
function publishedBlock(published) {
  if (!published.length) return null;
  return el("details", { class: "published", open: "" },
    el("summary", {}, el("h3", {}, "Published figures"), el("span", { class: "tag" }, "not measured here")),
    published.map((block) => el("section", {},
      definitions(["source", "backbone", "selection", "scores"].filter((term) => block[term])
        .map((term) => [term, block[term]])),
      publishedTable(block), block.note ? el("p", { class: "muted" }, block.note) : null)));
}

function publishedTable(block) {
  const held = block.datasets.flatMap((dataset) => block.metrics.map((metric) => ({ dataset, metric })));
  const values = Object.values(block.rows).flatMap((row) => held.map(({ dataset, metric }) => row[dataset]?.[metric]));
  const digits = Math.max(...values.map((value) => (String(value ?? "").split(".")[1] ?? "").length));
  const plainHead = (name) => el("th", { scope: "col" }, name);
  const rows = Object.entries(block.rows).map(([name, row]) => el("tr", {}, el("th", { scope: "row" }, name),
    held.map(({ dataset, metric }) => publishedCell(row[dataset]?.[metric], digits, metric === block.metrics[0]))));
  return el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `published: ${block.source}` },
    el("table", {}, headRows(block.datasets, plainHead("method"), held.map(({ metric }) => plainHead(metric))),
      el("tbody", {}, rows)));
}

function publishedCell(value, digits, first) {
  const text = value === undefined || value === null ? "\u2013" : number(value, digits);
  return el("td", { class: first ? "first" : null }, text);
}
