// Quality against bits and against speed: better values up and right, and the frontier of settings that nothing beats.
const MARGIN = { left: 58, right: 20, top: 16, bottom: 44 };
const POINT = 13;
const LONGEST_LABEL = 34;
const POWERS = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];
const quality = one("#quality");
const speed = one("#speed");

// At most about `count` round numbers between two numbers.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

// An axis on which better values are further along: from a value to 0..1, and its ticks.
function axis(values, side, count) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const warp = side.logarithmic ? Math.log2 : (value) => value;
  const room = (warp(high) - warp(low)) * 0.12 || Math.abs(warp(high)) * 0.1 || 1;
  const [start, end] = [warp(low) - room, warp(high) + room];
  const place = (value) => (side.higher ? warp(value) - start : end - warp(value)) / (end - start);
  const inside = (value) => place(value) >= 0 && place(value) <= 1;
  return { place, ticks: side.logarithmic ? POWERS.filter(inside) : ticks(start, end, count) };
}

function tickTexts(values) {
  const step = values[1] - values[0] || 1;
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
  const text = (value) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return values.map((value) => text(value || 0));
}

function plot(svg, title, horizontal, vertical) {
  title.textContent = `${vertical.name} and ${horizontal.name}`;
  svg.replaceChildren();
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  const points = data.settings
    .map((setting, place) => ({ setting, place, x: horizontal.of(place), y: vertical.of(place) }))
    .filter((point) => shown.has(point.place) && point.x && point.y);
  if (!points.length) {
    const middle = { x: width / 2, y: height / 2, "text-anchor": "middle", class: "tick" };
    svg.append(draw("text", middle, "Nothing measured to draw"));
    return;
  }
  const ends = (side) => points.flatMap((point) => point[side]).filter((value) => value !== null);
  const xs = axis(ends("x"), horizontal, Math.max(2, width / 110));
  const ys = axis(ends("y"), vertical, 5);
  const [left, right, top, bottom] = [MARGIN.left, width - MARGIN.right, MARGIN.top, height - MARGIN.bottom];
  const atX = (value) => left + xs.place(value) * (right - left);
  const atY = (value) => bottom - ys.place(value) * (bottom - top);
  const line = (kind, x1, x2, y1, y2) => svg.append(draw("line", { class: kind, x1, x2, y1, y2 }));
  const write = (kind, x, y, anchor, text) => {
    svg.append(draw("text", { class: kind, x, y, "text-anchor": anchor }, text));
  };

  const xTexts = horizontal.logarithmic ? xs.ticks.map(String) : tickTexts(xs.ticks);
  xs.ticks.forEach((value, place) => {
    line("grid", atX(value), atX(value), top, bottom);
    write("tick", atX(value), bottom + 17, "middle", xTexts[place]);
  });
  tickTexts(ys.ticks).forEach((text, place) => {
    const y = atY(ys.ticks[place]);
    line("grid", left, right, y, y);
    write("tick", left - 8, y + 4, "end", text);
  });
  line("axis", left, right, bottom, bottom);
  write("", right, height - 8, "end", `${horizontal.name} (better →)`);

  const good = (point) => [xs.place(point.x[0]), ys.place(point.y[0])];
  const beats = ([x, y], [otherX, otherY]) => x >= otherX && y >= otherY && (x > otherX || y > otherY);
  for (const point of points) {
    point.behind = points.some((other) => beats(good(other), good(point)));
    [point.left, point.top] = [atX(point.x[0]), atY(point.y[0])];
  }
  // Further along than a point of the frontier, only what the next one reaches can be had: it falls, then goes on.
  const front = points.filter((point) => !point.behind).sort((a, b) => a.left - b.left);
  const steps = front.map(({ left: x, top: y }, place) => (place ? `V${y}H${x}` : `M${x} ${y}`));
  svg.append(draw("path", { class: "frontier", d: steps.join("") }));
  for (const { setting, x: [, x1, x2], y: [, y1, y2], left: x, top: y } of points) {
    if (y1 !== null) line(`error c${setting.color}`, x, x, atY(y1), atY(y2));
    if (x1 !== null) line(`error c${setting.color}`, atX(x1), atX(x2), y, y);
  }
  for (const point of [...points].sort((a, b) => b.behind - a.behind)) {
    const group = draw("g", { class: `c${point.setting.color}` });
    const values = [`${vertical.name}: ${number(point.y[0])}`, `${horizontal.name}: ${number(point.x[0])}`];
    group.append(draw("title", {}, [point.setting.name, ...values].join("\n")));
    const box = { x: point.left - POINT / 2, y: point.top - POINT / 2, width: POINT, height: POINT };
    const kind = point.behind ? "behind" : "point";
    group.append(draw("use", { href: `#shape-${point.setting.shape}`, class: kind, ...box }));
    svg.append(group);
  }
  labels(svg, points, width, bottom);
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// One name for several settings: what some have and others have not is "± it".
function shared(settings) {
  if (settings.length === 1) return cut(settings[0].label, LONGEST_LABEL);
  let combinations = 1;
  const parts = settings[0].parts.map((_, part) => {
    const values = [...new Set(settings.map((setting) => setting.parts[part]))];
    combinations *= values.length;
    const there = values.filter((value) => value !== "none").join(", ");
    return there && values.includes("none") ? `± ${there}` : there;
  });
  const whole = parts.filter(Boolean).join(" / ").replaceAll(" / ±", " ±");
  const name = whole.startsWith("±") ? `plain ${whole}` : whole || "plain";
  if (combinations === settings.length && name.length <= LONGEST_LABEL) return name;
  return `${cut(settings[0].label, LONGEST_LABEL - 9)} +${settings.length - 1} more`;
}

// Names beside the points where there is room, those of the frontier first; points at one place share a name.
function labels(svg, points, width, bottom) {
  const around = ({ left: x, top: y }, left, right, up, down) => (
    { left: x + left, right: x + right, top: y + up, bottom: y + down });
  const apart = (a, b) => a.right < b.left || a.left > b.right || a.bottom < b.top || a.top > b.bottom;
  const inside = (box) => box.left > 4 && box.right < width - 4 && box.top > 0 && box.bottom < bottom;
  const taken = points.map((point) => around(point, -POINT / 2, POINT / 2, -POINT / 2, POINT / 2));
  const named = new Set();
  for (const point of [...points].sort((a, b) => a.behind - b.behind)) {
    if (named.has(point)) continue;
    const same = points.filter((other) => Math.hypot(other.left - point.left, other.top - point.top) < 5);
    same.forEach((other) => named.add(other));
    const text = draw("text", { class: "label" }, shared(same.map((other) => other.setting)));
    svg.append(text);
    const long = text.getComputedTextLength();
    const [center, before] = [-long / 2, -long - 9];
    const box = [[11, 4], [9, -9], [center, -13], [before, -9], [before - 2, 4], [9, 17], [center, 22], [before, 17]]
      .map(([x, y]) => around(point, x, x + long, y - 11, y + 3))
      .find((each) => inside(each) && taken.every((other) => apart(each, other)));
    if (!box) {
      text.remove();
      continue;
    }
    taken.push(box);
    filled(text, { x: box.left, y: box.bottom - 3 });
    const place = { x: box.left - 2, y: box.top, width: long + 4, height: 15, rx: 3 };
    text.before(draw("rect", { class: "behind-label", ...place }));
  }
}

function measured(place) {
  const metric = data.metrics[place];
  const name = `${metric.task} ${metric.name}${metric.unit ? `, ${metric.unit}` : ""}`;
  return { name, higher: metric.higher_is_better, of: (setting) => data.scores[setting][place] };
}

function plots() {
  if (!quality.options.length) return;
  const bits = (place) => (data.settings[place].bits === null ? null : [data.settings[place].bits, null, null]);
  const side = { name: "true bits", higher: false, logarithmic: true, of: bits };
  plot(one("#bits-plot"), one("#bits-title"), side, measured(quality.value));
  if (!speed.options.length) return;
  plot(one("#speed-plot"), one("#speed-title"), measured(speed.value), measured(quality.value));
}

for (const [select, timed] of [[quality, false], [speed, true]]) {
  const metrics = [...data.metrics.entries()].filter(([, metric]) => metric.timed === timed);
  offer(select, metrics.map(([place, metric]) => (
    [place, `${metric.task} ${metric.name} ${metric.higher_is_better ? "↑" : "↓"}`])));
  select.addEventListener("change", plots);
}
one("#tradeoff").hidden = !quality.options.length;
speed.parentElement.hidden = one("#speed-plot").parentElement.hidden = !speed.options.length;
one("#bits-plot").parentElement.hidden = data.settings.every((setting) => setting.bits === null);
new ResizeObserver(plots).observe(one(".plots"));
