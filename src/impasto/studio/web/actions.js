// What a visitor or the server does, as changes of the state.

import { ask, upload } from "./api.js";
import { clock, memory } from "./format.js";
import * as masks from "./masks.js";
import { typedAll } from "./options.js";
import { createStore } from "./store.js";
import { EMPTY_FORM, INITIAL, isUnderWay, looksOf, missing, orderOf } from "./state.js";
import { say } from "./words.js";

const MOST_POINTS = 800;
const KEPT = "impasto.form";
const PAGE = 60;

export const store = createStore(INITIAL);

// --- the form -----------------------------------------------------------------------------------

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

export function startAfresh() {
  const { goingOn } = store.get().form;
  changeForm(goingOn ? { ...goingOn.before, goingOn: null } : { goingOn: null });
}

// Fills the form with an order or a recipe. Pictures that are absent leave the chosen ones.
async function fill({ mode, content, styles, settings, regions = [] }, goingOn) {
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
  const reference = (input) => ({ id: input.sha256, name: input.name });
  fill({ mode, settings, content: inputs.content ? reference(inputs.content) : null, styles: inputs.styles.map(reference) }, null);
}

// --- pictures ---------------------------------------------------------------------------------

async function findPicture(id) {
  const known = Object.values(store.get().pictures);
  return (
    known.find((picture) => picture.id === id || picture.sha256 === id) ??
    (await ask("GET", `api/pictures/${id}`).catch(() => null))
  );
}

function addPicture(picture, kind) {
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
      store.set({ refusal: picture.recipe ? { text: say.byImpasto, recipe: picture.recipe } : null });
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

// --- masks --------------------------------------------------------------------------------------

export function toggleMasking() {
  const { masking, form } = store.get();
  store.set({ masking: !masking });
  if (masking) return;
  choose(null);
  if (!form.regions.length) addRegion();
}

export function addRegion() {
  const { form, pictures, tiles } = store.get();
  const used = [...form.styles, ...form.regions.map(({ style }) => style)];
  const style = tiles.style.find((id) => !used.includes(id)) ?? tiles.style[0];
  const region = { key: masks.create(pictures[form.content]), style, mask: null, version: 0 };
  changeForm({ regions: [...form.regions, region] });
  store.set({ part: form.regions.length });
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

// --- plans and orders ---------------------------------------------------------------------------

function refuse(error, before = "") {
  store.set({ refusal: { text: before + error.message, away: error.away } });
}

let planned = "";
let plans = 0;

// Plans are made automatically, so their errors are shown beside the plan. The error of an order
// stays until the visitor acts.
export function planSoon(force = false) {
  const order = orderOf(store.get());
  const key = JSON.stringify(order);
  if (key === planned && !force) return;
  planned = key;
  const ticket = ++plans;
  const show = (plan) => ticket === plans && store.set({ plan });
  const lacking = missing(order);
  if (lacking) return show({ text: lacking });
  if (!store.get().plan?.isLong) show(null);
  setTimeout(async () => {
    if (ticket !== plans) return;
    // The first plan with other layers measures the speed of this machine.
    const slow = setTimeout(() => show({ text: say.estimating }), 700);
    try {
      const { sizes, time_s, peak_bytes, needs_confirmation } = await ask("POST", "api/plan", order);
      const { width_px, height_px } = sizes.at(-1);
      const steps = sizes.reduce((sum, size) => sum + size.iterations, 0);
      const time = time_s ? say.about(clock(time_s)) : say.steps(steps);
      show({ text: say.plan(width_px, height_px, time, memory(peak_bytes)), isLong: needs_confirmation });
    } catch (error) {
      show({ text: error.message, away: error.away });
    } finally {
      clearTimeout(slow);
    }
  }, 300);
}

let looked = "";
let looks = 0;

// Asks for first looks at what the form stands for, and at what else it could be.
export function lookSoon() {
  const wanted = looksOf(store.get());
  const key = JSON.stringify(wanted);
  if (key === looked) return;
  // The pictures of other looks are of another order; only the order of painting them may differ.
  const sorted = (text) => JSON.stringify(JSON.parse(text || "[]").sort());
  if (sorted(key) !== sorted(looked)) store.set({ looks: {} });
  looked = key;
  const ticket = ++looks;
  if (!wanted.length) return;
  setTimeout(async () => {
    if (ticket !== looks) return;
    try {
      const statuses = await ask("POST", "api/looks", wanted.map(([, order]) => order));
      if (ticket !== looks) return;
      store.set({ looks: Object.fromEntries(wanted.map(([name], index) => [name, statuses[index]])) });
    } catch {
      // The plan of the same order says what is wrong.
    }
  }, 350);
}

export function onLook({ id, state, message }) {
  store.set(({ looks: before }) => ({
    looks: Object.fromEntries(
      Object.entries(before).map(([name, look]) => [name, look.id === id ? { id, state, message } : look]),
    ),
  }));
}

export function hover(hovered) {
  store.set({ hovered });
}

export async function start() {
  if (store.get().sending) return;
  store.set({ sending: true });
  await sent;
  store.set({ sending: false });
  const order = orderOf(store.get());
  if (missing(order)) {
    store.set({ refusal: { text: say.chooseBoth } });
    return;
  }
  await send("api/works", order, (refusal) => store.set({ refusal }));
}

// Orders a painting, one at a time. A long one must be confirmed: the refusal offers that.
async function send(path, order, refuseWith) {
  if (store.get().sending) return;
  store.set({ sending: true });
  refuseWith(null);
  try {
    masks.ordered(order?.regions ?? []);
    const work = await ask("POST", path, order);
    putWork(work);
    choose(work.id);
    store.set(({ form }) => ({ form: { ...form, goingOn: null }, panel: null, masking: false }));
  } catch (error) {
    const confirm = () =>
      order
        ? send(path, { ...order, confirmed: true }, refuseWith)
        : send(`${path}?confirmed=true`, order, refuseWith);
    if (error.status === 428) refuseWith({ text: `${error.message.split(";")[0]}.`, confirm });
    else refuseWith({ text: error.message, away: error.away });
  } finally {
    store.set({ sending: false });
  }
}

// --- works --------------------------------------------------------------------------------------

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

export function putWork(work) {
  const before = store.get().works[work.id];
  // An answer may come after a newer event.
  if (before?.state === work.state && before.step > work.step) return;
  if (before && !isUnderWay(before) && isUnderWay(work) && before.state !== "paused") return;
  store.set(({ works }) => ({ works: { ...works, [work.id]: work } }));
}

export function onWork(work) {
  const { works, chosen, losses, notify } = store.get();
  const before = works[work.id];
  putWork(work);
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

export function anotherSeed(work) {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const { order } = work;
  const settings = { ...order.settings, seed };
  return send("api/works", { ...order, settings }, (message) => store.set({ message }));
}

export function useResult(work, kind) {
  return attempt(async () => {
    addPicture(await post(work.id, "upload"), kind);
    const id = store.get().tiles[kind][0];
    if (kind === "content") chooseContent(id);
    else chooseStyle(id);
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
  const query = new URLSearchParams({ limit: PAGE });
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
    return {
      works: { ...kept, ...Object.fromEntries(works.map((work) => [work.id, work])) },
      ...(isWhole ? { oldest_s: last_s ?? state.oldest_s, hasOlder: works.length === PAGE } : {}),
    };
  });
}

// --- the beginning ------------------------------------------------------------------------------

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
  looked = "";
  lookSoon();
  try {
    await loadWorks();
    onPainters((await ask("GET", "api/status")).painters);
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
