// Numbers and names for people.

import { say } from "./words.js";

export function clock(seconds) {
  if (seconds < 10) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const days = Math.floor(whole / 86400);
  const hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (days) return say.days(days, hours);
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export function memory(bytes) {
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

export function short(number) {
  return number >= 100 && number < 1e6 ? Math.round(number).toLocaleString("en") : number.toPrecision(3);
}

export function stem(name) {
  return name.replace(/\.\w+$/, "");
}
