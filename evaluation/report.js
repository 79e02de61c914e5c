// Helpers of the evaluation page's script, which is report.js, report_plots.js, report_table.js and report_samples.js
// in one. Its hash is in the page's content security policy; what comes from outside is only ever set as text.
"use strict";
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const data = JSON.parse(one("#data").textContent);
const shown = new Set(data.settings.keys()); // settings that the filter keeps

const filled = (element, attributes) => {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const make = (name, attributes = {}, ...children) => {
  const element = filled(document.createElement(name), attributes);
  element.append(...children);
  return element;
};
const draw = (name, attributes, text = "") => {
  const element = filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
  element.textContent = text;
  return element;
};
const offer = (select, choices) => {
  select.replaceChildren(...choices.map(([value, text]) => make("option", { value }, text)));
};
// As as_number of wording.py writes it.
const number = (value) => {
  const size = Math.abs(value);
  if (size === 0 || size >= 1000) return Math.round(value).toLocaleString("en");
  return size < 0.001 ? value.toExponential(1) : value.toFixed(size < 10 ? 3 : size < 100 ? 2 : 1);
};
const mark = (setting) => {
  const svg = draw("svg", { class: `mark c${setting.color}`, "aria-hidden": "true" });
  svg.append(draw("use", { href: `#shape-${setting.shape}` }));
  return svg;
};
