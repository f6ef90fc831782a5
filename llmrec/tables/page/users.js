// The browser of users: history, and each run's best titles or its ranked candidates side by side.

const PAGE = 20;

function userBrowser(table, data) {
  const list = el("div", { class: "users" });
  const count = el("p", { class: "muted", role: "status" });
  const filter = {
    hit: runChoice("hit by", data.runs), missed: runChoice("missed by", data.runs),
    search: el("input", { type: "search", placeholder: "part of a title" }),
  };
  const more = el("button", { class: "more", onclick: () => show(shown + PAGE) }, "show more");
  let [found, shown] = [data.users, PAGE];
  const show = (size) => {
    shown = size;
    list.replaceChildren(...found.slice(0, shown).map((user) => userCard(data, user)));
    more.hidden = shown >= found.length;
  };
  const update = () => {
    found = chosenUsers(data, filter.hit.select.value, filter.missed.select.value, filter.search.value);
    count.textContent = `${found.length} of ${data.users.length} users`;
    show(PAGE);
  };
  for (const node of [filter.hit.select, filter.missed.select]) node.addEventListener("change", update);
  filter.search.addEventListener("input", update);
  update();
  const missing = data.missing.map((line) => el("p", { class: "notice" }, line));
  if (!data.runs.length) return userSection(missing);
  return userSection(
    el("p", { class: "muted" }, usersText(table, data)), missing,
    el("div", { class: "controls" }, filter.hit.label, filter.missed.label,
      el("label", { class: "choice" }, "search ", filter.search)),
    count, list, more);
}

function userSection(...parts) {
  return el("details", { class: "plots browser", open: "" }, el("summary", {}, el("h3", {}, "Users")), parts);
}

function usersText(table, data) {
  const sample = data.users.length < data.all_users ? `${data.users.length} of ${data.all_users} users, drawn at random`
    : "All users";
  if (table.task !== "rerank") {
    return `${sample}, each with the first of their test rows. \u2713 the target, \u21bb a title of the history.`;
  }
  return `${sample}, each with the first of their test lists: the candidates in each run's order, with their ` +
    "relevance. \u2713 one of the most relevant candidates; a hit has one in the first place.";
}

function runChoice(label, runs) {
  const select = el("select", {}, el("option", { value: "" }, "any run"),
    runs.map((run, i) => el("option", { value: i }, run)));
  return { select, label: el("label", { class: "choice" }, `${label} `, select) };
}

// The target, or the candidates of the highest relevance.
function best(user) {
  const highest = Math.max(...user.relevance.map(([, relevance]) => relevance));
  return user.relevance.filter(([, relevance]) => relevance === highest).map(([title]) => title);
}

// The place of the target; of candidates, which are all in the list, 1 if one of the best comes first. 0 for a miss.
function hitRank(user, run) {
  const rank = user.lists[run].findIndex((title) => best(user).includes(title)) + 1;
  return user.relevance.length > 1 && rank > 1 ? 0 : rank;
}

// "any run" filters nothing.
function chosenUsers(data, hit, missed, text) {
  const wanted = text.trim().toLowerCase();
  const matching = new Set(data.titles.flatMap((title, i) => (title.toLowerCase().includes(wanted) ? [i] : [])));
  return data.users.filter((user) => (hit === "" || hitRank(user, hit)) && (missed === "" || !hitRank(user, missed)) &&
    (!wanted || [...best(user), ...user.history, ...user.lists.flat()].some((title) => matching.has(title))));
}

function userCard(data, user) {
  const history = user.history.map((title) => el("li", {}, data.titles[title]));
  return el("article", { class: "user", "aria-label": `user ${user.user}` },
    el("section", { class: "past" },
      el("h4", {}, `user ${user.user}`),
      user.relevance.length > 1 ? null : el("p", {}, el("b", {}, "target "), data.titles[user.relevance[0][0]]),
      history.length ? [el("p", { class: "muted" }, "history, newest last"), el("ol", {}, history)] : null),
    el("div", { class: "lists" }, data.runs.map((run, i) => runList(data, user, run, i))));
}

function runList(data, user, run, place) {
  const rank = hitRank(user, place);
  return el("section", {},
    el("h4", {}, run, el("span", { class: `tag${rank ? " hit" : ""}` }, rank ? `hit at ${rank}` : "miss")),
    el("ol", {}, user.lists[place].map((title) => rankedTitle(data, user, title))));
}

function rankedTitle(data, user, title) {
  const [hit, repeat] = [best(user).includes(title), user.history.includes(title)];
  const graded = user.relevance.length > 1;
  return el("li", { class: hit ? "hit" : repeat ? "repeat" : null }, data.titles[title],
    graded ? el("span", { class: "grade" }, ` ${new Map(user.relevance).get(title)}`) : null,
    hit ? [el("span", { "aria-hidden": "true" }, " \u2713"), hidden(graded ? " (most relevant)" : " (target)")] : null,
    repeat ? [el("span", { "aria-hidden": "true" }, " \u21bb"), hidden(" (in the history)")] : null);
}
