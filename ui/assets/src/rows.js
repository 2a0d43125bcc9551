// A box with data-rows is a table of any length: it scrolls through all of its
// rows, of which those near what is to be seen are in the document. The server
// has put the first ones there; others are fetched by pages as they come into
// sight, from below the address in data-from. Rows are all of one height, so where one is follows from its number.
import { morph } from "./morph.js";
import { times } from "./times.js";

const page = 50; // rows that are asked for at once: more would keep the browser from the next picture
const beyond = 12; // rows that are ready above and below
const remembered = 4000; // rows
const highest = 15e6; // pixels: browsers make nothing higher than about 17 million
const widest = 360; // pixels of a column

export const tables = (root) => root.querySelectorAll("[data-rows]:not([data-whole])").forEach((box) => new Table(box));

class Table {
  constructor(box) {
    this.box = box;
    this.table = box.querySelector("table");
    this.body = this.table.tBodies[0];
    this.form = box.closest("form");
    this.rows = new Map(); // by number: elements
    this.asked = new Map(); // by page: what ends the request
    this.ticked = new Set();
    this.marks = [];
    this.every = 0;
    this.current = -1; // the row that has the focus, or had it when it went out of sight
    this.kind = "a.name"; // what of it
    this.upto = box.dataset.upto;
    this.first = Number(box.dataset.first);
    const shown = [...this.body.rows];
    shown.forEach((row, i) => this.rows.set(this.first + i, row));
    this.total = this.first + shown.length;
    this.pinned = new URL(location.href).searchParams.has("upto");

    this.freeze();
    box.dataset.whole = "yes";
    box.tabIndex = 0;
    this.height = shown[0].getBoundingClientRect().height;
    this.above = this.gap();
    this.below = this.gap();
    this.body.prepend(this.above);
    this.body.append(this.below);
    this.listen();
    this.draw(this.first);
    this.count();
  }

  gap() {
    const row = document.createElement("tr");
    row.className = "gap";
    row.setAttribute("aria-hidden", "true");
    row.append(document.createElement("td"));
    row.firstChild.colSpan = this.table.tHead.rows[0].cells.length;
    return row;
  }

  // freeze keeps the columns as wide as they are, whatever rows come.
  freeze() {
    const widths = [...this.table.tHead.rows[0].cells].map((cell) => Math.min(widest, Math.ceil(cell.getBoundingClientRect().width)));
    const columns = document.createElement("colgroup");
    for (const width of widths) {
      const column = document.createElement("col");
      column.style.width = `${width}px`;
      columns.append(column);
    }
    this.table.prepend(columns);
    this.table.style.minWidth = `${widths.reduce((a, b) => a + b, 0)}px`;
  }

  listen() {
    let asked = false;
    this.box.addEventListener("scroll", () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        this.draw();
      });
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("focusin", ({ target }) => {
      const row = target.closest("tbody tr");
      if (!row) return;
      this.current = this.numberOf(row);
      this.kind = target.matches("input") ? "input" : "a.name";
    });
    this.box.addEventListener("change", ({ target }) => {
      if (target.name !== "run") return;
      this.ticked[target.checked ? "add" : "delete"](target.value);
      this.say();
    });
    // What is ticked and out of sight is sent, too.
    this.form.addEventListener("formdata", ({ formData }) => {
      formData.delete("run");
      for (const id of this.ticked) formData.append("run", id);
    });
    this.box.addEventListener("kept", ({ detail }) => setTimeout(() => this.renew(detail.dataset?.latest))); // once the rest of the page is new, too
    addEventListener("resize", () => this.draw());
    for (const box of this.body.querySelectorAll("input:checked")) this.ticked.add(box.value);
    this.say();
  }

  numberOf(row) { return Number(row.ariaRowIndex) - 2; }

  // Where the table is, in rows: there may be more of them than fit into the
  // height that a browser takes, then a pixel is more than a pixel.
  get full() { return Math.min(this.total * this.height, highest); }
  get room() { return this.box.clientHeight - this.table.tHead.offsetHeight; }
  get scale() { return this.full < highest ? 1 : (this.total * this.height - this.room) / (this.full - this.room); }

  scrollTo(number) { this.box.scrollTop = (number * this.height) / this.scale; }

  // draw puts the rows into the document that are near what is to be seen. With
  // a number it scrolls there first.
  draw(number) {
    if (!this.box.isConnected) return;
    if (number !== undefined) {
      this.put(number, number); // else there is nothing yet to scroll through
      this.scrollTo(number);
    }
    const y = this.box.scrollTop * this.scale;
    const first = Math.max(0, Math.floor(y / this.height) - beyond);
    const last = Math.min(this.total, Math.ceil((y + this.room) / this.height) + beyond);
    this.top = Math.min(Math.round(y / this.height), Math.max(this.total - 1, 0));
    this.put(first, last, y);
    this.want(first, last);
    this.remember();
    this.note();
  }

  put(first, last, y = first * this.height) {
    const above = Math.max(0, first * this.height - (y - y / this.scale));
    this.above.style.height = `${above}px`;
    this.below.style.height = `${Math.max(0, this.full - above - (last - first) * this.height)}px`;
    const focused = document.activeElement?.closest("tr");
    for (const row of [...this.body.rows].slice(1, -1)) {
      const number = this.numberOf(row);
      if (number >= first && number < last && this.rows.get(number) === row) continue;
      if (row === focused) this.box.focus({ preventScroll: true }); // and the row again, once it is back
      row.remove();
    }
    let next = this.above.nextSibling;
    for (let number = first; number < last; number++) {
      const row = this.rows.get(number) ?? this.blank(number);
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
      if (number === this.current && document.activeElement === this.box) row.querySelector(this.kind)?.focus({ preventScroll: true });
    }
  }

  // blank stands for a row that is on its way.
  blank(number) {
    const row = this.gap();
    row.className = "pending";
    row.ariaRowIndex = number + 2;
    return row;
  }

  // want asks for the pages that have rows from first to last, once the scrolling
  // has slowed down, and for no others any more.
  want(first, last) {
    clearTimeout(this.soon);
    const missing = new Set();
    for (let number = first; number < last; number++) if (!this.rows.has(number)) missing.add(Math.floor(number / page));
    for (const [at, end] of this.asked) if (at < Math.floor(first / page) - 1 || at > Math.floor(last / page) + 1) end.abort();
    this.soon = setTimeout(() => missing.forEach((at) => this.fetch(at)), missing.size ? 60 : 0);
  }

  address(part, more) {
    const query = new URLSearchParams(this.box.dataset.rows);
    if (this.upto) query.set("upto", this.upto);
    for (const name in more) query.set(name, more[name]);
    return `${this.box.dataset.from}/${part}?${query}`;
  }

  async fetch(at) {
    if (this.asked.has(at)) return;
    const end = new AbortController(), from = at * page, mark = this.every ? Math.min(Math.floor(from / this.every), this.marks.length) : 0;
    this.asked.set(at, end);
    const more = { row: from, skip: from - mark * this.every, window: page };
    if (mark) more.before = this.marks[mark - 1];
    try {
      const answer = await fetch(this.address("rows", more), { signal: end.signal });
      if (answer.status === 401) return location.reload(); // the session is over
      if (!answer.ok) throw new Error(answer.statusText);
      const made = document.createElement("template");
      made.innerHTML = await answer.text();
      times(made.content);
      this.take(from, [...made.content.querySelectorAll("tr")]);
    } catch {
      if (!end.signal.aborted) setTimeout(() => this.draw(), 3000); // it asks again for what is in sight
    } finally {
      this.asked.delete(at);
    }
    this.draw();
  }

  take(from, rows) {
    rows.forEach((row, i) => {
      const old = this.rows.get(from + i), box = row.querySelector("input");
      if (old?.id === row.id) morph(old, row);
      else {
        box.checked = this.ticked.has(box.value);
        this.rows.set(from + i, row);
      }
    });
    for (let number = from + rows.length; number < from + page; number++) this.rows.delete(number);
    if (rows.length < page) this.extent(Math.min(this.total, from + rows.length));
    else this.extent(Math.max(this.total, from + rows.length));
  }

  remember() {
    if (this.rows.size < remembered) return;
    for (const number of this.rows.keys()) if (Math.abs(number - this.top) > remembered / 4) this.rows.delete(number);
  }

  // count learns how many rows there are, and where in their order is what.
  async count() {
    try {
      const answer = await fetch(this.address("marks", {}));
      if (!answer.ok) return;
      const { total, every, marks } = await answer.json();
      this.marks = marks ?? [];
      this.every = marks ? every : 0;
      const held = this.top;
      this.extent(total);
      this.draw(this.box.scrollTop > 0 || held > 0 ? held : undefined);
      this.counted = true;
      this.say();
      this.want(this.top, Math.min(this.top + page, total)); // before anybody scrolls there
    } catch { /* the next change of the page asks again */ }
  }

  extent(total) {
    this.total = total;
    this.table.ariaRowCount = total + 1;
  }

  // say writes down where the reader is: in the address, from which the same view
  // comes again, and below the table.
  say() {
    const number = new Intl.NumberFormat("en"), button = this.form.querySelector("[data-ticked]");
    if (button) button.textContent = this.ticked.size ? `Compare ${number.format(this.ticked.size)} ticked` : "Compare what is ticked";
    const extent = this.form.querySelector("[data-extent]");
    if (extent && this.counted) extent.textContent = `${number.format(this.total)} runs`;
    if (extent && this.newer) {
      const link = document.createElement("button");
      link.type = "button";
      link.className = "link";
      link.textContent = "There are newer ones: show them";
      link.addEventListener("click", () => this.restart());
      extent.append(" · ", link);
    }
  }

  note() {
    clearTimeout(this.noting);
    this.noting = setTimeout(() => {
      const url = new URL(location.href), { searchParams: q } = url;
      q.delete("skip");
      q.delete("upto");
      if (this.top > 0) q.set("skip", this.top);
      if (this.upto && (this.top > 0 || this.newer)) q.set("upto", this.upto);
      if (url.href !== location.href) history.replaceState(history.state, "", url);
    }, 200);
  }

  // renew is called when something has changed. Who is at the top sees what is
  // new; for everybody else rows stay where they are.
  renew(latest) {
    this.say();
    if (latest && latest !== this.upto) {
      if (this.top === 0 && !this.pinned && !this.ticked.size) return this.restart(latest);
      this.newer = true;
      this.say();
    }
    const last = this.top + Math.ceil(this.room / this.height);
    for (let at = Math.floor(this.top / page); at <= Math.floor(last / page); at++) this.fetch(at);
  }

  restart(latest = "") {
    this.upto = latest;
    this.pinned = this.newer = false;
    if (!latest) return location.assign(this.newest());
    this.count();
    this.fetch(0);
  }

  newest() {
    const url = new URL(location.href);
    url.searchParams.delete("skip");
    url.searchParams.delete("upto");
    return url;
  }

  // Keys move from row to row, and take the focus along.
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const rows = Math.max(1, Math.floor(this.room / this.height) - 1), here = this.current < 0 ? this.top - 1 : this.current;
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, PageDown: Math.max(here, 0) + rows, PageUp: here - rows, Home: 0, End: this.total - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.current = Math.max(0, Math.min(this.total - 1, to));
    const y = (this.box.scrollTop * this.scale) / this.height, fits = this.room / this.height;
    this.box.focus({ preventScroll: true }); // until the row is there
    if (this.current < y) this.scrollTo(this.current);
    else if (this.current + 1 > y + fits) this.scrollTo(this.current + 1 - fits);
    this.draw();
  }
}
