// A region of the photograph with its own painting; the visitor paints its mask with a soft brush.

import { upload } from "./api.js";
import { make } from "./format.js";

const panel = document.querySelector("#region");
const canvas = panel.querySelector("canvas");
const choice = panel.querySelector("select");
const [size, softness] = panel.querySelectorAll("input[type=range]");
const erase = panel.querySelector("input[type=checkbox]");
const MOST_PX = 1024;
const STEP = 0.03;

export class Regions {
  #photograph = null;
  #image = null;
  #mask = document.createElement("canvas");
  #spot = { x: 0.5, y: 0.5 };
  #touched = false;
  #uploaded = null;

  constructor(changed) {
    this.changed = changed;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#follow(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.#follow(event));
    canvas.addEventListener("pointerup", () => this.changed());
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("focus", () => this.#draw());
    canvas.addEventListener("blur", () => this.#draw());
    panel.querySelector("button").addEventListener("click", () => {
      this.#clear();
      this.changed();
    });
    choice.addEventListener("change", () => this.changed());
    panel.addEventListener("toggle", () => this.#draw());
  }

  // Takes the photograph to paint on, and the paintings to choose from.
  offer(photograph, paintings) {
    const chosen = choice.value;
    choice.replaceChildren(...paintings.map(({ id, name }) => make("option", { value: id }, name.replace(/\.\w+$/, ""))));
    if (paintings.some(({ id }) => id === chosen)) choice.value = chosen;
    if (photograph?.id === this.#photograph?.id) return;
    this.#photograph = photograph;
    this.#image = null;
    panel.hidden = photograph === null;
    if (photograph === null) return this.#clear();
    const share = Math.min(1, MOST_PX / Math.max(photograph.width_px, photograph.height_px));
    this.#mask.width = canvas.width = Math.max(1, Math.round(photograph.width_px * share));
    this.#mask.height = canvas.height = Math.max(1, Math.round(photograph.height_px * share));
    this.#clear();
    const image = make("img", { src: `api/pictures/${photograph.id}/small` });
    image.addEventListener("load", () => {
      this.#image = image;
      this.#draw();
    });
  }

  // The regions of an order; uploads the mask if it has changed.
  async order() {
    if (!this.#touched || panel.hidden) return [];
    if (this.#uploaded === null) {
      const blob = await new Promise((done) => this.#mask.toBlob(done, "image/png"));
      const name = `${this.#photograph.name.replace(/\.\w+$/, "")}_mask.png`;
      this.#uploaded = (await upload(new File([blob], name, { type: "image/png" }))).id;
    }
    return [{ mask: this.#uploaded, style: choice.value }];
  }

  #clear() {
    const context = this.#mask.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.fillStyle = "black";
    context.fillRect(0, 0, this.#mask.width, this.#mask.height);
    this.#touched = false;
    this.#uploaded = null;
    this.#draw();
  }

  #follow(event) {
    const box = canvas.getBoundingClientRect();
    this.#spot = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
    this.#dab();
  }

  #press(event) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (event.key === " ") {
      this.#dab();
      this.changed();
    } else if (x || y) {
      const within = (position) => Math.min(1, Math.max(0, position));
      this.#spot = { x: within(this.#spot.x + x * STEP), y: within(this.#spot.y + y * STEP) };
      this.#draw();
    } else return;
    event.preventDefault();
  }

  #radius() {
    return (size.value / 200) * Math.max(canvas.width, canvas.height);
  }

  #dab() {
    const context = this.#mask.getContext("2d");
    const [x, y, radius] = [this.#spot.x * canvas.width, this.#spot.y * canvas.height, this.#radius()];
    const inside = radius * (1 - softness.value / 100);
    const colour = erase.checked ? "0, 0, 0" : "255, 255, 255";
    const soft = context.createRadialGradient(x, y, Math.min(inside, radius - 0.5), x, y, radius);
    soft.addColorStop(0, `rgba(${colour}, 1)`);
    soft.addColorStop(1, `rgba(${colour}, 0)`);
    context.fillStyle = soft;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    this.#touched = true;
    this.#uploaded = null;
    this.#draw();
  }

  // Draws the photograph, darker outside the region.
  #draw() {
    if (!this.#image || !panel.open) return;
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    context.drawImage(this.#image, 0, 0, width, height);
    if (this.#touched) {
      context.globalCompositeOperation = "multiply";
      context.globalAlpha = 0.75;
      context.drawImage(this.#mask, 0, 0);
      context.globalCompositeOperation = "source-over";
      context.globalAlpha = 1;
    }
    if (document.activeElement !== canvas) return;
    context.lineWidth = Math.max(2, width / 200);
    for (const [colour, wider] of [["black", 0], ["white", context.lineWidth]]) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(this.#spot.x * width, this.#spot.y * height, this.#radius() + wider, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
