// The page: it turns the form into an order, and shows the events.

import { ask, listen } from "./api.js";
import { Curve } from "./curve.js";
import { Viewer } from "./viewer.js";
import { Controls } from "./form.js";
import { Pictures } from "./pictures.js";
import { Regions } from "./regions.js";
import { clock, heading, make, memory } from "./format.js";
import { Uploads } from "./uploads.js";
import { Works, isUnderWay } from "./gallery.js";

const find = (selector) => document.querySelector(selector);
const form = find("#order");
const refusal = find("#refusal");
const steerPanel = find("#steer");
const steerForm = steerPanel.querySelector("form");
const pictures = new Pictures(refuse);
const regions = new Regions(() => changed());
const works = new Works();
const uploads = new Uploads();
const viewer = new Viewer();
const curve = new Curve();
let controls, steering, preset;
let goingOn = { start: null, parent: null };
let planned = 0;

function refuse(words) {
  refusal.textContent = words;
}

// --- the order --------------------------------------------------------------------------------

async function currentOrder() {
  const mode = new FormData(form).get("mode");
  return {
    mode,
    content: mode === "style" ? null : (pictures.content?.id ?? null),
    styles: mode === "content" ? [] : pictures.styles.map((style) => style.id),
    ...goingOn,
    regions: mode === "style_transfer" ? await regions.order() : [],
    preset: preset.value || null,
    settings: controls.values(),
  };
}

function isComplete({ mode, content, styles }) {
  return (mode === "style" || content !== null) && (mode === "content" || styles.length > 0);
}

function showMode() {
  const mode = new FormData(form).get("mode");
  find("#content").hidden = mode === "style";
  find("#styles").hidden = mode === "content";
  regions.offer(mode === "style_transfer" ? pictures.content : null, pictures.paintings);
}

// Plans are made automatically, so their errors are shown beside the plan. The error of an order
// stays until the visitor acts.
function changed() {
  showMode();
  const ticket = ++planned;
  const plan = find("#plan");
  setTimeout(async () => {
    if (ticket !== planned) return;
    try {
      const order = await currentOrder();
      if (ticket !== planned) return;
      if (!isComplete(order)) {
        plan.textContent = order.mode === "style" ? "Choose a painting." : "Choose a photograph to begin.";
        return;
      }
      // The first plan with other layers measures the speed of this machine.
      const slow = setTimeout(() => ticket === planned && (plan.textContent = "Estimating the time…"), 700);
      const answer = ask("POST", "api/plan", order).finally(() => clearTimeout(slow));
      const { sizes, time_s, peak_bytes } = await answer;
      if (ticket !== planned) return;
      const { width_px, height_px } = sizes.at(-1);
      const steps = sizes.reduce((sum, size) => sum + size.iterations, 0);
      const time = time_s ? `about ${clock(time_s)}` : `${steps} steps`;
      plan.textContent = `${width_px} × ${height_px} pixels, ${time}, ${memory(peak_bytes)} of memory`;
    } catch (error) {
      if (ticket === planned) plan.textContent = error.message;
    }
  }, 300);
}

async function start(event) {
  event.preventDefault();
  refuse("");
  try {
    const order = await currentOrder();
    if (!isComplete(order)) {
      refuse(order.mode === "style" ? "Choose a painting first." : "Choose a photograph and a painting first.");
      return;
    }
    await send("api/works", order, refusal);
  } catch (error) {
    refuse(error.message);
  }
}

// Orders a painting. A long painting must be confirmed: `alert` then gets a button for that.
async function send(path, order, alert) {
  let work;
  try {
    work = await ask("POST", path, order);
  } catch (error) {
    if (error.status !== 428) throw error;
    const button = make("button", { type: "button" }, "Paint it anyway");
    const confirmed = order ? [path, { ...order, confirmed: true }] : [`${path}?confirmed=true`, order];
    button.addEventListener("click", async () => {
      alert.textContent = "";
      await send(...confirmed, alert).catch((refused) => (alert.textContent = refused.message));
    });
    alert.replaceChildren(`${error.message.split(";")[0]}. `, button);
    button.focus();
    return;
  }
  works.put(work);
  works.choose(work.id);
  find("#viewer").focus({ preventScroll: true });
  find("#viewer").scrollIntoView({ block: "nearest" });
  startFrom(null, null);
}

function startFrom(startId, parent, words = "") {
  goingOn = { start: startId, parent };
  const line = find("#start-picture");
  line.hidden = startId === null;
  line.querySelector("span").textContent = words;
}

// Fills the form with an order or a recipe.
async function fill({ mode, content, styles, settings }) {
  form.elements.mode.value = mode;
  const named = await Promise.allSettled([content, ...styles].map((id) => (id ? pictures.find(id) : null)));
  const [photograph, ...paintings] = named.map((result) => result.value ?? null);
  pictures.replace(photograph, paintings.filter(Boolean));
  preset.value = "default";
  preset.dispatchEvent(new Event("filled"));
  controls.fill(settings);
  changed();
}

function offerRecipe({ detail: picture }) {
  changed();
  if (!picture?.recipe) return;
  const { mode, settings, inputs } = picture.recipe;
  const button = make("button", { type: "button" }, "Load its recipe");
  button.addEventListener("click", () => {
    startFrom(null, null);
    fill({
      mode,
      settings,
      content: inputs.content?.sha256 ?? null,
      styles: inputs.styles.map((style) => style.sha256),
    });
  });
  refusal.replaceChildren("This picture was painted by impasto. ", button);
}

// --- the viewer -------------------------------------------------------------------------------

function chosen() {
  return works.all.get(works.chosen);
}

function before(work) {
  return work.order.mode === "style" || !work.order.content ? null : `api/pictures/${work.order.content}/small`;
}

// Browsers cache by address, so the finished picture has its own.
function address(work) {
  return isUnderWay(work) ? `api/works/${work.id}/preview?step=${work.step}` : `api/works/${work.id}/picture.jpg`;
}

function words(work) {
  return isUnderWay(work) ? `${work.title}, as it stands after ${work.step} steps` : `${work.title}, painted`;
}

async function choose() {
  const work = chosen();
  viewer.clear(work ? "The first strokes come in a moment." : "Choose a photograph and a painting, then start.");
  curve.set([]);
  find("#message").textContent = "";
  show();
  if (!work) return;
  steering.fill({});
  if (work.has_picture || work.step > 0) viewer.show(address(work), words(work), before(work));
  try {
    const losses = await ask("GET", `api/works/${work.id}/losses`);
    if (works.chosen === work.id) curve.set(losses);
  } catch {
    // Removed meanwhile.
  }
}

function show() {
  const work = chosen();
  find("#viewer-title").textContent = work ? work.title : "Your picture appears here";
  find("#facts").textContent = work ? facts(work) : "";
  const progress = find("#progress");
  progress.hidden = !work || !isUnderWay(work);
  progress.querySelector("progress").value = work?.progress ?? 0;
  if (work?.message) find("#message").textContent = work.message;
  steerPanel.hidden = work?.state !== "painting" || steering.options.length === 0;
  if (work) viewer.describe(words(work));
  showActs(work);
}

function facts(work) {
  const size = work.width_px ? `${work.width_px} × ${work.height_px} pixels` : "";
  if (work.state === "painting" && work.time_left_s !== null) {
    return [`Step ${work.step} of ${work.steps}`, size, `${clock(work.time_left_s)} left`].join(" · ");
  }
  const state = { waiting: "Waiting for its turn", painting: "Beginning", paused: "Paused" }[work.state];
  const done = work.time_s ? `${heading(work.state)} in ${clock(work.time_s)}` : heading(work.state);
  return [state ?? done, size].filter(Boolean).join(" · ");
}

function showActs(work) {
  const bar = find("#acts");
  const wanted = work ? acts(work) : [];
  const key = wanted.map(([label, act]) => `${label}${typeof act === "string" ? act : ""}`).join();
  if (bar.dataset.key === key) return;
  bar.dataset.key = key;
  bar.replaceChildren(
    ...wanted.map(([label, act, properties = {}]) => {
      if (typeof act === "string") return make("a", { href: act, download: "", ...properties }, label);
      const button = make("button", { type: "button" }, label);
      button.addEventListener("click", () => attempt(act, button));
      return button;
    }),
  );
}

function acts(work) {
  const path = `api/works/${work.id}`;
  const post = (act) => async () => works.put(await ask("POST", `${path}/${act}`));
  const list = [];
  if (work.state === "paused") list.push(["Resume", post("resume")]);
  else if (isUnderWay(work)) list.push(["Pause", post("pause")]);
  if (isUnderWay(work)) list.push(["Cancel", post("cancel")]);
  if (work.has_picture) list.push(["More detail", () => detail(path)]);
  if (work.has_picture || work.step > 0) list.push(["Branch", () => branch(work, path)]);
  if (work.has_picture && !isUnderWay(work)) {
    for (const [label, ending] of [["PNG", "png"], ["JPEG", "jpg"], ["16-bit TIFF", "tiff"]]) {
      list.push([label, `${path}/picture.${ending}`, { "aria-label": `Download ${label}` }]);
    }
    list.push(["Copy replay command", () => copy(work.replay)]);
  }
  if (!isUnderWay(work)) list.push(["Remove", () => ask("DELETE", path)]);
  return list;
}

async function attempt(act, button) {
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    find("#message").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function detail(path) {
  return send(`${path}/detail`, undefined, find("#message"));
}

async function branch(work, path) {
  const order = await ask("POST", `${path}/branch`);
  await fill(order);
  startFrom(order.start, order.parent, `Goes on from ${work.title}, step ${work.step}.`);
  find("#message").textContent = "Change what you like on the form, then start: it goes on from here.";
  changed();
  form.querySelector("[type=submit]").focus();
}

async function copy(text) {
  await navigator.clipboard.writeText(text);
  find("#message").textContent = `Copied: ${text}`;
}

async function steer(event) {
  event.preventDefault();
  const alert = steerForm.querySelector("[role=alert]");
  alert.textContent = "";
  try {
    const work = await ask("POST", `api/works/${works.chosen}/steer`, { settings: steering.values() });
    works.put(work);
    find("#message").textContent = `Changed after step ${work.changes.at(-1).step}.`;
  } catch (error) {
    alert.textContent = error.message;
  }
}

// --- events -----------------------------------------------------------------------------

function onWork(work) {
  works.put(work);
  if (work.id !== works.chosen) return;
  if (work.state === "painting") curve.add(work.step, work.losses.total ?? NaN);
  if (work.has_picture && !isUnderWay(work)) {
    viewer.show(address(work), words(work), before(work));
  }
  show();
}

function showPainters(painters) {
  const troubles = painters.filter((painter) => painter.state !== "ready");
  find("#painters").textContent = troubles.map((painter) => painter.message).join("; ");
  if (troubles.length === 0) changed();
}

async function refresh() {
  works.replace(await ask("GET", "api/works?limit=120"));
  showPainters((await ask("GET", "api/status")).painters);
  if (works.chosen && !chosen()) works.choose(null);
  else if (works.chosen) show();
}

async function begin() {
  const { presets, options } = await ask("GET", "api/form");
  controls = new Controls(options, "option");
  preset = make("select", { id: "preset", "aria-describedby": "preset-hint" });
  preset.append(...presets.map(({ name }) => make("option", { value: name }, name)));
  const summary = make("small", { id: "preset-hint" });
  const showSummary = () => (summary.textContent = presets.find(({ name }) => name === preset.value).told);
  preset.addEventListener("change", showSummary);
  preset.addEventListener("filled", showSummary);
  showSummary();
  const presetRow = make("div", { className: "option" }, make("label", { htmlFor: "preset" }, "Preset"), preset, summary);
  find("#up-front").append(...controls.rows((option) => option.up_front), presetRow);
  find("#more > div").append(...controls.rows((option) => !option.up_front));
  steering = new Controls(options.filter((option) => option.steerable), "steer");
  steerForm.querySelector("div").append(...steering.rows());

  form.addEventListener("submit", start);
  // Before this, a click would have had no effect.
  form.querySelector("[type=submit]").disabled = false;
  form.addEventListener("change", () => (refuse(""), changed()));
  steerForm.addEventListener("submit", steer);
  pictures.addEventListener("change", offerRecipe);
  pictures.addEventListener("change", ({ detail: added }) => added && uploads.refresh());
  uploads.addEventListener("delete", ({ detail: id }) => pictures.remove(id));
  works.addEventListener("choose", choose);
  find("#start-picture button").addEventListener("click", () => (startFrom(null, null), changed()));

  await pictures.load();
  changed();
  listen(
    {
      work: onWork,
      preview: ({ id, url }) => id === works.chosen && viewer.show(url, words(chosen()), before(chosen())),
      removed: ({ id }) => {
        works.remove(id);
        if (id === works.chosen) works.choose(null);
      },
      painters: showPainters,
    },
    refresh,
  );
}

begin().catch((error) => refuse(error.message));
