// Plans, first looks and orders: what the form stands for goes to the studio.

import { ask } from "./api.js";
import { clock, memory } from "./format.js";
import { masksSent } from "./mask_actions.js";
import * as masks from "./masks.js";
import { looksOf, missing, orderOf, store } from "./state.js";
import { say } from "./words.js";
import { choose, putWork } from "./work_actions.js";

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
export function lookSoon(force = false) {
  const wanted = looksOf(store.get());
  const key = JSON.stringify(wanted);
  if (key === looked && !force) return;
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
  await masksSent();
  store.set({ sending: false });
  const order = orderOf(store.get());
  if (missing(order)) {
    store.set({ refusal: { text: say.chooseBoth } });
    return;
  }
  await send("api/works", order, (refusal) => store.set({ refusal }));
}

// Orders a painting, one at a time. A long one must be confirmed: the refusal offers that.
export async function send(path, order, refuseWith) {
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
