// The browser of users: history, target and each run's best titles side by side.

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
  return el("details", { class: "plots browser", open: "" },
    el("summary", {}, el("h3", {}, "Users")),
    el("p", { class: "muted" }, usersText(data)), data.missing ? el("p", { class: "notice" }, data.missing) : null,
    el("div", { class: "controls" }, filter.hit.label, filter.missed.label,
      el("label", { class: "choice" }, "search ", filter.search)),
    count, list, more);
}

function usersText(data) {
  const sample = data.users.length < data.all_users ? `${data.users.length} of ${data.all_users} users, drawn at random`
    : "All users";
  return `${sample}, each with the first of their test rows. \u2713 the target, \u21bb a title of the history.`;
}

function runChoice(label, runs) {
  const select = el("select", {}, el("option", { value: "" }, "any run"),
    runs.map((run, i) => el("option", { value: i }, run)));
  return { select, label: el("label", { class: "choice" }, `${label} `, select) };
}

function hits(user, run) {
  return user.lists[run].includes(user.target);
}

// "any run" filters nothing.
function chosenUsers(data, hit, missed, text) {
  const wanted = text.trim().toLowerCase();
  const matching = new Set(data.titles.flatMap((title, i) => (title.toLowerCase().includes(wanted) ? [i] : [])));
  return data.users.filter((user) => (hit === "" || hits(user, hit)) && (missed === "" || !hits(user, missed)) &&
    (!wanted || [user.target, ...user.history, ...user.lists.flat()].some((title) => matching.has(title))));
}

function userCard(data, user) {
  const history = user.history.map((title) => el("li", {}, data.titles[title]));
  return el("article", { class: "user", "aria-label": `user ${user.user}` },
    el("section", { class: "past" },
      el("h4", {}, `user ${user.user}`),
      el("p", {}, el("b", {}, "target "), data.titles[user.target]),
      history.length ? [el("p", { class: "muted" }, "history, newest last"), el("ol", {}, history)] : null),
    el("div", { class: "lists" }, data.runs.map((run, i) => runList(data, user, run, i))));
}

function runList(data, user, run, place) {
  const rank = user.lists[place].indexOf(user.target) + 1;
  return el("section", {},
    el("h4", {}, run, el("span", { class: `tag${rank ? " hit" : ""}` }, rank ? `hit at ${rank}` : "miss")),
    el("ol", {}, user.lists[place].map((title) => rankedTitle(data, user, title))));
}

function rankedTitle(data, user, title) {
  const [hit, repeat] = [title === user.target, user.history.includes(title)];
  return el("li", { class: hit ? "hit" : repeat ? "repeat" : null }, data.titles[title],
    hit ? [el("span", { "aria-hidden": "true" }, " \u2713"), hidden(" (target)")] : null,
    repeat ? [el("span", { "aria-hidden": "true" }, " \u21bb"), hidden(" (in the history)")] : null);
}
