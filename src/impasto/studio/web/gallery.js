// The queue and the gallery: one line or one card for each work.

import { clock, make } from "./format.js";

const queue = document.querySelector("#queue");
const lines = queue.querySelector("ul");
const cards = document.querySelector("#works .cards");
const hint = document.querySelector("#works > .hint");
const UNDER_WAY = ["waiting", "painting", "paused"];

export function isUnderWay(work) {
  return UNDER_WAY.includes(work.state);
}

export class Works extends EventTarget {
  all = new Map();
  chosen = null;

  replace(works) {
    this.all = new Map(works.map((work) => [work.id, work]));
    this.#show();
  }

  put(work) {
    const before = this.all.get(work.id);
    // An answer may come after a newer event.
    if (before?.has_picture && !work.has_picture) return;
    this.all.set(work.id, work);
    if (before?.state === work.state && before.has_picture === work.has_picture) this.#progress(work);
    else this.#show();
  }

  remove(id) {
    this.all.delete(id);
    this.#show();
  }

  choose(id) {
    this.chosen = id;
    for (const button of document.querySelectorAll("[data-work]")) {
      button.setAttribute("aria-current", button.dataset.work === id);
    }
    this.dispatchEvent(new CustomEvent("choose", { detail: id }));
  }

  #show() {
    const focused = document.activeElement?.dataset.work;
    const works = [...this.all.values()].sort((a, b) => b.created_s - a.created_s);
    const underWay = works.filter(isUnderWay).reverse();
    queue.hidden = underWay.length === 0;
    lines.replaceChildren(...underWay.map((work) => this.#line(work)));
    const done = works.filter((work) => work.has_picture && !isUnderWay(work));
    hint.hidden = done.length > 0;
    cards.replaceChildren(...done.map((work) => this.#card(work)));
    if (focused) document.querySelector(`[data-work="${focused}"]`)?.focus();
  }

  #line(work) {
    const bar = make("progress", { max: 1, value: work.progress, "aria-label": `Progress of ${work.title}` });
    const line = make("li", {}, this.#button(work, make("span", {}, work.title), make("small", {}, status(work))), bar);
    line.id = `line-${work.id}`;
    return line;
  }

  #card(work) {
    const image = make("img", { src: `api/works/${work.id}/small`, alt: "", loading: "lazy" });
    const note = work.state === "finished" ? "" : ` (${work.state})`;
    const size = make("small", {}, `${work.width_px} × ${work.height_px}${note}`);
    return make("li", {}, this.#button(work, image, make("span", {}, work.title), size));
  }

  #button(work, ...inside) {
    const button = make("button", { type: "button", "aria-current": work.id === this.chosen }, ...inside);
    button.dataset.work = work.id;
    button.addEventListener("click", () => this.choose(work.id));
    return button;
  }

  #progress(work) {
    const line = document.querySelector(`#line-${work.id}`);
    if (!line) return;
    line.querySelector("progress").value = work.progress;
    line.querySelector("small").textContent = status(work);
  }
}

function status(work) {
  if (work.state !== "painting") return work.state;
  return work.time_left_s === null ? "beginning" : `${clock(work.time_left_s)} left`;
}
