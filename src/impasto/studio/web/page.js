// The whole page: a header, the picture, the drawer with the order, and the panel with the works.

import * as act from "./actions.js";
import { Drawer } from "./drawer.js";
import { WorksPanel } from "./works.js";
import { Stage } from "./stage.js";
import { underWay } from "./state.js";
import { html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const { store } = act;

export function Page({ state }) {
  return html`
    <a class="skip" href="#viewport" onClick=${skip}>${say.skip}</a>
    <header>
      <h1>impasto</h1>
      <${Status} state=${state} />
      <${PanelButton} state=${state} name="works">${say.works(underWay(state).length)}<//>
      ${state.isForOthers &&
      html`<details class="menu phone">
        <summary>${say.onPhone}</summary>
        <div><img src="api/phone" alt=${say.code} loading="lazy" /><p>${say.scan}</p></div>
      </details>`}
      <a href="docs">${say.interface}</a>
    </header>
    <main class=${state.panel === "works" ? "with-works" : ""}>
      <${Drawer} state=${state} />
      <${Stage} state=${state} />
      ${state.panel === "works" && html`<${WorksPanel} state=${state} />`}
    </main>
    <${Message} message=${state.message} />
  `;
}

function skip(event) {
  // The address after # belongs to the works.
  event.preventDefault();
  /** @type {HTMLElement} */ (document.querySelector("#viewport")).focus();
}

function Status({ state }) {
  const troubles = state.painters.filter((painter) => painter.state !== "ready");
  const isAway = state.connection === "lost";
  const text = isAway ? say.away : troubles.map((painter) => painter.message).join("; ");
  const isBad = isAway || troubles.some((painter) => painter.state === "broken");
  return html`<p id="painters" role="status" class=${isBad ? "bad" : ""}>${text}</p>`;
}

export function PanelButton({ state, name, children }) {
  const isOpen = state.panel === name;
  const toggle = () => store.set({ panel: isOpen ? null : name });
  return html`<button type="button" aria-expanded=${String(isOpen)} onClick=${toggle}>${children}</button>`;
}

function Message({ message }) {
  return html`<div id="message" role="status">
    ${message &&
    html`<p>
      ${message.text}
      ${message.undo && html` <button type="button" onClick=${message.undo}>${say.undo}</button>`}
      ${message.confirm && html` <button type="button" onClick=${message.confirm}>${say.anyway}</button>`}
      <button type="button" class="plain" aria-label=${say.close} onClick=${() => store.set({ message: null })}>×</button>
    </p>`}
  </div>`;
}
