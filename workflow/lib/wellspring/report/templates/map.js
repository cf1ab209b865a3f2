"use strict";
// The map of the profiles: a canvas, its legend and filter, and a picture of the well that is pointed at.
(() => {
  const { one, read, make, theme, viridis, categories, category, corners, short, many } = Page;
  const source = one("#map-data"), canvas = one("#map-canvas");
  if (!source) return;
  const data = read(source), pen = canvas.getContext("2d"), thumbs = read(one("#thumbnails"));
  const pickEncoder = one("#map-encoder"), pickLevel = one("#map-level"), pickColour = one("#map-colour"), search = one("#map-find"), legend = one("#map-legend");
  let chosen = new Set(), current = -1, spots = [];
  const encoder = () => data[pickEncoder.value];
  const label = (name, i) => { const column = encoder().columns[name]; return column ? column.levels[column.codes[i]] : ""; };
  const numbers = (name) => {
    if (name === "Well row") return encoder().wells.map((well) => [...well.replace(/\d+/, "")].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0));
    if (name === "Well column") return encoder().wells.map((well) => +well.replace(/\D+/, ""));
    return encoder().numbers[name];
  };
  const place = (i) => `${label("Plate", i)} ${encoder().wells[i]}`;
  const treatment = (i) => JSON.stringify([label("Compound", i), encoder().numbers.Concentration[i], label("Type", i)]);
  const describe = (i) => {
    const dose = encoder().numbers.Concentration[i];
    const rest = Object.keys(encoder().columns).filter((name) => name !== "Plate").map((name) => `${name}: ${label(name, i)}`);
    if (dose !== null) rest.push(`Concentration: ${dose}`);
    return [place(i), ...rest].join("\n");
  };

  // pictures of wells: tiles of a few sheets, decoded when first asked for
  const sheets = new Map(), known = new Map();
  const pictured = (i) => {
    if (!thumbs.of) return null;
    if (place(i) in thumbs.of) return place(i);
    const name = pickEncoder.value;
    if (!known.has(name)) {
      const found = new Map();
      for (let j = 0; j < encoder().n; j += 1) if (place(j) in thumbs.of && !found.has(treatment(j))) found.set(treatment(j), place(j));
      known.set(name, found);
    }
    return known.get(name).get(treatment(i)) || null;
  };
  let wanted = null;
  const picture = (name) => (target) => {
    wanted = name;
    target.dataset.well = name || "";
    if (!name) return false;
    const number = thumbs.of[name], each = thumbs.across ** 2, sheet = Math.floor(number / each), tile = number % each;
    const draw = (image) => {
      if (wanted !== name) return;
      const brush = target.getContext("2d");
      brush.imageSmoothingEnabled = true;
      brush.drawImage(image, thumbs.size * (tile % thumbs.across), thumbs.size * Math.floor(tile / thumbs.across), thumbs.size, thumbs.size, 0, 0, target.width, target.height);
    };
    if (!sheets.has(sheet)) sheets.set(sheet, Object.assign(new Image(), { src: thumbs.sheets[sheet] }));
    const image = sheets.get(sheet);
    if (image.complete) draw(image); else image.addEventListener("load", () => draw(image), { once: true });
    return true;
  };
  const tell = (i, x, y, under = []) => {
    const from = pictured(i), other = from && from !== place(i) ? `\nPicture: ${from}, the same treatment` : "";
    const brief = (j) => [place(j), label("Compound", j), encoder().numbers.Concentration[j] ?? "", label("Mechanism", j)].filter((part) => part !== "" && part !== "not stated").join(", ");
    const more = under.length ? `\nAlso here, ${many(under.length, "wells")}:\n${under.slice(0, 8).map(brief).join("\n")}${under.length > 8 ? `\nand ${under.length - 8} more` : ""}` : "";
    const text = describe(i) + other + (thumbs.of && !from ? "\nNo picture of this treatment" : "") + more;
    Page.show(text, x, y, picture(from));
    return text;
  };

  const fill = (select, names) => {
    const before = select.value;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(before)) select.value = before;
  };
  const FIRST = ["Type", "Mechanism"];
  const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const options = () => {
    const names = Object.keys(encoder().columns).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    fill(pickColour, [...names, ...(encoder().numbers.Concentration.some((dose) => dose !== null) ? ["Concentration"] : []), "Well row", "Well column"]);
    const levels = Object.keys(encoder().levels), fresh = !pickLevel.options.length;
    fill(pickLevel, ["normalised", "aligned"].filter((name) => levels.includes(name)));
    if (fresh) pickLevel.value = "aligned";
  };
  const outline = (code, x, y, r) => {
    pen.beginPath();
    if (!corners(code).length) return pen.arc(x, y, r, 0, 7);
    for (const [right, down] of corners(code)) pen.lineTo(x + r * right, y + r * down);
    return pen.closePath();
  };
  const reachOf = () => (encoder().n > 4000 ? 2 : encoder().n > 800 ? 2.8 : 4);
  const paint = () => {
    const set = encoder(), level = set.levels[pickLevel.value], ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio; canvas.height = height * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const column = set.columns[pickColour.value], values = column ? null : numbers(pickColour.value), logged = pickColour.value === "Concentration";
    const sized = (value) => (logged ? Math.log10(value) : value);
    const finite = values ? values.filter((value) => value !== null && (!logged || value > 0)).map(sized) : [];
    const low = finite.reduce((a, b) => Math.min(a, b), Infinity), high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
    const scaled = (value) => (logged && value <= 0 ? 0 : (sized(value) - low) / (high - low || 1));
    const words = search.value.trim().toLowerCase(), radius = reachOf();
    const palette = [...Array(categories).keys()].map(category), muted = theme("--muted"), ink = theme("--ink");
    const found = set.wells.map((_, i) => (!words || describe(i).toLowerCase().includes(words)) && (!chosen.size || (column && chosen.has(column.codes[i]))));
    spots = level.x.map((x, i) => (x === null ? null : [14 + (width - 28) * x / 1000, height - 14 - (height - 28) * level.y[i] / 1000]));
    const often = new Map(); // groups of few wells lie on top: controls are not hidden by thousands of treated wells
    if (column) for (const code of column.codes) often.set(code, (often.get(code) || 0) + 1);
    const order = [...Array(set.n).keys()];
    if (column) order.sort((a, b) => often.get(column.codes[b]) - often.get(column.codes[a]));
    for (const front of [false, true]) for (const i of order) {
      if (found[i] !== front || !spots[i]) continue;
      let colour, code = 0;
      if (column) {
        const quiet = column.levels[column.codes[i]] === "not stated";
        colour = quiet ? muted : palette[column.codes[i] % 8];
        code = quiet ? 0 : column.codes[i];
      } else colour = values[i] === null ? muted : viridis(scaled(values[i]));
      pen.globalAlpha = front ? 0.85 : 0.12;
      pen.fillStyle = colour;
      outline(code, spots[i][0], spots[i][1], radius); pen.fill();
    }
    pen.globalAlpha = 1;
    if (spots[current]) {
      pen.strokeStyle = ink; pen.lineWidth = 2;
      pen.beginPath(); pen.arc(spots[current][0], spots[current][1], radius + 4, 0, 7); pen.stroke();
    }
    const some = found.filter((yes, i) => yes && spots[i]).length, drawn = spots.filter(Boolean).length;
    one("#map-count").textContent = some === drawn ? many(drawn, "wells") : `${some} of ${many(drawn, "wells")}`;
  };
  const icon = (code, quiet) => {
    const colour = quiet ? "var(--muted)" : `var(--c${code % 8})`, points = corners(quiet ? 0 : code).map((point) => point.map((part) => 4 * part)).join(" ");
    return `<svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true"><g fill="${colour}">${points ? `<polygon points="${points}"/>` : '<circle r="4"/>'}</g></svg>`;
  };
  const key = () => {
    const column = encoder().columns[pickColour.value];
    chosen = new Set();
    legend.replaceChildren();
    if (!column) {
      const found = numbers(pickColour.value).filter((value) => value !== null);
      const low = found.reduce((a, b) => Math.min(a, b), Infinity), high = found.reduce((a, b) => Math.max(a, b), -Infinity);
      legend.append(make("p", `${short(low)} (dark) to ${short(high)} (bright)`, { className: "quiet" }));
      return;
    }
    column.levels.forEach((name, code) => {
      const button = make("button", "", { type: "button" });
      button.setAttribute("aria-pressed", "false");
      button.innerHTML = icon(code, name === "not stated");
      button.append(make("span", name));
      button.addEventListener("click", () => {
        if (chosen.has(code)) chosen.delete(code); else chosen.add(code);
        button.setAttribute("aria-pressed", String(chosen.has(code)));
        paint();
      });
      legend.append(button);
    });
  };
  const over = (event) => {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const far = spots.map((spot) => (spot ? (spot[0] - x) ** 2 + (spot[1] - y) ** 2 : Infinity));
    const best = far.reduce((least, one_, i) => (one_ < (least < 0 ? 144 : far[least]) ? i : least), -1);
    if (best !== current) { current = best; paint(); }
    if (best < 0) return Page.hide();
    // all wells whose marks lie under the pointer, the nearest first
    const reach = (reachOf() + 2) ** 2, under = far.map((_, i) => i).filter((i) => i !== best && far[i] <= reach).sort((a, b) => far[a] - far[b]);
    return tell(best, event.clientX, event.clientY, under);
  };
  const leave = () => { current = -1; Page.hide(); paint(); };
  canvas.addEventListener("pointermove", over);
  canvas.addEventListener("pointerdown", over);
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const step = Page.steps[event.key], count = encoder().n;
    if (event.key === "Escape") leave();
    if (!step || !spots.some(Boolean)) return;
    event.preventDefault();
    do current = current < 0 ? (step > 0 ? 0 : count - 1) : (current + step + count) % count; while (!spots[current]);
    paint();
    const box = canvas.getBoundingClientRect();
    Page.say(tell(current, box.left + spots[current][0], box.top + spots[current][1]));
  });
  const restart = () => { current = -1; options(); key(); paint(); };
  pickEncoder.addEventListener("change", restart);
  pickLevel.addEventListener("change", paint);
  pickColour.addEventListener("change", () => { key(); paint(); });
  search.addEventListener("input", paint);
  Page.mapRows = () => {
    const set = encoder(), level = set.levels[pickLevel.value], names = Object.keys(set.columns).filter((name) => name !== "Plate");
    return [["plate", "well", "x", "y", ...names, "concentration"], ...set.wells.map((well, i) => [label("Plate", i), well, level.x[i] ?? "", level.y[i] ?? "", ...names.map((name) => label(name, i)), set.numbers.Concentration[i] ?? ""])];
  };
  options();
  key();
  Page.onPaint(paint);
})();
