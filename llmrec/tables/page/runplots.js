// Plots of the runs behind a table: training curves, and whose titles get room in the lists.

// The runs of a table with the row and dataset that they belong to.
function runsOf(table, report) {
  return table.rows.flatMap((row) => table.datasets.flatMap((dataset) =>
    (row.runs[dataset] ?? []).map((id) => ({ ...report.runs[id], row: row.name, dataset }))));
}

function curveFigure(table, report) {
  const runs = runsOf(table, report).filter((run) => Object.keys(run.curves).length);
  const styles = rowStyles(table, union(runs.map((run) => run.row)));
  const first = ["train/loss", "valid/ndcg@10"];
  const found = union(runs.map((run) => Object.keys(run.curves)));
  const drawn = (name, dataset) => runs.filter((run) => run.dataset === dataset && run.curves[name]?.length);
  return figure({
    title: "Training curves",
    about: "A line a seed. Losses of different objectives are no common measure.",
    nothing: "No training curves: none of the runs has any.",
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
  const height = 250;
  const label = `${name} by step of ${union(runs.map((run) => run.row)).join(", ")}`;
  if (!runs.length) return drawing(width, height, label);
  const points = runs.flatMap((run) => run.curves[name]);
  const steps = extent(points.map((point) => point[0]));
  const values = padded(extent(points.map((point) => point[1])), 0.05);
  const up = ticks(values, 4);
  const area = plotArea(width, height, up);
  const [x, y] = [scale(steps, [area.left + 4, area.right - 4]), scale(values, [area.bottom, area.top])];
  return drawing(width, height, label, leftAxis(area, up, y, name),
    bottomAxis(area, ticks(steps, tickCount(area)), x, "step"),
    runs.map((run) => curve(run, run.curves[name], styles[run.row], x, y)));
}

// Few points are marked, so that a run with one is seen.
function curve(run, points, { colour, dash }, x, y) {
  const places = points.map(([step, value]) => [x(step).toFixed(1), y(value).toFixed(1)]);
  const path = { d: `M${places.map((place) => place.join(" ")).join("L")}`, "stroke-dasharray": dash };
  const dots = points.length > 12 ? [] : places;
  return svg("g", { class: "curve" }, svg("title", {}, `${run.row}, seed ${run.seed}`),
    svg("path", { ...path, style: `stroke: ${colour}` }),
    dots.map(([cx, cy]) => svg("circle", { cx, cy, r: 2.5, style: `fill: ${colour}` })));
}

function biasFigure(table, report) {
  const runs = runsOf(table, report).filter((run) => run.fairness);
  const styles = rowStyles(table, union(runs.map((run) => run.row)));
  const measured = (name, dataset) =>
    ofOneReference(name, runs.filter((run) => run.dataset === dataset && run.fairness[name]));
  return figure({
    title: "Popularity and relevance bias",
    about: "Share of the lists (dots, mean over seeds) against share of the histories (bars), by fifths of the titles.",
    nothing: "No popularity and relevance bias: none of the runs was measured for it.",
    label: "fifths by",
    options: ["popularity", "relevance"].filter((name) => table.datasets.some((set) => measured(name, set).length)),
    styles,
    extra: el("span", { class: "key still" }, el("i", { class: "histories" }), "histories"),
    panels: (name, off) => table.datasets.filter((dataset) => measured(name, dataset).length).map((dataset) => ({
      title: dataset,
      draw: (width) => bias(measured(name, dataset), name, off, styles, width),
    })),
  });
}

// Bins by relevance hold other titles under another reference model; such runs are left out.
function ofOneReference(name, runs) {
  const models = union(runs.map((run) => run.reference[name]?.weights));
  return name === "relevance" && models.length > 1 ? [] : runs;
}

// The histories are those of the dataset's test users, the same for all runs.
function bias(runs, name, off, styles, width) {
  const height = 250;
  const histories = runs[0].fairness[name].gh;
  const rows = union(runs.map((run) => run.row)).filter((row) => !off.has(row));
  const lists = rows.map((row) => meanOf(runs.filter((run) => run.row === row).map((run) => run.fairness[name].gp)));
  const values = [0, 105 * Math.max(...histories, ...lists.flat())];
  const up = ticks(values, 4);
  const area = plotArea(width, height, up);
  const band = (area.right - area.left) / histories.length;
  const x = (bin) => area.left + band * (bin + 0.5);
  const y = scale(values, [area.bottom, area.top]);
  const bars = histories.map((share, bin) => historyBar(share, x(bin), band, y, area));
  const dots = lists.map((shares, i) => {
    const beside = band * 0.7 * ((i + 0.5) / rows.length - 0.5);
    return shares.map((share, bin) => listDot(rows[i], share, x(bin) + beside, y, styles[rows[i]]));
  });
  const bins = histories.map((_, bin) => ({ value: bin, text: String(bin + 1) }));
  const most = { popularity: "most popular", relevance: "most relevant" }[name];
  return drawing(width, height, `Share of lists and of histories by ${name}`, leftAxis(area, up, y, "share, %"),
    bars, dots, bottomAxis(area, bins, x, `fifth of the titles, 1 = ${most}`));
}

function historyBar(share, middle, band, y, area) {
  const top = y(100 * share);
  const box = { x: middle - band * 0.42, width: band * 0.84, y: top, height: area.bottom - top };
  return svg("rect", { class: "histories", ...box }, svg("title", {}, `histories: ${number(100 * share, 1)} %`));
}

// Dashed rows have hollow dots.
function listDot(row, share, cx, y, { colour, dash }) {
  const style = `${dash ? "stroke" : "fill"}: ${colour}`;
  return svg("circle", { class: "lists", cx, cy: y(100 * share), r: 4.5, style },
    svg("title", {}, `${row}: ${number(100 * share, 1)} %`));
}

function meanOf(lists) {
  return lists[0].map((_, i) => lists.reduce((sum, list) => sum + list[i], 0) / lists.length);
}
