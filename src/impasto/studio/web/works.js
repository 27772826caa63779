// The works: those under way, the gallery, and the bin.

import * as act from "./actions.js";
import { galleryOf, statusOf, underWay } from "./state.js";
import { Component, html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const { store } = act;

export function WorksPanel({ state }) {
  const active = underWay(state);
  const works = galleryOf(state);
  const { filter, selecting, selected } = state;
  const chosen = works.filter(({ id }) => selected.includes(id));
  return html`<section id="works" aria-labelledby="works-title">
    ${active.length > 0 &&
    html`<div id="queue">
      <h2>${say.underWay}</h2>
      <ul class="lines">
        ${active.map((work) => html`<${Line} key=${work.id} work=${work} chosen=${work.id === state.chosen} />`)}
      </ul>
    </div>`}
    <h2 id="works-title">${filter.bin ? say.bin : say.gallery}</h2>
    <div class="row">
      <input type="search" aria-label=${say.search} placeholder=${say.search} value=${filter.search}
        onInput=${(event) => act.setFilter({ search: event.target.value })} />
      <button type="button" aria-label=${say.starredOnly} aria-pressed=${String(filter.starred)} onClick=${() => act.setFilter({ starred: !filter.starred })}>★</button>
      <button type="button" aria-pressed=${String(selecting)} onClick=${() => store.set({ selecting: !selecting, selected: [] })}>${say.select}</button>
      <button type="button" aria-pressed=${String(filter.bin)} onClick=${() => act.setFilter({ bin: !filter.bin })}>${say.bin}</button>
    </div>
    ${selecting && html`<${Selection} chosen=${chosen} inBin=${filter.bin} />`}
    ${filter.bin && html`<p class="hint">${say.binHint}</p>`}
    ${works.length === 0 && html`<p class="hint">${filter.search || filter.starred || filter.bin ? say.nothingFound : say.nothing}</p>`}
    <ul class="cards">
      ${works.map(
        (work) => html`<${Card} key=${work.id} work=${work} chosen=${work.id === state.chosen} selecting=${selecting} selected=${selected.includes(work.id)} />`,
      )}
    </ul>
    ${state.hasOlder && !filter.bin && !filter.search && html`<button type="button" onClick=${() => act.loadWorks(true)}>${say.older}</button>`}
  </section>`;
}

function Selection({ chosen, inBin }) {
  const painted = chosen.filter((work) => work.has_picture);
  const query = painted.map(({ id }) => `id=${id}`).join("&");
  return html`<div class="row" role="group" aria-label=${say.select}>
    <span role="status">${say.selected(chosen.length)}</span>
    ${inBin && chosen.length > 0 && html`<button type="button" onClick=${() => act.restore(chosen.map(({ id }) => id))}>${say.restore}</button>`}
    ${chosen.length > 0 && html`<button type="button" onClick=${() => act.remove(chosen)}>${inBin ? say.deleteForGood : say.remove}</button>`}
    ${painted.length > 0 && !inBin && html`<a href=${`api/works.zip?${query}`} download>${say.zip}</a>`}
    ${painted.length > 1 && !inBin && html`<a href=${`api/works.jpg?${query}`} download>${say.contactSheet}</a>`}
    ${painted.length === 2 && chosen.length === 2 && !inBin && html`<button type="button" onClick=${() => act.choose(painted[0].id, painted[1].id)}>${say.compareTwo}</button>`}
  </div>`;
}

// Lines and cards are rendered again only if their own work has changed.
class OfWork extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => next[name] !== this.props[name]);
  }
}

class Line extends OfWork {
  render({ work, chosen }) {
    return html`<li>
      <button type="button" data-work=${work.id} aria-current=${String(chosen)} onClick=${() => act.choose(work.id)}>
        <span>${work.title}</span> <small>${statusOf(work)}</small>
      </button>
      <progress max="1" value=${work.progress} aria-label=${say.progressOf(work.title)} />
    </li>`;
  }
}

class Card extends OfWork {
  render({ work, chosen, selecting, selected }) {
    const note = work.state === "finished" ? "" : say.states[work.state];
    const size = work.has_picture ? `${work.width_px} × ${work.height_px}` : "";
    const open = () => (selecting ? act.select(work.id) : act.choose(work.id));
    const pressed = selecting ? { "aria-pressed": String(selected), "aria-label": say.selectWork(work.title) } : { "aria-current": String(chosen) };
    return html`<li class=${work.state}>
      <button type="button" data-work=${work.id} ...${pressed} onClick=${open}>
        ${work.has_picture ? html`<img src=${`api/works/${work.id}/small`} alt="" loading="lazy" />` : html`<span class="no-picture">${work.message ?? note}</span>`}
        <span class="name">${work.starred ? "★ " : ""}${work.title}</span>
        <small>${[size, note].filter(Boolean).join(" · ")}</small>
      </button>
    </li>`;
  }
}
