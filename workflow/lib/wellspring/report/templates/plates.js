"use strict";
// Plates, drawn on demand from one list of numbers per plate and measure: one page at a time, all of them for print.
(() => {
  const { one, read, make, theme, viridis, category, short } = Page;
  const source = one("#plate-data");
  if (!source) return;
  const EACH = 24;
  const data = read(source), [rows, columns] = data.size;
  const measure = one("#plate-measure"), find = one("#plate-find"), compound = one("#plate-compound"), grid = one("#plate-grid");
  const kinds = { negcon: "negative control", poscon: "positive control", trt: "treatment", empty: "empty or not stated" };
  const colours = { negcon: 0, poscon: 1, trt: 2, empty: 6 }, signs = { negcon: "−", poscon: "+", trt: "", empty: "·" };
  const letters = (row) => (row < 26 ? "" : String.fromCharCode(64 + Math.floor(row / 26))) + String.fromCharCode(65 + row % 26);
  const well = (place) => `${letters(Math.floor(place / columns))}${String(place % columns + 1).padStart(2, "0")}`;
  const chosen = () => (measure.value === "kinds" ? null : data.measures[+measure.value]);
  const values = (plate) => { const shown = chosen(); return shown ? shown.values[plate] : data.kinds[plate]; };
  const name = (plate, place) => data.levels[data.names[plate][place]] || "";

  const describe = (plate, place) => {
    const shown = chosen(), value = values(plate)[place], kind = data.types[data.kinds[plate][place]];
    const lines = [`${data.plates[plate].name} ${well(place)}`];
    if (name(plate, place)) lines.push(name(plate, place));
    if (kind) lines.push(kinds[kind]);
    if (shown) lines.push(`${shown.name}: ${value === false ? "undefined" : short(value)}`);
    return lines.join("\n");
  };
  const paint = (canvas, plate, at = -1) => {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth || 240, left = 20, top = 14, step = (width - left - 1) / columns;
    const height = Math.ceil(top + step * rows + 1);
    canvas.style.height = `${height}px`;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const pen = canvas.getContext("2d"), shown = chosen(), numbers = values(plate), words = compound.value.trim().toLowerCase();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "9px system-ui, sans-serif"; pen.fillStyle = theme("--muted"); pen.textBaseline = "middle";
    pen.textAlign = "right";
    const every = (count, room) => Math.max(1, Math.ceil(count / 12), Math.ceil(room / step));
    for (let row = 0; row < rows; row += every(rows, 10)) pen.fillText(letters(row), left - 4, top + step * (row + 0.5));
    pen.textAlign = "center";
    for (let column = 0; column < columns; column += every(columns, 14)) pen.fillText(column + 1, left + step * (column + 0.5), 6);
    const palette = data.types.map((type) => category(colours[type])), muted = theme("--muted"), ink = theme("--ink"), gap = step > 5 ? 0.6 : 0;
    numbers.forEach((value, place) => {
      if (value === null) return;
      const x = left + step * (place % columns), y = top + step * Math.floor(place / columns);
      pen.globalAlpha = words && !name(plate, place).toLowerCase().includes(words) ? 0.15 : 1;
      if (value === false) {
        pen.strokeStyle = muted;
        pen.beginPath(); pen.moveTo(x + step * 0.25, y + step * 0.25); pen.lineTo(x + step * 0.75, y + step * 0.75);
        pen.moveTo(x + step * 0.75, y + step * 0.25); pen.lineTo(x + step * 0.25, y + step * 0.75); pen.stroke();
      } else {
        pen.fillStyle = shown ? viridis((value - shown.low) / (shown.high - shown.low)) : palette[value];
        pen.fillRect(x, y, step - gap, step - gap);
        if (!shown && step >= 7) { // a sign beside the colour
          pen.fillStyle = theme("--paper"); pen.font = `bold ${Math.min(12, step)}px system-ui, sans-serif`;
          pen.fillText(signs[data.types[value]], x + (step - gap) / 2, y + step / 2 + 0.5);
        }
      }
    });
    pen.globalAlpha = 1;
    pen.strokeStyle = theme("--line"); pen.strokeRect(left, top, step * columns, step * rows);
    if (at >= 0) { pen.strokeStyle = ink; pen.lineWidth = 2; pen.strokeRect(left + step * (at % columns), top + step * Math.floor(at / columns), step, step); }
    canvas.spot = { left, top, step };
  };
  const figure = (plate) => {
    const { name: title, words, left_out: out } = data.plates[plate], holder = make("figure", "", { className: "plate" }), caption = make("figcaption");
    caption.append(make("b", title), make("span", [words, out ? "left out of the results" : ""].filter(Boolean).join(", "), { className: out ? "reason" : "quiet" }));
    holder.append(caption);
    if (!values(plate)) { holder.append(make("p", out ? "left out of the results" : "no values", { className: "absent" })); return holder; }
    const canvas = make("canvas", "", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${measure.selectedOptions[0].textContent} of plate ${title}; arrow keys step through the wells`);
    canvas.dataset.plate = plate;
    let at = -1;
    const over = (event) => {
      const box = canvas.getBoundingClientRect(), { left, top, step } = canvas.spot;
      const column = Math.floor((event.clientX - box.left - left) / step), row = Math.floor((event.clientY - box.top - top) / step);
      const place = row * columns + column, there = row >= 0 && row < rows && column >= 0 && column < columns && values(plate)[place] !== null;
      if (there) Page.show(describe(plate, place), event.clientX, event.clientY); else Page.hide();
    };
    canvas.addEventListener("pointermove", over);
    canvas.addEventListener("pointerdown", over);
    canvas.addEventListener("pointerleave", Page.hide);
    canvas.addEventListener("blur", () => { at = -1; paint(canvas, plate); Page.hide(); });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!move) return;
      event.preventDefault();
      const row = at < 0 ? 0 : (Math.floor(at / columns) + move[0] + rows) % rows, column = at < 0 ? 0 : (at % columns + move[1] + columns) % columns;
      at = row * columns + column;
      paint(canvas, plate, at);
      const box = canvas.getBoundingClientRect(), { left, top, step } = canvas.spot;
      const text = values(plate)[at] === null ? `${data.plates[plate].name} ${well(at)}\nno well` : describe(plate, at);
      Page.show(text, box.left + left + step * (column + 1), box.top + top + step * (row + 1));
      Page.say(text);
    });
    holder.append(canvas);
    return holder;
  };
  const scale = () => {
    const shown = chosen(), holder = one("#plate-scale");
    one("#plate-words").textContent = shown ? `${shown.name}: ${shown.doc}. One scale for all plates, 1st to 99th percentile. Cross: undefined.` : "Type of each well in the platemap.";
    if (!shown) {
      holder.replaceChildren(...data.types.map((type) => {
        const entry = make("span"), box = make("i", "", { className: "swatch" });
        box.style.background = `var(--c${colours[type]})`;
        entry.append(box, kinds[type] + (signs[type] ? ` (${signs[type]})` : ""));
        return entry;
      }));
      return;
    }
    const ramp = make("i", "", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${[...Array(9).keys()].map((part) => viridis(part / 8)).join(", ")})`;
    holder.replaceChildren(make("span", short(shown.low)), ramp, make("span", short(shown.high)));
  };
  const draw = (printing = false) => {
    const words = find.value.trim().toLowerCase();
    const found = data.plates.map((_, i) => i).filter((i) => `${data.plates[i].name} ${data.plates[i].words}`.toLowerCase().includes(words));
    scale();
    const shown = pages.slice(found, data.plates.length, printing ? data.plates.length : EACH);
    grid.replaceChildren(...shown.map(figure));
    for (const canvas of grid.querySelectorAll("canvas")) paint(canvas, +canvas.dataset.plate);
  };
  const pages = Page.pager(one("#plate-pager"), "plates", () => draw());
  measure.addEventListener("change", () => draw());
  find.addEventListener("input", () => { pages.first(); draw(); });
  compound.addEventListener("input", () => draw());
  Page.plateRows = () => {
    const shown = chosen(), rows_ = [["plate", "well", "content", "type", shown ? shown.name : "type code"]];
    data.plates.forEach((plate, i) => (values(i) || []).forEach((value, place) => {
      if (value !== null) rows_.push([plate.name, well(place), name(i, place), kinds[data.types[data.kinds[i][place]]] || "", value === false ? "" : value]);
    }));
    return rows_;
  };
  Page.onPaint(draw);
})();
