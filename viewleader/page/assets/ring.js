// The ring and the grid of partitions: what is where, drawn when it changes.

const SVG = "http://www.w3.org/2000/svg";

/** svg makes an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

/** hue is a server's color: neighbours in number are far apart. */
export const hue = (id) => (id * 137.508 + 118) % 360;

/** stateWords are the letters of partitions, in the order of the legend. */
export const stateWords = {
  w: "all copies", m: "all copies, moving", f: "too few copies", r: "read-only", u: "unavailable",
};

const middle = 320;
const bands = [[246, 290], [212, 240], [182, 206]]; // radii of primary, second and third copy
const edge = [295, 304]; // of the states

/** placeOf is which partition-wide piece of the ring a partition has: its number with its bits reversed. */
function placeOf(p, partitions) {
  let place = 0;
  for (let bit = 1; bit < partitions; bit *= 2) {
    place = place * 2 + (p & 1);
    p >>= 1;
  }
  return place;
}

function point(radius, part) {
  const angle = 2 * Math.PI * part;
  return `${(middle + radius * Math.sin(angle)).toFixed(2)} ${(middle - radius * Math.cos(angle)).toFixed(2)}`;
}

/** arc is the outline of a piece of a band, from one part of the ring to another. */
function arc([inner, outer], from, to) {
  if (to - from > 0.9999) { // an arc with one end ends where it begins, and would not be drawn
    return arc([inner, outer], from, from + 0.5) + arc([inner, outer], from + 0.5, from + 0.9998);
  }
  const large = to - from > 0.5 ? 1 : 0;
  return `M${point(outer, from)}A${outer} ${outer} 0 ${large} 1 ${point(outer, to)}L${point(inner, to)}A${inner} ${inner} 0 ${large} 0 ${point(inner, from)}Z`;
}

/** runs calls fn for each stretch of places that have the same value. */
function runs(values, fn) {
  for (let from = 0; from < values.length;) {
    let to = from + 1;
    while (to < values.length && values[to] === values[from]) to++;
    fn(values[from], from / values.length, to / values.length);
    from = to;
  }
}

/** Ring draws the ring. */
export class Ring {
  constructor(root) {
    this.root = root;
    this.drawn = "";
    this.chosen = 0;
    const pattern = svg("pattern", { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 7, height: 7 }), svg("path", { d: "M0 0V7" }));
    this.layers = { states: svg("g"), arcs: svg("g"), pin: svg("g"), text: svg("g") };
    root.append(svg("defs", {}, pattern), this.layers.states, this.layers.arcs, this.layers.text, this.layers.pin);
    this.big = svg("text", { class: "big", x: middle, y: middle - 8 });
    this.small = [26, 50, 74].map((y) => svg("text", { class: "small", x: middle, y: middle + y }));
    this.layers.text.append(this.big, ...this.small);
  }

  /** show draws what is where; nothing where it is drawn already. */
  show(acting, letters, down) {
    const key = [letters, [...down].join()].join();
    if (this.acting === acting && this.drawn === key) return;
    this.acting = acting;
    this.drawn = key;
    this.drawStates(letters);
    this.drawArcs(down);
  }

  drawStates(letters) {
    const at = new Array(letters.length);
    for (let p = 0; p < letters.length; p++) at[placeOf(p, letters.length)] = letters[p];
    const paths = {};
    runs(at, (letter, from, to) => { paths[letter] = (paths[letter] || "") + arc(edge, from, to); });
    this.layers.states.replaceChildren(...Object.entries(paths).map(([letter, d]) => svg("path", { class: "st-" + letter, d })));
  }

  drawArcs(down) {
    const n = this.acting.length;
    const elements = [];
    bands.forEach((band, copy) => {
      const at = new Array(n);
      for (let p = 0; p < n; p++) at[placeOf(p, n)] = (this.acting[p] || [])[copy] || 0;
      const paths = new Map();
      runs(at, (id, from, to) => { if (id) paths.set(id, (paths.get(id) || "") + arc(band, from, to)); });
      for (const r of band) elements.push(svg("circle", { class: "band", cx: middle, cy: middle, r }));
      for (const [id, d] of paths) {
        const e = svg("path", { class: down.has(id) ? "arc down" : "arc", d, "data-server": id });
        e.style.setProperty("--hue", hue(id));
        elements.push(e);
      }
    });
    this.layers.arcs.replaceChildren(...elements);
    this.choose(this.chosen);
  }

  /** say writes into the middle, and for those who do not see. */
  say(big, small, label) {
    this.big.textContent = big;
    this.small.forEach((e, i) => { e.textContent = small[i] || ""; });
    if (this.root.getAttribute("aria-label") !== label) this.root.setAttribute("aria-label", label);
  }

  /** choose lets one server stand out; 0: none. */
  choose(id) {
    this.chosen = id;
    this.root.classList.toggle("one", id !== 0);
    for (const e of this.layers.arcs.querySelectorAll(".arc")) e.classList.toggle("chosen", Number(e.dataset.server) === id);
  }

  /** pin marks a partition; below 0: none. */
  pin(p, text) {
    if (p < 0 || !this.acting || p >= this.acting.length) {
      this.layers.pin.replaceChildren();
      return;
    }
    const at = (placeOf(p, this.acting.length) + 0.5) / this.acting.length;
    const turn = `rotate(${at * 360} ${middle} ${middle})`;
    const label = svg("text", { class: "pin-text", x: 0, y: 0 });
    label.textContent = text.length > 18 ? text.slice(0, 17) + "…" : text;
    const [x, y] = point(160, at).split(" ");
    label.setAttribute("transform", `translate(${x} ${Number(y) + 5})`);
    this.layers.pin.replaceChildren(
      svg("path", { class: "pin", d: `M${middle} ${middle - 178}V${middle - 306}`, transform: turn }),
      svg("path", { class: "pin-head", d: `M${middle} ${middle - 303}l-7 -13h14z`, transform: turn }),
      label);
  }
}

/** Grid draws a cell for each partition, and lets people walk over them. */
export class Grid {
  constructor(canvas, says) {
    this.canvas = canvas;
    this.says = says;
    this.letters = "";
    this.at = -1;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointermove", (e) => this.pointed(e));
    canvas.addEventListener("pointerdown", (e) => this.pointed(e));
    canvas.addEventListener("keydown", (e) => this.key(e));
  }

  show(letters, acting, targets) {
    const same = this.letters === letters && this.acting === acting;
    Object.assign(this, { letters, acting, targets });
    if (same) return;
    this.canvas.setAttribute("aria-valuemax", Math.max(0, letters.length - 1));
    this.draw();
    if (this.at >= 0) this.go(this.at);
  }

  /** shape is how many columns there are, and how wide one is. */
  shape() {
    const n = this.letters.length;
    const width = this.canvas.clientWidth;
    let columns = Math.min(64, n);
    while (columns < n / 24 && width / (columns * 2) >= 3.9) columns *= 2;
    return { columns, cell: Math.min(width / columns, 22), rows: Math.ceil(n / columns) };
  }

  draw() {
    const n = this.letters.length;
    if (!n || !this.canvas.clientWidth) return;
    const { columns, cell, rows } = this.shape();
    const scale = devicePixelRatio || 1;
    const height = Math.ceil(rows * cell);
    this.canvas.style.height = height + "px";
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(height * scale);
    const style = getComputedStyle(document.documentElement);
    const color = {};
    for (const [letter, name] of [["w", "whole"], ["m", "moving"], ["f", "few"], ["r", "readonly"], ["u", "unavailable"]]) color[letter] = style.getPropertyValue("--" + name).trim();
    const ctx = this.canvas.getContext("2d");
    ctx.scale(scale, scale);
    const gap = cell > 5 ? 1 : 0.5;
    for (let p = 0; p < n; p++) {
      ctx.fillStyle = color[this.letters[p]];
      ctx.fillRect((p % columns) * cell, Math.floor(p / columns) * cell, cell - gap, cell - gap);
    }
    if (this.at >= 0 && this.at < n) {
      ctx.strokeStyle = style.getPropertyValue("--ink").trim();
      ctx.lineWidth = 2;
      ctx.strokeRect((this.at % columns) * cell - 0.5, Math.floor(this.at / columns) * cell - 0.5, cell, cell);
    }
  }

  pointed(e) {
    const { columns, cell } = this.shape();
    const column = Math.floor(e.offsetX / cell);
    const p = Math.floor(e.offsetY / cell) * columns + column;
    if (column < columns && p >= 0 && p < this.letters.length && p !== this.at) this.go(p);
  }

  key(e) {
    const { columns } = this.shape();
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 8 * columns, PageUp: -8 * columns };
    let to = this.at + (steps[e.key] || 0);
    if (e.key === "Home") to = 0;
    else if (e.key === "End") to = this.letters.length - 1;
    else if (!steps[e.key]) return;
    e.preventDefault();
    this.go(Math.max(0, Math.min(this.letters.length - 1, to)));
  }

  /** go stands at a partition, and says what it is. */
  go(p) {
    this.at = p;
    const name = (id) => "s" + id;
    const acting = (this.acting && this.acting[p]) || [];
    const wanted = this.targets && this.targets[p];
    const width = 16384 / this.letters.length;
    let text = `partition ${p}: ${stateWords[this.letters[p]]}; `;
    text += acting.length ? `on ${acting.map(name).join(", ")}` : "on no server";
    if (wanted) text += `; the ring wants ${wanted.map(name).join(", ")}`;
    text += width > 1 ? `; slots ${p * width} to ${(p + 1) * width - 1}` : `; slot ${p}`;
    this.says.textContent = text;
    this.canvas.setAttribute("aria-valuenow", p);
    this.canvas.setAttribute("aria-valuetext", text);
    this.draw();
  }
}
