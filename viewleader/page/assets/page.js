// What the view leader tells, once a second, and where it is shown.

import { Grid, Ring, stateWords } from "./ring.js";
import { Line, Servers, count, dot, element, numberOf, put, rows, showEvents, showLocks, showTimeline, size, span, stateText } from "./tables.js";

const $ = (id) => document.getElementById(id);
const silent = 4000; // milliseconds without a word after which nothing is known any more

const ring = new Ring($("ring"));
const grid = new Grid($("grid"), $("grid-says"));
const servers = new Servers($("servers"));
const opsLine = new Line($("ops-line"));
const rateLine = new Line($("rate-line"));

let placing = null; // where the partitions are
let events = [];
let state = null; // what was told last
let heard = performance.now(); // when
let epochs = []; // that were seen while this page is open
let explained = null;

/** tell says whether the data is safe; it is not known where nothing was heard. */
function tell(text, level, progress) {
  put($("sentence"), text);
  $("verdict").dataset.level = level;
  put($("progress"), progress);
  document.title = `${{ safe: "✓", warning: "!", alarm: "✗" }[level]} ${text.split(":")[0]} – viewring`;
}

function showVerdict() {
  const quiet = performance.now() - heard > silent;
  document.body.classList.toggle("remembered", quiet || !state || Boolean(state.error) || !state.status || state.status.safety.unheard > 0);
  const known = state && state.at ? `Last known ${span(Date.now() - state.at)} ago: ${state.status.safety.text}` : "";
  if (quiet) tell("not known: no word from the view leader", "warning", known);
  else if (!state) tell("not known yet: waiting for the view leader", "warning", "");
  else if (state.error) tell("not known: the view leader cannot tell", "warning", [state.error, known].filter(Boolean).join(". "));
  else tell(state.status.safety.text, state.status.safety.level, state.status.rebalancing.text);
  put($("age"), state && state.at ? (Date.now() - state.at < 2500 ? "now" : span(Date.now() - state.at) + " ago") : "–");
}

function showRing(status) {
  const down = new Set(status.servers.filter((s) => !s.up).map((s) => numberOf(s.id)));
  if (placing && placing.acting.length === state.partitions.length) {
    ring.show(placing.acting, state.partitions, down);
    grid.show(state.partitions, placing.acting, placing.targets);
  }
  const up = status.servers.filter((s) => s.up).length;
  const some = up === status.servers.length ? count(up, "server").split(" ")[1] + " up" : `of ${count(status.servers.length, "server")} up`;
  ring.say(up.toLocaleString("en"), [some, count(status.partitions, "partition"), "epoch " + status.epoch.toLocaleString("en")],
    `The ring: ${up} of ${count(status.servers.length, "server")} up, ${count(status.partitions, "partition")}; ${status.safety.text}`);
  rows($("legend"), status.servers, (s) => s.id + s.up, (s) => {
    const id = numberOf(s.id);
    const button = element("button", { type: "button", "aria-pressed": "false", "data-server": id }, dot(id, !s.up), s.id);
    button.addEventListener("click", () => choose(ring.chosen === id ? 0 : id));
    return element("li", {}, button);
  }, (li, s) => { li.firstChild.title = `${s.id}, ${stateText(s)}: ${s.primary} primary, ${s.backup} backup`; });
}

function choose(id) {
  ring.choose(id);
  for (const b of $("legend").querySelectorAll("button")) b.setAttribute("aria-pressed", String(Number(b.dataset.server) === id));
}

function showStates(letters) {
  const n = {};
  for (const letter of letters) n[letter] = (n[letter] || 0) + 1;
  const shown = Object.keys(stateWords).filter((letter) => n[letter] || letter === "w");
  rows($("states"), shown, (letter) => letter, (letter) => element("li", { "data-state": letter }, element("i", { class: "st-" + letter }), element("b"), element("span", {}, stateWords[letter])),
    (li, letter) => put(li.children[1], (n[letter] || 0).toLocaleString("en")));
}

function showWork(status) {
  const all = Object.values(state.work || {});
  const ops = all.reduce((sum, w) => sum + w.per_second, 0);
  put($("ops"), all.length ? Math.round(ops).toLocaleString("en") : "–");
  opsLine.add(ops);
  put($("rate"), size(status.rebalancing.rate));
  rateLine.add(status.rebalancing.rate);
  put($("keys"), status.servers.reduce((sum, s) => sum + s.keys, 0).toLocaleString("en"));
  put($("bytes"), size(status.servers.reduce((sum, s) => sum + s.bytes, 0)));
  const r = status.rebalancing;
  $("moving").hidden = r.balanced;
  if (r.balanced) return;
  $("moved").hidden = r.done_bytes + r.left_bytes === 0;
  $("moved").value = r.done_bytes + r.left_bytes > 0 ? r.done_bytes / (r.done_bytes + r.left_bytes) : 0;
  put($("moved-says"), r.text);
  rows($("movers"), r.servers || [], (m) => m.id, () => element("li", {}, element("b"), element("span")), (li, m) => {
    put(li.firstChild, m.id);
    put(li.lastChild, ` copies ${count(m.left, "partition")}, ${size(m.left_bytes)} left, ${size(m.rate)}/s${m.seconds >= 0 ? `, ${span(m.seconds * 1000)} to go` : ""}`);
  });
}

function showLists(status) {
  rows($("problems"), status.problems, (p) => p.server + p.problem, (p) => element("li", {}, `${p.server}: ${p.problem}`), () => {});
  $("problems").hidden = !status.problems.length;
  rows($("deadlocks"), state.deadlocks, (d) => d, (d) => element("li", {}, "deadlock: " + d), () => {});
  $("deadlocks").hidden = !state.deadlocks.length;
  $("locks").parentElement.hidden = !state.locks.length;
  put($("locks-says"), !state.locks.length ? "no lock is held" : `${count(state.locks.length + state.locks_left, "lock")} held${state.locks_left ? `, the first ${state.locks.length} are shown` : ""}`);
  showLocks($("locks").tBodies[0], state.locks, state.at);
}

function show() {
  showVerdict();
  if (!state || !state.status) return;
  const status = state.status;
  put($("cluster"), status.cluster.slice(0, 8));
  put($("epoch"), status.epoch.toLocaleString("en"));
  put($("partitions"), status.partitions.toLocaleString("en"));
  if (!epochs.length || epochs[epochs.length - 1].epoch !== status.epoch) {
    epochs = epochs.slice(-400).concat({ at: state.at, epoch: status.epoch });
    if (explained) explain(explained, false);
  }
  showRing(status);
  showStates(state.partitions);
  showWork(status);
  servers.show(status.servers, state.work || {});
  const up = status.servers.filter((s) => s.up).length;
  put($("servers-says"), `${up} up of ${status.servers.length}`);
  showLists(status);
  showTimeline($("timeline"), $("span"), events, epochs, state.at);
}

/** explain shows where a key is, and why. */
async function explain(key, scroll) {
  explained = key;
  let e;
  try {
    const answer = await fetch("explain?key=" + encodeURIComponent(key), { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    e = await answer.json();
  } catch (err) {
    put($("key-says"), String(err.message || err));
    $("key-result").hidden = true;
    return;
  }
  if (explained !== key) return; // another was typed meanwhile
  const says = $("key-says");
  put(says, e.text.join("; "));
  says.className = "told";
  Object.assign($("key-result").dataset, { hash: e.hash, slot: e.slot, partition: e.partition, acting: e.acting.join(), targets: e.targets.join(), key });
  const step = (name, value) => element("li", {}, name + " ", element("b", {}, String(value)));
  $("key-steps").replaceChildren(step("hash", "0x" + e.hash.toString(16).padStart(4, "0")), step("slot", e.slot), step("partition", e.partition), step("on", e.acting.join(", ") || "nobody"));
  const zones = e.walk.some((m) => m.zone);
  $("walk").tBodies[0].replaceChildren(...e.walk.map((m) => {
    const name = element("span", { class: "name" }, dot(numberOf(m.server), false), m.server + (zones ? ` in ${m.zone || "no zone"}` : ""));
    const cell = (text, kind) => element("td", { class: kind }, text);
    return element("tr", {}, element("th", { scope: "row" }, name), cell(m.text, "long"), cell(`${m.copies.toLocaleString("en")} of ${m.room.toLocaleString("en")}`, "n"), cell((100 * m.at).toFixed(3) + "%", "n spare"));
  }));
  $("walk").parentElement.hidden = !e.walk.length;
  $("key-left").replaceChildren(...e.if_left.map((l) => element("li", {}, "if ", element("b", {}, l.server), ` left: ${l.text}`)));
  $("key-result").hidden = false;
  ring.pin(e.partition, key);
  grid.go(e.partition);
  if (scroll) history.replaceState(null, "", "#" + encodeURIComponent(key));
}

$("key-form").addEventListener("submit", (e) => {
  e.preventDefault();
  if ($("key").value) explain($("key").value, true);
});

/** listen hears what is new. A browser that was refused does not come back by itself. */
function listen() {
  const feed = new EventSource("live");
  feed.addEventListener("placing", (e) => { placing = JSON.parse(e.data); });
  feed.addEventListener("events", (e) => {
    events = JSON.parse(e.data);
    showEvents($("events"), events);
  });
  feed.addEventListener("state", (e) => {
    state = JSON.parse(e.data);
    heard = performance.now();
    const began = performance.now();
    show();
    document.body.dataset.frame = (performance.now() - began).toFixed(1);
  });
  feed.addEventListener("error", () => {
    if (feed.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  });
}

setInterval(showVerdict, 1000);
const asked = decodeURIComponent(location.hash.slice(1));
if (asked) {
  $("key").value = asked;
  explain(asked, false);
}
listen();
