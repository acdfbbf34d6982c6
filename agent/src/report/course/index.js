// Marks the lessons that were done.
(() => {
  "use strict";
  const lessons = [...document.querySelectorAll("[data-lesson]")];
  let count = 0;
  for (const row of lessons) {
    const done = progress.of(row.dataset.lesson);
    if (!done) continue;
    count += 1;
    row.classList.add("is-done");
    row.querySelector(".done").textContent = `✓ ${done.right} of ${done.questions} predicted`;
  }
  const score = document.querySelector(".score");
  score.hidden = count === 0;
  score.textContent = `You have done ${count} of ${lessons.length}.`;
})();
