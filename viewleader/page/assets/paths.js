// The tree of paths and files: a node, and what is in it. Nothing is asked before somebody opens one.

import { count, element, put, size } from "./tables.js";

const $ = (id) => document.getElementById(id);
const kinds = { directory: "directory", file: "file or value", records: "record file" };

const moment = (ms) => (ms ? new Date(ms).toLocaleString("en-GB") : "–");

/** brief is a name that is cut, without what would turn around or hide the text beside it. */
function brief(name) {
  const letters = [...name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "·")];
  return letters.length > 40 ? letters.slice(0, 40).join("") + "…" : letters.join("");
}

/** crumbs are the steps from the root to a path, each to be opened. */
function crumbs(path) {
  const names = path === "/" ? [] : path.slice(1).split("/");
  const step = (text, to, here) => {
    const button = element("button", { type: "button", ...(here ? { "aria-current": "page" } : {}) }, text);
    button.addEventListener("click", () => open(to));
    return element("li", {}, button);
  };
  $("crumbs").replaceChildren(step("/", "/", !names.length), ...names.map((name, i) => step(brief(name), "/" + names.slice(0, i + 1).join("/"), i === names.length - 1)));
}

function showFacts(d) {
  const facts = [["path", d.text], ["is a", kinds[d.kind]]];
  if (d.kind !== "directory") facts.push(["size", d.bytes < 1024 ? count(d.bytes, "byte") : `${size(d.bytes)} (${count(d.bytes, "byte")})`]);
  facts.push(["changed", count(d.version, "time")], ["version", d.modified], ["created", `${d.created}, ${moment(d.created_at)}`], ["last change", moment(d.modified_at)]);
  if (d.session) facts.push(["goes with session", d.session]);
  $("node").replaceChildren(...facts.concat(d.attributes || []).map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
}

function showChildren(d) {
  const rows = d.children.map((c) => {
    const button = element("button", { type: "button", "data-path": c.path }, c.text + (c.kind === "directory" ? "/" : ""));
    button.addEventListener("click", () => open(c.path));
    const cell = (text, kind) => element("td", { class: kind }, text);
    return element("tr", {}, element("th", { scope: "row" }, button), cell(kinds[c.kind], "spare"), cell(c.kind === "directory" ? "–" : size(c.bytes), "n"), cell(c.modified, "n spare"), cell(moment(c.modified_at), ""));
  });
  $("children").tBodies[0].replaceChildren(...rows);
  $("children").parentElement.hidden = !rows.length;
  let text = d.kind !== "directory" ? "" : d.more ? `the first ${d.children.length} that were found are shown: type the path of another` : rows.length ? count(rows.length, "node") : "nothing is in it";
  put($("paths-says"), [text, `as of ${new Date().toLocaleTimeString("en-GB")}`].filter(Boolean).join("; "));
}

let wanted = 0; // counts what was asked for: an answer to something earlier is not shown

/** open shows a path. */
async function open(path) {
  const mine = ++wanted;
  $("path").value = path;
  put($("paths-says"), "the servers are asked …");
  let d;
  try {
    const answer = await fetch("paths?path=" + encodeURIComponent(path), { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    d = await answer.json();
  } catch (err) {
    if (mine !== wanted) return;
    put($("paths-says"), String(err.message || err));
    $("paths-result").hidden = true;
    return;
  }
  if (mine !== wanted) return;
  crumbs(d.path);
  showFacts(d);
  showChildren(d);
  $("paths-result").hidden = false;
  $("paths-result").dataset.path = d.path;
}

$("path-form").addEventListener("submit", (e) => {
  e.preventDefault();
  open($("path").value || "/");
});
