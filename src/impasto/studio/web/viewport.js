// The viewport: shows a picture, compares it with another under the same zoom, and lets masks be
// drawn on it.

import { MaskCanvas } from "./mask_tools.js";
import { Component, html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const CLOSEST = 32;
const WHEEL = 0.0015;
const PAN_PX = 60;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Viewport extends Component {
  // `zoom` is in page pixels for each pixel of the picture; null fits it into the window.
  // `x` and `y` are where the picture's middle is, from the window's.
  state = { box: { width: 1, height: 1 }, zoom: null, x: 0, y: 0, cut: 0, peek: null, current: null, coming: null };
  element = { current: null };
  pointers = new Map();

  componentDidMount() {
    this.observer = new ResizeObserver(([{ contentRect: { width, height } }]) => this.setState({ box: { width, height } }));
    this.observer.observe(this.element.current);
    this.setState({ coming: this.props.url, cut: this.props.startsCut });
  }

  componentWillUnmount() {
    this.observer.disconnect();
  }

  componentDidUpdate(before) {
    const { id, url, before: other, startsCut } = this.props;
    if (before.id !== id) {
      this.setState({ zoom: null, x: 0, y: 0, cut: startsCut, peek: null, current: null, coming: url });
      return;
    }
    if (before.before !== other) this.setState({ cut: startsCut });
    // While one picture is loading, only the latest of the others waits.
    if (url !== before.url && !this.state.coming) this.setState({ coming: url });
  }

  // A picture that is coming is shown once it is decoded, so that nothing flickers.
  loaded = async (event) => {
    const { coming } = this.state;
    await event.target.decode?.().catch(() => {});
    if (this.state.coming !== coming) return;
    const { url } = this.props;
    this.setState({ current: coming, coming: url === coming ? null : url });
  };

  failed = () => {
    const { url } = this.props;
    this.setState(({ coming }) => ({ coming: url === coming ? null : url }));
  };

  scale() {
    const { box, zoom } = this.state;
    const { width, height } = this.props;
    return zoom ?? Math.min(box.width / width, box.height / height);
  }

  // Zooms, and keeps the point (x, y) of the window, from its middle, where it is.
  zoomTo(zoom, point = { x: 0, y: 0 }) {
    const { width, height } = this.props;
    const { box } = this.state;
    if (zoom === null) return this.setState({ zoom: null, x: 0, y: 0 });
    const fit = Math.min(box.width / width, box.height / height);
    const now = this.scale();
    const next = clamp(zoom, Math.min(fit, 1) / 4, Math.max(CLOSEST, fit));
    this.setState(({ x, y }) => this.within({
      zoom: next,
      x: point.x + (x - point.x) * (next / now),
      y: point.y + (y - point.y) * (next / now),
    }));
  }

  pan(x, y) {
    this.setState((state) => this.within({ zoom: this.scale(), x: state.x + x, y: state.y + y }));
  }

  // Keeps a part of the picture in the window.
  within({ zoom, x, y }) {
    const { width, height } = this.props;
    const { box } = this.state;
    const [most_x, most_y] = [Math.abs(width * zoom - box.width) / 2, Math.abs(height * zoom - box.height) / 2];
    return { zoom, x: clamp(x, -most_x, most_x), y: clamp(y, -most_y, most_y) };
  }

  fromMiddle({ clientX, clientY }) {
    const box = this.element.current.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  wheel = (event) => {
    event.preventDefault();
    this.zoomTo(this.scale() * Math.exp(-event.deltaY * WHEEL), this.fromMiddle(event));
  };

  press = (event) => {
    if (event.target.closest("button, .handle, .drawing")) return;
    this.element.current.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.fromMiddle(event));
  };

  move = (event) => {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.fromMiddle(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (!other) return this.pan(now.x - before.x, now.y - before.y);
    const distance = (one) => Math.hypot(one.x - other.x, one.y - other.y);
    const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
    this.zoomTo((this.scale() * distance(now)) / Math.max(1, distance(before)), middle);
  };

  release = (event) => this.pointers.delete(event.pointerId);

  keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.element.current) return;
    const act = {
      "+": () => this.zoomTo(this.scale() * 1.5),
      "=": () => this.zoomTo(this.scale() * 1.5),
      "-": () => this.zoomTo(this.scale() / 1.5),
      0: () => this.zoomTo(null),
      1: () => this.zoomTo(1),
      ArrowLeft: () => this.pan(PAN_PX, 0),
      ArrowRight: () => this.pan(-PAN_PX, 0),
      ArrowUp: () => this.pan(0, PAN_PX),
      ArrowDown: () => this.pan(0, -PAN_PX),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  // --- the line between two pictures ---

  drag = (event) => {
    if (event.type === "pointerdown") {
      event.currentTarget.setPointerCapture(event.pointerId);
      this.dragging = true;
    }
    if (!this.dragging) return;
    const sheet = this.element.current.querySelector("#sheet").getBoundingClientRect();
    this.setState({ cut: clamp((event.clientX - sheet.left) / sheet.width, 0, 1) });
  };

  drop = () => (this.dragging = false);

  cutKeys = (event) => {
    const step = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, PageUp: 0.25, PageDown: -0.25, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.setState(({ cut }) => ({ cut: clamp(cut + step, 0, 1) }));
  };

  render({ width, height, words, before, beforeLabel, peeks, hint, state }, { zoom, x, y, cut, peek, current, coming }) {
    const scale = this.scale();
    const style = { width: `${width * scale}px`, height: `${height * scale}px`, transform: `translate(-50%, -50%) translate(${x}px, ${y}px)` };
    const isMasking = state.masking && !state.chosen;
    // Before the first strokes, the photograph is what there is to see.
    const isWaiting = !current && before;
    return html`<div id="viewport" ref=${this.element} role="region" aria-label=${say.thePicture} tabindex="0"
        onWheel=${this.wheel} onPointerDown=${this.press} onPointerMove=${this.move} onPointerUp=${this.release}
        onPointerCancel=${this.release} onKeyDown=${this.keys} class=${zoom === null ? "" : "zoomed"}>
        <div id="sheet" style=${style} class=${scale >= 4 ? "pixels" : ""}>
          ${isWaiting && html`<img class="waiting" src=${before} alt="" />`}
          ${current && html`<img key=${current} class="after" src=${current} alt=${words} draggable=${false} />`}
          ${coming && coming !== current && html`<img key=${coming} class="coming" src=${coming} alt="" onLoad=${this.loaded} onError=${this.failed} />`}
          ${current && before && cut > 0 && html`<img class="before" src=${before} alt="" draggable=${false} style=${{ clipPath: `inset(0 ${100 * (1 - cut)}% 0 0)` }} />`}
          ${peek && html`<img class="peek" src=${peek} alt="" />`}
          ${current && before && html`<div class="handle" role="slider" tabindex="0" aria-label=${beforeLabel} aria-valuemin="0" aria-valuemax="100"
              aria-valuenow=${Math.round(100 * cut)} style=${{ left: `${100 * cut}%` }} onKeyDown=${this.cutKeys}
              onPointerDown=${this.drag} onPointerMove=${this.drag} onPointerUp=${this.drop} onPointerCancel=${this.drop} />`}
          ${isMasking && html`<${MaskCanvas} state=${state} />`}
        </div>
        ${!current && hint && html`<p class="hint">${hint}</p>`}
      </div>
      <div id="zoom" class="row" role="group" aria-label=${say.zoom}>
        ${peeks.map(([label, url]) => html`<${Peek} key=${label} label=${label} show=${(is) => this.setState({ peek: is ? url : null })} />`)}
        <button type="button" class="wide" aria-label=${say.zoomOut} onClick=${() => this.zoomTo(scale / 1.5)}>−</button>
        <button type="button" aria-pressed=${String(zoom === null)} onClick=${() => this.zoomTo(null)}>${say.fit}</button>
        <button type="button" onClick=${() => this.zoomTo(1)}>${say.full}</button>
        <button type="button" class="wide" aria-label=${say.zoomIn} onClick=${() => this.zoomTo(scale * 1.5)}>+</button>
        ${document.fullscreenEnabled && html`<button type="button" aria-label=${say.fullScreen} onClick=${toggleFullScreen}><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4" /></svg></button>`}
      </div>`;
  }
}

// A button that shows another picture while it is held.
function Peek({ label, show }) {
  const held = (event) => [" ", "Enter"].includes(event.key) && show(event.type === "keydown");
  return html`<button type="button" title=${say.hold(label)} onPointerDown=${() => show(true)} onPointerUp=${() => show(false)}
    onPointerLeave=${() => show(false)} onBlur=${() => show(false)} onKeyDown=${held} onKeyUp=${held}>${label}</button>`;
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.querySelector("#viewer").requestFullscreen().catch(() => {});
}
