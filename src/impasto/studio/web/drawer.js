// The drawer: what to paint, from what, and how.

import * as act from "./actions.js";
import { memory, stem } from "./format.js";
import { isShare, parse, written } from "./options.js";
import { STRENGTHS, changedOptions, optionsOf, pictureName, presetsOf } from "./state.js";
import { RecipeCard } from "./recipe_card.js";
import { Component, html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const SIZES = [256, 512, 768, 1024, 2048];

export function Drawer({ state }) {
  const { form } = state;
  const submit = (event) => {
    event.preventDefault();
    act.start();
  };
  return html`<form id="order" aria-labelledby="order-title" novalidate onSubmit=${submit}>
    <div class="scrolled">
      <h2 id="order-title" class="quiet">${say.order}</h2>
      <${Modes} form=${form} />
      ${form.mode !== "style" && html`<${Tiles} state=${state} kind="content" />`}
      ${form.mode !== "content" && html`<${Tiles} state=${state} kind="style" />`}
      ${form.mode === "style_transfer" &&
      form.content &&
      html`<button type="button" aria-pressed=${String(state.masking)} onClick=${act.toggleMasking}>${say.masks}</button>`}
      ${form.goingOn &&
      html`<p id="start-picture">
        ${form.goingOn.title} <button type="button" class="plain" onClick=${act.startAfresh}>${say.afresh}</button>
      </p>`}
      <div id="up-front">
        ${optionsOf(state)
          .filter((option) => option.up_front)
          .map((option) => html`<${Option} key=${option.name} option=${option} value=${form.values[option.name]} />
            ${option.name === "strength" && html`<${Strengths} state=${state} />`}`)}
      </div>
      <${Laboratory} state=${state} />
    </div>
    ${state.recipe && html`<${RecipeCard} ...${state.recipe} options=${state.options} />`}
    <${Go} state=${state} />
  </form>`;
}

function Modes({ form }) {
  return html`<fieldset id="modes">
    <legend class="quiet">${say.modesTitle}</legend>
    ${Object.entries(say.modes).map(
      ([mode, [name, hint]]) => html`<label key=${mode} title=${`${name} ${hint}`}>
        <input type="radio" name="mode" value=${mode} checked=${form.mode === mode} onChange=${() => act.setMode(mode)} />
        <span>${name}</span>
      </label>`,
    )}
  </fieldset>`;
}

function Tiles({ state, kind }) {
  const { form, pictures, tiles, uploading, quota, deleting } = state;
  const isStyle = kind === "style";
  const chosen = isStyle ? form.styles : [form.content];
  const name = isStyle ? say.painting : say.photograph;
  const own = tiles[kind].filter((id) => pictures[id].kind === "own");
  const take = (event) => {
    act.takeFiles([...event.target.files], kind);
    event.target.value = "";
  };
  return html`<fieldset id=${isStyle ? "styles" : "content"} class="pictures">
    <legend>${name}</legend>
    ${isStyle &&
    html`<label class="aside">
      <input type="checkbox" checked=${form.blend} onChange=${(event) => act.setBlend(event.target.checked)} /> ${say.blend}
    </label>`}
    <ul class="tiles">
      <li>
        <label class="drop" title=${isStyle ? say.addPainting : say.addPhotograph}>
          <input type="file" accept="image/*" multiple=${isStyle} aria-label=${isStyle ? say.addPainting : say.addPhotograph} onChange=${take} />
          <span aria-hidden="true">${uploading[kind] ? "…" : "+"}</span>
        </label>
      </li>
      ${tiles[kind].map(
        (id) => html`<${Tile}
          key=${id}
          picture=${pictures[id]}
          look=${isStyle ? state.looks[`style:${id}`] : null}
          pressed=${chosen.includes(id)}
          deleting=${deleting && pictures[id].kind === "own"}
          onClick=${isStyle ? act.chooseStyle : act.chooseContent}
        />`,
      )}
    </ul>
    <p class="hint" role="status">
      ${uploading[kind] ? say.looking : isStyle && form.styles.length > 1 ? say.blended(form.styles.map((id) => pictureName(state, id))) : ""}
    </p>
    ${own.length > 0 &&
    html`<p class="hint">
      ${deleting && quota && say.quota(memory(quota.used), memory(quota.most))}
      <button type="button" class="plain" onClick=${act.toggleDeleting}>${deleting ? say.done : say.deletePictures}</button>
    </p>`}
  </fieldset>`;
}

class Tile extends Component {
  shouldComponentUpdate(next) {
    return ["picture", "look", "pressed", "deleting"].some((name) => next[name] !== this.props[name]);
  }

  render({ picture, look, pressed, deleting, onClick }) {
    const name = stem(picture.name);
    const own = `api/pictures/${picture.id}/small`;
    const isReady = look?.state === "ready";
    const hover = (is) => look && act.hover(is ? `style:${picture.id}` : null);
    const title = look?.state === "failed" ? `${picture.name}: ${look.message}` : picture.name;
    return html`<li>
      <button type="button" title=${title} aria-pressed=${String(pressed)} class=${look?.state ?? ""}
        onClick=${() => onClick(picture.id)} onPointerEnter=${() => hover(true)} onPointerLeave=${() => hover(false)}>
        <img src=${isReady ? `api/looks/${look.id}` : own} alt=${name} loading="lazy" draggable=${false} />
        ${isReady && html`<img class="inset" src=${own} alt="" />`}
      </button>
      ${deleting &&
      html`<button type="button" class="delete" aria-label=${say.deletePicture(name)} onClick=${() => act.deletePicture(picture.id)}>×</button>`}
    </li>`;
  }
}

// The same photograph and painting at several strengths, once their looks are there.
function Strengths({ state }) {
  const { looks, form } = state;
  const shown = STRENGTHS.filter((strength) => looks[`strength:${strength}`]?.state === "ready");
  return (
    shown.length > 0 &&
    html`<ul class="tiles looks">
      ${shown.map((strength) => {
        const label = say.atStrength(strength);
        return html`<li key=${strength}>
          <button type="button" title=${label} aria-pressed=${String(form.values.strength === strength)} onClick=${() => act.setValue("strength", strength)}>
            <img src=${`api/looks/${looks[`strength:${strength}`].id}`} alt=${label} />
          </button>
        </li>`;
      })}
    </ul>`
  );
}

// What each preset would make of the same photograph and painting.
function Presets({ state }) {
  const { looks, form } = state;
  const shown = presetsOf(state).filter(({ name }) => looks[`preset:${name}`]?.state === "ready");
  return (
    shown.length > 0 &&
    html`<ul class="tiles looks">
      ${shown.map(
        ({ name, told }) => html`<li key=${name}>
          <button type="button" title=${told} aria-pressed=${String(form.preset === name)} onClick=${() => act.changeForm({ preset: name })}>
            <img src=${`api/looks/${looks[`preset:${name}`].id}`} alt=${say.withPreset(name)} />
          </button>
          <small aria-hidden="true">${name}</small>
        </li>`,
      )}
    </ul>`
  );
}

// --- options ------------------------------------------------------------------------------------

function Laboratory({ state }) {
  const changed = changedOptions(state).filter((option) => !option.up_front);
  const options = optionsOf(state).filter((option) => !option.up_front);
  const preset = state.presets.find(({ name }) => name === state.form.preset);
  return html`<details id="more">
    <summary>${say.laboratory} ${changed.length > 0 && html`<small>${say.changedCount(changed.length)}</small>`}</summary>
    <div class="option">
      <label for="preset">${say.preset}</label>
      <select id="preset" aria-describedby="preset-hint" value=${state.form.preset}
        onChange=${(event) => act.changeForm({ preset: event.target.value })}>
        ${presetsOf(state).map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
      <small id="preset-hint">${preset?.told}</small>
      <${Presets} state=${state} />
    </div>
    ${state.groups.map(({ name, title }) => {
      const members = options.filter((option) => option.group === name);
      return (
        members.length > 0 &&
        html`<fieldset key=${name} class="group">
          <legend>${title}</legend>
          ${members.map((option) => html`<${Option} key=${option.name} option=${option} value=${state.form.values[option.name]} />`)}
        </fieldset>`
      );
    })}
    ${changedOptions(state).length > 0 && html`<button type="button" onClick=${act.resetValues}>${say.resetAll}</button>`}
    ${"Notification" in window &&
    html`<label><input type="checkbox" checked=${state.notify} onChange=${(event) => act.setNotify(event.target.checked)} /> ${say.notify}</label>`}
  </details>`;
}

class Option extends Component {
  shouldComponentUpdate(next) {
    return next.value !== this.props.value || next.option !== this.props.option;
  }

  render({ option, value }) {
    const id = `option-${option.name}`;
    const isChanged = parse(option, value) !== undefined;
    return html`<div class=${`option ${option.kind}`}>
      <div class="label">
        <label for=${id}>${option.label}${option.unit && html` <small>${option.unit}</small>`}</label>
        ${isShare(option) && html`<output for=${id} class=${isChanged ? "" : "usual"}>${Number(value ?? option.usual).toFixed(2)}</output>`}
        ${isChanged &&
        html`<button type="button" class="plain" aria-label=${say.resetOption(option.label)} onClick=${() => act.setValue(option.name)}>${say.reset}</button>`}
      </div>
      <${Input} id=${id} option=${option} value=${value} />
      <small id=${`${id}-hint`} class=${option.up_front ? "quiet" : ""}>${describe(option)}</small>
    </div>`;
  }
}

function Input({ id, option, value }) {
  const shared = { id, name: option.name, "aria-describedby": `${id}-hint` };
  const set = (changed) => act.setValue(option.name, changed);
  if (option.kind === "choice") {
    return html`<select ...${shared} value=${value ?? option.default ?? ""} onChange=${(event) => set(event.target.value || undefined)}>
      ${option.default === null && html`<option value="">${say.automatic}</option>`}
      ${option.choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}
    </select>`;
  }
  if (option.kind === "flag") {
    return html`<input ...${shared} type="checkbox" checked=${value ?? option.default === true} onChange=${(event) => set(event.target.checked)} />`;
  }
  if (isShare(option)) {
    return html`<input ...${shared} type="range" min="0" max="1" step="0.05" value=${value ?? option.usual} onInput=${(event) => set(Number(event.target.value))} />`;
  }
  const isNumber = option.kind === "integer" || option.kind === "number";
  const list = option.name === "size" ? `${id}-list` : undefined;
  return html`<input
      ...${shared}
      type="text"
      list=${list}
      autocomplete="off"
      inputmode=${isNumber && !list ? (option.kind === "integer" ? "numeric" : "decimal") : undefined}
      placeholder=${written(option.default) || say.automatic}
      value=${value ?? ""}
      onInput=${(event) => set(event.target.value === "" ? undefined : event.target.value)}
    />
    ${list && html`<datalist id=${list}>${SIZES.map((size) => html`<option key=${size} value=${size} />`)}</datalist>`}`;
}

function describe(option) {
  const bounds = Object.entries(say.bounds)
    .filter(([name]) => option[name] !== null && Math.abs(option[name]) < 2 ** 53)
    .map(([name, words]) => `${words} ${Number(option[name].toPrecision(6))}`);
  return bounds.length ? `${option.description} (${bounds.join(", ")})` : option.description;
}

// --- the start ----------------------------------------------------------------------------------

function Go({ state }) {
  const { plan, refusal, sending } = state;
  return html`<div class="go">
    <p id="plan" role="status" class=${plan?.isLong ? "long" : ""}>${plan?.isLong && html`<strong>${say.long}</strong> `}${plan?.text}</p>
    <p id="refusal" role="alert">
      ${refusal?.text}
      ${refusal?.confirm && html` <button type="button" onClick=${refusal.confirm}>${say.anyway}</button>`}
    </p>
    <button type="submit" class="main" aria-disabled=${String(sending)}>${sending ? say.starting : say.start}</button>
  </div>`;
}
