"use strict";
// Take away: every table as CSV, every drawing as SVG, every canvas as PNG, and the data behind those that are drawn.
(() => {
  const { all, one, make } = Page;
  const save = (name, kind, parts) => {
    const link = make("a", "", { download: name, href: URL.createObjectURL(new Blob(parts, { type: kind })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  // a cell of a CSV file: plain numbers as a program reads them, text that a spreadsheet would run stays text
  const plain = (text) => {
    let value = String(text).replace(/\s+/g, " ").trim().replaceAll("−", "-");
    if (value === "–") value = "";
    if (/^-?\d{1,3}(,\d{3})+(\.\d+)?$/.test(value)) value = value.replaceAll(",", "");
    const number = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value);
    if (!number && /^[=+\-@]/.test(value)) value = `'${value}`;
    return /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  };
  const csv = (rows) => ["\ufeff", rows.map((row) => row.map(plain).join(",")).join("\r\n"), "\r\n"];
  Page.csv = csv;
  const named = (part) => {
    const section = part.closest("section[id]"), dialog = part.closest("dialog"), caption = part.closest("figure") && one("figcaption b, figcaption", part.closest("figure"));
    const place = dialog ? [one("#panel-name").textContent, one("h3", part.closest("section")).textContent].join(" ") : section ? section.id : "table";
    const words = [place, caption ? caption.textContent : ""].join(" ").trim();
    return words.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
  };
  const cells = (table) => {
    const split = (row) => [...row.cells].flatMap((cell) => { // small print is a column of its own only in words
      const copy = cell.cloneNode(true);
      for (const extra of all("svg, .unseen, button.more", copy)) extra.remove();
      for (const small of all("small", copy)) small.prepend(" ");
      return [copy.textContent];
    });
    return all("tr", table).map(split);
  };
  const button = (word, act) => {
    const made = make("button", word, { type: "button" });
    made.addEventListener("click", act);
    return made;
  };
  const offer = (after, ...buttons) => {
    const holder = make("div", "", { className: "take" });
    holder.append(...buttons);
    after.after(holder);
  };
  const offerTable = (table) => offer(table.closest(".wide, .scroll") || table, button("CSV", () => save(`${named(table)}.csv`, "text/csv", csv(cells(table)))));
  for (const table of all("main table")) if (table.id !== "treatment-table") offerTable(table);
  const treatments = one("#treatment-table");
  if (treatments && Page.treatmentRows) offer(treatments.closest(".wide"), button("CSV, all rows", () => save("treatments.csv", "text/csv", csv(Page.treatmentRows()))));
  const file = (drawing) => {
    const copy = drawing.cloneNode(true);
    for (const part of all("[data-tip]", copy)) { const title = document.createElementNS("http://www.w3.org/2000/svg", "title"); title.textContent = part.dataset.tip; part.append(title); part.removeAttribute("data-tip"); }
    for (const part of [copy, ...all("[data-item], [data-matrix], [tabindex]", copy)]) for (const name of ["data-item", "data-matrix", "tabindex", "class"]) part.removeAttribute(name);
    const [, , width, height] = copy.getAttribute("viewBox").split(" ");
    copy.setAttribute("height", height);
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of [["width", width], ["height", height], ["fill", "#ffffff"]]) paper.setAttribute(name, value);
    copy.prepend(paper);
    return new XMLSerializer().serializeToString(copy).replace(/var\(--[\w-]+, *([^)]+)\)/g, "$1"); // other programs know no variables
  };
  Page.drawing = file;
  const offerDrawing = (drawing) => {
    if (drawing.parentElement.matches(".curves")) { // a cell of a grid holds the drawing and its button
      const cell = make("div");
      drawing.replaceWith(cell);
      cell.append(drawing);
    }
    offer(drawing.closest(".wide") || drawing, button("SVG", () => save(`${named(drawing)}.svg`, "image/svg+xml", [file(drawing)])));
  };
  for (const drawing of all("main figure svg.figure, .curves svg.figure")) if (!drawing.closest("table, button, dialog")) offerDrawing(drawing);
  // of a panel, each time that it is filled
  Page.take = (panel) => {
    for (const table of all("table", panel)) offerTable(table);
    for (const drawing of all("figure svg.figure", panel)) offerDrawing(drawing);
    Page.scrolls(panel);
  };
  const png = (canvas) => button("PNG", () => canvas.toBlob((blob) => save(`${named(canvas)}.png`, "image/png", [blob])));
  for (const [selector, rows] of [["#map-canvas", () => Page.mapRows && Page.mapRows()], ["#similarity-canvas", () => Page.similarity && [["treatment", ...Page.similarity.names], ...Page.similarity.values.map((row, i) => [Page.similarity.names[i], ...row.map((value) => (value === null ? "" : value / 100))])]]]) {
    const canvas = one(selector);
    if (canvas) offer(canvas.closest(".map, .wide"), button("CSV", () => save(`${named(canvas)}.csv`, "text/csv", csv(rows()))), png(canvas));
  }
  Page.scrolls();
  if (one("#plate-grid") && Page.plateRows) offer(one("#plate-pager"), button("CSV, all plates", () => save("plates.csv", "text/csv", csv(Page.plateRows()))));
})();
