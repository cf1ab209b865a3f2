"use strict";
// Shared by all parts of the page: reading data, colours, the tip, the profile level, the metric table, print.
const Page = (() => {
  document.documentElement.classList.add("js");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const read = (element) => JSON.parse(element.textContent);
  const make = (tag, text = "", properties = {}) => Object.assign(document.createElement(tag), { textContent: text }, properties);
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const anchors = ["440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e", "21918c", "1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725"]
    .map((code) => [0, 2, 4].map((start) => parseInt(code.slice(start, start + 2), 16)));
  const viridis = (part) => {
    const place = Math.min(1, Math.max(0, part)) * (anchors.length - 1), low = Math.min(anchors.length - 2, Math.floor(place));
    return `rgb(${anchors[low].map((from, i) => Math.round(from + (anchors[low + 1][i] - from) * (place - low))).join(" ")})`;
  };
  const categories = 8, category = (number) => theme(`--c${number % categories}`);
  // corners of the mark of a category, as in the drawings of the library; none: a circle
  const shapes = read(one("#shapes-data")), corners = (code) => shapes[(code + Math.floor(code / shapes.length)) % shapes.length];
  const short = (value) => {
    if (value === null || value === undefined) return "–";
    return (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value)).replaceAll("-", "−");
  };

  const fixed = (value, decimals = 3) => (value === null || value === undefined ? "–" : Math.abs(value) >= 1e6 ? short(value) : value.toFixed(decimals).replace("-", "−"));
  // `many(1, "plates")` is "1 plate", `many(2, "plates")` is "2 plates"
  const many = (count, name) => `${count.toLocaleString("en")} ${count === 1 ? name.replace(/s\b/g, "") : name}`;

  // functions that redraw when size or colours change; `printing` is true while everything is drawn for paper
  const painters = [];
  const repaint = (printing = false) => { for (const paint of painters) paint(printing); };
  const onPaint = (paint) => { painters.push(paint); paint(false); };
  addEventListener("resize", () => repaint());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint());
  let opened = [];
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    opened = all("details.printed:not([open])");
    for (const part of opened) part.open = true;
    repaint(true);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    for (const part of opened) part.open = false;
    repaint();
  });

  // the tip beside the pointer or the focused thing; `picture`: draws on a canvas, gives false where there is none
  const tip = one("#tip"), words = one("#tip-text"), canvas = one("#tip-picture"), said = one("#said");
  const show = (text, x, y, picture = null) => {
    const holder = one("dialog[open]") || document.body; // a dialog is above everything else
    if (tip.parentElement !== holder) holder.append(tip);
    words.textContent = text;
    canvas.hidden = !(picture && picture(canvas));
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - width - 8)) + "px";
    tip.style.top = Math.max(4, y + 14 + height > innerHeight ? y - height - 10 : y + 14) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const say = (text) => { said.textContent = text.replaceAll("\n", ", "); };
  const matrices = new WeakMap();
  const pointed = (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const marked = target && target.closest("[data-tip]");
    if (marked) return show(marked.dataset.tip, event.clientX, event.clientY);
    if (target && target.dataset.matrix) {
      if (!matrices.has(target)) matrices.set(target, JSON.parse(target.dataset.matrix));
      const { rows, columns, values } = matrices.get(target), box = target.getBoundingClientRect();
      const row = Math.floor((event.clientY - box.top) / box.height * rows.length), column = Math.floor((event.clientX - box.left) / box.width * columns.length);
      if (values[row] && column in values[row]) return show(`${rows[row]} → ${columns[column]}: ${fixed(values[row][column])}`, event.clientX, event.clientY);
    }
    if (!target || !target.closest("canvas")) hide();
  };
  document.addEventListener("pointermove", pointed);
  document.addEventListener("pointerdown", pointed);
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // drawings with points: a stop of the Tab key, arrow keys step through the points
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const drawing of all("svg.figure")) {
    const marks = all("[data-tip]", drawing);
    if (!marks.length) continue;
    let at = -1;
    const leave = () => { if (at >= 0) marks[at].classList.remove("at"); at = -1; hide(); };
    drawing.setAttribute("tabindex", "0");
    drawing.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      const next = at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length;
      leave();
      at = next;
      marks[at].classList.add("at");
      const box = marks[at].getBoundingClientRect();
      show(marks[at].dataset.tip, box.right, box.bottom);
      say(marks[at].dataset.tip);
    });
    drawing.addEventListener("blur", leave);
  }

  // tables and drawings wider than the page: they scroll in their own frame, also by keyboard
  const reach = (part) => {
    const over = part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
    if (!over) { for (const key of ["tabindex", "role", "aria-label"]) part.removeAttribute(key); return; }
    const heading = part.closest("section") && one("h2, h3", part.closest("section"));
    part.tabIndex = 0;
    part.setAttribute("role", "group");
    part.setAttribute("aria-label", `${heading ? heading.textContent : "Table"}, scrolls`);
  };
  const frames = new ResizeObserver((found) => { for (const { target } of found) reach(target); });
  const scrolls = (root = document) => { for (const part of all(".wide, .scroll", root)) frames.observe(part); };

  // the navigation: one open group, by the name that its groups share; headings keep clear of it
  const nav = one("nav"), groups = all("nav details");
  const fold = () => { for (const group of groups) group.open = false; };
  nav.addEventListener("click", (event) => { if (event.target.closest(".links a")) fold(); });
  document.addEventListener("click", (event) => { if (!event.target.closest("nav")) fold(); });
  nav.addEventListener("keydown", (event) => {
    const group = event.key === "Escape" && event.target.closest("details[open]");
    if (group) { fold(); one("summary", group).focus(); }
  });
  const clear = () => document.documentElement.style.setProperty("--clear", getComputedStyle(nav).position === "sticky" ? `${nav.offsetHeight + 12}px` : "12px");
  new ResizeObserver(clear).observe(nav);
  clear();
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const part = target && target.id === "glossary" && one("details", target);
    if (part) part.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  // one profile level for the whole page
  const level = () => { const chosen = one("input[name=level]:checked"); return chosen ? chosen.value : "all"; };
  const followers = [];
  const onLevel = (follow) => { followers.push(follow); follow(); };
  for (const input of all("input[name=level]")) input.addEventListener("change", () => { for (const follow of followers) follow(); });
  onLevel(() => {
    const chosen = level();
    document.body.classList.toggle("all-levels", chosen === "all");
    for (const part of all(".of-level")) part.hidden = chosen !== "all" && part.dataset.level !== chosen;
  });

  // the metric table: folded groups, further metrics, a filter through all
  const find = one("#metric-find");
  const metrics = () => {
    const chosen = level(), wanted = find.value.trim().toLowerCase();
    let shown = 0, whole = 0;
    for (const group of all(".metrics tbody")) {
      let further = 0, here = 0;
      const fold = one(".fold", group), more = one(".more", group);
      for (const row of all("tr.of-level", group)) {
        const inLevel = chosen === "all" || row.dataset.level === chosen;
        const extra = "further" in row.dataset;
        if (inLevel) whole += 1;
        if (inLevel && extra) further += 1;
        const open = wanted ? row.dataset.find.includes(wanted) : fold.getAttribute("aria-expanded") === "true" && (!extra || more.getAttribute("aria-expanded") === "true");
        row.hidden = !(inLevel && open);
        if (!row.hidden) here += 1;
      }
      more.hidden = !further || !!wanted || fold.getAttribute("aria-expanded") !== "true";
      more.textContent = more.getAttribute("aria-expanded") === "true" ? "main ones only" : `${further} further`;
      group.hidden = !!wanted && !here;
      shown += here;
    }
    one("#metric-count").textContent = `${shown} of ${whole} rows`;
  };
  if (find) {
    find.addEventListener("input", metrics);
    for (const button of all(".metrics .fold, .metrics .more")) button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
      metrics();
    });
    onLevel(metrics);
  }

  // the channel of the plates as they look; on paper all of them
  const channel = one("#montage-channel");
  if (channel) {
    const pick = (printing) => { for (const figure of all(".montages figure")) figure.hidden = !printing && channel.value !== "" && figure.dataset.channel !== channel.value; };
    channel.addEventListener("change", () => pick(false));
    onPaint(pick);
  }

  // filter of the left-out images
  const bad = one("#bad-find");
  if (bad) bad.addEventListener("input", () => {
    for (const item of all(".bad li")) item.hidden = !item.textContent.toLowerCase().includes(bad.value.trim().toLowerCase());
  });
  return { all, one, read, make, theme, viridis, categories, category, corners, short, fixed, many, onPaint, show, hide, say, steps, level, onLevel, scrolls };
})();
