// Draws figures as they scroll into view, sorts tables, steps through slices, switches the theme. Loads nothing from outside this page.
"use strict";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const figures = [...document.querySelectorAll("figure.plot")];

function isDark() {
  if (root.dataset.printing) return false;
  return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
}

// The value of a style variable in the current theme; "var(--m0)/0.2" means that colour with that opacity.
const colours = new Map();
function resolveColour(token) {
  const [name, alpha] = token.split("/");
  const colour = resolved(name);
  return alpha ? colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`) : colour;
}

// Each variable is read once per theme: a figure names a colour for every point, and every read makes the browser recompute styles.
function resolved(name) {
  const key = `${name} ${isDark()}`;
  if (!colours.has(key)) {
    const probe = document.createElement("i");
    probe.style.color = name;
    document.body.append(probe);
    colours.set(key, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(key);
}

function withColours(value) {
  if (typeof value === "string") return /^var\(--[a-z0-9]+\)(\/[0-9.]+)?$/.test(value) ? resolveColour(value) : value;
  if (Array.isArray(value)) return value.map(withColours);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withColours(inner)]));
}

// The row names of a figure in lines that fit, and the left margin for them in pixels; plotly can only find it by drawing the figure twice.
const ruler = document.createElement("canvas").getContext("2d"), entities = document.createElement("textarea");
const NAME_GAP = 16, LINE = 16, MOST_LINES = 6, NAMES_SHARE = 0.42, NARROW_SHARE = 0.55;
function widthOf(text) {
  return ruler.measureText(text).width;
}

// A name is broken after "_", "/" and spaces, and a longer word anywhere.
function linesOf(name, room) {
  entities.innerHTML = name.replace(/<\/?b>/g, "");
  const lines = [""];
  for (let piece of entities.value.slice(0, 400).match(/[^_ ]+[_ ]*|[_ ]+/g) ?? []) {
    if (lines.at(-1) && widthOf(lines.at(-1) + piece.trimEnd()) > room) lines.push("");
    while (widthOf(piece.trimEnd()) > room && piece.length > 1) {
      const kept = Math.max(1, Math.floor(piece.length * room / widthOf(piece)) - 1);
      lines[lines.length - 1] += piece.slice(0, kept);
      piece = piece.slice(kept);
      lines.push("");
    }
    lines[lines.length - 1] += piece;
  }
  if (lines.length > MOST_LINES) lines.splice(MOST_LINES, lines.length, "…");
  const text = lines.map((line) => line.replace(/&/g, "&amp;").replace(/</g, "&lt;")).join("<br>");
  return { text: name.startsWith("<b>") ? `<b>${text}</b>` : text, count: lines.length, width: Math.max(...lines.map((line) => widthOf(line.trimEnd()))) };
}

// Sets the margin and, where a name needs several lines, the texts of the rows; returns the lines of the longest name.
function fitNames(layout, width, share) {
  const { font, yaxis } = layout, names = yaxis.categoryarray ?? [];
  if (!names.length) return 1;
  ruler.font = `bold ${font.size}px ${font.family}`;
  const lines = names.map((name) => linesOf(name, width * share - NAME_GAP)), count = Math.max(...lines.map((name) => name.count));
  layout.margin = { ...layout.margin, l: Math.max(layout.margin?.l ?? 0, Math.ceil(Math.max(...lines.map((name) => name.width)) + NAME_GAP)) };
  if (count > 1) Object.assign(yaxis, { tickmode: "array", tickvals: names, ticktext: lines.map((name) => name.text) });
  return count;
}

// The width at which the row names of a figure fit on one line each.
function widthForNames({ yaxis }, share) {
  ruler.font = `bold 12.5px ${getComputedStyle(document.body).fontFamily}`;
  const widths = (yaxis?.categoryarray ?? []).map((name) => widthOf(name.replace(/<\/?b>/g, "")) + NAME_GAP + 1);
  return Math.max(0, ...widths) / share;
}

function themed(layout, width, share) {
  const ink = resolveColour("var(--ink)"), muted = resolveColour("var(--muted)"), line = resolveColour("var(--line)");
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: muted }, automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: ink },
    hoverlabel: { bgcolor: resolveColour("var(--page)"), bordercolor: line, font: { color: ink } },
    xaxis: {}, yaxis: {},
    ...withColours(layout),
  };
  base.lines = fitNames(base, width, share);
  for (const key of Object.keys(base)) {
    if (!/^[xy]axis\d*$/.test(key)) continue;
    const title = { ...base[key].title, font: { color: muted, size: 12.5 } };
    base[key] = { ...axis, ...base[key], title };
  }
  return base;
}

async function unpack(element) {
  const letters = atob(element.textContent), packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")));
}

// As a separate (blob) file plotly.js is compiled in the background, not between two frames of the page; the policy allows it by its hash.
// Browsers that allow hashes only for inline scripts get it as an inline script.
const plotly = document.getElementById("plotly");
const loaded = unpack(plotly).then((file) => file.blob()).then(async (code) => {
  const script = document.createElement("script");
  script.integrity = plotly.dataset.digest;
  script.src = URL.createObjectURL(code);
  const ran = new Promise((resolve) => { script.onload = () => resolve(true); script.onerror = () => resolve(false); });
  document.head.append(script);
  if (await ran) return;
  const inline = document.createElement("script");
  inline.textContent = await code.text();
  document.head.append(inline);
});

// The plotly content of each figure, parsed once; short ones are plain JSON, long ones are compressed.
const contents = new Map();
async function contentOf(figure) {
  if (!contents.has(figure)) {
    const script = figure.querySelector("script");
    contents.set(figure, JSON.parse(script.type === "application/json" ? script.textContent : await (await unpack(script)).text()));
  }
  return contents.get(figure);
}

const OPTIONS = {
  responsive: true,
  displaylogo: false,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
};

// Printed figures are as wide as A4 or Letter paper; wider ones are drawn at their own width and scaled down.
const PAPER = 690, BESIDE = 0.64;

async function draw(figure, onPaper = false) {
  const canvas = figure.querySelector(".canvas");
  let content;
  try {
    [content] = await Promise.all([contentOf(figure), loaded]);
  } catch {
    canvas.querySelector(".waiting").textContent = "This browser cannot decompress the figure. Its numbers are in the table below.";
    return;
  }
  const view = content.views[figure.querySelector(".picker select")?.value ?? 0] ?? content;
  const column = figure.closest(".beside") ? BESIDE * PAPER : PAPER;
  const given = { ...content.layout, ...view.layout };
  const paper = Math.max(column, parseInt(canvas.style.minWidth) || 0, Math.min(2 * column, widthForNames(given, NARROW_SHARE)));
  const { lines, ...layout } = onPaper ? themed(given, paper, NARROW_SHARE) : themed(given, canvas.clientWidth, figure.closest(".beside") ? NARROW_SHARE : NAMES_SHARE);
  // Rows of several lines make the figure higher than it was announced.
  const rows = layout.yaxis.categoryarray?.length ?? 0, height = Number(canvas.dataset.height ??= parseInt(canvas.style.height));
  const between = rows ? (height - layout.margin.t - layout.margin.b) / rows : 0;
  canvas.style.height = `${height + Math.max(0, lines > 1 ? lines * LINE + 4 - between : 0) * rows}px`;
  if (onPaper) layout.width = paper;
  canvas.style.zoom = onPaper ? column / layout.width : "";
  canvas.querySelector(".waiting")?.remove();
  await window.Plotly.react(canvas, withColours(view.data), layout, OPTIONS);
  figure.dataset.drawn = "true";
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    watcher.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "400px" });
figures.forEach((figure) => watcher.observe(figure));

// Whether an element is not inside a part that is closed.
const isOpen = (element) => element.closest("section.detail > details:not([open])") === null;
const drawn = () => figures.filter((figure) => figure.dataset.drawn);
dark.addEventListener("change", () => drawn().forEach((figure) => draw(figure)));
addEventListener("beforeprint", () => {
  root.dataset.printing = "true";
  figures.filter(isOpen).forEach((figure) => draw(figure, true));
});
addEventListener("afterprint", () => {
  delete root.dataset.printing;
  drawn().forEach((figure) => draw(figure));
});
// A second after the first figure could be drawn.
const later = loaded.catch(() => {}).then(() => new Promise((resolve) => setTimeout(resolve, 1000)));
// Nothing can be awaited once printing has started, so all content is parsed before.
later.then(() => Promise.all(figures.map(contentOf))).catch(() => {});

const themeButton = document.querySelector("button.theme");
function nameTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
}
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  drawn().forEach((figure) => draw(figure));
});
dark.addEventListener("change", nameTheme);
nameTheme();

const contentsButton = document.querySelector("button.contents");
function openContents(isOpen) {
  contentsButton.setAttribute("aria-expanded", isOpen);
}
contentsButton.hidden = false;
openContents(false);
contentsButton.addEventListener("click", () => openContents(contentsButton.getAttribute("aria-expanded") === "false"));
document.querySelector("nav ol").addEventListener("click", () => openContents(false));

for (const select of document.querySelectorAll(".plot .picker select")) {
  select.addEventListener("change", () => draw(select.closest("figure")));
}

// The channel of all images of patients is chosen at any of its pickers.
const pickers = [...document.querySelectorAll(".channel select")];
for (const picker of pickers) {
  picker.parentElement.hidden = false;
  picker.addEventListener("change", () => {
    pickers.forEach((other) => { other.value = picker.value; });
    document.querySelectorAll("[data-channels]").forEach((picture) => picture.style.setProperty("--image", `var(--image${picker.value})`));
  });
}

// Numbers sort by value, anything else by text; rows without a value are last in both directions.
function compare(a, b) {
  const numbers = a !== "" && b !== "" && !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  return numbers ? Number(a) - Number(b) : a.localeCompare(b, "en");
}

function sortBy(table, column, header) {
  const descending = header.getAttribute("aria-sort") === "ascending"
    || (header.getAttribute("aria-sort") === null && header.classList.contains("number"));
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows].sort((first, second) => {
    const [a, b] = [key(first), key(second)];
    if (a === "" || b === "") return (a === "") - (b === "");
    return descending ? compare(b, a) : compare(a, b);
  });
  table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}

function makeSortable(table) {
  table.querySelectorAll("thead th").forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(table, column, header));
  });
}
document.querySelectorAll("table.sortable").forEach(makeSortable);

// A long folded table stays text until it is opened or the visible figures are drawn, because its rows would delay the page.
const unread = [...document.querySelectorAll("details > noscript")];
function readTable(text) {
  const fold = text.parentElement;
  if (fold === null) return;
  text.outerHTML = text.textContent;
  fold.querySelectorAll("table.sortable").forEach(makeSortable);
}
for (const text of unread) text.parentElement.addEventListener("toggle", () => readTable(text), { once: true });
later.then(() => unread.forEach(readTable));

for (const slider of document.querySelectorAll(".patients input")) {
  const slices = [...slider.closest("article").querySelectorAll(".slice")];
  slider.hidden = false;
  slider.addEventListener("input", () => slices.forEach((slice, i) => { slice.hidden = i !== Number(slider.value); }));
}

for (const chooser of document.querySelectorAll(".switch")) {
  const choices = [...chooser.querySelectorAll(".selection")], inputs = [...chooser.querySelectorAll("input")];
  const show = () => choices.forEach((selection, i) => { selection.hidden = !inputs[i].checked; });
  chooser.querySelector("fieldset").hidden = false;
  chooser.addEventListener("change", show);
  show();
}

// A link to a detail, or to anything in it, opens it.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = target && (target.querySelector(":scope > details") ?? target.closest("details"));
  if (!closed || closed.open) return;
  closed.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

const links = new Map([...document.querySelectorAll("nav ol a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((link) => link.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -75% 0px" });
document.querySelectorAll("main > section").forEach((section) => reading.observe(section));
