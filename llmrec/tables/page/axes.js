// Scales, ticks and axes of a plot, in pixels of its panel.

const TICK_CHARACTER = 6.4;

function extent(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const half = (Math.abs(low) || 1) / 2;
  return low === high ? [low - half, high + half] : [low, high];
}

function padded([low, high], share) {
  return [low - share * (high - low), high + share * (high - low)];
}

function scale([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

// Round values within the domain, at most `count` or so, with the digits that tell them apart.
function ticks([low, high], count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Adding 0 turns -0 into 0.
  const values = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step + 0);
  return values.map((value) => ({ value, text: number(value, digits) }));
}

function drawing(width, height, label, ...marks) {
  const size = { width, height, viewBox: `0 0 ${width} ${height}` };
  return svg("svg", { ...size, role: "img", "aria-label": label }, marks);
}

function text(x, y, content, attributes = {}) {
  return svg("text", { x, y, ...attributes }, content);
}

// The room for the marks: beside the widest label of the left axis, above the ticks and label of the bottom one.
function plotArea(width, height, left) {
  const widest = Math.max(0, ...left.map((tick) => tick.text.length));
  return { left: left.length ? 10 + TICK_CHARACTER * widest : 10, right: width - 12, top: 24, bottom: height - 38 };
}

function bottomAxis(area, marks, x, label) {
  const middle = { "text-anchor": "middle" };
  return [
    svg("line", { class: "axis", x1: area.left, x2: area.right, y1: area.bottom, y2: area.bottom }),
    marks.map((mark) => text(x(mark.value), area.bottom + 15, mark.text, { class: "tick", ...middle })),
    text((area.left + area.right) / 2, area.bottom + 32, label, { class: "label", ...middle }),
  ];
}

function leftAxis(area, marks, y, label) {
  const rule = { class: "grid", x1: area.left, x2: area.right };
  return [
    marks.map((mark) => svg("line", { ...rule, y1: y(mark.value), y2: y(mark.value) })),
    marks.map((mark) => text(area.left - 6, y(mark.value) + 4, mark.text, { class: "tick", "text-anchor": "end" })),
    text(2, 11, label, { class: "label" }),
  ];
}

function tickCount(area) {
  return Math.max(2, Math.floor((area.right - area.left) / 75));
}
