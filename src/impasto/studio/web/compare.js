// Blind comparison: trials of two pictures without names, and the ranking.

import { ask } from "./api.js";

const ANSWERS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "neither" };
const choice = document.querySelector("#choice");
const ranking = document.querySelector("#ranking");
const problem = document.querySelector("#problem");
let trial = null;
let busy = false;

// Runs one request at a time, and shows its error.
async function attempt(act) {
  if (busy) return;
  busy = true;
  try {
    await act();
    problem.hidden = true;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  } finally {
    busy = false;
  }
}

async function show(progress) {
  trial = progress.trial;
  document.querySelector("#progress").textContent =
    `${progress.answered} of ${progress.total} answered`;
  if (trial === null) {
    await showRanking(false);
    return;
  }
  ranking.hidden = true;
  choice.hidden = false;
  for (const side of ["left", "right"]) {
    choice.querySelector(`[data-answer=${side}] img`).src = `api/trials/${trial}/${side}`;
  }
}

async function answer(chosen) {
  await show(await ask("POST", `api/trials/${trial}`, { chosen }));
}

async function showRanking(unfinished) {
  const { methods, left_out: leftOut } = await ask("GET", "api/ranking");
  ranking.querySelector("tbody").replaceChildren(...methods.map(row));
  ranking.querySelector("#left-out").hidden = leftOut.length === 0;
  ranking.querySelector("#left-out ul").replaceChildren(
    ...leftOut.map(({ file, reason }) => element("li", `${file}: ${reason}`)),
  );
  ranking.querySelector("#resume").hidden = !unfinished;
  choice.hidden = true;
  ranking.hidden = false;
  ranking.querySelector("#ranking-title").focus();
}

function row({ method, strength, chosen, compared }) {
  const name = element("th", method);
  name.scope = "row";
  const line = document.createElement("tr");
  line.append(
    name,
    element("td", strength.toFixed(2)),
    element("td", String(chosen)),
    element("td", String(compared)),
  );
  return line;
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

for (const button of choice.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => attempt(() => answer(button.dataset.answer)));
}
document.querySelector("#stop").addEventListener("click", () => attempt(() => showRanking(true)));
document
  .querySelector("#resume")
  .addEventListener("click", () => attempt(async () => show(await ask("GET", "api/progress"))));
document.addEventListener("keydown", (event) => {
  const chosen = ANSWERS[event.key];
  if (chosen === undefined || choice.hidden || event.repeat) return;
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  attempt(() => answer(chosen));
});
attempt(async () => show(await ask("GET", "api/progress")));
