// The values of options as a visitor types them, and as an order has them.
//
// In the state a value is a text, a number (of a slider) or a boolean; an option that is absent has
// its default.

export function isShare(option) {
  return option.kind === "number" && option.at_least === 0 && option.at_most === 1;
}

// The value for an order; undefined if it is the default.
export function parse(option, typed) {
  if (typed === undefined || typed === option.default) return undefined;
  if (option.kind === "flag" || typeof typed === "number") return typed;
  const text = typed.trim();
  if (text === "") return undefined;
  if (option.kind === "integer" || option.kind === "number") {
    // Size also takes "original" and both sides; the server says what is wrong with other words.
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  }
  const words = text.split(/[\s,]+/).filter(Boolean);
  if (option.kind === "numbers") return words.map(Number);
  if (option.kind !== "weights") return text;
  return Object.fromEntries(
    words.map((word) => {
      const [name, weight] = word.split("=");
      return [name, weight === undefined ? 1 : Number(weight)];
    }),
  );
}

// The value as a visitor would have typed it; undefined for none.
export function typed(option, value) {
  if (value === undefined || value === null) return undefined;
  if (option.kind === "flag" || isShare(option)) return value;
  return written(value);
}

export function typedAll(options, settings) {
  const values = {};
  for (const option of options) {
    const value = typed(option, settings[option.name]);
    if (value !== undefined) values[option.name] = value;
  }
  return values;
}

export function written(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([name, weight]) => `${name}=${weight}`).join(", ");
  }
  return String(value);
}
