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
  let by = 0, down = true;
  const turn = () => {
    const chosen = Page.level(), levels = Object.keys(data.scores).filter((name) => chosen === "all" || name === chosen);
    const columns = levels.flatMap((name) => data.encoders.filter((encoder) => encoder in (data.scores[name][metric.value] || {})).map((encoder) => ({ title: levels.length > 1 ? `${encoder}, ${name}` : encoder, scores: data.scores[name][metric.value][encoder] })));
    by = Math.min(by, columns.length + 1);
    head.replaceChildren(...["Treatment", "Mechanism", ...columns.map((column) => column.title)].map((name, i) => {
      const cell = make("th"), button = make("button", name, { type: "button" });
      cell.scope = "col";
      if (i < 2) cell.className = "words";
      if (i === by) cell.ariaSort = down ? "descending" : "ascending";
      button.addEventListener("click", () => { down = by === i ? !down : i > 1; by = i; pages.first(); turn(); one(`th:nth-child(${i + 1}) button`, head).focus(); });
      cell.append(button);
      return cell;
    }));
    const there = data.items.map((_, i) => i).filter((i) => columns.some((column) => column.scores[i]));
    const words = input.value.trim().toLowerCase();
    const found = there.filter((i) => `${data.items[i]} ${data.groups[i]}`.toLowerCase().includes(words));
    const order = new Intl.Collator("en", { numeric: true });
    const value = (i) => { const score = columns[by - 2].scores[i]; return score && score[0] !== null ? score[0] : -Infinity; };
    const compare = by < 2 ? (a, b) => order.compare(by ? data.groups[a] : data.items[a], by ? data.groups[b] : data.items[b]) : (a, b) => value(a) - value(b) || b - a;
    found.sort((a, b) => (down ? -1 : 1) * compare(a, b));
    body.replaceChildren(...pages.slice(found, there.length, EACH).map((i) => {
      const row = make("tr"), name = make("th", data.items[i]);
      name.scope = "row";
      row.append(name, make("td", data.groups[i], { className: "words" }));
      for (const { scores } of columns) {
        const score = scores[i], cell = make("td", score ? fixed(score[0]) : "–");
        if (score && score[1] !== null) cell.append(make("small", ` q ${score[1] < 5e-4 ? "<0.001" : fixed(score[1])}`));
        row.append(cell);
      }
      return row;
    }));
  };
  const pages = pager(one("#treatment-pager"), "items", turn);
  by = 2;
  metric.addEventListener("change", () => { pages.first(); turn(); });
  input.addEventListener("input", () => { pages.first(); turn(); });
  Page.onLevel(turn);
})();
