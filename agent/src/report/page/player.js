// The animation of accept queues. The page is whole without it.
(() => {
  "use strict";
  const ARRIVE = 0, TAKE = 1, REFUSE = 2, COUNT = 3;
  const SPEEDS = [0.001, 0.01, 0.02, 0.1, 0.2, 0.5, 1];
  const reduced = matchMedia("(prefers-reduced-motion: reduce)");

  const time = (us) => us >= 1e6 ? (us / 1e6).toFixed(3) + " s" : (us / 1e3).toFixed(3) + " ms";

  // Connections with their times, and the depth at each event.
  function prepare(film) {
    const known = new Map();
    const marks = [];
    let waiting = 0, unnamed = 0, taken = 0, refused = 0;
    const refusals = [], takes = [];
    for (const [t, kind, a, b, c] of film.events) {
      if (kind === ARRIVE) {
        known.set(a, { from: t, to: Infinity, thread: -1 });
        waiting += 1;
      } else if (kind === TAKE) {
        const it = known.get(a);
        if (it) { it.to = t; it.thread = b; waiting -= 1; } else { takes.push({ t, thread: b }); }
        taken += 1;
        unnamed = Math.max(0, c - waiting);
      } else if (kind === REFUSE) {
        refused += a;
        refusals.push({ t, count: a });
        unnamed = Math.max(0, b - waiting);
      } else if (kind === COUNT) {
        unnamed = Math.max(0, a - waiting);
      }
      marks.push({ t, kind, waiting, unnamed, taken, refused });
    }
    const all = [...known.values()].sort((x, y) => x.from - y.from);
    return { film, all, marks, refusals, takes };
  }

  // The last event at or before this time; -1 before the first.
  function markAt(marks, t) {
    let low = 0, high = marks.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (marks[mid].t <= t) low = mid + 1; else high = mid;
    }
    return low - 1;
  }

  const ease = (x) => x * x * (3 - 2 * x);

  function colours(node) {
    const style = getComputedStyle(node);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), soft: of("--soft"), line: of("--line"), track: of("--track"),
      loss: of("--loss"), a: of("--a"), k: of("--k"), p: of("--p"), card: of("--card") };
  }

  class Player {
    constructor(figure) {
      this.figure = figure;
      const data = document.getElementById(figure.dataset.film);
      this.data = prepare(JSON.parse(data.textContent));
      this.stage = figure.querySelector(".stage");
      this.still = figure.querySelector(".still");
      this.status = figure.querySelector(".status");
      const by = (name) => figure.querySelector(`[data-do="${name}"]`);
      this.playButton = by("play"); this.seek = by("seek"); this.speed = by("speed");
      this.canvas = document.createElement("canvas");
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", this.still.getAttribute("aria-label"));
      this.stage.append(this.canvas);
      this.still.style.display = "none";
      this.length = Math.max(this.data.film.length_us, 1);
      // So slow that it takes ten seconds at least, and never faster than it was.
      let speed = SPEEDS[0];
      for (const it of SPEEDS) if (this.length / it >= 10e6) speed = it;
      this.speed.value = String(speed);
      figure.querySelector(".controls").hidden = false;
      for (const it of figure.querySelectorAll(".needs-script")) it.hidden = false;
      this.playButton.addEventListener("click", () => this.toggle());
      by("back").addEventListener("click", () => this.step(-1));
      by("step").addEventListener("click", () => this.step(1));
      this.seek.addEventListener("input", () => { this.pause(); this.go(this.seek.value / 1000 * this.length); });
      figure.addEventListener("keydown", (event) => this.key(event));
      this.stage.addEventListener("click", () => this.toggle());
      new ResizeObserver(() => this.draw()).observe(this.stage);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      this.playing = false;
      // It begins with what the still picture showed.
      this.go(this.deepest());
    }

    deepest() {
      let best = null;
      for (const mark of this.data.marks) {
        // Among equals the one at which somebody is refused.
        const rank = 2 * (mark.waiting + mark.unnamed) + (mark.kind === REFUSE ? 1 : 0);
        if (best === null || rank > best.rank) best = { rank, t: mark.t };
      }
      return best ? best.t : 0;
    }

    rate() { return Number(this.speed.value); }

    toggle() { if (this.playing) this.pause(); else this.play(); }

    play() {
      if (this.t >= this.length) this.t = 0;
      this.playing = true;
      this.playButton.textContent = "Pause";
      this.status.setAttribute("aria-live", "off");
      this.last = performance.now();
      requestAnimationFrame((now) => this.frame(now));
    }

    pause() {
      this.playing = false;
      this.playButton.textContent = "Play";
      this.status.setAttribute("aria-live", "polite");
    }

    frame(now) {
      if (!this.playing) return;
      this.t += (now - this.last) * 1000 * this.rate();
      this.last = now;
      if (this.t >= this.length) { this.t = this.length; this.pause(); }
      this.go(this.t);
      if (this.playing) requestAnimationFrame((next) => this.frame(next));
    }

    // To the next event, or the one before.
    step(by) {
      this.pause();
      const { marks } = this.data;
      let at = markAt(marks, this.t);
      if (by > 0) at += 1; else { while (at >= 0 && marks[at].t >= this.t) at -= 1; }
      this.go(at < 0 ? 0 : at >= marks.length ? this.length : marks[at].t);
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const on = event.target;
      const own = on.tagName === "SELECT" || on.type === "range";
      const faster = (by) => {
        const at = SPEEDS.indexOf(this.rate()) + by;
        if (at >= 0 && at < SPEEDS.length) this.speed.value = String(SPEEDS[at]);
      };
      if (event.key === " " && on.tagName !== "BUTTON" && on.tagName !== "SELECT") this.toggle();
      else if (event.key === "ArrowRight" && !own) this.step(1);
      else if (event.key === "ArrowLeft" && !own) this.step(-1);
      else if (event.key === "+" && on.tagName !== "SELECT") faster(1);
      else if (event.key === "-" && on.tagName !== "SELECT") faster(-1);
      else if (event.key === "Home" && !own) { this.pause(); this.go(0); }
      else return;
      event.preventDefault();
    }

    go(t) {
      this.t = Math.min(Math.max(t, 0), this.length);
      this.seek.value = String(Math.round(this.t / this.length * 1000));
      const at = markAt(this.data.marks, this.t);
      const mark = at < 0 ? { waiting: 0, unnamed: 0, taken: 0, refused: 0 } : this.data.marks[at];
      const { film } = this.data;
      const depth = mark.waiting + mark.unnamed;
      const full = depth > film.limit ? ", full" : "";
      this.words = `${time(film.begin_us + this.t)}: ${depth} waiting (limit ${film.limit}${full}), ` +
        `${mark.taken} taken, ${mark.refused} refused so far.`;
      this.status.textContent = this.words;
      this.seek.setAttribute("aria-valuetext", this.words);
      this.mark = mark;
      this.draw();
    }

    draw() {
      const width = this.stage.clientWidth;
      if (!width || !this.mark) return;
      const { film } = this.data;
      const slots = Math.min(film.limit + 1, 256);
      const narrow = width < 520;
      const size = (slots > 120 ? 11 : slots > 40 ? 15 : slots > 12 ? 22 : 32) * (narrow ? 0.8 : 1);
      const side = narrow ? 100 : 200;
      const room = width - side - (narrow ? 50 : 110);
      const row = Math.max(Math.min(Math.floor((room - 12) / size), slots), 1);
      const box = Math.max(row * size + 12, Math.min(narrow ? 90 : 210, room));
      const left = Math.max(Math.min(width - side - box, narrow ? 90 : 260), 40);
      const rows = Math.ceil(slots / row);
      const threads = Math.min(film.threads.length, 13);
      const inner = Math.max(rows * size + 12, 44);
      const height = Math.max(34 + inner + 56, 34 + threads * 20 + 8);
      const ratio = devicePixelRatio || 1;
      this.canvas.width = width * ratio;
      this.canvas.height = height * ratio;
      this.canvas.style.height = height + "px";
      const g = this.canvas.getContext("2d");
      g.scale(ratio, ratio);
      const c = colours(this.figure);
      const view = { g, c, width, left, box, right: left + box + (narrow ? 14 : 44), size, row, rows, slots, inner, top: 30, narrow };
      this.background(view);
      this.connections(view);
      this.refused(view);
    }

    // Place n of the queue; 0 is the one that is taken next, at the right.
    place(view, n) {
      const across = n % view.row, down = Math.floor(n / view.row);
      return { x: view.left + view.box - 6 - view.size * (across + 0.5), y: view.top + (view.inner - view.rows * view.size) / 2 + view.size * (down + 0.5) };
    }

    threadPlace(view, n) { return { x: view.right + 8, y: view.top + 12 + n * 20 }; }

    background(view) {
      const { g, c } = view;
      const { film } = this.data;
      const depth = this.mark.waiting + this.mark.unnamed;
      const full = depth > film.limit;
      g.font = "13px system-ui, sans-serif";
      g.fillStyle = c.soft;
      g.textAlign = "left";
      g.fillText("peers", 2, 18);
      g.fillStyle = full ? c.loss : c.soft;
      g.fillText(view.narrow ? `${depth} of ${film.limit}` : `accept queue: ${depth} waiting, limit ${film.limit}` + (full ? ", full" : ""),
        view.left, 18);
      g.fillStyle = c.soft;
      g.fillText("taken by", view.right, 18);
      const middle = view.top + view.inner / 2;
      g.strokeStyle = c.line;
      g.lineWidth = 2;
      g.beginPath(); g.moveTo(4, middle); g.lineTo(view.left - 6, middle);
      g.moveTo(view.left - 13, middle - 5); g.lineTo(view.left - 6, middle); g.lineTo(view.left - 13, middle + 5); g.stroke();
      g.lineWidth = full ? 3 : 1.5;
      g.strokeStyle = full ? c.loss : c.soft;
      g.strokeRect(view.left, view.top, view.box, view.inner);
      g.lineWidth = 1;
      g.strokeStyle = c.line;
      for (let n = 0; n < view.slots; n += 1) {
        const { x, y } = this.place(view, n);
        g.beginPath(); g.arc(x, y, view.size * 0.34, 0, 7); g.stroke();
      }
      g.font = "12px system-ui, sans-serif";
      if (film.threads.length === 0) {
        g.fillStyle = c.loss;
        g.fillText("nobody", view.right, view.top + 16);
      }
      film.threads.slice(0, 13).forEach((name, n) => {
        const { x, y } = this.threadPlace(view, n);
        g.strokeStyle = c.p;
        g.strokeRect(x - 6, y - 6, 12, 12);
        g.fillStyle = c.ink;
        g.fillText(this.fit(g, name, view.width - view.right - 22), x + 12, y + 4);
      });
    }

    fit(g, text, room) {
      if (g.measureText(text).width <= room) return text;
      let cut = text;
      while (cut.length > 1 && g.measureText(cut + "…").width > room) cut = cut.slice(0, -1);
      return cut + "…";
    }

    dot(view, x, y, colour, hollow) {
      const { g } = view;
      g.beginPath(); g.arc(x, y, view.size * 0.36, 0, 7);
      if (hollow) { g.strokeStyle = colour; g.lineWidth = 2; g.stroke(); } else { g.fillStyle = colour; g.fill(); }
    }

    // What moves takes a third of a second on the screen, whatever the speed.
    travel() { return reduced.matches ? 0 : 330000 * this.rate(); }

    connections(view) {
      const { c } = view, t = this.t, way = this.travel();
      const { all, takes } = this.data;
      const shown = (n) => n < view.slots;
      let rank = 0;
      const begin = this.firstAlive(t - way);
      for (let at = begin; at < all.length && all[at].from <= t + way; at += 1) {
        const it = all[at];
        if (it.from <= t && t < it.to) {
          const to = this.place(view, rank);
          rank += 1;
          if (shown(rank - 1)) this.dot(view, to.x, to.y, c.a, false);
        } else if (t < it.from && way > 0) {
          const share = ease(1 - (it.from - t) / way);
          const to = this.place(view, Math.min(rank + this.mark.unnamed, view.slots - 1));
          this.dot(view, 8 + (to.x - 8) * share, view.top + view.inner / 2 + (to.y - view.top - view.inner / 2) * share, c.k, false);
        } else if (t < it.to + way && it.thread >= 0) {
          this.taken(view, it.thread, (t - it.to) / way);
        }
      }
      for (let n = 0; n < this.mark.unnamed; n += 1) {
        if (!shown(rank + n)) break;
        const to = this.place(view, rank + n);
        this.dot(view, to.x, to.y, c.a, true);
      }
      for (const it of takes) if (it.t <= t && t < it.t + way) this.taken(view, it.thread, (t - it.t) / way);
    }

    taken(view, thread, share) {
      const from = this.place(view, 0), to = this.threadPlace(view, Math.min(thread, 12));
      const at = ease(Math.min(Math.max(share, 0), 1));
      this.dot(view, from.x + (to.x - from.x) * at, from.y + (to.y - from.y) * at, view.c.p, false);
    }

    // Connections come in order and are taken about in order: those long gone are skipped.
    firstAlive(t) {
      const { all } = this.data;
      if (!this.gone) {
        this.gone = [];
        let latest = -Infinity;
        for (const it of all) { latest = Math.max(latest, it.to); this.gone.push(latest); }
      }
      let low = 0, high = all.length;
      while (low < high) {
        const mid = (low + high) >> 1;
        if (this.gone[mid] < t) low = mid + 1; else high = mid;
      }
      return low;
    }

    refused(view) {
      const { g, c } = view, t = this.t;
      const stay = Math.max(this.travel(), 500000 * this.rate());
      let recent = 0, newest = -Infinity;
      for (const it of this.data.refusals) if (it.t <= t && t < it.t + stay) { recent += it.count; newest = it.t; }
      const y = view.top + view.inner + 28;
      g.font = "13px system-ui, sans-serif";
      if (recent > 0) {
        const share = reduced.matches ? 1 : Math.min((t - newest) / (stay * 0.6), 1);
        const dots = Math.min(recent, 12);
        for (let n = 0; n < dots; n += 1) {
          const x = view.left + 4 - share * 18 - n * 4, down = view.top + view.inner / 2 + share * (y - view.top - view.inner / 2);
          this.cross(g, c.loss, x, down);
        }
        g.fillStyle = c.loss;
        g.fillText(`✕ ${recent} refused`, view.left + 10, y + 4);
      } else if (this.mark.refused > 0) {
        g.fillStyle = c.soft;
        g.fillText(`✕ ${this.mark.refused} refused so far`, view.left + 10, y + 4);
      }
    }

    cross(g, colour, x, y) {
      g.strokeStyle = colour; g.lineWidth = 2;
      g.beginPath(); g.moveTo(x - 4, y - 4); g.lineTo(x + 4, y + 4); g.moveTo(x - 4, y + 4); g.lineTo(x + 4, y - 4); g.stroke();
    }
  }

  // A player is made when it comes near: there may be many.
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      new Player(entry.target);
    }
  }, { rootMargin: "400px" });
  for (const figure of document.querySelectorAll(".player")) seen.observe(figure);
})();
