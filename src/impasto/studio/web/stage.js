// The picture, which fills the window, and what lies on it: facts, acts, steering, zoom.

import * as act from "./actions.js";
import { DownloadAs } from "./download.js";
import { short } from "./format.js";
import { MaskTools } from "./mask_tools.js";
import { chosenWork, factsOf, isUnderWay, pictureName, strengthOf } from "./state.js";
import { Component, html } from "./vendor/preact-htm.js";
import { Viewport } from "./viewport.js";
import { say } from "./words.js";

export function Stage({ state }) {
  const work = chosenWork(state);
  const shown = work ? pictureOfWork(state, work) : pictureOfForm(state);
  const title = work?.title ?? (shown ? shown.words : say.emptyTitle);
  return html`<section id="viewer" aria-labelledby="viewer-title">
    <div class="caption">
      <h2 id="viewer-title">${title}</h2>
      <p id="facts">${work ? factsOf(work) : ""}</p>
      ${work?.message && html`<p id="note" class=${work.state === "failed" ? "bad" : ""}>${work.message}</p>`}
    </div>
    ${shown ? html`<${Viewport} ...${shown} state=${state} />` : html`<${Empty} state=${state} />`}
    ${state.masking && !work && html`<${MaskTools} state=${state} />`}
    ${work &&
    html`<div class="controls">
      ${isUnderWay(work) && html`<progress max="1" value=${work.progress} aria-label=${say.progressOf(work.title)} />`}
      <div class="row" id="acts-row">
        <${Acts} key=${work.id} work=${work} />
        ${work.state === "painting" && work.step > 0 && html`<${Steer} key=${`steer-${work.id}`} state=${state} work=${work} />`}
        ${state.scrub?.id === work.id && html`<${Scrubber} ...${state.scrub} />`}
        <${Curve} points=${state.losses[work.id]} />
      </div>
    </div>`}
  </section>`;
}

function small(id) {
  return `api/pictures/${id}/small`;
}

function sizeOf(work, state) {
  const last = work.plan?.sizes.at(-1);
  if (!isUnderWay(work) && work.width_px) return [work.width_px, work.height_px];
  if (last) return [last.width_px, last.height_px];
  const content = state.pictures[work.order.content];
  return content ? [content.width_px, content.height_px] : [512, 512];
}

function addressOf(work, state) {
  const { scrub } = state;
  const step = scrub?.id === work.id && scrub.steps[scrub.index];
  if (step) return `api/works/${work.id}/frames/${step}`;
  if (!isUnderWay(work)) return work.has_picture ? `api/works/${work.id}/picture.jpg` : null;
  return state.previews[work.id] ?? null;
}

function pictureOfWork(state, work) {
  const [width, height] = sizeOf(work, state);
  const { mode, content, styles } = work.order;
  const photograph = mode !== "style" && content ? small(content) : null;
  const other = state.works[state.against];
  return {
    id: work.id,
    width,
    height,
    url: addressOf(work, state),
    words: isUnderWay(work) ? say.asItStands(work.title, work.step) : say.painted(work.title),
    before: other ? `api/works/${other.id}/picture.jpg` : photograph,
    beforeLabel: other ? say.sharesWork(other.title) : say.shares,
    startsCut: other ? 0.5 : 0,
    peeks: [
      ...(photograph ? [[say.peekPhotograph, photograph]] : []),
      ...(mode !== "content" && styles[0] ? [[say.peekPainting, small(styles[0])]] : []),
    ],
    hint: isUnderWay(work) ? say.firstStrokes : "",
  };
}

function pictureOfForm({ form, pictures, looks, masking }) {
  const id = form.mode === "style" ? form.styles[0] : form.content;
  const picture = pictures[id];
  if (!picture) return null;
  const { width_px: width, height_px: height } = picture;
  const words = pictureName({ pictures }, id);
  const look = looks.current?.state === "ready" && !masking ? looks.current : null;
  return {
    id,
    width,
    height,
    url: look ? `api/looks/${look.id}` : small(id),
    words: look ? say.theLook(words) : words,
    before: look ? small(id) : null,
    beforeLabel: say.shares,
    peeks: look ? [[say.peekPhotograph, small(id)]] : [],
    startsCut: 0,
    hint: "",
  };
}

function Empty({ state }) {
  const take = (event) => {
    act.takeFiles([...event.target.files], "content");
    event.target.value = "";
  };
  const samples = state.tiles.content.slice(0, 8);
  return html`<div id="viewport" class="empty" tabindex="-1">
    <div>
      <label class="drop">
        <input type="file" accept="image/*" aria-label=${say.camera} onChange=${take} />
        <strong aria-hidden="true">${say.empty}</strong>
        <span aria-hidden="true">${say.emptyHint}</span>
      </label>
      <ul class="samples">
        ${samples.map(
          (id) => html`<li key=${id}>
            <button type="button" onClick=${() => act.chooseContent(id)}>
              <img src=${small(id)} alt=${pictureName(state, id)} loading="lazy" />
            </button>
          </li>`,
        )}
      </ul>
    </div>
  </div>`;
}

// --- acts ---------------------------------------------------------------------------------------

// Every button belongs to the work that it was rendered for.
class Acts extends Component {
  shouldComponentUpdate({ work }) {
    const before = this.props.work;
    return ["state", "has_picture", "starred", "removed_s", "width_px"].some((name) => work[name] !== before[name]) || work.step > 0 !== before.step > 0;
  }

  render({ work }) {
    const { id, has_picture: hasPicture } = work;
    const active = isUnderWay(work);
    const button = (label, run, extra = {}) => html`<button type="button" key=${label} ...${extra} onClick=${run}>${label}</button>`;
    return html`<div id="acts" class="row" role="group" aria-label=${say.thisPainting}>
      ${work.state === "paused" && button(say.resume, () => act.change(id, "resume"))}
      ${active && work.state !== "paused" && button(say.pause, () => act.change(id, "pause"))}
      ${active && button(say.cancel, () => act.change(id, "cancel"))}
      ${hasPicture && !active && button("★", () => act.change(id, `star?starred=${!work.starred}`), { "aria-label": say.star, "aria-pressed": String(work.starred) })}
      ${hasPicture && !active && html`<a class="main" href=${`api/works/${id}/picture.png`} download aria-label=${say.download("PNG")}>PNG</a>`}
      ${hasPicture && button(say.detail, () => act.detail(id))}
      ${(hasPicture || work.step > 0) && button(say.branch, () => act.branch(work))}
      ${!active && button(say.remove, () => act.remove([work]))}
      ${hasPicture &&
      !active &&
      html`<details class="menu">
        <summary>${say.more}</summary>
        <div onClick=${(event) => event.target.matches("button") && event.currentTarget.parentElement.removeAttribute("open")}>
          <${DownloadAs} work=${work} />
          <a href=${`api/works/${id}/recipe`} download>${say.downloadRecipe}</a>
          ${button(say.useAsPhotograph, () => act.useResult(work, "content"))}
          ${button(say.useAsPainting, () => act.useResult(work, "style"))}
          ${button(say.useAsStart, () => act.useResult(work, "start"))}
          ${work.order.mode === "style_transfer" && button(say.useAsMask, () => act.useResult(work, "mask"))}
          ${button(say.timelapse, () => act.toggleTimelapse(id))}
          ${button(say.anotherSeed, () => act.anotherSeed(work))}
          ${button(say.copyReplay, () => act.copy(work.replay))}
        </div>
      </details>`}
    </div>`;
  }
}

// One slider: it shows the strength in force, and changes it on release.
class Steer extends Component {
  render({ state, work }, { moved }) {
    const strength = strengthOf(state, work);
    if (strength === null) return null;
    const value = moved ?? strength;
    const apply = async (event) => {
      await act.steer(work.id, Number(event.target.value));
      this.setState({ moved: undefined });
    };
    return html`<label id="steer">
      ${say.steer}
      <input type="range" min="0" max="1" step="0.05" value=${value} onInput=${(event) => this.setState({ moved: Number(event.target.value) })} onChange=${apply} />
      <output>${value.toFixed(2)}</output>
    </label>`;
  }
}

// Looks through the time-lapse; after its last frame comes the result.
function Scrubber({ id, steps, index }) {
  const words = index < steps.length ? say.frameOf(steps[index]) : say.states.finished;
  return html`<div id="scrub" class="row" role="group" aria-label=${say.timelapse}>
    <input type="range" min="0" max=${steps.length} step="1" value=${index} aria-label=${say.timelapse} aria-valuetext=${words}
      onInput=${(event) => act.scrubTo(Number(event.target.value))} />
    <output>${words}</output>
    ${["gif", "webp"].map((ending) => html`<a key=${ending} href=${`api/works/${id}/timelapse.${ending}`} download>${say.animations[ending]}</a>`)}
    <button type="button" aria-label=${say.close} onClick=${() => act.toggleTimelapse(id)}>×</button>
  </div>`;
}

// The loss over the steps, on a logarithmic scale.
function Curve({ points = [] }) {
  const positive = points.filter(([, loss]) => loss > 0);
  if (positive.length < 2) return null;
  const [width, height, edge] = [160, 36, 2];
  const logs = positive.map(([, loss]) => Math.log(loss));
  const low = Math.min(...logs);
  const span = Math.max(...logs) - low || 1;
  const first = positive[0][0];
  const last = positive.at(-1)[0];
  const path = positive.map(([step], index) => {
    const x = ((step - first) / (last - first || 1)) * width;
    const y = edge + (1 - (logs[index] - low) / span) * (height - 2 * edge);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  const [from, to] = [positive[0][1], positive.at(-1)[1]].map(short);
  return html`<figure id="curve">
    <svg viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label=${say.lossCurve(from, first, to, last)}>
      <path d=${`M${path.join("L")}`} />
    </svg>
    <figcaption>${say.loss(to)}</figcaption>
  </figure>`;
}
