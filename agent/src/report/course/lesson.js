// A lesson step by step: predict, say whose doing each step is, change one thing, predict again.
// Without this the page shows everything, what was measured behind a click.
(() => {
  "use strict";
  const main = document.getElementById("main");
  const stages = [...document.querySelectorAll(".part")];
  const links = [...document.querySelectorAll(".way a")];
  const choices = document.getElementById("pick");
  const LETTERS = { "own-k": "k", "own-a": "a", "own-p": "p", "own-n": "n" };
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const score = { right: 0, asked: 0, owned: 0, steps: 0, told: false };
  document.documentElement.classList.add("js");
  if ("scrollRestoration" in history) history.scrollRestoration = "manual";

  function show(node, place) {
    node.scrollIntoView({ behavior: still.matches ? "auto" : "smooth", block: place });
  }

  // The stages so far can be reached, and the last one of them is where one is.
  function mark() {
    stages.forEach((stage, at) => {
      const link = links[at];
      if (stage.classList.contains("later")) link.removeAttribute("href");
      else link.href = "#" + stage.id;
      const next = stages[at + 1];
      const here = !score.told && !stage.classList.contains("later") && (!next || next.classList.contains("later"));
      if (here) link.setAttribute("aria-current", "step"); else link.removeAttribute("aria-current");
      if (here) link.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }

  function onward(stage) {
    const next = stages[stages.indexOf(stage) + 1];
    const button = stage.querySelector('[data-do="onward"]');
    if (button) button.parentElement.hidden = true;
    next.classList.remove("later");
    if (next.id === "summary") sumUp();
    mark();
    const heading = next.querySelector("h2");
    heading.focus({ preventScroll: true });
    show(next, "start");
  }

  class Round {
    constructor(section) {
      this.section = section;
      this.form = section.querySelector(".predict");
      this.details = section.querySelector(".reveal");
      this.steps = [...section.querySelectorAll(".reveal-step")];
      this.seen = section.querySelector(".seen");
      this.live = section.querySelector("[aria-live]");
      this.all = section.querySelector('[data-do="show-all"]');
      this.button = this.form.querySelector(".go");
      this.at = -1;
      this.seen.classList.add("later");
      for (const step of this.steps) this.ask(step);
      // Each is for who predicted it.
      for (const word of section.querySelectorAll(".word")) word.hidden = true;
      this.button.disabled = true;
      this.form.addEventListener("change", () => { this.button.disabled = false; });
      this.form.addEventListener("submit", (event) => { event.preventDefault(); this.judge(); });
      this.form.addEventListener("keydown", (event) => this.choose(event));
      this.all.addEventListener("click", () => this.showAll());
      const next = section.querySelector('[data-do="onward"]');
      next.addEventListener("click", () => onward(section));
    }

    // Whose doing the step is shows once the reader has said so.
    ask(step) {
      step.classList.add("later");
      if (!step.dataset.owner) return;
      step.classList.add("asking");
      step.append(choices.content.cloneNode(true));
      const pick = step.querySelector(".pick");
      pick.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) this.assign(step, button.dataset.owner);
      });
      pick.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const owner = Object.keys(LETTERS).find((it) => LETTERS[it] === event.key.toLowerCase());
        if (owner) { event.preventDefault(); this.assign(step, owner); }
      });
    }

    // As in the terminal: a, b, c, d.
    choose(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
      const inputs = [...this.form.querySelectorAll("input:not(:disabled)")];
      const input = inputs["abcd".indexOf(event.key.toLowerCase())];
      if (!input || !"abcd".includes(event.key.toLowerCase())) return;
      input.checked = true;
      input.focus();
      this.button.disabled = false;
    }

    judge() {
      const chosen = this.form.querySelector("input:checked");
      if (!chosen || this.details.open) return;
      const right = this.form.dataset.right;
      if (right !== undefined) {
        score.asked += 1;
        if (chosen.value === right) score.right += 1;
      }
      for (const word of this.section.querySelectorAll(".word")) {
        word.hidden = word.dataset.answer !== chosen.value;
      }
      const line = document.querySelector(`[data-summary="${this.section.dataset.round}"] .predicted`);
      const offered = chosen.closest(".choice").querySelector(".offered").textContent;
      line.textContent = (chosen.value === right ? "✓" : "✗") + ` you predicted ${offered}`;
      line.classList.add(chosen.value === right ? "good" : "bad");
      this.reveal();
      const verdict = this.section.querySelector(".measured-value");
      verdict.focus({ preventScroll: true });
      this.next();
      show(this.form, "start");
    }

    reveal() {
      const right = this.form.dataset.right;
      for (const input of this.form.querySelectorAll("input")) {
        const choice = input.closest(".choice"), mark = choice.querySelector(".mark");
        input.disabled = true;
        if (input.value === right) { choice.classList.add("right"); mark.textContent = "✓"; }
        else if (input.checked) { choice.classList.add("wrong"); mark.textContent = "✗"; }
      }
      this.button.hidden = true;
      this.details.open = true;
    }

    // The next step that is somebody's doing, with what stands before it.
    next() {
      while (this.at + 1 < this.steps.length) {
        this.at += 1;
        const step = this.steps[this.at];
        step.classList.remove("later");
        if (step.dataset.owner) return step;
      }
      this.seen.classList.remove("later");
      this.all.parentElement.hidden = true;
      return null;
    }

    assign(step, owner) {
      if (!step.classList.contains("asking")) return;
      const isRight = owner === step.dataset.owner;
      score.steps += 1;
      if (isRight) score.owned += 1;
      const name = step.querySelector(".who .badge").textContent.trim().slice(2);
      const said = step.querySelector(`.pick [data-owner="${owner}"]`).textContent.trim().slice(2);
      const words = isRight ? "✓ as you said" : `✗ you said ${said}`;
      const told = step.querySelector(".said");
      told.textContent = " " + words;
      told.classList.add(isRight ? "good" : "bad");
      this.live.textContent = `${isRight ? "Right" : "Not so"}: ${name}.`;
      this.own(step);
      const next = this.next();
      const focus = next ? next.querySelector(".pick button") : this.seen.querySelector(".onward button");
      focus.focus({ preventScroll: true });
      // The words of both are seen: the answer, and what comes next.
      show(next || step, next ? "nearest" : "start");
    }

    own(step) {
      step.classList.remove("asking");
      const pick = step.querySelector(".pick");
      if (pick) pick.hidden = true;
    }

    showAll() {
      for (const step of this.steps) { step.classList.remove("later"); this.own(step); }
      this.at = this.steps.length;
      this.next();
      this.seen.querySelector(".onward button").focus({ preventScroll: true });
    }
  }

  const rounds = [...document.querySelectorAll("[data-round]")].map((section) => new Round(section));
  document.querySelector("#jobs [data-do=onward]")
    .addEventListener("click", () => onward(document.getElementById("jobs")));

  function sumUp() {
    const line = document.querySelector(".score");
    const of = (what, right, all) => all > 0 ? `${what}: ${right} of ${all} right.` : "";
    const parts = [of("Predictions", score.right, score.asked), of("Whose doing", score.owned, score.steps)]
      .filter((part) => part !== "");
    line.textContent = parts.join(" ");
    line.hidden = parts.length === 0;
    if (score.told || score.asked < rounds.length) return;
    const { right, asked, owned, steps } = score;
    progress.note(main.dataset.lesson, { right, questions: asked, owned, steps });
  }

  document.querySelector('[data-do="show-everything"]').addEventListener("click", (event) => {
    score.told = true;
    for (const round of rounds) { round.reveal(); round.showAll(); }
    for (const stage of stages) stage.classList.remove("later");
    for (const it of document.querySelectorAll('[data-do="onward"]')) it.parentElement.hidden = true;
    event.target.parentElement.hidden = true;
    mark();
    sumUp();
    document.getElementById("round-1-h").focus();
  });
  document.querySelector('[data-do="again"]').addEventListener("click", () => {
    scrollTo(0, 0);
    location.hash = "";
    location.reload();
  });
  mark();
})();
