// What a report can do beyond being read. Everything on the page is there without it: this only adds what needs a hand.
"use strict";
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];
  const made = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

  // Where the page lies in the folder of its run, the paths in it lead to the files; in a mail they would lead nowhere.
  const place = document.querySelector("main").dataset.place;
  if (place && decodeURIComponent(location.pathname).endsWith("/" + place))
    for (const code of all("code[data-file]")) {
      const link = made("a", { href: code.dataset.file.split("/").map(encodeURIComponent).join("/") });
      code.replaceWith(link);
      link.append(code);
    }

  // What a link leads to is unfolded.
  const unfold = () => {
    let folded = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (; folded; folded = folded.parentElement?.closest("details")) if (folded.tagName === "DETAILS") folded.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  // Marks of figures say what they are when pointed at, or walked along with the arrow keys.
  const tip = made("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  let at = null;
  const leave = () => {
    at?.classList.remove("at");
    at = null;
    tip.hidden = true;
  };
  const leadsTo = (mark) => mark?.dataset.more && document.getElementById(mark.dataset.more);
  const point = (mark) => {
    leave();
    at = mark;
    mark.classList.add("at");
    tip.textContent = mark.said + (leadsTo(mark) ? "\nClick, or Enter: all of this case" : "");
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const left = Math.min(box.right + 8, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };
  const follow = (mark) => {
    const more = leadsTo(mark);
    if (!more) return;
    leave();
    location.hash = more.id;
    unfold();
    more.scrollIntoView();
    more.querySelector("summary")?.focus({ preventScroll: true });
  };
  addEventListener("keydown", (event) => event.key === "Escape" && leave());

  for (const drawing of all("figure svg")) {
    const box = drawing.parentElement;
    const marks = all("use:has(> title)", drawing);
    for (const mark of marks) {
      mark.said = mark.firstChild.textContent;
      mark.firstChild.remove(); // else the browser shows its own tip as well
    }
    const shown = () => marks.filter((mark) => !mark.closest(".off"));
    const markOf = (event) => marks.includes(event.target.closest?.("use")) && event.target.closest("use");
    drawing.addEventListener("pointerover", (event) => (markOf(event) ? point(markOf(event)) : leave()));
    drawing.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
    drawing.addEventListener("click", (event) => event.pointerType === "mouse" && follow(markOf(event)));
    box.addEventListener("blur", leave);
    box.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step && shown().length) {
        const among = shown();
        const next = at ? among.indexOf(at) + step : step > 0 ? 0 : among.length - 1;
        point(among[(next + among.length) % among.length]);
        event.preventDefault();
      } else if (event.key === "Enter") follow(at);
    });
    legend(drawing, box);
  }

  // A legend hides lines: each has a button below its figure.
  function legend(drawing, box) {
    const names = new Map(all("[data-key] text", drawing).map((text) => [text.parentElement.dataset.key, text.textContent]));
    if (names.size < 2) return;
    const buttons = made("div", { className: "switches" });
    buttons.append("Lines: ");
    for (const [key, name] of names) {
      const button = made("button", { type: "button", textContent: name });
      button.setAttribute("aria-pressed", "true");
      const parts = all(`[data-line="${key}"], [data-key="${key}"]`, drawing);
      const toggle = () => {
        const off = button.getAttribute("aria-pressed") === "true";
        button.setAttribute("aria-pressed", String(!off));
        for (const part of parts) part.classList.toggle("off", off);
      };
      button.addEventListener("click", toggle);
      for (const part of parts.filter((part) => part.dataset.key)) part.addEventListener("click", toggle);
      buttons.append(button);
    }
    box.after(buttons);
  }

  // Tables of results are sorted by any column and filtered by words.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const number = (cell) => parseFloat(cell.textContent.replace(/[,\s]/g, ""));
  for (const table of all("table.results")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = made("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      const isNumber = rows.some((row) => row.cells[column]?.classList.contains("number"));
      button.addEventListener("click", () => {
        const order = head.ariaSort === "ascending" ? "descending" : head.ariaSort === "descending" ? null : "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        if (order) head.setAttribute("aria-sort", order);
        const sign = order === "descending" ? -1 : 1;
        const value = (row) => (isNumber ? number(row.cells[column]) : row.cells[column].textContent);
        const known = rows.filter((row) => !Number.isNaN(value(row)));
        const compared = (a, b) => sign * (isNumber ? a - b : collator.compare(a, b));
        known.sort((one, other) => compared(value(one), value(other)));
        const sorted = order ? [...known, ...rows.filter((row) => !known.includes(row))] : rows;
        body.append(...sorted);
      });
    });
    if (rows.length < 9) continue;
    const words = made("input", { type: "search", placeholder: "one word or several" });
    const label = made("label", { className: "filter", textContent: "Show rows with " });
    const count = made("span");
    count.setAttribute("role", "status");
    label.append(words, count);
    words.addEventListener("input", () => {
      const wanted = words.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
      count.textContent = ` ${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
    });
    table.parentElement.before(label);
  }
})();
