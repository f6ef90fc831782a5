// What every plot of a table has: a choice, a legend that hides rows, panels that follow the width of the page.

const GAP = 20;
const COLOURS = 6;

// panels(option, off): [{ title, group, draw(width) -> node }], without the rows in `off`; a group gets a heading.
function figure({ title, about, nothing, label, options, styles = {}, extra = null, least = 300, panels }) {
  if (!options.length) return el("p", { class: "nothing muted" }, nothing);
  const off = new Set();
  let shown = options[0];
  const board = el("div", { class: "board" });
  const draw = () => drawPanels(board, panels(shown, off), least);
  const pick = choice(label, options, (option) => { shown = option; draw(); });
  onWidth(board, draw);
  return el("details", { class: "plots", open: "" },
    el("summary", {}, el("h3", {}, title)),
    el("p", { class: "muted" }, about),
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
    panel.group && panel.group !== panels[i - 1]?.group ? [el("h4", {}, panel.group)] : [],
    el("figure", { style: `width: ${width}px` }, el("figcaption", {}, panel.title), panel.draw(width)),
  ].flat()));
}

// By row; the reference is grey, and beyond six others the colours come again, dashed.
function rowStyles(table, rows) {
  const others = table.rows.map((row) => row.name).filter((name) => name !== table.reference);
  const styleOf = (name) => {
    if (name === table.reference) return { colour: "var(--row-reference)", dash: null };
    const place = others.indexOf(name);
    return { colour: `var(--row-${(place % COLOURS) + 1})`, dash: place < COLOURS ? null : "5 3" };
  };
  return Object.fromEntries(rows.map((name) => [name, styleOf(name)]));
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
  const line = { x1: 0, x2: 18, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": dash, style: `stroke: ${colour}` };
  return svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, svg("line", line));
}
