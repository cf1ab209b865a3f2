"use strict";
// The heat map of similarities: a canvas that scrolls when it is enlarged, with a strip of mechanisms.
(() => {
  const { one, read, make, theme, categories, category } = Page;
  const source = one("#similarity-data"), canvas = one("#similarity-canvas");
  if (!source) return;
  const data = read(source), n = data.names.length, zoom = one("#similarity-zoom"), mark = one("#similarity-find");
  const STRIP = 18, STEP = 1.5;
  let cell = 4, row = -1, column = -1, label = 0;
  const hue = (text) => { const code = text.replace("#", ""); return [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16)); };
  const colour = (value, ends) => {
    if (value === null) return "transparent";
    const part = Math.min(1, Math.abs(value) / 100), end = value < 0 ? ends.low : ends.high;
    return `rgb(${ends.middle.map((from, i) => Math.round(from + (end[i] - from) * part)).join(" ")})`;
  };
  // colours repeat: every further turn of them has narrower strips, where there is no room for numbers
  const share = (code) => [1, 0.6, 0.3][Math.floor(code / categories) % 3];
  const mechanism = (i) => (data.mechanisms[i] === null ? "mechanism not stated" : data.levels[data.mechanisms[i]]);
  const paint = () => {
    const holder = canvas.parentElement, ratio = Math.min(2, devicePixelRatio || 1), room = holder.clientWidth;
    const longest = data.names.reduce((most, word) => Math.max(most, Math.min(24, word.length)), 0);
    label = Math.min(7 * longest + 8, room / 3);
    const fitted = Math.max(2, Math.min(26, (Math.min(room, 760) - label - STRIP) / n));
    cell = fitted * STEP ** +zoom.value;
    const named = cell >= 9, left = (named ? label : 4) + STRIP, size = left + cell * n + 2;
    canvas.style.width = `${size}px`; canvas.style.height = `${size - left + STRIP}px`;
    canvas.width = size * ratio; canvas.height = (size - left + STRIP) * ratio;
    const pen = canvas.getContext("2d"), ends = { low: hue(theme("--c0")), middle: hue(theme("--paper")), high: hue(theme("--c1")) };
    const words = mark.value.trim().toLowerCase();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size, size);
    pen.textBaseline = "middle"; pen.textAlign = "right";
    pen.font = `${Math.min(12, cell * 0.8)}px system-ui, sans-serif`;
    for (let i = 0; i < n; i += 1) {
      const code = data.mechanisms[i], at = STRIP + cell * i, found = words && `${data.names[i]} ${mechanism(i)}`.toLowerCase().includes(words);
      if (code !== null) {
        const wide = (STRIP - 5) * (named ? 1 : share(code)), high = Math.max(cell - 0.5, 1);
        pen.fillStyle = category(code);
        pen.fillRect(left - 3 - wide, at, wide, high);
        pen.fillRect(left + cell * i, STRIP - 3 - wide, high, wide);
      }
      for (let j = 0; j < n; j += 1) { pen.fillStyle = colour(data.values[i][j], ends); pen.fillRect(left + cell * j, at, cell + 0.2, cell + 0.2); }
      if (named) { pen.fillStyle = found ? theme("--link") : theme("--ink"); pen.fillText(data.names[i].length > 24 ? `${data.names[i].slice(0, 23)}…` : data.names[i], left - STRIP - 2, at + cell / 2, label - 4); }
      if (found) { pen.strokeStyle = theme("--link"); pen.strokeRect(left, at, cell * n, cell); }
    }
    pen.strokeStyle = theme("--line"); pen.lineWidth = 1; pen.strokeRect(left - 0.5, STRIP - 0.5, cell * n + 1, cell * n + 1);
    if (named) { // the numbers of the mechanisms, so that colour is not needed
      pen.textAlign = "center"; pen.fillStyle = theme("--paper"); pen.font = `bold ${Math.min(10, cell * 0.8)}px system-ui, sans-serif`;
      for (let i = 0; i < n; i += 1) if (data.mechanisms[i] !== null) { pen.fillText(data.mechanisms[i] + 1, left - STRIP / 2 - 0.5, STRIP + cell * (i + 0.5) + 0.5); pen.fillText(data.mechanisms[i] + 1, left + cell * (i + 0.5), STRIP / 2 + 0.5); }
    }
    if (row >= 0) { pen.strokeStyle = theme("--ink"); pen.lineWidth = 2; pen.strokeRect(left + cell * column, STRIP + cell * row, cell, cell); }
    canvas.left = left;
  };
  const words = () => (row === column ? `${data.names[row]}\n${mechanism(row)}` : `${data.names[row]} (${mechanism(row)})\n${data.names[column]} (${mechanism(column)})\nsimilarity ${data.values[row][column] === null ? "–" : (data.values[row][column] / 100).toFixed(2).replace("-", "−")}`);
  const over = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientY - box.top - STRIP) / cell), j = Math.floor((event.clientX - box.left - canvas.left) / cell);
    if (i < 0 || i >= n || j < 0 || j >= n) { if (row >= 0) { row = column = -1; paint(); } return Page.hide(); }
    if (i !== row || j !== column) { row = i; column = j; paint(); }
    return Page.show(words(), event.clientX, event.clientY);
  };
  canvas.addEventListener("pointermove", over);
  canvas.addEventListener("pointerdown", over);
  canvas.addEventListener("pointerleave", () => { row = column = -1; Page.hide(); paint(); });
  canvas.addEventListener("click", () => { if (row >= 0 && Page.treatment && Page.treatment.has(data.names[row])) Page.treatment.open(data.names[row]); });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Enter" && row >= 0 && Page.treatment && Page.treatment.has(data.names[row])) Page.treatment.open(data.names[row]);
    if (!move) return;
    event.preventDefault();
    row = row < 0 ? 0 : (row + move[0] + n) % n; column = column < 0 ? 0 : (column + move[1] + n) % n;
    paint();
    const box = canvas.getBoundingClientRect();
    Page.show(words(), box.left + canvas.left + cell * (column + 1), box.top + STRIP + cell * (row + 1));
    Page.say(words());
  });
  canvas.addEventListener("blur", () => { row = column = -1; Page.hide(); paint(); });
  zoom.addEventListener("input", paint);
  mark.addEventListener("input", paint);
  const legend = one("#similarity-legend");
  const scale = () => {
    const ramp = make("i", "", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${theme("--c0")}, ${theme("--paper")}, ${theme("--c1")})`;
    ramp.style.border = "1px solid var(--line)";
    legend.replaceChildren(make("span", "−1 unlike"), ramp, make("span", "1 alike"), ...data.levels.map((name, code) => {
      const entry = make("span"), box = make("i", "", { className: "swatch" });
      box.style.background = category(code);
      box.style.width = `${12 * share(code)}px`;
      entry.append(box, `${code + 1} ${name}`);
      return entry;
    }));
  };
  Page.similarity = data;
  Page.onPaint(() => { scale(); paint(); });
})();
