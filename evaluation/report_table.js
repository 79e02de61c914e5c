// Sorts the table, and filters settings and tasks on the whole page.
const table = one("#summary");
const heads = all("thead th", table);
const rows = all("tbody tr", table);

const compareNames = new Intl.Collator("en", { numeric: true }).compare;

function sort(column) {
  const head = heads[column];
  const best = head.dataset.better === "high" ? "descending" : "ascending";
  const other = best === "ascending" ? "descending" : "ascending";
  const direction = head.getAttribute("aria-sort") === best ? other : best;
  heads.forEach((each) => each.setAttribute("aria-sort", each === head ? direction : "none"));
  const sign = direction === "ascending" ? 1 : -1;
  const sorted = [...rows].sort((a, b) => {
    if (column === 0) return sign * compareNames(a.cells[0].textContent, b.cells[0].textContent);
    const [x, y] = [a, b].map((row) => row.cells[column].dataset.value);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // unmeasured ones last
    return sign * (x - y);
  });
  one("tbody", table).append(...sorted);
}

const buttons = all(".bar button");
const pressed = (button) => button.getAttribute("aria-pressed") === "true";

function filter() {
  const words = one("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map();
  for (const button of buttons.filter((each) => each.dataset.group && pressed(each))) {
    const kept = groups.get(button.dataset.group) ?? new Set();
    button.dataset.settings.split(" ").forEach((place) => kept.add(Number(place)));
    groups.set(button.dataset.group, kept);
  }
  data.settings.forEach((setting, place) => {
    const name = `${setting.name} ${setting.label}`.toLowerCase();
    const kept = words.every((word) => name.includes(word)) && [...groups.values()].every((group) => group.has(place));
    if (kept) shown.add(place);
    else shown.delete(place);
  });
  all("[data-setting]").forEach((element) => { element.hidden = !shown.has(Number(element.dataset.setting)); });
  const tasks = buttons.filter((each) => each.dataset.task && pressed(each)).map((each) => each.dataset.task);
  all("#summary [data-task], .metric[data-task]").forEach((element) => {
    element.hidden = tasks.length > 0 && !tasks.includes(element.dataset.task);
  });
  const total = data.settings.length;
  one("#status").textContent = `${shown.size} of ${total} setting${total === 1 ? "" : "s"}`;
  one("#nothing").hidden = shown.size > 0;
  plots();
}

heads.forEach((head, column) => one("button", head).addEventListener("click", () => sort(column)));
buttons.forEach((button) => button.addEventListener("click", () => {
  button.setAttribute("aria-pressed", String(!pressed(button)));
  filter();
}));
one("#search").addEventListener("input", filter);
filter();
