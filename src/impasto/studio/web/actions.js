// What a visitor or the server does, as changes of the state. Here: loading, and the connection.

import { ask } from "./api.js";
import * as masks from "./masks.js";
import { lookSoon, planSoon } from "./order_actions.js";
import { EMPTY_FORM, store } from "./state.js";
import { choose, loadWorks, putWork } from "./work_actions.js";

export * from "./form_actions.js";
export * from "./mask_actions.js";
export * from "./order_actions.js";
export * from "./work_actions.js";
export { store };

const KEPT = "impasto.form";

export function onPainters(painters) {
  const before = store.get().painters;
  store.set({ painters });
  const isReady = (list) => list.length > 0 && list.every((painter) => painter.state === "ready");
  if (isReady(painters) && !isReady(before)) planSoon(true);
}

export async function onConnection(connection) {
  store.set({ connection });
  if (connection !== "open") return;
  // What was said about the silence is no longer true.
  store.set(({ refusal, message }) => ({
    refusal: refusal?.away ? null : refusal,
    message: message?.away ? null : message,
  }));
  if (store.get().plan?.away) planSoon(true);
  // The studio forgets what looks are wanted when a page stops listening.
  lookSoon(true);
  try {
    await loadWorks();
    const { painters, is_for_others: isForOthers } = await ask("GET", "api/status");
    store.set({ isForOthers });
    onPainters(painters);
    const { chosen, works } = store.get();
    if (chosen && !works[chosen]) putWork(await ask("GET", `api/works/${chosen}`).catch(() => (choose(null), null)));
  } catch {
    // It went away again; the next connection asks again.
  }
}

export async function load() {
  const [{ groups, presets, options }, bundled, own] = await Promise.all([
    ask("GET", "api/form"),
    ask("GET", "api/pictures"),
    ask("GET", "api/pictures?uploaded=true"),
  ]);
  const known = [...own, ...bundled];
  const pictures = Object.fromEntries(known.map((picture) => [picture.id, picture]));
  const tiles = {
    content: known.filter((picture) => isFor(picture, "content")).map(({ id }) => id),
    style: known.filter((picture) => isFor(picture, "style")).map(({ id }) => id),
  };
  const form = restoredForm(pictures) ?? {
    ...EMPTY_FORM,
    styles: bundled.filter(({ kind }) => kind === "style").slice(0, 1).map(({ id }) => id),
  };
  store.set({ groups, presets, options, pictures, tiles, form: { ...form, regions: masks.adopt(form.regions) } });
  store.subscribe(keepForm);
}

function isFor({ kind, purpose }, wanted) {
  return kind === "own" ? ["picture", wanted].includes(purpose) : kind === wanted;
}

function keepForm({ form, notify }) {
  const regions = form.regions.filter(({ mask }) => mask);
  try {
    localStorage.setItem(KEPT, JSON.stringify({ form: { ...form, regions }, notify }));
  } catch {
    // Without storage a refresh forgets the form, and nothing else is lost.
  }
}

function restoredForm(pictures) {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT));
    if (!kept?.form) return null;
    store.set({ notify: Boolean(kept.notify) });
    const form = { ...EMPTY_FORM, ...kept.form };
    return {
      ...form,
      content: pictures[form.content] ? form.content : null,
      styles: form.styles.filter((id) => pictures[id]),
      regions: form.regions.filter(({ style }) => pictures[style]),
    };
  } catch {
    return null;
  }
}

export async function setNotify(wanted) {
  const notify = wanted && (await Notification.requestPermission()) === "granted";
  store.set({ notify });
}
