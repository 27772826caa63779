// Masks on the big picture: a canvas to draw on, and the tools.

import * as act from "./actions.js";
import * as masks from "./masks.js";
import { pictureName } from "./state.js";
import { Component, html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const STEP = 0.03;
const VEIL = "rgb(20 16 10 / 62%)";

// How the brush draws; it outlives the canvas.
const brush = { size: 18, softness: 60, erase: false };

function regionOf({ form, part }) {
  return form.regions[part] ?? form.regions[0] ?? null;
}

// Shows the photograph darker outside the part, and the brush.
export class MaskCanvas extends Component {
  canvas = { current: null };
  spot = { x: 0.5, y: 0.5 };
  isDrawing = false;

  componentDidMount() {
    this.draw();
    // A mask of an earlier visit is loaded a little later.
    this.timer = setTimeout(() => this.draw(), 400);
  }

  componentDidUpdate() {
    this.draw();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  key() {
    return regionOf(this.props.state)?.key;
  }

  follow = (event) => {
    const box = this.canvas.current.getBoundingClientRect();
    const before = this.spot;
    this.spot = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    if (event.type === "pointerdown") {
      this.canvas.current.setPointerCapture(event.pointerId);
      this.isDrawing = true;
      masks.remember(this.key());
      masks.stroke(this.key(), this.spot, this.spot, brush);
    } else if (this.isDrawing) masks.stroke(this.key(), before, this.spot, brush);
    this.draw();
  };

  lift = () => {
    if (!this.isDrawing) return;
    this.isDrawing = false;
    act.drew(this.key());
  };

  keys = (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (event.key === " ") {
      masks.remember(this.key());
      masks.stroke(this.key(), this.spot, this.spot, brush);
      act.drew(this.key());
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo(this.key());
    else if (x || y) {
      const within = (position) => Math.min(1, Math.max(0, position));
      this.spot = { x: within(this.spot.x + x * STEP), y: within(this.spot.y + y * STEP) };
    } else return;
    event.preventDefault();
    event.stopPropagation();
    this.draw();
  };

  draw() {
    const mask = masks.canvasOf(this.key());
    const canvas = this.canvas.current;
    if (!mask || !canvas) return;
    if (canvas.width !== mask.width || canvas.height !== mask.height) {
      [canvas.width, canvas.height] = [mask.width, mask.height];
    }
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    // The veil lies where the mask is black: its opacity is the mask's darkness.
    context.globalCompositeOperation = "copy";
    context.drawImage(veil(mask), 0, 0);
    context.globalCompositeOperation = "source-over";
    const radius = (brush.size / 200) * Math.max(width, height);
    context.lineWidth = Math.max(1.5, width / 300);
    for (const [colour, wider] of [["black", 0], ["white", context.lineWidth]]) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(this.spot.x * width, this.spot.y * height, radius + wider, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  render() {
    return html`<canvas class="drawing" ref=${this.canvas} tabindex="0" role="application" aria-label=${say.maskCanvas} aria-describedby="mask-hint"
      onPointerDown=${this.follow} onPointerMove=${this.follow} onPointerUp=${this.lift} onPointerCancel=${this.lift} onKeyDown=${this.keys} />`;
  }
}

function veil(mask) {
  const { width, height } = mask;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.drawImage(mask, 0, 0);
  const pixels = context.getImageData(0, 0, width, height);
  for (let index = 0; index < pixels.data.length; index += 4) {
    pixels.data[index + 3] = 255 - pixels.data[index];
  }
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = VEIL;
  context.fillRect(0, 0, width, height);
  return canvas;
}

function undo(key) {
  if (masks.undo(key)) act.drew(key);
}

export class MaskTools extends Component {
  render({ state }) {
    const { form, tiles } = state;
    const region = regionOf(state);
    if (!region) return null;
    const { key } = region;
    const set = (change) => {
      Object.assign(brush, change);
      act.changeRegion(key, {});
    };
    const whole = (change) => () => {
      masks.remember(key);
      change(key);
      act.drew(key);
    };
    return html`<div id="region" class="controls" role="group" aria-label=${say.masks}>
      <small id="mask-hint">${say.maskHint}</small>
      <div class="row">
        ${form.regions.map(
          (one, index) => html`<button type="button" key=${one.key} aria-pressed=${String(one === region)} onClick=${() => act.store.set({ part: index })}>${say.part(index + 1)}</button>`,
        )}
        <button type="button" onClick=${act.addRegion}>${say.addPart}</button>
        <label>${say.partPainting}
          <select value=${region.style} onChange=${(event) => act.changeRegion(key, { style: event.target.value })}>
            ${tiles.style.map((id) => html`<option key=${id} value=${id}>${pictureName(state, id)}</option>`)}
          </select></label>
      </div>
      <div class="row">
        <label>${say.brushSize} <input type="range" min="2" max="60" value=${brush.size} onInput=${(event) => set({ size: Number(event.target.value) })} /></label>
        <label>${say.softness} <input type="range" min="0" max="100" value=${brush.softness} onInput=${(event) => set({ softness: Number(event.target.value) })} /></label>
        <label><input type="checkbox" checked=${brush.erase} onChange=${(event) => set({ erase: event.target.checked })} /> ${say.erase}</label>
        <button type="button" onClick=${() => undo(key)}>${say.undo}</button>
        <button type="button" onClick=${whole(masks.invert)}>${say.invert}</button>
        <button type="button" onClick=${whole((one) => masks.cover(one, "white"))}>${say.fill}</button>
        <button type="button" onClick=${whole((one) => masks.cover(one, "black"))}>${say.clear}</button>
        <button type="button" onClick=${() => act.removeRegion(key)}>${say.removePart}</button>
        <button type="button" class="main" onClick=${act.toggleMasking}>${say.done}</button>
      </div>
    </div>`;
  }
}
