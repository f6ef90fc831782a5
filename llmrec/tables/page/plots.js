// The plots of a table, which are drawn already: one topic is shown at a time, and rows can be hidden.

function plotsOf(table) {
  const plots = document.getElementById(`plots-${table.name}`).content;
  for (const plot of plots.querySelectorAll(".plots")) {
    plot.querySelector("select").addEventListener("change", (event) => showTopic(plot, event.target.value));
    for (const key of plot.querySelectorAll("button.key")) key.addEventListener("click", () => toggleRow(plot, key));
  }
  return plots;
}

function showTopic(plot, topic) {
  for (const figure of plot.querySelectorAll("figure")) figure.hidden = figure.dataset.topic !== topic;
}

function toggleRow(plot, key) {
  const shown = key.getAttribute("aria-pressed") === "false";
  key.setAttribute("aria-pressed", shown);
  for (const node of plot.querySelectorAll(`figure [data-row="${key.dataset.row}"]`)) {
    node.classList.toggle("off", !shown);
  }
}
