"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const read = (element) => JSON.parse(element.textContent);

  // one profile level for the whole page
  const level = () => {
    const chosen = one("input[name=level]:checked");
    if (!chosen) return;
    document.body.classList.toggle("all-levels", chosen.value === "all");
    for (const part of all(".of-level")) part.hidden = chosen.value !== "all" && part.dataset.level !== chosen.value;
    for (const group of all(".metrics tbody")) group.hidden = all("tr.of-level", group).every((row) => row.hidden);
  };
  for (const input of all("input[name=level]")) input.addEventListener("change", level);
  level();

  // one measure on all plates
  const measure = () => {
    const chosen = one("input[name=measure]:checked");
    for (const part of all(".measure")) part.hidden = !chosen || part.dataset.measure !== chosen.value;
  };
  for (const input of all("input[name=measure]")) input.addEventListener("change", measure);
  measure();

  const tip = one("#tip");
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - width - 8)) + "px";
    tip.style.top = (y + 14 + height > innerHeight ? y - height - 10 : y + 14) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const rowName = (row) => (row < 26 ? "" : String.fromCharCode(64 + Math.floor(row / 26))) + String.fromCharCode(65 + row % 26);
  const wells = new WeakMap();
  document.addEventListener("pointermove", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const marked = target && target.closest("[data-tip]");
    if (marked) return show(marked.dataset.tip, event.clientX, event.clientY);
    const plate = target && target.closest(".plate-map:not(.empty)");
    const picture = plate && one("image", plate);
    if (picture) {
      const box = picture.getBoundingClientRect(), holder = plate.closest(".measure");
      const rows = +holder.dataset.rows, columns = +holder.dataset.columns;
      const row = Math.floor((event.clientY - box.top) / box.height * rows), column = Math.floor((event.clientX - box.left) / box.width * columns);
      if (!wells.has(plate)) wells.set(plate, read(one("script", plate)));
      const value = row >= 0 && column >= 0 && row < rows && column < columns ? wells.get(plate)[row * columns + column] : null;
      if (value !== null) return show(`${plate.dataset.plate} ${rowName(row)}${String(column + 1).padStart(2, "0")}\n${value}`, event.clientX, event.clientY);
    }
    if (!target || target.id !== "map-canvas") hide();
  });

  // filter of the left-out images
  const find = one("#bad-find");
  if (find) find.addEventListener("input", () => {
    const words = find.value.toLowerCase();
    for (const item of all(".bad li")) item.hidden = !item.textContent.toLowerCase().includes(words);
  });

  // the map
  const source = one("#map-data"), canvas = one("#map-canvas");
  if (!source || !canvas) return;
  const data = read(source), pen = canvas.getContext("2d");
  const pickEncoder = one("#map-encoder"), pickColour = one("#map-colour"), search = one("#map-find"), legend = one("#map-legend");
  const viridis = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  let chosen = new Set(), current = -1, spots = [];
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const encoder = () => data[pickEncoder.value];
  const label = (name, i) => { const column = encoder().columns[name]; return column ? column.levels[column.codes[i]] : ""; };
  const numbers = (name) => {
    if (name === "Well row") return encoder().wells.map((well) => [...well.replace(/\d+/, "")].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0));
    if (name === "Well column") return encoder().wells.map((well) => +well.replace(/\D+/, ""));
    return encoder().numbers[name];
  };
  const describe = (i) => {
    const dose = encoder().numbers.Concentration[i];
    const head = `${label("Plate", i)} ${encoder().wells[i]}`;
    const rest = Object.keys(encoder().columns).filter((name) => name !== "Plate").map((name) => `${name}: ${label(name, i)}`);
    if (dose !== null) rest.push(`Concentration: ${dose}`);
    return [head, ...rest].join("\n");
  };
  const options = () => {
    const before = pickColour.value;
    const names = [...Object.keys(encoder().columns)].sort((a, b) => (a === "Mechanism" ? -1 : b === "Mechanism" ? 1 : a < b ? -1 : 1));
    const ordered = [...names, ...(encoder().numbers.Concentration.some((dose) => dose !== null) ? ["Concentration"] : []), "Well row", "Well column"];
    pickColour.replaceChildren(...ordered.map((name) => new Option(name, name)));
    if (ordered.includes(before)) pickColour.value = before;
  };
  const shapes = [
    (x, y, r) => pen.arc(x, y, r, 0, 7),
    (x, y, r) => pen.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
    (x, y, r) => { pen.moveTo(x, y - 1.15 * r); pen.lineTo(x + 1.1 * r, y + 0.85 * r); pen.lineTo(x - 1.1 * r, y + 0.85 * r); pen.closePath(); },
    (x, y, r) => { pen.moveTo(x, y - 1.3 * r); pen.lineTo(x + 1.3 * r, y); pen.lineTo(x, y + 1.3 * r); pen.lineTo(x - 1.3 * r, y); pen.closePath(); },
  ];
  const paint = () => {
    const set = encoder(), ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const column = set.columns[pickColour.value], values = column ? null : numbers(pickColour.value);
    const known = values ? values.filter((value) => value !== null && value > 0).map(Math.log10) : [];
    const logged = pickColour.value === "Concentration";
    const scaled = (value) => {
      if (value === null) return -1;
      const positive = logged ? known : values.filter((one) => one !== null);
      const low = positive.reduce((a, b) => Math.min(a, b), Infinity), high = positive.reduce((a, b) => Math.max(a, b), -Infinity);
      if (logged && value <= 0) return 0;
      return ((logged ? Math.log10(value) : value) - low) / (high - low || 1);
    };
    const place = new Map();
    const words = search.value.trim().toLowerCase();
    const radius = set.n > 4000 ? 2 : set.n > 800 ? 2.8 : 4;
    const palette = [...Array(8).keys()].map((slot) => theme(`--c${slot}`)), muted = theme("--muted"), ink = theme("--ink");
    const wanted = set.wells.map((well, i) => {
      const found = !words || describe(i).toLowerCase().includes(words);
      return found && (!chosen.size || (column && chosen.has(column.codes[i])));
    });
    spots = set.x.map((x, i) => [14 + (width - 28) * x / 1000, height - 14 - (height - 28) * set.y[i] / 1000]);
    for (const front of [false, true]) for (let i = 0; i < set.n; i++) {
      if (wanted[i] !== front) continue;
      let fill, shape = 0;
      if (column) {
        const quiet = column.levels[column.codes[i]] === "not stated";
        fill = quiet ? muted : palette[column.codes[i] % 8];
        shape = quiet ? 0 : Math.floor(column.codes[i] / 8) % 4;
      } else {
        if (!place.has(values[i])) place.set(values[i], scaled(values[i]));
        const part = place.get(values[i]);
        fill = part < 0 ? muted : viridis[Math.round(8 * part)];
      }
      pen.globalAlpha = front ? 0.85 : 0.12;
      pen.fillStyle = fill;
      pen.beginPath(); shapes[shape](spots[i][0], spots[i][1], radius); pen.fill();
    }
    pen.globalAlpha = 1;
    if (current >= 0 && current < set.n) {
      pen.strokeStyle = ink; pen.lineWidth = 2;
      pen.beginPath(); pen.arc(spots[current][0], spots[current][1], radius + 4, 0, 7); pen.stroke();
    }
    const many = wanted.filter(Boolean).length;
    one("#map-count").textContent = many === set.n ? `${set.n} wells` : `${many} of ${set.n} wells`;
  };
  const icon = (code, quiet) => {
    const marks = ['<circle r="4"/>', '<rect x="-3.6" y="-3.6" width="7.2" height="7.2"/>', '<polygon points="0,-4.6 4.4,3.4 -4.4,3.4"/>', '<polygon points="0,-5.2 5.2,0 0,5.2 -5.2,0"/>'];
    const fill = quiet ? "var(--muted)" : `var(--c${code % 8})`;
    return `<svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true"><g fill="${fill}">${marks[quiet ? 0 : Math.floor(code / 8) % 4]}</g></svg>`;
  };
  const key = () => {
    const column = encoder().columns[pickColour.value];
    chosen = new Set();
    legend.replaceChildren();
    if (!column) {
      const known = numbers(pickColour.value).filter((value) => value !== null);
      const text = document.createElement("p");
      text.className = "quiet";
      text.textContent = `${known.reduce((a, b) => Math.min(a, b), Infinity)} (dark) to ${known.reduce((a, b) => Math.max(a, b), -Infinity)} (bright)`;
      legend.append(text);
      return;
    }
    column.levels.forEach((name, code) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.innerHTML = icon(code, name === "not stated");
      const text = document.createElement("span");
      text.textContent = name;
      button.append(text);
      button.addEventListener("click", () => {
        if (chosen.has(code)) chosen.delete(code); else chosen.add(code);
        button.setAttribute("aria-pressed", String(chosen.has(code)));
        paint();
      });
      legend.append(button);
    });
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = 144;
    spots.forEach(([px, py], i) => { const far = (px - x) ** 2 + (py - y) ** 2; if (far < least) { least = far; best = i; } });
    if (best !== current) { current = best; paint(); }
    if (best >= 0) show(describe(best), event.clientX, event.clientY); else hide();
  });
  canvas.addEventListener("pointerleave", () => { current = -1; hide(); paint(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") { current = -1; hide(); paint(); }
    if (!step) return;
    event.preventDefault();
    current = (current + step + encoder().n) % encoder().n;
    paint();
    const box = canvas.getBoundingClientRect();
    show(describe(current), box.left + spots[current][0], box.top + spots[current][1]);
    one("#map-count").textContent = describe(current).replaceAll("\n", ", ");
  });
  const restart = () => { current = -1; options(); key(); paint(); };
  pickEncoder.addEventListener("change", restart);
  pickColour.addEventListener("change", () => { key(); paint(); });
  search.addEventListener("input", paint);
  addEventListener("resize", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  restart();
})();
