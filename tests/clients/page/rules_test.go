package page

// rules finds what people could not read, or a screen reader not say.
const rules = `(() => {
  const found = [];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  const parse = (color) => {
    ctx.clearRect(0, 0, 1, 1);
    ctx.fillStyle = color;
    ctx.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = ctx.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3])).concat(1);
  const groundOf = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const bright = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, f, i) => {
    const v = c[i] / 255;
    return sum + f * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const name = (e) => e.tagName + "#" + e.id + "." + (e.className.baseVal ?? e.className);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode());) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !e.checkVisibility() || e.closest(".hidden, script, noscript")) continue;
    const style = getComputedStyle(e);
    const ground = groundOf(e);
    const ink = over(parse(e instanceof SVGElement ? style.fill : style.color), ground);
    const [a, b] = [bright(ink), bright(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push("contrast " + ratio.toFixed(2) + " of " + name(e) + ": " + n.textContent.trim().slice(0, 30));
    if (parseFloat(style.fontSize) < 11) found.push("letters of " + style.fontSize + " in " + name(e));
  }
  const labelled = (e) => (e.labels && e.labels.length) || e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") || "").split(" ").some((id) => id && document.getElementById(id)?.textContent.trim()) || (e.tagName === "BUTTON" && e.textContent.trim());
  for (const e of document.querySelectorAll("input, button, canvas, progress, section, [role=region], [role=img], [tabindex]")) {
    if (!labelled(e)) found.push("no label: " + name(e));
  }
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) found.push("no alt: " + e.src);
  for (const e of document.querySelectorAll("table")) if (!e.caption) found.push("no caption: " + name(e));
  for (const e of document.querySelectorAll("th")) if (!e.scope) found.push("no scope: " + e.textContent);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.filter((i) => i === id).length > 1) found.push("twice: " + id);
  for (const landmark of ["header", "main", "footer", "h1"]) if (document.querySelectorAll(landmark).length !== 1) found.push("want one " + landmark);
  if (!document.querySelector("[role=status][aria-live=polite]#sentence")) found.push("the sentence is not said");
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the screen: " + document.documentElement.scrollWidth + " of " + innerWidth);
  return [...new Set(found)].slice(0, 20);
})()`

// check fails the test for what the rules find.
func (p *tab) check(where string) {
	p.t.Helper()
	for _, found := range value[[]string](p, rules) {
		p.t.Errorf("%s: %s", where, found)
	}
}
