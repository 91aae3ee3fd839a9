// Tables, lists and small charts. Each element is made once and then only changed.

import { hue, svg } from "./ring.js";

/** element makes an element with text or children. */
export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

/** put changes a text where it differs. */
export function put(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/** size is a number of bytes as people read it. */
export function size(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${unit ? n.toFixed(1) : n} ${units[unit]}`;
}

/** span is a number of milliseconds as people read it. */
export function span(ms) {
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.round(ms / 1000);
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

const microseconds = (us) => (us < 1000 ? `${Math.round(us)} µs` : `${(us / 1000).toFixed(us < 9950 ? 1 : 0)} ms`);

/** within is the bound of a percentile. */
const within = (us) => (us ? "≤ " + microseconds(us) : "–");

const kept = new WeakMap(); // the rows of each parent, by their keys

/** rows keeps the children of a parent: one for each item, found by its key, made by make and changed by change. */
export function rows(parent, items, keyOf, make, change) {
  const had = kept.get(parent) || new Map();
  const now = new Map();
  let at = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    const row = had.get(key) || make(item);
    had.delete(key);
    now.set(key, row);
    change(row, item);
    if (row === at) at = at.nextElementSibling;
    else parent.insertBefore(row, at);
  }
  for (const row of had.values()) row.remove();
  kept.set(parent, now);
}

/** dot is the color of a server. */
export function dot(id, down) {
  const e = element("span", { class: down ? "dot down" : "dot", "aria-hidden": "true" });
  e.style.setProperty("--hue", hue(id));
  return e;
}

export const numberOf = (name) => Number(name.slice(1));

function tone(s) {
  if (!s.up) return "bad";
  return s.state === "up" && s.heard && !s.disk_full && s.corrupt <= s.mended ? "good" : "mid";
}

/** stateText is a server's state, and what is wrong with its disk. */
export function stateText(s) {
  let text = s.up && !s.heard ? `${s.state} when last heard of` : s.state;
  if (s.up && s.disk_full) text += ", disk full";
  if (s.up && s.corrupt > s.mended) text += `, ${s.corrupt - s.mended} corrupt`;
  if (!s.up && s.held_until && Date.parse(s.held_until) > Date.now()) text += ", flapping: held out";
  return text;
}

/** columns of the table of servers: title, value to sort by, and what a cell shows. */
const columns = [
  { title: "Server", by: (s) => numberOf(s.id) },
  { title: "State", by: (s) => s.state },
  { title: "Address", by: (s) => s.address, text: (s) => s.address },
  { title: "Zone", by: (s) => s.zone, text: (s) => s.zone || "–", if: (all) => all.some((s) => s.zone) },
  { title: "Weight", n: true, by: (s) => s.weight, text: (s) => String(s.weight), if: (all) => all.some((s) => s.weight > 1) },
  { title: "Primary + backup", n: true, by: (s) => s.primary + s.backup },
  { title: "Keys", n: true, by: (s) => s.keys, text: (s) => s.keys.toLocaleString("en") },
  { title: "Bytes", n: true, by: (s) => s.bytes, text: (s) => size(s.bytes) },
  { title: "Requests/s", n: true, by: (s, w) => (w ? w.per_second : -1), text: (s, w) => (w ? Math.round(w.per_second).toLocaleString("en") : "–") },
  { title: "Each took", n: true, by: (s, w) => (w ? w.mean_us : -1), text: (s, w) => (w && w.mean_us ? microseconds(w.mean_us) : "–") },
  { title: "p50", n: true, by: (s, w) => (w ? w.p50_us : -1), text: (s, w) => within(w && w.p50_us) },
  { title: "p99", n: true, by: (s, w) => (w ? w.p99_us : -1), text: (s, w) => within(w && w.p99_us) },
  { title: "Heartbeat", n: true, by: (s) => s.heartbeat_ms, text: (s) => (s.heartbeat_ms < 0 ? "never" : span(s.heartbeat_ms) + " ago") },
];

/** Servers is their table. */
export class Servers {
  constructor(table) {
    this.head = table.tHead.rows[0];
    this.body = table.tBodies[0];
    this.sort = { title: "Server", down: false };
  }

  show(servers, work) {
    this.last = [servers, work];
    const shown = columns.filter((c) => !c.if || c.if(servers));
    this.showHead(shown);
    const by = shown.find((c) => c.title === this.sort.title) || shown[0];
    const sorted = servers.map((s) => [s, by.by(s, work[s.id])]);
    sorted.sort(([s, a], [t, b]) => ((a < b ? -1 : a > b ? 1 : 0) * (this.sort.down ? -1 : 1)) || numberOf(s.id) - numberOf(t.id));
    const most = Math.max(1, ...servers.map((s) => s.primary + s.backup));
    rows(this.body, sorted.map(([s]) => s), (s) => s.id, () => element("tr"), (row, s) => this.showRow(row, s, shown, work[s.id], most));
  }

  showHead(shown) {
    rows(this.head, shown, (c) => c.title, (c) => {
      const button = element("button", { type: "button" }, c.title);
      button.addEventListener("click", () => {
        this.sort = { title: c.title, down: this.sort.title === c.title ? !this.sort.down : Boolean(c.n) };
        this.show(...this.last);
      });
      return element("th", c.n ? { scope: "col", class: "n" } : { scope: "col" }, button);
    }, (th, c) => {
      if (c.title === this.sort.title) th.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
  }

  showRow(row, s, shown, work, most) {
    row.dataset.server = s.id;
    rows(row, shown, (c) => c.title, (c) => (c.title === "Server" ? element("th", { scope: "row" }) : element("td", c.n ? { class: "n" } : {})), (cell, c) => {
      if (c.text) {
        put(cell, c.text(s, work));
        return;
      }
      const key = JSON.stringify([s.id, s.up, stateText(s), s.primary, s.backup, s.learner, most]);
      if (cell.dataset.key === key) return;
      cell.dataset.key = key;
      cell.replaceChildren(...special[c.title](s, most));
    });
  }
}

const special = {
  Server: (s) => [element("span", { class: "name" }, dot(numberOf(s.id), !s.up), s.id)],
  State: (s) => [element("span", { class: "badge " + tone(s) }, stateText(s))],
  "Primary + backup": (s, most) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--hue", hue(numberOf(s.id)));
    for (const n of [s.primary, s.backup]) {
      const part = element("span");
      part.style.width = (100 * n) / most + "%";
      bar.append(part);
    }
    return [bar, `${s.primary.toLocaleString("en")} + ${s.backup.toLocaleString("en")}${s.learner ? `, learns ${s.learner}` : ""}`];
  },
};

const tones = {
  made: "good", joined: "good", up: "good", restored: "good", recovered: "good", head: "good", "leader-joined": "good",
  leaving: "mid", undrained: "good", placed: "mid", left: "mid", draining: "mid", configured: "mid", "leader-left": "mid",
  handoff: "move",
  down: "bad", out: "bad", eject: "bad", removed: "bad", lost: "bad", "accepted-loss": "bad", "no-head": "bad", "session-lost": "bad", deadlock: "bad",
};

const toneOf = (kind) => tones[kind] || "";
const shownEvents = 80;

/** showEvents lists them, newest first. */
export function showEvents(list, events) {
  const newest = events.slice(-shownEvents).reverse();
  rows(list, newest, (e) => [e.number, e.at, e.kind, e.detail], (e) => {
    const at = new Date(e.at);
    const today = at.toDateString() === new Date().toDateString();
    const time = element("time", { datetime: at.toISOString(), title: at.toLocaleString() }, today ? at.toLocaleTimeString("en-GB") : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" }));
    return element("li", {}, time, element("span", { class: "epoch" }, e.epoch ? "e" + e.epoch : ""),
      element("span", {}, element("span", { class: "badge " + toneOf(e.kind) }, e.kind)), element("span", {}, e.server), element("span", { class: "detail" }, e.detail));
  }, () => {});
}

const spans = [2, 10, 60, 360, 1440, 10080, 43200].map((minutes) => minutes * 60000);

/** showTimeline draws the epoch over time, with what happened: the shortest stretch that has a few events. */
export function showTimeline(chart, says, events, epochs, now) {
  const known = events.filter((e) => e.epoch).map((e) => ({ at: e.at, epoch: e.epoch, kind: e.kind, text: `${e.kind} ${e.server}` }));
  const all = known.concat(epochs).sort((a, b) => a.at - b.at);
  if (!all.length) return;
  const age = Math.max(now - all[0].at, 10000) * 1.02;
  const wide = Math.min(age, spans.find((s) => known.filter((e) => e.at > now - s).length >= Math.min(4, known.length)) || age);
  const from = now - wide;
  const inside = all.filter((e) => e.at >= from);
  const before = all.filter((e) => e.at < from).pop();
  const first = Math.min(...inside.map((e) => e.epoch), before ? before.epoch : Infinity);
  const last = Math.max(...inside.map((e) => e.epoch), before ? before.epoch : 0);
  const x = (at) => (1000 * (at - from)) / wide;
  const y = (epoch) => 108 - (96 * (epoch - first)) / Math.max(1, last - first);
  let d = `M${x(inside.length && !before ? inside[0].at : from)} ${y(first)}`;
  for (const e of inside) d += `H${x(e.at).toFixed(1)}V${y(e.epoch).toFixed(1)}`;
  const parts = [svg("path", { class: "floor", d: "M0 116H1000" }), svg("path", { class: "step", d: d + "H1000" })];
  for (const e of inside) {
    if (!e.kind) continue;
    const at = svg("path", { class: "at " + toneOf(e.kind), d: `M${x(e.at).toFixed(1)} ${y(e.epoch).toFixed(1)}h.01` }, svg("title"));
    at.firstChild.textContent = `epoch ${e.epoch}: ${e.text}`;
    parts.push(at);
  }
  chart.replaceChildren(...parts);
  const n = {};
  for (const e of inside) if (e.kind) n[e.kind] = (n[e.kind] || 0) + 1;
  const told = Object.entries(n).map(([kind, times]) => `${times} ${kind}`).join(", ") || "no events";
  chart.setAttribute("aria-label", `Epochs over the last ${span(wide)}: from ${first} to ${last}; ${told}`);
  put(says, `the last ${span(wide)}: epoch ${first.toLocaleString("en")} to ${last.toLocaleString("en")}`);
}

/** showLocks lists who holds and who waits. */
export function showLocks(body, locks, now) {
  rows(body, locks, (l) => l.name, () => element("tr", {}, element("th", { scope: "row" }), element("td"), element("td", { class: "n" }), element("td"), element("td")), (row, l) => {
    const [name, held, token, since, waiting] = row.children;
    put(name, l.name);
    put(held, l.holders.map((h) => h.client + (h.lost ? ", whose session is lost" : "")).join(", ") + (l.shared ? " (shared)" : ""));
    put(token, l.holders.map((h) => h.token).join(", "));
    put(since, l.holders.length ? span(now - Math.min(...l.holders.map((h) => h.since))) : "");
    rows(waiting, l.waiters.map((client, i) => ({ client, i })), (w) => w.i + " " + w.client, (w) => element("span", { class: "chip" }, w.client), () => {});
  });
}

/** Line is a small chart of the last minutes. */
export class Line {
  constructor(chart) {
    this.values = [];
    this.under = svg("path");
    this.line = svg("path");
    chart.append(this.under, this.line);
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > 120) this.values.shift();
    const most = Math.max(1e-9, ...this.values);
    const x = (i) => (120 - this.values.length + i + 1).toFixed(1);
    const points = this.values.map((v, i) => `${x(i)} ${(26 - (24 * v) / most).toFixed(1)}`);
    this.line.setAttribute("d", "M" + points.join("L"));
    this.under.setAttribute("d", `M${x(0)} 28L${points.join("L")}L120 28Z`);
  }
}
