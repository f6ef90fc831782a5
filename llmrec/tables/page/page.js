// The page: header, contents, a section a table; light or dark.

function page(report) {
  const { sheet, open } = provenance(report);
  document.body.append(
    el("header", { class: "top" },
      el("div", {}, el("p", { class: "brand" }, "llmrec"), el("h1", {}, report.title)),
      themeButton(),
      definitions([
        ["made", report.made], ["revision", inline(report.revision)], ["hardware", inline(report.hardware)],
      ])),
    el("div", { class: "layout" }, contents(report),
      el("main", {}, overview(report), report.tables.length
        ? report.tables.map((table) => tableSection(report, table, open(table)))
        : el("p", { class: "muted" }, "This report has no tables."))),
    sheet);
}

function contents(report) {
  return el("nav", { "aria-label": "tables" }, el("ul", {}, report.tables.map((table) =>
    el("li", {}, el("a", { href: `#${table.name}` }, table.title), el("small", {}, progress(table.counts))))));
}

function progress(counts) {
  return `${counts.done} of ${Object.values(counts).reduce((sum, count) => sum + count, 0)} runs`;
}

// What is done, running and left of each table, with the reasons; or the lines of a comparison.
function overview(report) {
  const lines = report.lines?.length ? el("div", { class: "notice" }, report.lines.map((line) => el("p", {}, line))) : null;
  if (!report.tables.some(({ summary }) => summary.left || summary.running)) return lines;
  const heads = ["table", "done", "running", "left", "why left"];
  const rows = report.tables.map(({ name, title, summary }) => el("tr", {},
    el("th", { scope: "row" }, el("a", { href: `#${name}` }, title)),
    [summary.done, summary.running, summary.left].map((count) => el("td", {}, String(count))),
    el("td", { class: "why" }, summary.reasons.length ? summary.reasons.join("; ") : "\u2013")));
  return [lines, el("section", { class: "card summary", "aria-label": "runs by table" },
    el("h2", {}, "Runs by table"),
    el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "runs by table" },
      el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, rows))))];
}

// Of a table without any figure its reasons alone, not a grid of them.
function figures(table, openCell) {
  if (!table.rows.length) return el("p", { class: "muted" }, "No rows.");
  if (table.rows.some((row) => table.datasets.some((dataset) => cellsOf(table, row, dataset).some((cell) => cell)))) {
    return [resultTable(table, openCell), legend(table)];
  }
  const reasons = union([table.rows.flatMap((row) => Object.values(row.missing))]);
  return el("p", { class: "unmeasured" }, "Nothing is measured yet. ", reasons.join("; "));
}

function tableSection(report, table, openCell) {
  const scores = table.scores ? `, scores ${table.scores}` : "";
  return el("section", { id: table.name, class: "card" },
    table.simulated ? simulatedBanner() : null,
    el("h2", {}, table.title),
    el("p", { class: "about" }, table.about),
    el("p", { class: "states" }, el("span", {}, `task ${table.task}${scores}`), Object.entries(table.counts)
      .filter(([, count]) => count).map(([state, count]) => el("span", { class: state.replace(" ", "-") }, `${count} ${state}`))),
    figures(table, openCell),
    table.notes.length ? el("ul", { class: "notes" }, table.notes.map((note) => el("li", {}, note))) : null,
    plotsOf(table),
    report.browsers?.[table.name] ? userBrowser(table, report.browsers[table.name]) : null,
    publishedBlock(table.published));
}

function simulatedBanner() {
  return el("p", { class: "banner" }, el("b", {}, "Simulated data."), " These figures say nothing about real users.");
}

function themeButton() {
  const root = document.documentElement;
  const preferred = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const dark = () => (root.dataset.theme ?? preferred()) === "dark";
  const button = el("button", { class: "theme", onclick: () => show(dark() ? "light" : "dark") }, "light / dark");
  const show = (theme) => {
    root.dataset.theme = theme;
    stored((storage) => storage.setItem("llmrec-theme", theme));
  };
  const chosen = stored((storage) => storage.getItem("llmrec-theme"));
  if (chosen) root.dataset.theme = chosen;
  return button;
}

// A file opened from disk may have no storage; then the choice is not remembered.
function stored(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

page(JSON.parse(document.getElementById("report").textContent));
