// The photograph and the paintings: dropped, pasted, uploaded, or chosen from the bundled ones.

import { ask, upload } from "./api.js";
import { make } from "./format.js";

export class Pictures extends EventTarget {
  #fieldsets = { content: document.querySelector("#content"), styles: document.querySelector("#styles") };
  #known = { content: [], styles: [] };
  #suggested = [];

  constructor(refuse) {
    super();
    this.content = null;
    this.styles = [];
    this.refuse = refuse;
    for (const [kind, fieldset] of Object.entries(this.#fieldsets)) {
      const input = fieldset.querySelector("input[type=file]");
      input.addEventListener("change", () => {
        this.take([...input.files], kind);
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
      this.take([...event.dataTransfer.files], this.#kindOf(event.target));
      for (const fieldset of Object.values(this.#fieldsets)) fieldset.classList.remove("over");
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) this.take(files, this.#kindOf(document.activeElement));
    });
  }

  async load() {
    const bundled = await ask("GET", "api/pictures");
    this.#known.content = bundled.filter((picture) => picture.kind === "content");
    this.#known.styles = bundled.filter((picture) => picture.kind === "style");
    // A suggestion, until the visitor chooses.
    this.#suggested = this.#known.styles.slice(0, 1);
    this.styles = this.#suggested;
    this.#show();
  }

  // The paintings that can be chosen.
  get paintings() {
    return this.#known.styles;
  }

  // Finds a picture of an order by id, or one of a recipe by hash.
  async find(id) {
    const known = [...this.#known.content, ...this.#known.styles];
    return known.find((picture) => picture.id === id || picture.sha256 === id) ?? ask("GET", `api/pictures/${id}`);
  }

  async take(files, kind) {
    for (const file of files) {
      const busy = this.#fieldsets[kind].querySelector(".drop");
      busy.classList.add("busy");
      try {
        this.use(await upload(file), kind);
      } catch (error) {
        this.refuse(`${file.name || "The picture"}: ${error.message}`);
      } finally {
        busy.classList.remove("busy");
      }
    }
  }

  use(picture, kind) {
    if (!this.#known[kind].some((known) => known.id === picture.id)) this.#known[kind].unshift(picture);
    if (kind === "content") this.content = picture;
    else this.styles = [...this.#chosenStyles().filter((style) => style.id !== picture.id), picture];
    this.#changed(picture);
  }

  // Removes a picture that was deleted.
  remove(id) {
    for (const kind of Object.keys(this.#known)) {
      this.#known[kind] = this.#known[kind].filter((picture) => picture.id !== id);
    }
    if (this.content?.id === id) this.content = null;
    this.styles = this.styles.filter((style) => style.id !== id);
    this.#changed(null);
  }

  replace(content, styles) {
    for (const [kind, pictures] of [["content", content ? [content] : []], ["styles", styles]]) {
      for (const picture of pictures) {
        if (!this.#known[kind].some((known) => known.id === picture.id)) this.#known[kind].unshift(picture);
      }
    }
    this.content = content;
    this.styles = styles;
    this.#changed(null);
  }

  #kindOf(element) {
    return this.#fieldsets.styles.contains(element) ? "styles" : "content";
  }

  #toggle(picture, kind) {
    if (kind === "content") this.content = this.content?.id === picture.id ? null : picture;
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
    for (const [kind, fieldset] of Object.entries(this.#fieldsets)) {
      const chosen = kind === "content" ? [this.content] : this.styles;
      const tiles = fieldset.querySelector(".tiles");
      const focused = document.activeElement?.dataset.picture;
      tiles.replaceChildren(
        ...this.#known[kind].map((picture) => {
          const pressed = chosen.some((one) => one?.id === picture.id);
          const name = picture.name.replace(/\.\w+$/, "");
          const image = make("img", { src: `api/pictures/${picture.id}/small`, alt: name, loading: "lazy" });
          const button = make("button", { type: "button", title: picture.name, "aria-pressed": pressed }, image);
          button.dataset.picture = picture.id;
          button.addEventListener("click", () => this.#toggle(picture, kind));
          return make("li", {}, button);
        }),
      );
      if (focused) tiles.querySelector(`[data-picture="${focused}"]`)?.focus();
    }
  }
}
