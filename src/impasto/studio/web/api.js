// The HTTP interface as functions; an error answer becomes an Error with the server's message.

import { say } from "./words.js";

export async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error(say.away), { away: true });
  }
  // If the studio does not answer, a proxy does, and not in JSON.
  const content = answer.status === 204 ? null : await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(content.error), { status: answer.status });
  return content;
}

export function upload(file, purpose = "picture") {
  const form = new FormData();
  form.append("file", file, file.name || "pasted.png");
  return ask("POST", `api/pictures?purpose=${purpose}`, form);
}

// Calls handlers[kind](data), and `changed("open" or "lost")`. A hidden tab closes its connection,
// because browsers allow only few.
export function listen(handlers, changed) {
  let source = null;
  const update = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (source === null) {
      source = new EventSource("api/events");
      source.addEventListener("open", () => changed("open"));
      source.addEventListener("error", () => {
        changed("lost");
        // After some errors a browser does not reconnect by itself.
        if (source?.readyState === EventSource.CLOSED) {
          source = null;
          setTimeout(update, 2000);
        }
      });
      for (const [kind, handle] of Object.entries(handlers)) {
        source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
      }
    }
  };
  document.addEventListener("visibilitychange", update);
  update();
}
