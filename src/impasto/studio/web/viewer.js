// The viewer: shows the current picture, compares it with the photograph, and zooms.

import { make } from "./format.js";

const viewport = document.querySelector("#viewport");
const sheet = document.querySelector("#sheet");
const compare = document.querySelector("#compare");
const slider = compare.querySelector("input");
const zoomBar = document.querySelector("#zoom");

export class Viewer {
  #shown = null;
  #next = null;
  #busy = false;
  #zoom = null;

  constructor() {
    slider.addEventListener("input", () => this.#cut());
    zoomBar.addEventListener("click", (event) => this.#zoomBy(event.target.dataset.zoom));
    viewport.addEventListener("keydown", (event) => {
      const act = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "full" }[event.key];
      if (act && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.#zoomBy(act);
      }
    });
  }

  // Removes the picture, and shows a hint instead.
  clear(hint) {
    this.#shown = this.#next = this.#zoom = null;
    sheet.replaceChildren(make("p", { className: "hint" }, hint));
    sheet.style.cssText = "";
    compare.hidden = zoomBar.hidden = true;
    slider.value = 0;
    viewport.classList.remove("close");
  }

  // Shows a picture. While one is loading, only the latest of the others waits.
  async show(url, words, before) {
    this.#next = { url, words, before };
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const wanted = this.#next;
      const image = make("img", { className: "after", src: wanted.url, alt: wanted.words });
      try {
        await image.decode();
      } catch {
        if (this.#next === wanted) this.#next = null;
        continue;
      }
      if (this.#next === null) break;
      this.#put(image, wanted.before);
      if (this.#next === wanted) this.#next = null;
    }
    this.#busy = false;
  }

  // Changes the picture's description without loading it again.
  describe(words) {
    if (this.#shown) this.#shown.alt = words;
  }

  #put(image, before) {
    const old = sheet.querySelector(".after");
    if (old) old.replaceWith(image);
    else sheet.replaceChildren(image);
    this.#shown = image;
    zoomBar.hidden = false;
    const photograph = sheet.querySelector(".before");
    if (before && photograph?.dataset.url !== before) {
      photograph?.remove();
      const beside = make("img", { className: "before", src: before, alt: "" });
      beside.dataset.url = before;
      sheet.append(beside);
    } else if (!before) photograph?.remove();
    compare.hidden = !before;
    this.#cut();
    this.#resize();
  }

  #cut() {
    sheet.style.setProperty("--cut", `${100 - slider.value}%`);
    sheet.classList.toggle("compared", Number(slider.value) > 0);
  }

  #zoomBy(act) {
    if (!act || !this.#shown) return;
    const natural = this.#shown.naturalWidth;
    const now = this.#zoom ?? this.#shown.clientWidth / natural;
    const zoom = { fit: null, full: 1, in: now * 1.5, out: now / 1.5 }[act];
    this.#zoom = zoom === null ? null : Math.min(16, Math.max(0.05, zoom));
    this.#resize();
  }

  #resize() {
    const { naturalWidth, naturalHeight } = this.#shown;
    viewport.classList.toggle("close", this.#zoom !== null);
    sheet.style.setProperty("--aspect", naturalWidth / naturalHeight);
    sheet.style.width = this.#zoom === null ? "" : `${this.#zoom * naturalWidth}px`;
  }
}
