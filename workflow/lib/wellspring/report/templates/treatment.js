"use strict";
// Treatments: the cards of the first screen and the panel of one compound, with tiles drawn from sheets on demand.
(() => {
  const { all, one, read, make, theme, viridis, many } = Page;
  const source = one("#panel-data"), dialog = one("#panel");
  if (!source) return;
  const data = read(source), findings = read(one("#findings-data")), tiles = data.tiles, [rows, columns] = data.size, PLATES = 12;
  const OPEN = 2; // further doses that a panel shows unfolded
  const list = data.treatments, name = (place) => data.compounds[list[place].compound][0];
  const letters = (row) => (row < 26 ? "" : String.fromCharCode(64 + Math.floor(row / 26))) + String.fromCharCode(65 + row % 26);
  const well = (place) => `${letters(Math.floor(place / columns))}${String(place % columns + 1).padStart(2, "0")}`;

  // tiles: a sheet per channel is decoded when one of its tiles is first shown
  const sheets = new Map();
  const load = (number, channel) => {
    const key = `${number} ${channel}`;
    if (!sheets.has(key)) sheets.set(key, new Promise((done) => {
      const image = new Image();
      image.addEventListener("load", () => done(image), { once: true });
      image.src = tiles.sheets[number][channel];
    }));
    return sheets.get(key);
  };
  const mix = (pen, images, x, y) => {
    const size = tiles.size, light = new Float32Array(3 * size * size);
    images.forEach((image, i) => {
      pen.drawImage(image, x, y, size, size, 0, 0, size, size);
      const grey = pen.getImageData(0, 0, size, size).data, [red, green, blue] = tiles.colours[i];
      for (let j = 0; j < size * size; j += 1) {
        const part = (grey[4 * j] / 255) ** 0.8 / 255;
        light[3 * j] += part * red; light[3 * j + 1] += part * green; light[3 * j + 2] += part * blue;
      }
    });
    const whole = pen.createImageData(size, size);
    for (let j = 0; j < size * size; j += 1) {
      for (let k = 0; k < 3; k += 1) {
        const value = light[3 * j + k];
        whole.data[4 * j + k] = 255 * Math.min(1, value / (1 + 0.25 * Math.max(value - 0.6, 0)));
      }
      whole.data[4 * j + 3] = 255;
    }
    pen.putImageData(whole, 0, 0);
  };
  const draw = async (canvas, channel) => {
    const number = +canvas.dataset.tile, wanted = `${number} ${channel}`, size = tiles.size;
    canvas.dataset.wanted = wanted;
    const sheet = Math.floor(number / tiles.each), at = number % tiles.each;
    const some = channel === "all" ? tiles.colours.map((_, i) => i) : [+channel];
    const images = await Promise.all(some.map((which) => load(sheet, which)));
    if (canvas.dataset.wanted !== wanted) return;
    canvas.width = canvas.height = size;
    const pen = canvas.getContext("2d", { willReadFrequently: channel === "all" }), x = size * (at % tiles.across), y = size * Math.floor(at / tiles.across);
    if (channel === "all") mix(pen, images, x, y); else pen.drawImage(images[0], x, y, size, size, 0, 0, size, size);
    canvas.dataset.drawn = wanted;
  };

  // the cards of the first screen
  const pick = one("#card-channel");
  const cards = () => {
    for (const card of all(".card-button")) {
      const channel = pick && pick.value !== "own" ? pick.value : list[+card.dataset.place].channel;
      for (const canvas of all("canvas", card)) draw(canvas, channel);
      const words = one(".channel-name", card);
      if (words) words.textContent = channel === "all" ? "composite" : tiles.channels[channel];
    }
  };
  if (pick) { pick.addEventListener("change", cards); cards(); }
  for (const card of all(".card-button")) card.addEventListener("click", () => open(+card.dataset.place));

  // the panel of one compound, the strongest dose first
  const strength = list.map((_, i) => i).filter((i) => list[i].active !== null && !list[i].control).sort((a, b) => data.rank[a] - data.rank[b]);
  let current = -1, channel = "0";
  const go = (plate, compound) => {
    dialog.close();
    const find = one("#plate-find"), mark = one("#plate-compound");
    if (find) { find.value = plate; mark.value = compound; for (const field of [find, mark]) field.dispatchEvent(new Event("input", { bubbles: true })); }
    one("#plates").scrollIntoView();
    if (find) find.focus({ preventScroll: true });
  };
  const tile = (number, words, caption = `${words}${tiles.wells[number]}`) => {
    const figure = make("figure", "", { className: "tile-figure" }), canvas = make("canvas", "", { className: "tile" });
    canvas.dataset.tile = number;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", caption);
    canvas.width = canvas.height = tiles.size;
    figure.append(canvas, make("figcaption", caption));
    return figure;
  };
  const strip = (title, numbers, words) => {
    const part = make("div", "", { className: "tile-strip" }), inner = make("div", "", { className: "tile-row" });
    inner.append(...numbers.map((number) => tile(number, words)));
    part.append(make("small", title), inner);
    return part;
  };
  const state = (row) => (row.active === null ? "not tested" : row.active ? "● active" : "○ not active");
  const dose = (place) => {
    const row = list[place], part = make("section", "", { className: "dose" });
    const on = [...new Set(row.wells.map(([plate]) => plate))];
    part.append(make("h3", `${row.dose ? `Dose ${row.dose}` : "No dose stated"}${row.control ? ", positive control" : ""} · ${state(row)}`));
    part.append(make("p", row.active === null && row.score === "–" ? `${many(row.wells.length, "wells")} on ${many(on.length, "plates")}, no score` : `q ${row.q} · score ${row.score} · ${many(row.replicates, "replicates")} on ${many(on.length, "plates")}`, { className: "quiet" }));
    if (findings.hits[row.item]) part.append(make("p", findings.hits[row.item], { className: "quiet" }));
    if (row.tiles.length) {
      const seen = new Set(row.tiles.map((number) => tiles.wells[number].slice(0, tiles.wells[number].lastIndexOf(" "))));
      const beside = on.filter((plate) => seen.has(data.plates[plate])).flatMap((plate) => data.controls[plate].slice(0, seen.size > 1 ? 1 : 3)).slice(0, 6);
      const both = make("div", "", { className: "strips" });
      both.append(strip("treated", row.tiles, ""));
      if (beside.length) both.append(strip("negative controls of the same plates", beside, ""));
      part.append(both);
    } else part.append(make("p", tiles.sheets.length ? "The page has no picture of this treatment: stronger ones come first." : "No images were read in this run.", { className: "absent" }));
    if (row.cells) {
      const pictures = make("div", "", { className: "tile-row" });
      pictures.append(...row.cells.strips.map(([title, number]) => tile(number, "", title)));
      part.append(make("h4", "Single cells"), make("p", row.cells.words, { className: "quiet" }), pictures);
    }
    if (row.wells.length) {
      const words = make("p", "Wells: ", { className: "well-links" });
      for (const [plate, place_] of row.wells.slice(0, 60)) {
        const button = make("button", `${data.plates[plate]} ${well(place_)}`, { type: "button" });
        button.addEventListener("click", () => go(data.plates[plate], name(place)));
        words.append(button, " ");
      }
      if (row.wells.length > 60) words.append(`and ${row.wells.length - 60} more`);
      part.append(words);
    }
    return part;
  };
  const paint = (canvas, plate, places) => {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth || 220, step = width / columns, height = step * rows;
    canvas.style.height = `${height}px`;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const pen = canvas.getContext("2d"), muted = theme("--muted"), ink = theme("--ink");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.strokeStyle = theme("--line"); pen.strokeRect(0.5, 0.5, width - 1, height - 1);
    pen.fillStyle = theme("--line");
    for (let i = 0; i < rows * columns; i += 1) pen.fillRect(step * (i % columns + 0.5) - 0.5, step * Math.floor(i / columns) + step / 2 - 0.5, 1, 1);
    pen.strokeStyle = muted;
    for (const at of data.negative[plate]) pen.strokeRect(step * (at % columns) + 0.15 * step, step * Math.floor(at / columns) + 0.15 * step, 0.7 * step, 0.7 * step);
    places.forEach((place, i) => {
      pen.fillStyle = viridis(places.length > 1 ? 0.9 - 0.8 * i / (places.length - 1) : 0.4);
      for (const [on, at] of list[place].wells) if (on === plate) {
        pen.beginPath(); pen.arc(step * (at % columns + 0.5), step * (Math.floor(at / columns) + 0.5), 0.42 * step, 0, 7); pen.fill();
        pen.strokeStyle = ink; pen.lineWidth = 0.8; pen.stroke();
      }
    });
  };
  const maps = (places) => {
    const on = [...new Set(places.flatMap((place) => list[place].wells.map(([plate]) => plate)))].sort((a, b) => a - b);
    const part = make("section", "", { className: "dose" }), grid = make("div", "", { className: "plates" });
    part.append(make("h3", "Wells on the plates"), make("p", `Discs: this compound${places.length > 1 ? ", bright: the highest dose" : ""}. Squares: negative controls.${on.length > PLATES ? ` ${PLATES} of ${on.length} plates are shown.` : ""}`, { className: "quiet" }), grid);
    for (const plate of on.slice(0, PLATES)) {
      const figure = make("figure", "", { className: "plate" }), canvas = make("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Wells of ${name(places[0])} on plate ${data.plates[plate]}`);
      canvas.addEventListener("pointermove", (event) => {
        const box = canvas.getBoundingClientRect(), step = box.width / columns;
        const at = Math.floor((event.clientY - box.top) / step) * columns + Math.floor((event.clientX - box.left) / step);
        const place = places.find((one_) => list[one_].wells.some(([there, spot]) => there === plate && spot === at));
        const control = data.negative[plate].includes(at);
        if (place === undefined && !control) return Page.hide();
        Page.show(`${data.plates[plate]} ${well(at)}\n${place === undefined ? "negative control" : `${name(place)}${list[place].dose ? `, dose ${list[place].dose}` : ""}`}`, event.clientX, event.clientY);
      });
      canvas.addEventListener("pointerleave", Page.hide);
      figure.append(make("figcaption", data.plates[plate]), canvas);
      grid.append(figure);
      canvas.redraw = () => paint(canvas, plate, places);
    }
    return part;
  };
  const table = (titles, rows_, words = 1, name = "") => {
    const wide = make("div", "", { className: `wide ${name}`.trim() }), made = make("table", "", { className: "plain" }), head = make("tr"), body = make("tbody");
    titles.forEach((title, i) => { const cell = make("th", title, { className: i < words ? "words" : "" }); cell.scope = "col"; head.append(cell); });
    for (const row of rows_) {
      const line = make("tr");
      row.forEach((value, i) => { const cell = make("td", i < words ? "" : value, { className: i < words ? "words" : "" }); if (i < words) cell.append(value); line.append(cell); });
      body.append(line);
    }
    const top = make("thead");
    top.append(head); made.append(top, body); wide.append(made);
    return wide;
  };
  const item = (word) => {
    if (!Page.treatment.has(word)) return word;
    const button = make("button", word, { type: "button", className: "opens" });
    button.addEventListener("click", () => Page.treatment.open(word));
    return button;
  };
  const changes = (place) => {
    const found = findings.changed[list[place].perturbation], part = make("section", "", { className: "dose" });
    part.append(make("h3", `What changed${list[place].dose ? ` at dose ${list[place].dose}` : ""}`));
    if (found) part.append(make("p", "Effect in standard deviations of the negative controls; r: correlation with the treatment's own axis, for learned profiles.", { className: "quiet" }), table(["Compartment", "Channel", "Change", "Effect", "r", "q"], found, 3, "changed"));
    else part.append(make("p", Object.keys(findings.changed).length ? "No feature with a meaning changed at q < 0.05." : "This screen has no features with a meaning; encoders of kind classical and intensity have them.", { className: "absent" }));
    return part;
  };
  const alike = (place) => {
    const found = findings.alike[list[place].perturbation];
    if (!found) return null;
    const part = make("section", "", { className: "dose" });
    part.append(make("h3", "What looks like it"), make("p", `Nearest treatments of other compounds by consensus profile; similarity 1: the same direction, 0: unrelated, −1: opposite.${found.every((row) => row[2].startsWith("−")) ? " None is above 0: no treatment of this screen looks like it." : ""}${list[place].active === false ? " It is not active itself, so that its likeness to others is mostly noise." : ""} ${findings.chance[list[place].perturbation] || "Its mechanism is not stated, so chance is not known"}.`, { className: "quiet" }), table(["Treatment", "Mechanism", "Similarity", "Same mechanism"], found.map(([word, ...rest]) => [item(word), ...rest]), 2));
    return part;
  };
  const response = (title) => {
    const found = findings.curves[title];
    if (!found) return null;
    const part = make("section", "", { className: "dose" });
    part.append(make("h3", "Dose response"));
    for (const [line, words, drawing] of found) {
      const figure = make("figure");
      figure.innerHTML = drawing; // a drawing of the library, whose texts are escaped
      part.append(make("p", line && found.length > 1 ? `${line}: ${words}` : words), figure);
    }
    return part;
  };
  const redraw = () => { for (const canvas of all("canvas.tile", dialog)) draw(canvas, channel); };
  const open = (place) => {
    current = place;
    const places = list.map((_, i) => i).filter((i) => list[i].compound === list[place].compound).sort((a, b) => (list[b].amount ?? -1) - (list[a].amount ?? -1));
    const [title, mechanism] = data.compounds[list[place].compound], body = one("#panel-body");
    channel = String(list[place].channel);
    one("#panel-name").textContent = title;
    const unit = data.unitless ? " · doses as in the platemap, which states no unit" : "";
    const about = make("p", `${mechanism || "mechanism not stated"}${places.some((one_) => list[one_].dose) ? ` · ${many(places.length, "doses")}` : ""} · active: ${data.rule} (${data.encoder}, ${data.level} profiles)${unit}`, { className: "quiet" });
    const controls = make("div", "", { className: "controls" }), label = make("label", "Channel "), choice = make("select", "", { id: "panel-channel" });
    tiles.channels.forEach((word, i) => choice.append(new Option(word, i)));
    if (tiles.channels.length > 1) choice.append(new Option("composite", "all"));
    choice.value = channel;
    choice.addEventListener("change", () => { channel = choice.value; redraw(); });
    label.append(choice);
    controls.append(label, make("span", `Each picture shows ${tiles.what}; black and white are those of the plate.`, { className: "quiet" }));
    // the curve beside the pictures of the dose that was asked for, then the others from the highest on, long series folded
    const curve = response(title), top = make("div", "", { className: curve ? "top" : "" });
    top.append(...[curve, dose(place)].filter(Boolean));
    const others = places.filter((one_) => one_ !== place), later = others.slice(OPEN), folded = make("details");
    folded.append(make("summary", `${many(later.length, "further doses")}`), ...later.map(dose));
    const doses = [...others.slice(0, OPEN).map(dose), ...(later.length ? [folded] : [])];
    body.replaceChildren(about, ...(tiles.sheets.length ? [controls] : []), ...[top, changes(place), alike(place), ...doses, maps(places)].filter(Boolean));
    const at = strength.indexOf(place);
    one("#panel-before").disabled = at <= 0;
    one("#panel-next").disabled = at < 0 || at === strength.length - 1;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    one("#panel-name").focus();
    redraw();
    for (const canvas of all(".plate canvas", dialog)) canvas.redraw();
    Page.take(body);
  };
  const move = (step) => { const at = strength.indexOf(current) + step; if (strength[at] !== undefined) open(strength[at]); };
  one("#panel-before").addEventListener("click", () => move(-1));
  one("#panel-next").addEventListener("click", () => move(1));
  one("#panel-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", Page.hide);
  Page.onPaint(() => { for (const canvas of all(".plate canvas", dialog)) canvas.redraw(); });
  const known = new Map();
  list.forEach((row, i) => known.set(row.item, i));
  // a compound's name means its strongest dose
  for (const i of [...strength, ...list.keys()]) if (!known.has(name(i))) known.set(name(i), i);
  // opens the panel of a treatment or compound; false where it has none
  Page.treatment = { has: (item) => known.has(item), open: (item) => open(known.get(item)), row: (item) => list[known.get(item)] };
  document.addEventListener("click", (event) => {
    const point = event.target instanceof Element && event.target.closest("[data-item]");
    if (point && Page.treatment.has(point.dataset.item)) Page.treatment.open(point.dataset.item);
  });
})();
