"use strict";
// Long tables: a filter and pages for tables of the page, and the table of treatments, which is made of its data.
(() => {
  const { all, one, read, make, fixed, many } = Page;
  const EACH = 25;

  const pager = (holder, name, turn) => {
    const back = make("button", "‹ before", { type: "button" }), on = make("button", "next ›", { type: "button" }), where = make("span", "", { className: "quiet" });
    where.setAttribute("aria-live", "polite");
    holder.replaceChildren(back, where, on);
    let page = 0;
    back.addEventListener("click", () => { page -= 1; turn(); });
    on.addEventListener("click", () => { page += 1; turn(); });
    return {
      first: () => { page = 0; },
      slice: (found, whole, each) => {
        const last = Math.max(0, Math.ceil(found.length / each) - 1);
        page = Math.min(Math.max(page, 0), last);
        back.disabled = page === 0;
        on.disabled = page === last;
        back.hidden = on.hidden = last === 0;
        const start = page * each, end = Math.min(found.length, start + each);
        const of = found.length === whole ? many(whole, name) : `${found.length.toLocaleString("en")} of ${many(whole, name)}`;
        where.textContent = last ? `${start + 1} to ${end}, ${of}` : of;
        return found.slice(start, end);
      },
    };
  };
  Page.pager = pager;

  for (const table of all("table.paged")) {
    const rows = all("tbody tr", table), holder = make("div", "", { className: "pager" });
    const scroll = make("div", "", { className: "wide" });
    table.replaceWith(scroll);
    scroll.append(table);
    scroll.after(holder);
    const input = make("input", "", { type: "search", placeholder: "any word of a row" }), label = make("label", "Filter ");
    label.append(input);
    const controls = make("div", "", { className: "controls" });
    controls.append(label);
    if (rows.length > 8) scroll.before(controls);
    const turn = () => {
      const words = input.value.trim().toLowerCase();
      const found = rows.filter((row) => row.textContent.toLowerCase().includes(words));
      const shown = new Set(pages.slice(found, rows.length, EACH));
      for (const row of rows) row.hidden = !shown.has(row);
    };
    const pages = pager(holder, table.dataset.name, turn);
    input.addEventListener("input", () => { pages.first(); turn(); });
    turn();
  }

  const source = one("#treatment-data");
  if (!source) return;
  const data = read(source), metric = one("#treatment-metric"), input = one("#treatment-find");
  const head = one("#treatment-table thead tr"), body = one("#treatment-table tbody");
  const order = new Intl.Collator("en", { numeric: true });
  // columns of text, then a score and, where there are any, a q-value per encoder and level
  const texts = [{ title: "Treatment", text: (i) => data.items[i] }, { title: "Mechanism", text: (i) => data.groups[i] }];
  let by = null, down = false;
  const columns = () => {
    const chosen = Page.level(), levels = Object.keys(data.scores).filter((name) => chosen === "all" || name === chosen), found = [];
    for (const level of levels) for (const encoder of data.encoders) {
      const scores = (data.scores[level][metric.value] || {})[encoder];
      if (!scores) continue;
      const title = levels.length > 1 ? `${encoder}, ${level}` : encoder;
      found.push({ title: `Score, ${title}`, has: (i) => Boolean(scores[i]), value: (i) => scores[i] && scores[i][0], score: true });
      if (scores.some((score) => score && score[1] !== null)) found.push({ title: `q, ${title}`, value: (i) => scores[i] && scores[i][1], q: true });
    }
    return found;
  };
  const sure = (value) => value !== null && value !== undefined;
  const q = (value) => (sure(value) ? `${value < data.alpha ? "●" : "○"}\u00a0${value < 5e-4 ? "<0.001" : value >= 0.0495 && value < 0.05 ? Math.min(value, 0.0499).toFixed(4) : fixed(value)}` : "–");
  const found = () => {
    const numbers = columns(), all_ = [...texts, ...numbers], words = input.value.trim().toLowerCase();
    if (!all_.some((column) => column.title === by)) {
      const first = numbers.find((column) => column.q) || numbers[0];
      by = first ? first.title : "Treatment";
      down = Boolean(first && !first.q);
    }
    const there = data.items.map((_, i) => i).filter((i) => numbers.some((column) => column.has && column.has(i)));
    const rows = there.filter((i) => `${data.items[i]} ${data.groups[i]}`.toLowerCase().includes(words));
    const column = all_.find((some) => some.title === by), score = numbers.find((some) => some.score);
    const compare = (a, b) => {
      if (column.text) return (down ? -1 : 1) * order.compare(column.text(a), column.text(b));
      const left = column.value(a), right = column.value(b);
      if (!sure(left) || !sure(right)) return sure(right) - sure(left);
      return (down ? -1 : 1) * (left - right) || (score.value(b) ?? -Infinity) - (score.value(a) ?? -Infinity) || a - b;
    };
    return { rows: rows.sort(compare), there, all_ };
  };
  const turn = () => {
    const { rows, there, all_ } = found();
    head.replaceChildren(...all_.map((column, i) => {
      const cell = make("th"), button = make("button", column.title, { type: "button" });
      cell.scope = "col";
      if (column.text) cell.className = "words";
      if (column.title === by) cell.ariaSort = down ? "descending" : "ascending";
      button.addEventListener("click", () => { down = by === column.title ? !down : Boolean(column.score); by = column.title; pages.first(); turn(); one(`th:nth-child(${i + 1}) button`, head).focus(); });
      cell.append(button);
      return cell;
    }));
    body.replaceChildren(...pages.slice(rows, there.length, EACH).map((i) => {
      const row = make("tr"), name = make("th"), item = data.items[i];
      name.scope = "row";
      name.dataset.group = data.groups[i]; // shown below the name on a phone, in place of the column
      if (Page.treatment && Page.treatment.has(item)) {
        const button = make("button", item, { type: "button", className: "opens" });
        name.append(button);
        row.className = "opens-panel";
        row.addEventListener("click", () => Page.treatment.open(item));
        if (Page.treatment.row(item).control) name.append(make("small", " positive control"));
      } else name.append(item);
      row.append(name, make("td", data.groups[i], { className: "words" }));
      for (const column of all_.slice(texts.length)) row.append(make("td", column.q ? q(column.value(i)) : fixed(column.value(i))));
      return row;
    }));
  };
  Page.treatmentRows = () => {
    const { rows, all_ } = found();
    return [all_.map((column) => column.title), ...rows.map((i) => all_.map((column) => (column.text ? column.text(i) : column.value(i) ?? "")))];
  };
  const pages = pager(one("#treatment-pager"), "rows", turn);
  metric.addEventListener("change", () => { by = null; pages.first(); turn(); });
  input.addEventListener("input", () => { pages.first(); turn(); });
  Page.onLevel(turn);
})();
