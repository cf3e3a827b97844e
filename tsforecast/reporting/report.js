"use strict";

// A click on the head of a column sorts by it; a second one turns the order around. A button takes the keyboard too.
for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head));
    head.append(button);
  }
}

function sortBy(table, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  const sign = down ? -1 : 1;
  const read = head.classList.contains("number") ? number : (text) => text;
  const keyed = [...table.tBodies[0].rows].map((row) => [read(row.cells[head.cellIndex].textContent.trim()), row]);
  keyed.sort(([a], [b]) => missing(a) - missing(b) || sign * compare(a, b));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

// A number as it is written: with a minus sign, commas between thousands, or as so many times an error, a skill below -100%.
function number(text) {
  const value = parseFloat(text.replace("\u2212", "-").replaceAll(",", ""));
  return text.endsWith("times") ? 100 * (1 - value) : value;
}

// What was not measured stays at the end in both orders.
function missing(value) {
  return Number.isNaN(value) || value === "-" ? 1 : 0;
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b || 0;
}
