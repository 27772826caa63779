// The masks of parts that have a painting of their own: black and white pictures, white inside.
//
// The pixels are here and not in the state. A region in the state has the key of its mask, a version
// that grows with each stroke, and the id of the uploaded mask once there is one.

import { ask, upload } from "./api.js";
import { stem } from "./format.js";

const MOST_PX = 1024;
const MOST_UNDO = 20;
const SPACING = 0.08;

const drawn = new Map();
const inOrders = new Set();
let keys = 0;

// Makes the mask of a photograph's new part.
export function create(photograph) {
  const share = Math.min(1, MOST_PX / Math.max(photograph.width_px, photograph.height_px));
  const width = Math.max(1, Math.round(photograph.width_px * share));
  const height = Math.max(1, Math.round(photograph.height_px * share));
  const key = `part${++keys}`;
  drawn.set(key, { canvas: blank(width, height), undo: [] });
  return key;
}

function blank(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "black";
  context.fillRect(0, 0, width, height);
  return canvas;
}

export function canvasOf(key) {
  return drawn.get(key)?.canvas ?? null;
}

// Returns regions with masks to draw on, from those of an order or of an earlier visit.
export function adopt(regions) {
  return regions.map(({ mask, style }) => {
    const key = `part${++keys}`;
    const mine = { canvas: blank(1, 1), undo: [] };
    drawn.set(key, mine);
    const image = new Image();
    image.addEventListener("load", () => {
      mine.canvas = blank(image.naturalWidth, image.naturalHeight);
      mine.canvas.getContext("2d").drawImage(image, 0, 0);
    });
    image.src = `api/pictures/${mask}/original`;
    inOrders.add(mask);
    return { key, style, mask, version: 0 };
  });
}

export function forget(regions) {
  for (const { key } of regions) drawn.delete(key);
}

export function ordered(regions) {
  for (const { mask } of regions) inOrders.add(mask);
}

// Makes the brightness of a picture the mask; the picture is stretched over the photograph.
export async function drawPicture(key, address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const { width, height } = canvasOf(key);
  const context = canvasOf(key).getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    // The weights of luma in Rec. 709, which sRGB has.
    data.fill(0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2], at, at + 3);
  }
  context.putImageData(pixels, 0, 0);
}

// Remembers the mask as it is, so that what comes next can be undone.
export function remember(key) {
  const { canvas, undo } = drawn.get(key);
  undo.push(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height));
  if (undo.length > MOST_UNDO) undo.shift();
}

export function undo(key) {
  const { canvas, undo: earlier } = drawn.get(key);
  const before = earlier.pop();
  if (before) canvas.getContext("2d").putImageData(before, 0, 0);
  return Boolean(before);
}

// Draws from one position to another, in shares of the sides. Each pixel takes the largest value of
// the brush along the way, so that a stroke has no beads.
export function stroke(key, from, to, { size, softness, erase }) {
  const canvas = canvasOf(key);
  const context = canvas.getContext("2d");
  const radius = (size / 200) * Math.max(canvas.width, canvas.height);
  const [start, end] = [from, to].map(({ x, y }) => ({ x: x * canvas.width, y: y * canvas.height }));
  const length = Math.hypot(end.x - start.x, end.y - start.y);
  const dabs = Math.max(1, Math.ceil(length / Math.max(1, radius * SPACING)));
  const [inside, outside] = erase ? ["black", "white"] : ["white", "black"];
  context.globalCompositeOperation = erase ? "darken" : "lighten";
  for (let dab = 0; dab <= dabs; dab++) {
    const [x, y] = ["x", "y"].map((axis) => start[axis] + ((end[axis] - start[axis]) * dab) / dabs);
    const hard = Math.min(radius * (1 - softness / 100), radius - 0.5);
    const gradient = context.createRadialGradient(x, y, Math.max(0, hard), x, y, radius);
    gradient.addColorStop(0, inside);
    gradient.addColorStop(1, outside);
    context.fillStyle = gradient;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
  }
  context.globalCompositeOperation = "source-over";
}

export function invert(key) {
  cover(key, "white", "difference");
}

export function cover(key, colour, operation = "source-over") {
  const canvas = canvasOf(key);
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = operation;
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
}

// Uploads a mask, and deletes its earlier version unless an order has it. Returns null for a mask
// that is black all over, which is no part.
export async function send(key, photograph, former) {
  const canvas = canvasOf(key);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let mask = null;
  if (data.some((value, index) => index % 4 === 0 && value > 0)) {
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const file = new File([blob], `${stem(photograph.name)}_mask.png`, { type: "image/png" });
    mask = (await upload(file, "mask")).id;
  }
  if (former && former !== mask && !inOrders.has(former)) ask("DELETE", `api/pictures/${former}`).catch(() => {});
  return mask;
}
