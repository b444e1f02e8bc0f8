"use strict";
// Names of rigs in words that people read.

const AXES = ["pitch", "yaw", "roll"]; // about x, y and z
const SIDES = { l: "left", r: "right" };

/** Such as "Brow down left" for browDown_L or brow_down_left. */
function readable(name) {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/[_\-.]+/g, " ").trim().toLowerCase().split(/\s+/);
  const last = words[words.length - 1];
  if (words.length > 1 && SIDES[last]) words[words.length - 1] = SIDES[last];
  const text = words.join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A number with about three digits. */
function short(value) {
  if (!Number.isFinite(value)) return "";
  const rounded = Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
  return String(Number(rounded));
}

/** A slider's number: two digits behind the point at most. */
function rounded(value) {
  return String(Number(value.toFixed(2)));
}

function element(kind, properties = {}, ...children) {
  const { attributes = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(kind), rest);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function choice(label, names, chosen, changed) {
  const select = element("select", { ariaLabel: label, onchange: () => changed(select.value) });
  for (const name of names) {
    select.append(element("option", { value: name, textContent: readable(name), selected: name === chosen }));
  }
  return element("label", {}, element("span", { textContent: readable(label) }), select);
}

/** A slider with its number beside it; ``show`` sets both. */
function slider(label, [low, high], step, changed) {
  const shown = element("output");
  const input = element("input", {
    type: "range", min: low, max: high, step, ariaLabel: label,
    oninput: () => {
      shown.value = rounded(Number(input.value));
      changed(Number(input.value));
    },
  });
  const row = element("label", { title: label }, element("span", { textContent: label.charAt(0).toUpperCase() + label.slice(1) }), input, shown);
  const show = (value) => {
    input.value = value;
    shown.value = rounded(Number(value));
  };
  return { row, input, show };
}
