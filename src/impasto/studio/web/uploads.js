// The uploaded pictures: a list to delete from, and their total size.

import { ask } from "./api.js";
import { make, memory } from "./format.js";

const panel = document.querySelector("#uploads");
const list = panel.querySelector(".tiles");
const status = panel.querySelector("[role=status]");

export class Uploads extends EventTarget {
  constructor() {
    super();
    panel.addEventListener("toggle", () => panel.open && this.#load());
  }

  // Reloads an open list after an upload.
  refresh() {
    if (panel.open) this.#load();
  }

  async #load() {
    try {
      const [pictures, { uploaded_bytes, upload_quota_bytes }] = await Promise.all([
        ask("GET", "api/pictures?uploaded=true"),
        ask("GET", "api/status"),
      ]);
      list.replaceChildren(...pictures.map((picture) => this.#tile(picture)));
      status.textContent = pictures.length
        ? `They take ${memory(uploaded_bytes)} of at most ${memory(upload_quota_bytes)}.`
        : "Nothing was uploaded.";
    } catch (error) {
      status.textContent = error.message;
    }
  }

  #tile(picture) {
    const image = make("img", { src: `api/pictures/${picture.id}/small`, alt: "", loading: "lazy" });
    const button = make("button", { type: "button", "aria-label": `Delete ${picture.name}` }, "Delete");
    button.addEventListener("click", () => this.#delete(picture, button));
    return make("li", {}, image, make("small", {}, picture.name), button);
  }

  async #delete(picture, button) {
    button.disabled = true;
    try {
      await ask("DELETE", `api/pictures/${picture.id}`);
      this.dispatchEvent(new CustomEvent("delete", { detail: picture.id }));
      await this.#load();
    } catch (error) {
      status.textContent = error.message;
      button.disabled = false;
    }
  }
}
