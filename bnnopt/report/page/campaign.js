"use strict";
// Tables that sort and filter by themselves: nothing is fetched, and text never becomes markup.
const STEP = 200;

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

// A predicate from a filter's text: a comparison, or a part of the value; null for no filter.
function predicate(text) {
  const wanted = text.trim().toLowerCase();
  const [, operator, operand] = /^(<=|>=|!=|<|>|=)?\s*(.*)$/s.exec(wanted);
  if (operand === "") return null;
  if (!operator) return (value) => String(value ?? "").toLowerCase().includes(operand);
  const limit = Number(operand);
  const equals = (v) => (typeof v === "number" ? v === limit : String(v ?? "").toLowerCase() === operand);
  const tests = {
    "<": (v) => v < limit, "<=": (v) => v <= limit, ">": (v) => v > limit, ">=": (v) => v >= limit,
  };
  if (operator === "=") return equals;
  if (operator === "!=") return (value) => !equals(value);
  return (value) => typeof value === "number" && tests[operator](value);
}

// Tables by the id of their data, each with what a link needs to show some of its rows.
const tables = {};

function build(place) {
  const { columns, rows } = JSON.parse(document.getElementById(place.dataset.source).textContent);
  const filters = columns.map(() => "");
  const state = { column: -1, descending: false, shown: STEP, marked: null };
  const body = element("tbody", {});
  const count = element("p", { class: "hint", role: "status", "aria-live": "polite" });
  const more = element("button", { type: "button", class: "more" }, "Show more rows");
  const clear = element("button", { type: "button", class: "clear" }, "Clear the filters");

  function cell(value) {
    if (typeof value === "number") return element("td", { class: "number" }, String(value));
    const text = value === null ? "" : String(value);
    return element("td", { class: "text", title: text }, text);
  }

  function draw() {
    const tests = filters.map((text, at) => [at, predicate(text)]).filter(([, test]) => test);
    const kept = rows.filter((row) => tests.every(([at, test]) => test(row[at])));
    if (state.column >= 0) {
      const sign = state.descending ? -1 : 1;
      kept.sort((a, b) => sign * compare(a[state.column], b[state.column]));
    }
    body.replaceChildren(...kept.slice(0, state.shown).map((row) => element("tr",
      row === state.marked ? { class: "marked" } : {}, ...row.map(cell))));
    const visible = Math.min(kept.length, state.shown);
    count.textContent = `${visible} of ${kept.length} ${kept.length === 1 ? "row" : "rows"} shown, ${rows.length} in all`;
    more.hidden = visible === kept.length;
    clear.hidden = tests.length === 0;
  }

  const headings = columns.map((name, at) => {
    const button = element("button", { type: "button" }, name);
    const heading = element("th", { scope: "col", "aria-sort": "none" }, button);
    button.addEventListener("click", () => {
      state.descending = state.column === at && !state.descending;
      state.column = at;
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      draw();
    });
    return heading;
  });
  const inputs = columns.map((name, at) => {
    const input = element("input", { type: "search", "aria-label": `Filter by ${name}` });
    input.addEventListener("input", () => {
      filters[at] = input.value;
      state.shown = STEP;
      draw();
    });
    return input;
  });

  function filter(texts) {
    inputs.forEach((input, at) => { filters[at] = input.value = texts[columns[at]] ?? ""; });
    state.shown = STEP;
    draw();
  }

  // The row of a cell, marked among those on the same network, image and epsilon.
  function show(name) {
    state.marked = rows.find((row) => row[columns.indexOf("cell")] === name);
    const same = ["network", "image", "epsilon"];
    filter(Object.fromEntries(same.map((key) => [key, `=${state.marked[columns.indexOf(key)]}`])));
  }

  tables[place.dataset.source] = { show };
  clear.addEventListener("click", () => {
    state.marked = null;
    filter({});
  });
  more.addEventListener("click", () => {
    state.shown += STEP;
    draw();
  });
  const table = element("table", {},
    element("thead", {}, element("tr", {}, ...headings), 
      element("tr", {}, ...inputs.map((input) => element("td", {}, input)))), body);
  const label = place.closest("section").querySelector("h2").textContent;
  place.append(
    element("div", { class: "tools" }, count, clear),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table),
    more);
  draw();
}

document.querySelectorAll(".table").forEach(build);
document.querySelectorAll("a[data-cell]").forEach((link) => {
  const table = tables[`data-${link.getAttribute("href").slice(1)}`];
  link.addEventListener("click", () => table.show(link.dataset.cell));
});
