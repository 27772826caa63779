// The state of the page: one object, from which everything is rendered.
//
// `set` replaces parts of it and never changes them in place, so that an unchanged part is the same
// object and need not be rendered again.

export function createStore(initial) {
  let state = initial;
  let queued = false;
  const listeners = new Set();
  return {
    get: () => state,
    // `change` has the new parts, or returns them for the current state.
    set(change) {
      const parts = typeof change === "function" ? change(state) : change;
      state = { ...state, ...parts };
      if (queued) return;
      queued = true;
      queueMicrotask(() => {
        queued = false;
        for (const listener of listeners) listener(state);
      });
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
