// The parts that have a painting of their own, and their masks.

import { changeForm, refuse } from "./form_actions.js";
import * as masks from "./masks.js";
import { store } from "./state.js";
import { choose } from "./work_actions.js";

export function toggleMasking() {
  const { masking, form } = store.get();
  store.set({ masking: !masking });
  if (masking) return;
  choose(null);
  if (!form.regions.length) addRegion();
}

function unusedStyle() {
  const { form, tiles } = store.get();
  const used = [...form.styles, ...form.regions.map(({ style }) => style)];
  return tiles.style.find((id) => !used.includes(id)) ?? tiles.style[0];
}

export function addRegion() {
  const { form, pictures } = store.get();
  const region = { key: masks.create(pictures[form.content]), style: unusedStyle(), mask: null, version: 0 };
  changeForm({ regions: [...form.regions, region] });
  store.set({ part: form.regions.length });
}

// Adds a part whose mask is the brightness of a work's picture.
export async function addMask(work) {
  const { form, pictures } = store.get();
  const region = { key: masks.create(pictures[form.content]), style: unusedStyle(), mask: null, version: 0 };
  await masks.drawPicture(region.key, `api/works/${work.id}/picture.jpg`);
  const regions = [...form.regions.filter(({ mask }) => mask), region];
  changeForm({ regions });
  store.set({ part: regions.length - 1, masking: true });
  drew(region.key);
}

export function removeRegion(key) {
  const regions = store.get().form.regions.filter((region) => region.key !== key);
  changeForm({ regions });
  store.set({ part: 0, masking: regions.length > 0 });
}

export function changeRegion(key, change) {
  changeForm({
    regions: store.get().form.regions.map((region) => (region.key === key ? { ...region, ...change } : region)),
  });
}

// The masks that are still on their way to the studio.
let sent = Promise.resolve();

export function masksSent() {
  return sent;
}

// After a stroke: the mask is uploaded, so that orders and a later visit find it.
export function drew(key) {
  const version = regionOf(key).version + 1;
  changeRegion(key, { version });
  sent = sent.then(() => sendMask(key, version));
}

async function sendMask(key, version) {
  const { form, pictures } = store.get();
  // A later stroke sends its own, with this one in it.
  if (regionOf(key)?.version !== version) return;
  try {
    const mask = await masks.send(key, pictures[form.content], regionOf(key).mask);
    if (regionOf(key)) changeRegion(key, { mask });
  } catch (error) {
    refuse(error);
  }
}

function regionOf(key) {
  return store.get().form.regions.find((region) => region.key === key);
}
