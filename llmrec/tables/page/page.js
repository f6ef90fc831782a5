// The page: header, contents, a section a table; light or dark.

function page(report) {
  const { sheet, open } = provenance(report);
  document.body.append(
    el("header", { class: "top" },
      el("div", {}, el("p", { class: "brand" }, "llmrec"), el("h1", {}, `Results, scale ${report.scale}`)),
      themeButton(),
      definitions([
        ["made", report.made], ["revision", inline(report.revision)], ["hardware", inline(report.hardware)],
      ])),
    el("div", { class: "layout" }, contents(report),
      el("main", {}, report.tables.length
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

function tableSection(report, table, openCell) {
  const scores = table.scores ? `, scores ${table.scores}` : "";
  return el("section", { id: table.name, class: "card" },
    table.simulated ? simulatedBanner() : null,
    el("h2", {}, table.title),
    el("p", { class: "about" }, table.about),
    el("p", { class: "states" }, el("span", {}, `task ${table.task}${scores}`), Object.entries(table.counts)
      .filter(([, count]) => count).map(([state, count]) => el("span", { class: state }, `${count} ${state}`))),
    table.rows.length ? [resultTable(table, openCell), legend(table)] : el("p", { class: "muted" }, "No rows."),
    table.notes.length ? el("ul", { class: "notes" }, table.notes.map((note) => el("li", {}, note))) : null,
    publishedBlock(table.published),
    plotsOf(table));
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
