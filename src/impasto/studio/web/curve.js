// The loss over the steps, on a logarithmic scale.

import { short } from "./format.js";

const figure = document.querySelector("#curve");
const svg = figure.querySelector("svg");
const [WIDTH, HEIGHT, EDGE, MOST_POINTS] = [400, 90, 4, 800];

export class Curve {
  #points = [];

  set(points) {
    this.#points = points.slice();
    this.#draw();
  }

  add(step, loss) {
    const last = this.#points.at(-1);
    if (!Number.isFinite(loss) || loss <= 0 || (last && last[0] >= step)) return;
    this.#points.push([step, loss]);
    if (this.#points.length > MOST_POINTS) this.#points = this.#points.filter((_, index) => index % 2 === 0);
    this.#draw();
  }

  #draw() {
    const points = this.#points.filter(([, loss]) => loss > 0);
    figure.hidden = points.length < 2;
    if (figure.hidden) return;
    const logs = points.map(([, loss]) => Math.log(loss));
    const low = Math.min(...logs);
    const span = Math.max(...logs) - low || 1;
    const first = points[0][0];
    const steps = points.at(-1)[0] - first || 1;
    const path = points.map(([step], index) => {
      const x = ((step - first) / steps) * WIDTH;
      const y = EDGE + (1 - (logs[index] - low) / span) * (HEIGHT - 2 * EDGE);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    svg.querySelector("path").setAttribute("d", `M${path.join("L")}`);
    const [from, to] = [points[0][1], points.at(-1)[1]].map(short);
    svg.setAttribute("aria-label", `Loss from ${from} at step ${first} to ${to} at step ${points.at(-1)[0]}`);
    figure.querySelector("figcaption").textContent = `Loss ${to}`;
  }
}
