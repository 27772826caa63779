// The page's state, and what follows from it.

import { parse } from "./options.js";
import { createStore } from "./store.js";
import { say } from "./words.js";
import { clock, stem } from "./format.js";

export const EMPTY_FORM = {
  mode: "style_transfer",
  content: null,
  styles: [],
  blend: false,
  preset: "default",
  values: {},
  // A branch: the picture to start from, its work, and the form as it was before.
  goingOn: null,
  // Parts with a painting of their own; `mask` is the id of the uploaded mask, if there is one.
  regions: [],
};

const INITIAL = {
  options: [],
  groups: [],
  presets: [],
  form: EMPTY_FORM,
  pictures: {},
  tiles: { content: [], style: [] },
  quota: null,
  deleting: false,
  works: {},
  oldest_s: null,
  hasOlder: false,
  chosen: null,
  against: null,
  losses: {},
  previews: {},
  // First looks by what they vary: current, style:ID, strength:SHARE or preset:NAME.
  looks: {},
  hovered: null,
  filter: { search: "", starred: false, bin: false },
  selecting: false,
  selected: [],
  // The time-lapse that is looked through: its work, the steps of its frames, and the one shown.
  scrub: null,
  panel: null,
  masking: false,
  // The part that is drawn on: an index of form.regions.
  part: 0,
  connection: "open",
  painters: [],
  isForOthers: false,
  refusal: null,
  // What was found in a dropped picture: its name and the recipe.
  recipe: null,
  message: null,
  plan: null,
  sending: false,
  uploading: { content: 0, style: 0 },
  notify: false,
};

export const store = createStore(INITIAL);

export function isUnderWay(work) {
  return ["waiting", "painting", "paused"].includes(work.state);
}

export function optionsOf({ options, form }) {
  return options.filter((option) => option.modes.includes(form.mode));
}

export function presetsOf({ presets, form }) {
  return presets.filter((preset) => preset.modes.includes(form.mode));
}

export function changedOptions(state) {
  return optionsOf(state).filter((option) => parse(option, state.form.values[option.name]) !== undefined);
}

// The order that the form stands for: options that the mode does not have are left out.
export function orderOf(state) {
  const { mode, content, styles, goingOn, regions, preset, values } = state.form;
  const settings = {};
  for (const option of optionsOf(state)) {
    const value = parse(option, values[option.name]);
    if (value !== undefined) settings[option.name] = value;
  }
  return {
    mode,
    content: mode === "style" ? null : content,
    styles: mode === "content" ? [] : styles,
    start: goingOn?.start ?? null,
    parent: goingOn?.parent ?? null,
    regions:
      mode === "style_transfer"
        ? regions.filter(({ mask }) => mask).map(({ mask, style }) => ({ mask, style }))
        : [],
    preset: presetsOf(state).some(({ name }) => name === preset) ? preset : null,
    settings,
  };
}

export const STRENGTHS = [0.2, 0.4, 0.6, 0.8];
const MOST_LOOKS = 60;

// The looks to ask for, the most wanted one first: pairs of a name and an order.
export function looksOf(state) {
  const order = orderOf(state);
  const isReady = state.painters.some((painter) => painter.state === "ready");
  if (!isReady || order.mode !== "style_transfer" || missing(order) || order.start) return [];
  const { alpha, beta, ...settings } = order.settings;
  const byKind = (id) => (state.pictures[id].kind === "own" ? 1 : 0);
  const styles = [...state.tiles.style].sort((one, other) => byKind(one) - byKind(other));
  const looks = [
    ["current", order],
    ...styles.map((id) => [`style:${id}`, { ...order, styles: [id] }]),
    ...STRENGTHS.map((strength) => [`strength:${strength}`, { ...order, settings: { ...settings, strength } }]),
    ...presetsOf(state).map(({ name }) => [`preset:${name}`, { ...order, preset: name, settings: sizeOnly(settings) }]),
  ];
  looks.sort(([one], [other]) => Number(other === state.hovered) - Number(one === state.hovered));
  return looks.slice(0, MOST_LOOKS);
}

function sizeOnly(settings) {
  return "size" in settings ? { size: settings.size } : {};
}

// What is missing for an order, in words; null if nothing is.
export function missing({ mode, content, styles }) {
  if (mode !== "style" && content === null) return say.chooseContent;
  return mode !== "content" && styles.length === 0 ? say.chooseStyle : null;
}

export function chosenWork(state) {
  return state.works[state.chosen] ?? null;
}

export function worksByAge(works) {
  return Object.values(works).sort((one, other) => other.created_s - one.created_s);
}

export function underWay(state) {
  return worksByAge(state.works)
    .filter((work) => isUnderWay(work) && work.removed_s === null)
    .reverse();
}

// The works of the gallery: everything that has ended, also without a picture.
export function galleryOf({ works, filter, hasOlder, oldest_s }) {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  // Older works that happen to be here, as a search found them, come with the others of their age.
  const since_s = hasOlder && !filter.search && !filter.bin ? oldest_s : 0;
  return worksByAge(works).filter(
    (work) =>
      work.created_s >= since_s &&
      (work.removed_s !== null) === filter.bin &&
      (filter.bin || !isUnderWay(work)) &&
      (!filter.starred || work.starred) &&
      words.every((word) => work.title.toLowerCase().includes(word)),
  );
}

export function factsOf(work) {
  const size = work.width_px ? say.pixels(work.width_px, work.height_px) : "";
  if (work.state === "painting" && work.time_left_s !== null) {
    return [say.stepOf(work.step, work.steps), size, say.left(clock(work.time_left_s))].join(" · ");
  }
  const state = say.states[work.state];
  const timed = !isUnderWay(work) && work.time_s ? say.inTime(state, clock(work.time_s)) : state;
  return [timed, size].filter(Boolean).join(" · ");
}

export function statusOf(work) {
  if (work.state !== "painting") return say.states[work.state];
  return work.time_left_s === null ? say.starting_ : say.left(clock(work.time_left_s));
}

export function pictureName(state, id) {
  return state.pictures[id] ? stem(state.pictures[id].name) : "";
}

// The strength in force: the last change's, the order's, or the usual one.
export function strengthOf(state, work) {
  const option = state.options.find(({ name }) => name === "strength");
  if (!option || work.order.mode !== "style_transfer") return null;
  const settings = Object.assign({}, work.order.settings, ...work.changes.map((change) => change.settings));
  if (settings.strength !== undefined && settings.strength !== null) return settings.strength;
  const isWeighed = ["alpha", "beta"].some((name) => (settings[name] ?? null) !== null);
  return isWeighed || settings.normalisation === "paper" ? null : option.usual;
}

export function pageTitle(state) {
  const work = chosenWork(state) ?? underWay(state)[0];
  if (!work) return "impasto studio";
  if (work.state === "painting") return `${Math.floor(100 * work.progress)} % · ${work.title}`;
  return `${say.states[work.state]} · ${work.title}`;
}
