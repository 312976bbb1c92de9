"use strict";
document.documentElement.classList.add("scripted");

const make = (tag, content, attributes = {}) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...[content].flat());
  return element;
};

// Sorting: a button in each heading; aria-sort says the order. `sort` gets a column and a direction.
function sortable(headings, sort) {
  headings.forEach((heading, column) => {
    const button = make("button", [...heading.childNodes], {type: "button"});
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const first = heading.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      headings.forEach((one) => one.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", before === first ? other : first);
      sort(column, heading.getAttribute("aria-sort") === "ascending" ? 1 : -1);
    });
  });
}

// Numbers by size, texts by the alphabet, nothing last.
function compare(first, second, direction) {
  if (first === "" || second === "") return (first === "") - (second === "");
  const numbers = [Number(first), Number(second)];
  const order = numbers.some(Number.isNaN) ? first.localeCompare(second, "en", {numeric: true}) : numbers[0] - numbers[1];
  return direction * order;
}

// Tables that stand whole on the page.
function sortRows(table) {
  const body = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.order ?? row.cells[column].textContent.trim();
  const rows = table.tHead.rows;
  const headings = rows.length === 1 ? [...rows[0].cells] : [rows[0].cells[0], ...rows[1].cells];
  sortable(headings, (column, direction) => {
    body.append(...[...body.rows].sort((a, b) => compare(value(a, column), value(b, column), direction)));
  });
}

// Tables that come from the CSV in their download link.
const FLAGS = {True: "yes", False: "no"}, NOTHING = "–", STEP = 100, SEARCHED = 12;

function parseCsv(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") { if (end === "") break; rows.push([]); }
  }
  const [names, ...records] = rows.filter((row) => row.length > 1 || row[0] !== "");
  return records.map((record) => Object.fromEntries(names.map((name, index) => [name, record[index] ?? ""])));
}

function number(text) {
  if (text === "" || text === "nan") return NOTHING;
  if (!/[.e]/i.test(text)) return text.replaceAll("-", "−");
  const value = Number(text), size = Math.abs(value);
  if (!Number.isFinite(value)) return text;
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 || !size ? 2 : 4;
  return value.toFixed(digits).replaceAll("-", "−");
}

function cell(row, column) {
  const value = row[column.key];
  if (column.kind === "flag") return FLAGS[value] ?? NOTHING;
  if (column.kind === "text") return value || NOTHING;
  if (!column.low || !row[column.low]) return number(value);
  return `${number(value)} (${number(row[column.low])} to ${number(row[column.high])})`;
}

function growTable(part) {
  const columns = JSON.parse(part.dataset.columns), link = part.querySelector("a.download").getAttribute("href");
  const body = part.querySelector("tbody"), count = part.querySelector(".count"), below = part.querySelector(".below");
  const more = make("button", `${STEP} more`, {type: "button", class: "more"});
  let rows, shown = body.rows.length, wanted = "", sorted = [0, 0];
  const all = () => rows ??= parseCsv(decodeURIComponent(link.slice(link.indexOf(",") + 1)));
  const show = () => {
    const found = all().filter((row) => columns.some((column) => cell(row, column).toLowerCase().includes(wanted)));
    const [column, direction] = sorted;
    if (direction) found.sort((a, b) => compare(a[columns[column].key], b[columns[column].key], direction));
    body.replaceChildren(...found.slice(0, shown).map((row) => make("tr", columns.map((one) => make("td", cell(row, one), {class: one.kind, dir: "auto"})))));
    const visible = body.rows.length;
    count.textContent = `${visible} of ${found.length} row${found.length === 1 ? "" : "s"}`;
    more.hidden = visible === found.length;
  };
  sortable([...part.querySelectorAll("thead th")], (...by) => { sorted = by; show(); });
  more.addEventListener("click", () => { shown += STEP; show(); });
  more.hidden = !/^(\d+) of (?!\1 )/.test(count.textContent);
  below.insertBefore(more, below.lastElementChild);
  if (!more.hidden || shown > SEARCHED) {
    const input = make("input", "", {type: "search", autocomplete: "off"});
    input.addEventListener("input", () => { wanted = input.value.trim().toLowerCase(); show(); });
    part.prepend(make("label", ["Rows that contain ", input], {class: "find"}));
  }
}

// The gallery.
const FIRST = 6;

function answers(form) {
  const data = JSON.parse(document.getElementById("answers").textContent);
  const place = document.querySelector(".examples"), count = document.querySelector("[data-gallery-count]");
  const card = (method, answer) => make("div", [
    make("h4", method), make("p", answer[0], {dir: "auto"}), make("p", ["taken for ", make("b", answer[1])], {class: "verdict"}),
  ], {class: `answer ${method}`});
  const show = () => {
    const {model, persona, prompt} = Object.fromEntries(new FormData(form));
    const own = data.answers[model], all = [...data.prompts.keys()];
    const chosen = {first: all.slice(0, FIRST), all}[prompt] ?? [Number(prompt)];
    place.replaceChildren(...chosen.map((index) => make("article", [
      make("h3", data.prompts[index], {dir: "auto"}),
      make("div", Object.keys(data.methods).flatMap((method) => {
        const answer = own[method === "base" ? "base" : persona]?.[method]?.[index];
        return answer ? [card(method, answer)] : [];
      }), {class: "answers"}),
    ])));
    count.textContent = `${chosen.length} of ${all.length} prompts, ${persona} on ${model}`;
  };
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const link of document.querySelectorAll("a[data-persona]"))
    link.addEventListener("click", () => { form.elements.persona.value = link.dataset.persona; show(); });
  show();
}

document.querySelectorAll("table.comparison, [data-sortable] table").forEach(sortRows);
document.querySelectorAll("[data-columns]").forEach(growTable);
document.querySelectorAll("form[data-gallery]").forEach(answers);
for (const image of document.querySelectorAll(".card img")) image.style.setProperty("--natural", `${image.width}px`);

// The section in sight is marked in the navigation.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries)
    if (entry.isIntersecting) {
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
}, {rootMargin: "-20% 0px -75% 0px"});
document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));

// Paper shows what is folded away.
let folded = [];
addEventListener("beforeprint", () => { folded = [...document.querySelectorAll("details:not([open])")]; folded.forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
