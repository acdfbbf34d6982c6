// What the reader has done, kept by the browser where it keeps anything for such a page.
const progress = (() => {
  "use strict";
  const KEY = "backscope-lessons";
  const isCount = (it) => Number.isInteger(it) && it >= 0 && it < 1000;

  function all() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY));
      return kept && typeof kept === "object" ? kept : {};
    } catch {
      return {};
    }
  }

  return {
    // Right answers and owners of a lesson that was seen to its end; null where it was not.
    of(slug) {
      const done = Object.hasOwn(all(), slug) ? all()[slug] : null;
      const fields = ["right", "questions", "owned", "steps"];
      return done && fields.every((field) => isCount(done[field])) ? done : null;
    },
    // The best of several times is kept.
    note(slug, done) {
      const kept = all(), before = this.of(slug);
      const share = (it) => (it.right + it.owned) / Math.max(it.questions + it.steps, 1);
      if (before && share(before) >= share(done)) return;
      kept[slug] = done;
      try { localStorage.setItem(KEY, JSON.stringify(kept)); } catch { /* It keeps nothing. */ }
    },
  };
})();
