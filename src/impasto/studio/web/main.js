// Renders the page from the state, and brings in what happens outside of it.

import * as act from "./actions.js";
import { listen } from "./api.js";
import { Page } from "./page.js";
import { pageTitle } from "./state.js";
import { html, render } from "./vendor/preact-htm.js";

const { store } = act;
const root = document.querySelector("#page");

function show(state) {
  render(html`<${Page} state=${state} />`, root);
  const title = pageTitle(state);
  if (document.title !== title) document.title = title;
}

function takeDropsAndPastes() {
  const kindOf = (element) => (element?.closest?.("#styles") ? "style" : "content");
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    act.takeFiles([...event.dataTransfer.files], kindOf(event.target));
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) act.takeFiles(files, kindOf(document.activeElement));
  });
}

async function begin() {
  await act.load();
  store.subscribe(show);
  store.subscribe(() => act.planSoon());
  store.subscribe(() => act.lookSoon());
  show(store.get());
  act.planSoon();
  takeDropsAndPastes();
  window.addEventListener("hashchange", act.follow);
  window.addEventListener("popstate", act.follow);
  act.follow();
  listen(
    { work: act.onWork, preview: act.onPreview, look: act.onLook, removed: act.onRemoved, painters: act.onPainters },
    act.onConnection,
  );
}

begin().catch((error) => (root.textContent = error.message));
