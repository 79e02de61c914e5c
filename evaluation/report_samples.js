// What two settings said, side by side, with the words marked that only one of them said.
const AT_ONCE = 6;
const list = one("#sample-list");
const tokens = (text) => text.match(/\p{Script=Han}|[\p{L}\p{N}_]+|\s+|[^]/gu) ?? [];

// Runs of [differs, text] of both texts, by the longest common subsequence of their words.
function difference(left, right) {
  const [a, b] = [tokens(left), tokens(right)];
  const wide = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * wide); // of what is left from word i of a and word j of b
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [here, below] = [i * wide + j, (i + 1) * wide + j];
      longest[here] = a[i] === b[j] ? longest[below + 1] + 1 : Math.max(longest[below], longest[here + 1]);
    }
  }
  const [first, second] = [[], []];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const here = i * wide + j;
    if (i < a.length && j < b.length && a[i] === b[j]) {
      first.push([false, a[i++]]);
      second.push([false, b[j++]]);
    } else if (j === b.length || (i < a.length && longest[here + wide] >= longest[here + 1])) {
      first.push([true, a[i++]]);
    } else {
      second.push([true, b[j++]]);
    }
  }
  return [runs(first), runs(second)];
}

// Neighbours of one kind together; a space between two words that differ differs too.
function runs(words) {
  const found = [];
  words.forEach(([differs, text], place) => {
    const between = /^\s+$/.test(text) && words[place - 1]?.[0] && words[place + 1]?.[0];
    const kind = differs || Boolean(between);
    if (found.length && found.at(-1)[0] === kind) found.at(-1)[1] += text;
    else found.push([kind, text]);
  });
  return found;
}

// Words with a mark around them, but not around the space before and after them.
function marked(words, kind) {
  const [, before, inner, after] = words.match(/^(\s*)([^]*?)(\s*)$/);
  return inner ? [before, make("mark", { class: kind }, inner), after] : [make("mark", { class: kind }, words)];
}

const scored = (scores, index) => (scores && scores[index] !== null ? scores[index] : undefined);

// How much better the second scores are in a metric; 0 where one is missing.
function gain(scores, others, metrics, index) {
  const [before, after] = [scored(scores, index), scored(others, index)];
  if (before === undefined || after === undefined) return 0;
  return (after - before) * (metrics[index].higher_is_better ? 1 : -1);
}

function side(place, scores, others, metrics, text, kind) {
  const setting = data.settings[place];
  const who = make("div", { class: "who" }, mark(setting), make("b", {}, setting.label));
  metrics.forEach((metric, index) => {
    const score = scored(scores, index);
    if (score === undefined) return;
    const better = gain(others, scores, metrics, index) > 0;
    const words = `${metric.name} ${Number(score.toPrecision(4))}${better ? " ✓" : ""}`;
    who.append(make("span", { class: better ? "better" : "soft" }, words));
  });
  const pre = make("pre", { dir: "auto" });
  if (text === null) pre.append(make("span", { class: "soft" }, "not done"));
  else pre.append(...text.flatMap(([differs, words]) => (differs ? marked(words, kind) : [words])));
  return make("div", {}, who, pre);
}

function sample(task, metrics, item, left, right) {
  const [a, b] = [left, right].map((place) => (item.said[place] === null ? null : item.texts[item.said[place]]));
  const plain = (text) => (text === null ? null : [[false, text]]);
  const [first, second] = a === null || b === null ? [plain(a), plain(b)] : difference(a, b);
  const header = make("header", {}, make("span", { class: "soft" }, `${task} ${item.id}`));
  if (a !== null && a === b && item.said[left] !== item.said[right]) {
    header.append(make("span", { class: "soft" }, ": the texts differ in what is left out here"));
  }
  header.append(make("p", { dir: "auto" }, item.prompt));
  if (item.target) header.append(make("p", { dir: "auto" }, make("b", {}, "Wanted: "), item.target));
  const [scores, others] = [item.scores[left], item.scores[right]];
  const sides = [
    side(left, scores, others, metrics, first, "first"),
    side(right, others, scores, metrics, second, "second"),
  ];
  return make("article", { class: "sample" }, header, make("div", { class: "pair" }, ...sides));
}

function samples() {
  const task = data.samples[one("#sample-task").value];
  const [left, right] = [Number(one("#left").value), Number(one("#right").value)];
  const metrics = task.metrics.map((name) => (
    data.metrics.find((metric) => metric.task === task.task && metric.name === name)));
  // The sign of the first metric in which the two differ.
  const verdict = (item) => Math.sign(
    metrics.map((_, index) => gain(item.scores[left], item.scores[right], metrics, index)).find(Boolean) ?? 0);
  const kinds = {
    all: ["all", () => true],
    differ: ["texts that differ", (item) => item.said[left] !== item.said[right]],
    left: ["left is better", (item) => verdict(item) < 0],
    right: ["right is better", (item) => verdict(item) > 0],
  };
  const which = one("#which").value || "all";
  const counted = ([kind, [text, keep]]) => [kind, `${text} (${task.items.filter(keep).length})`];
  offer(one("#which"), Object.entries(kinds).map(counted));
  one("#which").value = which;

  const articles = task.items.filter(kinds[which][1]).map((item) => sample(task.task, metrics, item, left, right));
  list.replaceChildren(...articles.slice(0, AT_ONCE));
  const more = one("#more");
  more.hidden = articles.length <= AT_ONCE;
  more.textContent = `Show ${articles.length - AT_ONCE} more`;
  more.onclick = () => {
    list.append(...articles.slice(AT_ONCE));
    more.hidden = true;
  };
  const others = task.items.length - task.first;
  const most = `the first ${task.first} and ${others} others on which the settings differ most`;
  const missing = task.total - task.items.length;
  const rest = missing ? `${missing.toLocaleString("en")} more items are not on this page.` : "These are all items.";
  one("#sample-status").textContent = `${articles.length} of the ${task.items.length} items of ${task.task} on this `
    + `page (${others ? most : "in order"}). ${rest}`;
}

if (list) {
  offer(one("#sample-task"), data.samples.map((task, place) => [place, task.task]));
  const names = data.settings.map((setting, place) => [place, setting.label]);
  for (const select of [one("#left"), one("#right")]) offer(select, names);
  one("#right").value = data.settings.length - 1;
  for (const id of ["#sample-task", "#left", "#right", "#which"]) one(id).addEventListener("change", samples);
  samples();
}
