// What the recipe in a dropped picture says: from what, and how, it was painted.

import * as act from "./actions.js";
import { stem } from "./format.js";
import { written } from "./options.js";
import { html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

// Options that are said even if they have their default.
const ALWAYS = ["size", "seed"];

export function RecipeCard({ name, recipe, options }) {
  return html`<section id="recipe" aria-labelledby="recipe-title">
    <h3 id="recipe-title">${say.recipe}</h3>
    <p role="status">${say.byImpasto(stem(name), recipe.versions.impasto)}</p>
    <dl>
      ${factsOf(recipe, options).map(([label, value]) => html`<dt key=${label}>${label}</dt><dd>${value}</dd>`)}
    </dl>
    <div class="row">
      <button type="button" onClick=${() => act.loadRecipe(recipe)}>${say.loadRecipe}</button>
      <button type="button" class="plain" onClick=${() => act.store.set({ recipe: null })}>${say.close}</button>
    </div>
  </section>`;
}

// Pairs of a label and a value. Of the settings: those that differ from their default.
function factsOf({ mode, settings, inputs, decisions }, options) {
  const [made] = say.modes[mode];
  const said = options
    .filter((option) => option.modes.includes(mode) && has(settings[option.name]))
    .filter((option) => ALWAYS.includes(option.name) || written(settings[option.name]) !== written(option.usual ?? option.default));
  const styles = inputs.styles.map(({ name }) => stem(name)).join(", ");
  const changes = decisions.changes.map(({ after, settings: changed }) => say.changedAfter(after, written(changed)));
  const size = decisions.stopped_after === null ? [] : [say.stoppedAfter(decisions.stopped_after)];
  return [
    [say.modesTitle, [made, ...size].join(", ")],
    [say.photograph, inputs.content && stem(inputs.content.name)],
    [say.painting, styles],
    [say.startPicture, inputs.start && stem(inputs.start.name)],
    ...said.map(({ name, label, unit }) => [label, [written(rounded(settings[name])), unit].filter(Boolean).join(" ")]),
    [say.steering, changes.join("; ")],
  ].filter(([, value]) => value);
}

function rounded(value) {
  if (typeof value === "number") return Number(value.toPrecision(4));
  if (Array.isArray(value)) return value.map(rounded);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, rounded(part)]));
}

function has(value) {
  return value !== null && value !== undefined;
}
