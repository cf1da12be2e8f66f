"use strict";
// Sorting and filtering of tables that are complete without this script.
const boards = [...document.querySelectorAll("table.board")];

function keyOf(row, column) {
  const key = row.children[column].dataset.key;
  const number = Number(key);
  return key === "" ? null : Number.isNaN(number) ? key.toLowerCase() : number;
}

function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null); // what is missing stands last
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}

function sortBy(table, header, column) {
  const now = header.getAttribute("aria-sort");
  const first = header.dataset.first || "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = now === first ? other : first;
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  const rows = [...table.tBodies[0].rows];
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((a, b) => compareKeys(keyOf(a, column), keyOf(b, column), sign));
  table.tBodies[0].append(...rows);
}

for (const table of boards) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, header, column));
  });
}

const form = document.querySelector("form.filter");
if (form && boards.length) {
  const [words, complete] = form.querySelectorAll("input");
  const said = form.querySelector("output");
  const rows = boards.flatMap((table) => [...table.tBodies[0].rows]);
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = wanted.every((word) => text.includes(word));
      row.hidden = !fits || (complete.checked && row.dataset.status !== "complete");
      shown += !row.hidden;
    }
    said.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}
