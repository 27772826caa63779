// The photograph and the paintings: dropped, pasted, chosen, or out of those that are here.

import { ask, upload } from "./api.js";
import { make } from "./format.js";

export class Pictures extends EventTarget {
  #places = { content: document.querySelector("#content"), styles: document.querySelector("#styles") };
  #known = { content: [], styles: [] };
  #suggested = [];

  constructor(refuse) {
    super();
    this.content = null;
    this.styles = [];
    this.refuse = refuse;
    for (const [place, fieldset] of Object.entries(this.#places)) {
      const input = fieldset.querySelector("input[type=file]");
      input.addEventListener("change", () => {
        this.take([...input.files], place);
        input.value = "";
      });
      fieldset.addEventListener("dragover", (event) => {
        event.preventDefault();
        fieldset.classList.add("over");
      });
      fieldset.addEventListener("dragleave", () => fieldset.classList.remove("over"));
    }
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take([...event.dataTransfer.files], this.#placeOf(event.target));
      for (const fieldset of Object.values(this.#places)) fieldset.classList.remove("over");
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) this.take(files, this.#placeOf(document.activeElement));
    });
  }

  async load() {
    const bundled = await ask("GET", "api/pictures");
    this.#known.content = bundled.filter((picture) => picture.kind === "content");
    this.#known.styles = bundled.filter((picture) => picture.kind === "style");
    // Something to start with, until somebody chooses.
    this.#suggested = this.#known.styles.slice(0, 1);
    this.styles = this.#suggested;
    this.#show();
  }

  // The paintings that can be chosen.
  get paintings() {
    return this.#known.styles;
  }

  // Finds by id or by hash what an order or a recipe names.
  async find(id) {
    const known = [...this.#known.content, ...this.#known.styles];
    return known.find((picture) => picture.id === id || picture.sha256 === id) ?? ask("GET", `api/pictures/${id}`);
  }

  async take(files, place) {
    for (const file of files) {
      const busy = this.#places[place].querySelector(".drop");
      busy.classList.add("busy");
      try {
        this.use(await upload(file), place);
      } catch (error) {
        this.refuse(`${file.name || "The picture"}: ${error.message}`);
      } finally {
        busy.classList.remove("busy");
      }
    }
  }

  use(picture, place) {
    if (!this.#known[place].some((known) => known.id === picture.id)) this.#known[place].unshift(picture);
    if (place === "content") this.content = picture;
    else this.styles = [...this.#chosenStyles().filter((style) => style.id !== picture.id), picture];
    this.#changed(picture);
  }

  // Offers a picture no longer: it was deleted.
  forget(id) {
    for (const place of Object.keys(this.#known)) {
      this.#known[place] = this.#known[place].filter((picture) => picture.id !== id);
    }
    if (this.content?.id === id) this.content = null;
    this.styles = this.styles.filter((style) => style.id !== id);
    this.#changed(null);
  }

  replace(content, styles) {
    for (const [place, pictures] of [["content", content ? [content] : []], ["styles", styles]]) {
      for (const picture of pictures) {
        if (!this.#known[place].some((known) => known.id === picture.id)) this.#known[place].unshift(picture);
      }
    }
    this.content = content;
    this.styles = styles;
    this.#changed(null);
  }

  #placeOf(element) {
    return this.#places.styles.contains(element) ? "styles" : "content";
  }

  #toggle(picture, place) {
    if (place === "content") this.content = this.content?.id === picture.id ? null : picture;
    else if (this.styles.some((style) => style.id === picture.id)) {
      this.styles = this.styles.filter((style) => style.id !== picture.id);
    } else this.styles = [...this.#chosenStyles(), picture];
    this.#changed(null);
  }

  #chosenStyles() {
    return this.styles === this.#suggested ? [] : this.styles;
  }

  #changed(added) {
    this.#show();
    this.dispatchEvent(new CustomEvent("change", { detail: added }));
  }

  #show() {
    for (const [place, fieldset] of Object.entries(this.#places)) {
      const chosen = place === "content" ? [this.content] : this.styles;
      const tiles = fieldset.querySelector(".tiles");
      const focused = document.activeElement?.dataset.picture;
      tiles.replaceChildren(
        ...this.#known[place].map((picture) => {
          const pressed = chosen.some((one) => one?.id === picture.id);
          const name = picture.name.replace(/\.\w+$/, "");
          const image = make("img", { src: `api/pictures/${picture.id}/small`, alt: name, loading: "lazy" });
          const button = make("button", { type: "button", title: picture.name, "aria-pressed": pressed }, image);
          button.dataset.picture = picture.id;
          button.addEventListener("click", () => this.#toggle(picture, place));
          return make("li", {}, button);
        }),
      );
      if (focused) tiles.querySelector(`[data-picture="${focused}"]`)?.focus();
    }
  }
}
