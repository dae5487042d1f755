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

// A predicate from a filter's text: a comparison with a number, or a part of the value.
function predicate(text) {
  const wanted = text.trim().toLowerCase();
  const comparison = /^(<=|>=|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)$/.exec(wanted);
  if (!comparison) return (value) => String(value ?? "").toLowerCase().includes(wanted);
  const limit = Number(comparison[2]);
  const tests = {
    "<": (v) => v < limit, "<=": (v) => v <= limit, ">": (v) => v > limit,
    ">=": (v) => v >= limit, "=": (v) => v === limit,
  };
  return (value) => typeof value === "number" && tests[comparison[1]](value);
}

function build(place) {
  const { columns, rows } = JSON.parse(document.getElementById(place.dataset.source).textContent);
  const filters = columns.map(() => "");
  const state = { column: -1, descending: false, shown: STEP };
  const body = element("tbody", {});
  const count = element("p", { class: "hint", role: "status", "aria-live": "polite" });
  const more = element("button", { type: "button", class: "more" }, "Show more rows");

  function draw() {
    const tests = filters.map((text, at) => [at, text]).filter(([, text]) => text.trim() !== "")
      .map(([at, text]) => [at, predicate(text)]);
    const kept = rows.filter((row) => tests.every(([at, test]) => test(row[at])));
    if (state.column >= 0) {
      const sign = state.descending ? -1 : 1;
      kept.sort((a, b) => sign * compare(a[state.column], b[state.column]));
    }
    body.replaceChildren(...kept.slice(0, state.shown).map((row) => element("tr", {},
      ...row.map((value) => element("td", typeof value === "number" ? { class: "number" } : {},
        value === null ? "" : String(value))))));
    const visible = Math.min(kept.length, state.shown);
    count.textContent = `${visible} of ${kept.length} rows shown, ${rows.length} in all`;
    more.hidden = visible === kept.length;
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
    return element("td", {}, input);
  });
  more.addEventListener("click", () => {
    state.shown += STEP;
    draw();
  });
  const table = element("table", {},
    element("thead", {}, element("tr", {}, ...headings), element("tr", {}, ...inputs)), body);
  const label = place.closest("section").querySelector("h2").textContent;
  place.append(
    count, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table),
    more);
  draw();
}

document.querySelectorAll(".table").forEach(build);
