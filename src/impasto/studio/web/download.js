// A result in any format and print size.

import { Component, html } from "./vendor/preact-htm.js";
import { say } from "./words.js";

const FORMATS = {
  JPEG: "jpg?",
  "16-bit PNG": "png?bits=16",
  "16-bit TIFF": "tiff?",
  "8-bit TIFF": "tiff?bits=8",
  WebP: "webp?",
  AVIF: "avif?",
  PNG: "png?",
};
const UNITS_PER_INCH = { mm: 25.4, cm: 2.54, in: 1 };
const MOST_DPI = 65535;

// Pixels per inch at a print width such as 60cm; null if it is none.
export function dpiOf(width_px, width) {
  const [, number, unit] = width.trim().match(/^(\d{1,6}(?:\.\d{1,6})?) ?(mm|cm|in)$/) ?? [];
  const dpi = (width_px * UNITS_PER_INCH[unit]) / Number(number);
  return dpi > 0 && dpi <= MOST_DPI ? dpi : null;
}

export class DownloadAs extends Component {
  state = { format: "JPEG", width: "", withRecipe: true };

  render({ work }, { format, width, withRecipe }) {
    const dpi = dpiOf(work.width_px, width);
    const isGood = width.trim() === "" || dpi !== null;
    const [ending, query] = FORMATS[format].split("?");
    const asked = new URLSearchParams(query);
    if (dpi !== null) asked.set("width", width.trim());
    if (!withRecipe) asked.set("no_recipe", "true");
    return html`<fieldset class="download">
      <legend>${say.downloadAs}</legend>
      <label>${say.format}
        <select value=${format} onChange=${(event) => this.setState({ format: event.target.value })}>
          ${Object.keys(FORMATS).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>
      </label>
      <label>${say.printWidth}
        <input type="text" placeholder=${say.printWidthHint} value=${width} aria-invalid=${String(!isGood)}
          onInput=${(event) => this.setState({ width: event.target.value })} />
      </label>
      <small role="status">${dpi !== null ? say.printed(Math.round(dpi)) : isGood ? "" : say.printWidthHint}</small>
      <label><input type="checkbox" checked=${withRecipe} onChange=${(event) => this.setState({ withRecipe: event.target.checked })} /> ${say.withRecipe}</label>
      ${isGood && html`<a href=${`api/works/${work.id}/picture.${ending}?${asked}`} download>${say.downloadIt}</a>`}
    </fieldset>`;
  }
}
