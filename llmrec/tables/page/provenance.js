// The popover of a cell: the figure in full and its runs. The browser closes it on Escape or a click beside it.

function provenance(report) {
  const sheet = el("div", { id: "provenance", popover: "auto", role: "dialog", "aria-label": "provenance" });
  const open = (table) => (anchor, row, dataset, metric) => {
    sheet.replaceChildren(...cellStory(report, table, row, dataset, metric, () => sheet.hidePopover()));
    sheet.showPopover();
    place(sheet, anchor);
    sheet.querySelector("button").focus();
  };
  return { sheet, open };
}

// Below the cell, above it or beside it, wherever there is room; narrow screens have it at the bottom (page.css).
function place(sheet, anchor) {
  const cell = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = sheet;
  const right = document.documentElement.clientWidth - width - 12;
  let [left, top] = [cell.left, cell.bottom + 6];
  if (top + height + 12 > innerHeight) top = cell.top - height - 6;
  if (top < 12) [left, top] = [cell.right + 6 <= right ? cell.right + 6 : cell.left - width - 6, cell.top];
  sheet.style.setProperty("--left", `${clamp(left, 12, right)}px`);
  sheet.style.setProperty("--top", `${clamp(top, 12, innerHeight - height - 12)}px`);
  sheet.scrollTop = 0;
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(value, high));
}

function cellStory(report, table, row, dataset, metric, close) {
  const cell = cellOf(row, dataset, metric);
  const runs = (row.runs[dataset] ?? []).map((id) => ({ id, ...report.runs[id] }));
  return [
    el("header", {}, el("h3", {}, `${row.name}, ${dataset}`),
      el("button", { class: "quiet", "aria-label": "close", onclick: close }, "\u00d7")),
    el("p", {}, el("b", {}, `${metricLabel(metric)} `), figureText(metric, cell),
      ` over ${seedCount(cell.seeds)}`),
    comparison(table, metric, cell),
    row.missing[dataset] ? el("p", { class: "muted" }, "\u2020 ", row.missing[dataset]) : null,
    runs.map((run, i) => runStory(run, i === 0)),
  ].flat().filter((part) => part);
}

function comparison(table, metric, cell) {
  const parts = cell.gain === null ? [] : [`${percent(cell.gain)} against ${table.reference}`];
  if (cell.low !== null) {
    const [low, high] = [cell.low, cell.high].map((end) => signed(end, metric.digits));
    parts.push(`95 % interval of the difference ${low} to ${high}`);
  }
  if (cell.p !== null) parts.push(probability(cell.p) + (cell.significant ? ", significant" : ", not significant"));
  return parts.length ? el("p", {}, parts.join("; ")) : null;
}

function runStory(run, open) {
  return el("details", { class: "run", open: open ? "" : null },
    el("summary", {}, `${run.who}, seed ${run.seed}`, run.simulated ? el("span", { class: "tag" }, "simulated") : null),
    el("div", { class: "command" }, el("code", { tabindex: 0 }, run.command), copyButton(run.command)),
    definitions([
      ["chosen epoch", inline(run.chosen_epoch ?? "none")],
      ["scale", run.scale],
      ["task", run.task],
      ["revision", inline(run.revision)],
      ["edited code", run.edited.join(", ") || "none"],
      ["hardware", inline(run.hardware)],
      ["wall time", seconds(run.wall_seconds)],
      ["seconds", Object.entries(run.seconds).map(([name, spent]) => `${name} ${number(spent, 1)}`).join(" \u00b7 ")],
      ["versions", inline(run.versions)],
      ["record", run.archive ? `${run.id} in ${run.archive}` : run.id],
    ]));
}

function copyButton(command) {
  const button = el("button", { onclick: () => copy(command, button) }, "copy");
  return button;
}

// Where the clipboard is refused the command is selected instead, for the reader's own copy.
async function copy(command, button) {
  try {
    await navigator.clipboard.writeText(command);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "selected";
  }
}
