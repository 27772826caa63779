// The works: which is shown, what is done with them, and the gallery.

import { ask } from "./api.js";
import { addPicture, chooseContent, chooseStyle, fill, startFrom } from "./form_actions.js";
import { addMask } from "./mask_actions.js";
import { send } from "./order_actions.js";
import { isUnderWay, store } from "./state.js";
import { say } from "./words.js";

const MOST_POINTS = 800;
const PAGE = 60;

export function choose(id, against = null) {
  store.set({ against });
  const address = id ? `#/work/${id}` : location.pathname + location.search;
  if (id !== store.get().chosen) history[id ? "pushState" : "replaceState"](null, "", address);
  follow();
}

// Shows the work that the address names.
export async function follow() {
  const id = location.hash.match(/^#\/work\/([0-9a-f]{16})$/)?.[1] ?? null;
  if (id === store.get().chosen) return;
  store.set({ chosen: id, message: null });
  if (id === null) return;
  try {
    if (!store.get().works[id]) putWork(await ask("GET", `api/works/${id}`));
    const work = store.get().works[id];
    // What was painted before the page listened; later pictures come with events.
    if (isUnderWay(work) && (work.step > 0 || work.has_picture) && !store.get().previews[id]) {
      onPreview({ id, url: `api/works/${id}/preview?step=${work.step}` });
    }
    const losses = await ask("GET", `api/works/${id}/losses`);
    store.set((state) => ({ losses: { ...state.losses, [id]: losses } }));
  } catch (error) {
    if (error.status === 404 && store.get().chosen === id) choose(null);
  }
}

// Takes a work from an answer, which may come after a newer event.
export function putWork(work) {
  const before = store.get().works[work.id];
  if (before?.state === work.state && before.step > work.step) return;
  if (before && !isUnderWay(before) && isUnderWay(work)) return;
  store.set(({ works }) => ({ works: { ...works, [work.id]: work } }));
}

export function onWork(work) {
  const { works, chosen, losses, notify } = store.get();
  const before = works[work.id];
  store.set({ works: { ...works, [work.id]: work } });
  const points = losses[work.id] ?? [];
  const loss = work.losses.total ?? NaN;
  if (work.id === chosen && Number.isFinite(loss) && !(points.at(-1)?.[0] >= work.step)) {
    let longer = [...points, [work.step, loss]];
    if (longer.length > MOST_POINTS) longer = longer.filter((_, index) => index % 2 === 0);
    store.set((state) => ({ losses: { ...state.losses, [work.id]: longer } }));
  }
  if (notify && work.state === "finished" && before?.state === "painting" && Notification.permission === "granted") {
    new Notification(say.doneNotice(work.title), { icon: `api/works/${work.id}/small` });
  }
}

export function onPreview({ id, url }) {
  store.set(({ previews }) => ({ previews: { ...previews, [id]: url } }));
}

export function onRemoved({ id }) {
  store.set(({ works, previews, losses }) => ({
    works: without(works, id),
    previews: without(previews, id),
    losses: without(losses, id),
  }));
  if (store.get().chosen === id) choose(null);
}

function without(object, name) {
  const { [name]: _, ...rest } = object;
  return rest;
}

async function attempt(act) {
  store.set({ message: null });
  try {
    await act();
  } catch (error) {
    store.set({ message: { text: error.message, away: error.away } });
  }
}

const post = (id, act) => ask("POST", `api/works/${id}/${act}`);

// Pause, resume, cancel, star, restore: the answer is the work's new state.
export function change(id, act) {
  return attempt(async () => putWork(await post(id, act)));
}

export function steer(id, strength) {
  return attempt(async () => {
    const work = await ask("POST", `api/works/${id}/steer`, { settings: { strength } });
    putWork(work);
    store.set({ message: { text: say.steered(work.changes.at(-1).step) } });
  });
}

export function detail(id) {
  return send(`api/works/${id}/detail`, undefined, (message) => store.set({ message }));
}

export function branch(work) {
  return attempt(async () => {
    const { goingOn, ...before } = store.get().form;
    const order = await post(work.id, "branch");
    const reference = (id) => ({ id, name: null });
    await fill(
      { ...order, content: order.content && reference(order.content), styles: order.styles.map(reference) },
      { start: order.start, parent: order.parent, title: say.goesOn(work.title, work.step), before: goingOn?.before ?? before },
    );
    store.set({ message: { text: say.branched }, panel: "order" });
  });
}

export function toggleTimelapse(id) {
  return attempt(async () => {
    if (store.get().scrub?.id === id) return store.set({ scrub: null });
    const steps = await ask("GET", `api/works/${id}/frames`);
    if (store.get().chosen === id) store.set({ scrub: { id, steps, index: 0 } });
  });
}

export function scrubTo(index) {
  store.set(({ scrub }) => ({ scrub: { ...scrub, index } }));
}

export function anotherSeed(work) {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const { order } = work;
  const settings = { ...order.settings, seed };
  return send("api/works", { ...order, settings }, (message) => store.set({ message }));
}

// Sends a result on: as photograph (content), as painting (style), as start or as mask.
export function useResult(work, kind) {
  return attempt(async () => {
    if (kind === "mask" && !store.get().form.content) throw new Error(say.maskNeedsPhotograph);
    if (kind === "mask") await addMask(work);
    else if (kind === "start") startFrom(await post(work.id, "upload?purpose=start"), work);
    else {
      const picture = await post(work.id, "upload");
      addPicture(picture, kind);
      if (kind === "content") chooseContent(picture.id);
      else chooseStyle(picture.id);
    }
    if (kind !== "style") choose(null);
    store.set({ panel: "order" });
  });
}

export function copy(text) {
  return attempt(async () => {
    await navigator.clipboard.writeText(text);
    store.set({ message: { text: say.copied(text) } });
  });
}

// Works go to the bin, from where the message fetches them back.
export function remove(works) {
  return attempt(async () => {
    for (const work of works) {
      await ask("DELETE", `api/works/${work.id}`);
      if (work.removed_s !== null) continue;
      putWork({ ...work, removed_s: Date.now() / 1000 });
    }
    if (works.some(({ id }) => id === store.get().chosen)) choose(null);
    store.set({ selected: [], selecting: false });
    const binned = works.filter((work) => work.removed_s === null);
    if (!binned.length) return;
    const title = binned.length === 1 ? binned[0].title : say.selected(binned.length);
    store.set({ message: { text: say.removedWork(title), undo: () => restore(binned.map(({ id }) => id)) } });
  });
}

export function restore(ids) {
  return attempt(async () => {
    for (const id of ids) putWork(await post(id, "restore"));
  });
}

// --- the gallery --------------------------------------------------------------------------------

export function setFilter(change) {
  store.set(({ filter }) => ({ filter: { ...filter, ...change }, selected: [] }));
  if (change.bin !== undefined || change.search) loadWorks();
}

export function select(id) {
  store.set(({ selected }) => ({
    selected: selected.includes(id) ? selected.filter((one) => one !== id) : [...selected, id],
  }));
}

// Loads the latest works, or with `older` those before the oldest one that is here.
export async function loadWorks(older = false) {
  const { filter, oldest_s } = store.get();
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (older && oldest_s !== null) query.set("before_s", oldest_s);
  if (filter.bin) query.set("bin", "true");
  if (filter.search) query.set("search", filter.search);
  const works = await ask("GET", `api/works?${query}`);
  const isWhole = !filter.bin && !filter.search;
  store.set((state) => {
    const last_s = works.at(-1)?.created_s ?? null;
    let kept = state.works;
    if (isWhole && !older) {
      // What was removed while the page was not listening is no longer there.
      const isGone = (work) => work.removed_s === null && (works.length < PAGE || work.created_s >= last_s);
      kept = Object.fromEntries(Object.entries(kept).filter(([, work]) => !isGone(work)));
    }
    // The next page follows on the oldest work that is here, if nothing is missing before it.
    const isJoined =
      !older && state.oldest_s !== null && state.oldest_s < last_s && works.some(({ id }) => state.works[id]);
    const page = isJoined ? {} : { oldest_s: last_s ?? state.oldest_s, hasOlder: works.length === PAGE };
    return {
      works: { ...kept, ...Object.fromEntries(works.map((work) => [work.id, work])) },
      ...(isWhole ? page : {}),
    };
  });
}
