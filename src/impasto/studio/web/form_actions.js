// The form and its pictures: what a visitor chooses.

import { ask, upload } from "./api.js";
import * as masks from "./masks.js";
import { typedAll } from "./options.js";
import { isUnderWay, store } from "./state.js";
import { say } from "./words.js";
import { choose } from "./work_actions.js";

export function refuse(error, before = "") {
  store.set({ refusal: { text: before + error.message, away: error.away } });
}

export function changeForm(change) {
  store.set(({ form }) => ({ form: { ...form, ...change }, refusal: null }));
}

export function setValue(name, value) {
  const values = { ...store.get().form.values };
  if (value === undefined) delete values[name];
  else values[name] = value;
  changeForm({ values });
}

export function resetValues() {
  changeForm({ values: {}, preset: "default" });
}

export function setMode(mode) {
  changeForm({ mode });
}

export function chooseContent(id) {
  const { form } = store.get();
  if (id !== form.content) masks.forget(form.regions);
  changeForm({ content: id, regions: id === form.content ? form.regions : [] });
  store.set({ masking: false });
  choose(null);
}

// A click replaces the painting. Only who asks for a blend gets one.
export function chooseStyle(id) {
  const { form, works, chosen } = store.get();
  const others = form.styles.filter((style) => style !== id);
  if (!form.blend) changeForm({ styles: [id] });
  else changeForm({ styles: others.length < form.styles.length ? others : [...others, id] });
  if (works[chosen] && !isUnderWay(works[chosen])) choose(null);
}

export function setBlend(blend) {
  changeForm({ blend, styles: blend ? store.get().form.styles : store.get().form.styles.slice(-1) });
}

// The form stays as it is, and the painting starts from a work's result.
export function startFrom(picture, work) {
  const { goingOn, ...before } = store.get().form;
  const title = say.startsFrom(work.title);
  changeForm({ goingOn: { start: picture.id, parent: work.id, title, before: goingOn?.before ?? before } });
}

export function startAfresh() {
  const { goingOn } = store.get().form;
  changeForm(goingOn ? { ...goingOn.before, goingOn: null } : { goingOn: null });
}

// Fills the form with an order or a recipe. Pictures that are absent leave the chosen ones.
export async function fill({ mode, content, styles, settings, regions = [] }, goingOn) {
  const wanted = [...(content ? [[content, say.theContent]] : []), ...styles.map((style) => [style, say.theStyle])];
  const found = await Promise.all(wanted.map(([{ id }]) => findPicture(id)));
  const absent = wanted.filter((_, index) => !found[index]).map(([{ name, id }, say_]) => say_(name ?? id));
  const here = found.filter(Boolean);
  const photograph = content ? found[0] : null;
  const paintings = (content ? found.slice(1) : found).filter(Boolean);
  const { form, options } = store.get();
  for (const picture of here) addPicture(picture, picture === photograph ? "content" : "style");
  changeForm({
    mode,
    content: photograph?.id ?? form.content,
    styles: paintings.length ? paintings.map(({ id }) => id) : form.styles,
    blend: paintings.length > 1,
    preset: "default",
    values: typedAll(options, settings),
    regions: masks.adopt(regions),
    goingOn,
  });
  if (absent.length) store.set({ refusal: { text: say.absent(absent) } });
}

export function loadRecipe({ mode, settings, inputs }) {
  store.set({ recipe: null });
  const reference = (input) => ({ id: input.sha256, name: input.name });
  fill({ mode, settings, content: inputs.content ? reference(inputs.content) : null, styles: inputs.styles.map(reference) }, null);
}

// --- pictures -----------------------------------------------------------------------------------

export async function findPicture(id) {
  const known = Object.values(store.get().pictures);
  return (
    known.find((picture) => picture.id === id || picture.sha256 === id) ??
    (await ask("GET", `api/pictures/${id}`).catch(() => null))
  );
}

export function addPicture(picture, kind) {
  store.set(({ pictures, tiles }) => ({
    pictures: { ...pictures, [picture.id]: picture },
    tiles: tiles[kind].includes(picture.id) ? tiles : { ...tiles, [kind]: [picture.id, ...tiles[kind]] },
  }));
}

export async function takeFiles(files, kind) {
  for (const file of files) {
    const count = (difference) =>
      store.set(({ uploading }) => ({ uploading: { ...uploading, [kind]: uploading[kind] + difference } }));
    count(1);
    try {
      const picture = await upload(file, kind);
      addPicture(picture, kind);
      if (kind === "content") chooseContent(picture.id);
      else chooseStyle(picture.id);
      store.set({ refusal: null, recipe: picture.recipe && { name: picture.name, recipe: picture.recipe } });
    } catch (error) {
      refuse(error, `${file.name || say.thePicture}: `);
      // The quota is used up for the others, too: one message.
      if (error.status === 507) return;
    } finally {
      count(-1);
    }
  }
  loadQuota();
}

export async function loadQuota() {
  const { uploaded_bytes: used, upload_quota_bytes: most } = await ask("GET", "api/status");
  store.set({ quota: { used, most } });
}

export async function deletePicture(id) {
  try {
    await ask("DELETE", `api/pictures/${id}`);
    store.set(({ tiles, form }) => ({
      tiles: { content: tiles.content.filter((one) => one !== id), style: tiles.style.filter((one) => one !== id) },
      form: {
        ...form,
        content: form.content === id ? null : form.content,
        styles: form.styles.filter((one) => one !== id),
      },
    }));
    await loadQuota();
  } catch (error) {
    refuse(error);
  }
}

export async function toggleDeleting() {
  store.set(({ deleting }) => ({ deleting: !deleting }));
  await loadQuota();
}
