// Elements, text and numbers.

// Strings become text nodes, so nothing in a report is ever read as markup.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

function hidden(text) {
  return el("span", { class: "hidden" }, text);
}

function definitions(pairs) {
  return el("dl", {}, pairs.map(([term, text]) => el("div", {}, el("dt", {}, term), el("dd", {}, text))));
}

function number(value, digits) {
  // What rounds to 0 has no sign.
  return value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "\u2212");
}

function signed(value, digits) {
  return (value > 0 ? "+" : "") + number(value, digits);
}

function percent(gain) {
  return `${signed(gain, Math.abs(gain) < 100 ? 1 : 0)}\u00a0%`;
}

function probability(p) {
  return p < 0.0001 ? "p < 0.0001" : `p = ${number(p, p < 0.001 ? 4 : 3)}`;
}

function seconds(value) {
  if (value < 120) return `${number(value, value < 10 ? 1 : 0)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

// An object or list of the report in one line.
function inline(value) {
  if (Array.isArray(value)) return value.length ? value.map(inline).join(", ") : "none";
  if (value === null || typeof value !== "object") return String(value ?? "unknown");
  return Object.entries(value).map(([name, held]) => `${name} ${inline(held)}`).join(" \u00b7 ") || "unknown";
}

function union(lists) {
  return [...new Set(lists.flat())];
}

// What a metric measures in, beside its name.
function metricLabel(metric) {
  return metric.unit ? `${metric.name}, ${metric.unit}` : metric.name;
}
