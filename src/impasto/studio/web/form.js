// Controls for the settings, made from the server's description. A control that is empty or
// unchanged sends no value, because the server has the defaults.

import { heading, make } from "./format.js";

const SIZES = [256, 512, 768, 1024, 2048];

export class Controls {
  constructor(options, prefix) {
    this.prefix = prefix;
    this.options = options;
    this.inputs = new Map(options.map((option) => [option.name, makeInput(option, prefix)]));
  }

  // The rows of the options for which `wanted` is true.
  rows(wanted = () => true) {
    return this.options.filter(wanted).map((option) => this.#row(option));
  }

  values() {
    const values = {};
    for (const option of this.options) {
      const value = read(this.inputs.get(option.name), option);
      if (value !== undefined) values[option.name] = value;
    }
    return values;
  }

  fill(values) {
    for (const option of this.options) {
      const input = this.inputs.get(option.name);
      write(input, option, values[option.name]);
      input.dispatchEvent(new Event("filled"));
    }
  }

  #row(option) {
    const input = this.inputs.get(option.name);
    const hint = make("small", { id: `${input.id}-hint` }, describe(option));
    input.setAttribute("aria-describedby", hint.id);
    const label = make("label", { htmlFor: input.id }, heading(option.name));
    const row = make("div", { className: `option ${option.kind}` }, label, input, hint);
    if (input.type === "range") {
      const shown = make("output", { htmlFor: input.id });
      const show = () => (shown.value = "touched" in input.dataset ? input.value : "default");
      input.addEventListener("input", () => ((input.dataset.touched = ""), show()));
      input.addEventListener("filled", show);
      show();
      label.append(" ", shown);
    }
    return row;
  }
}

function isShare(option) {
  return option.kind === "number" && option.at_least === 0 && option.at_most === 1;
}

function makeInput(option, prefix) {
  const id = `${prefix}-${option.name}`;
  const shared = { id, name: option.name };
  if (option.kind === "choice") {
    const choices = option.choices.map((choice) => make("option", { value: choice }, choice));
    if (option.default === null) choices.unshift(make("option", { value: "" }, "default"));
    const select = make("select", shared, ...choices);
    select.value = option.default ?? "";
    return select;
  }
  if (option.kind === "flag") {
    return make("input", { ...shared, type: "checkbox", checked: option.default === true });
  }
  if (isShare(option)) {
    const range = { type: "range", min: 0, max: 1, step: 0.05, value: option.usual };
    return make("input", { ...shared, ...range });
  }
  const input = make("input", { ...shared, type: "text", autocomplete: "off" });
  input.placeholder = written(option.default) || "default";
  if (option.kind === "integer" || option.kind === "number") {
    input.type = "number";
    input.step = option.kind === "integer" ? 1 : "any";
    input.inputMode = option.kind === "integer" ? "numeric" : "decimal";
    if (option.at_least !== null) input.min = option.at_least;
    if (option.at_most !== null) input.max = option.at_most;
  }
  if (option.name === "size") {
    const list = make("datalist", { id: `${id}-list` });
    list.append(...SIZES.map((size) => make("option", { value: size })));
    document.body.append(list);
    input.setAttribute("list", list.id);
  }
  return input;
}

function describe(option) {
  const bounds = [
    ["at_least", "at least"],
    ["above", "above"],
    ["at_most", "at most"],
    ["below", "below"],
  ]
    .filter(([name]) => option[name] !== null && Math.abs(option[name]) < 2 ** 53)
    .map(([name, words]) => `${words} ${Number(option[name].toPrecision(6))}`);
  return bounds.length ? `${option.description} (${bounds.join(", ")})` : option.description;
}

function read(input, option) {
  if (option.kind === "flag") return input.checked === (option.default === true) ? undefined : input.checked;
  if (input.type === "range") return "touched" in input.dataset ? Number(input.value) : undefined;
  const text = input.value.trim();
  if (text === "" || (option.kind === "choice" && text === option.default)) return undefined;
  if (option.kind === "integer" || option.kind === "number") return Number(text);
  if (option.kind === "numbers") return text.split(/[\s,]+/).filter(Boolean).map(Number);
  if (option.kind === "weights") {
    return Object.fromEntries(
      text.split(/[\s,]+/).filter(Boolean).map((word) => {
        const [name, weight] = word.split("=");
        return [name, weight === undefined ? 1 : Number(weight)];
      }),
    );
  }
  return text;
}

function write(input, option, value) {
  if (option.kind === "flag") input.checked = value ?? option.default === true;
  else if (input.type === "range") {
    if (value === undefined || value === null) {
      delete input.dataset.touched;
      input.value = option.usual;
    } else {
      input.dataset.touched = "";
      input.value = value;
    }
  } else if (option.kind === "choice") input.value = value ?? option.default ?? "";
  else input.value = written(value ?? null);
}

function written(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([name, weight]) => `${name}=${weight}`).join(", ");
  }
  return String(value);
}
