const el = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
};
const input = el("title"), list = el("matches");
let history = [], matches = [], chosen = -1, runs = [], asked = 0, typed = 0, timer = 0;

/* The server's JSON, or an error with its reason. */
async function fetched(path, body) {
  const options = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Start it again, then reload this page.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const detail = Array.isArray(answer.detail)
    ? answer.detail.map((one) => `${one.loc.slice(1).join(".")}: ${one.msg}`).join("; ") : answer.detail;
  throw new Error(detail || `The server answered with status ${response.status}.`);
}

function alertUser(message) { el("alert").textContent = message; }

/* Completion of titles. */
function showMatches(found) {
  matches = found;
  chosen = -1;
  list.replaceChildren(...found.map((title, place) => {
    const option = make("li", { id: `match-${place}`, textContent: title });
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.addEventListener("mousedown", (event) => { event.preventDefault(); add(title); });
    return option;
  }));
  list.hidden = !found.length;
  input.setAttribute("aria-expanded", String(!list.hidden));
  input.removeAttribute("aria-activedescendant");
}

function choose(place) {
  if (!matches.length) return;
  chosen = (place + matches.length) % matches.length;
  [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
  input.setAttribute("aria-activedescendant", `match-${chosen}`);
  list.children[chosen].scrollIntoView({ block: "nearest" });
}

async function complete() {
  const text = input.value.trim(), number = ++typed;
  if (!text || text.length > 200) return showMatches([]);
  try {
    const found = await fetched(`titles?q=${encodeURIComponent(text)}`);
    if (number === typed) showMatches(found.titles);
  } catch (error) { alertUser(error.message); }
}

input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(complete, 120); });
input.addEventListener("blur", () => { typed++; showMatches([]); });
input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
  else if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen < 0 ? -1 : chosen - 1); }
  else if (event.key === "Escape") showMatches([]);
  else if (event.key === "Enter" && input.value.trim()) {
    event.preventDefault();
    add(chosen >= 0 ? matches[chosen] : input.value.trim());
  }
});

/* The history. */
function add(title) {
  history.push(title);
  alertUser("");
  clearTimeout(timer);
  typed++;
  input.value = "";
  showMatches([]);
  showHistory();
  el("status").textContent = `Added ${title}`;
}

function showHistory() {
  el("history").replaceChildren(...history.map((title, place) => {
    const remove = make("button", { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `Remove ${title}`);
    remove.addEventListener("click", () => {
      history.splice(place, 1);
      showHistory();
      input.focus();
    });
    return make("li", {}, make("div", {}, make("span", { textContent: title }), remove));
  }));
  el("empty").hidden = history.length > 0;
}

el("clear").addEventListener("click", () => {
  history = [];
  asked++;
  showHistory();
  el("answers").replaceChildren();
  alertUser("");
  input.focus();
});

/* Recommendations: each run is asked on its own, so that a slow one does not delay the others. */
el("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (input.value.trim()) add(input.value.trim());
  if (!history.length) {
    alertUser("Add a title first.");
    input.focus();
    return;
  }
  const number = ++asked, k = Number(el("k").value);
  alertUser("");
  el("status").textContent = "Waiting for recommendations";
  const cards = runs.map((run) => card(run));
  el("answers").replaceChildren(...cards);
  await Promise.all(runs.map(async (run, place) => {
    try {
      const answer = (await fetched("recommend", { history, k, runs: [run.name] })).runs[0];
      if (number === asked) fill(cards[place], answer);
    } catch (error) {
      if (number === asked) cards[place].append(make("p", { className: "alert", textContent: error.message }));
    }
    cards[place].setAttribute("aria-busy", "false");
  }));
  if (number === asked) el("status").textContent = "Recommendations are shown";
});

function card(run) {
  const heading = make("h2", { textContent: run.name });
  const about = make("p", { className: "muted", textContent: `${run.backbone}, ${run.dataset}` });
  const node = make("article", { className: "answer" }, heading, about);
  node.setAttribute("aria-busy", "true");
  return node;
}

function fill(node, answer) {
  const head = make("tr", {}, ...["#", "Title", "Score"].map((text) => {
    const cell = make("th", { textContent: text });
    cell.scope = "col";
    return cell;
  }));
  const rows = answer.recommendations.map((one, place) => make("tr", {},
    make("td", { textContent: place + 1 }), make("td", { textContent: one.title }),
    make("td", { textContent: one.score.toFixed(3) })));
  const spent = answer.seconds < 0.001 ? "less than 1" : (1000 * answer.seconds).toFixed(0);
  const caption = `${answer.recommendations.length} titles in ${spent} ms`;
  node.append(...answer.unknown.map(explain), make("table", {},
    make("caption", { textContent: caption }), make("thead", {}, head), make("tbody", {}, ...rows)));
}

function explain(unknown) {
  const node = make("p", { className: "unknown" }, `“${unknown.title}” is not in this run's catalogue.`);
  if (unknown.near.length) node.append(make("br"), "Did you mean: ");
  for (const near of unknown.near) {
    const button = make("button", { type: "button", textContent: near });
    button.addEventListener("click", () => {
      history = history.map((title) => (title === unknown.title ? near : title));
      showHistory();
      el("form").requestSubmit();
    });
    node.append(button);
  }
  return node;
}

async function start() {
  showHistory();
  try {
    const health = await fetched("healthz");
    runs = health.runs;
    el("k").value = el("k").max = health.k;
    el("about").textContent = `${runs.map((run) => run.name).join(", ")}. Scores of different runs are on scales of ` +
      "their own: compare the order, not the scores.";
    const simulated = [...new Set(runs.filter((run) => run.simulated).map((run) => run.dataset))];
    el("simulated").hidden = !simulated.length;
    el("simulated").textContent = `Simulated data: ${simulated.join(", ")}. Its titles and users are invented.`;
  } catch (error) { alertUser(error.message); }
}
start();
