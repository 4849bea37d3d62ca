"use strict";
// Everything that is shown is already in the page: this sorts rows, hides rows and figures, and shows values.
(() => {
  const number = (cell) => (cell.dataset.value === undefined ? NaN : Number(cell.dataset.value));

  // Sorting. Rows without a value stay last in either direction; equal ones keep their order.
  const sort = (table, column, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const compare = (one, other) => {
      const cells = [one.cells[column], other.cells[column]];
      if (!numeric) return sign * cells[0].textContent.localeCompare(cells[1].textContent, "en");
      const [a, b] = cells.map(number);
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
    for (const [index, header] of [...table.tHead.rows[0].cells].entries()) {
      header.setAttribute("aria-sort", index === column ? direction : "none");
    }
  };
  for (const table of document.querySelectorAll("table")) {
    for (const [column, header] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      header.setAttribute("aria-sort", "none");
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      button.addEventListener("click", () => sort(table, column, header.getAttribute("aria-sort") === first ? other : first));
    }
  }

  // Filters. A row or figure is shown where it has no such value, or the one that was chosen.
  const form = document.querySelector(".filters");
  const shown = form.querySelector("output");
  const filter = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value.trim() !== "");
    const suits = (element) => wanted.every(([name, value]) => {
      if (name === "task" && element.dataset.family) return value.split(":")[0] === element.dataset.family;
      const own = element.dataset[name];
      if (own === undefined) return true;
      return name === "estimator" ? own.includes(value.trim().toLowerCase()) : own === value;
    });
    let rows = 0, all = 0;
    for (const row of document.querySelectorAll("tbody tr")) {
      row.hidden = !suits(row);
      rows += !row.hidden;
      all += 1;
    }
    for (const figure of document.querySelectorAll("figure")) figure.hidden = !suits(figure);
    shown.textContent = `${rows} of ${all} rows`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // Values on hover, and by the arrow keys while a figure has the focus.
  const box = document.querySelector(".value");
  let marked = null;
  const hide = () => {
    marked?.classList.remove("marked");
    marked = null;
    box.hidden = true;
  };
  const show = (point) => {
    if (marked === point.element) return;
    hide();
    marked = point.element;
    marked.classList.add("marked");
    box.textContent = point.text;
    box.hidden = false;
    const place = marked.getBoundingClientRect();
    const left = Math.min(place.right + 10, innerWidth - box.offsetWidth - 8);
    const above = place.top - box.offsetHeight - 8;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${above > 8 ? above : place.bottom + 8}px`;
  };
  addEventListener("scroll", hide, { capture: true, passive: true }); // whatever scrolls, marks move away
  const near = (points, event) => {
    let best = null, least = 14;
    for (const point of points) {
      const place = point.element.getBoundingClientRect();
      const x = Math.max(place.left - event.clientX, 0, event.clientX - place.right);
      const y = Math.max(place.top - event.clientY, 0, event.clientY - place.bottom);
      const distance = Math.hypot(x, y) + Math.hypot(place.left + place.width / 2 - event.clientX, place.top + place.height / 2 - event.clientY) / 100;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  for (const svg of document.querySelectorAll(".drawing svg")) {
    const points = [...svg.querySelectorAll("use > title")].map((title) => {
      const point = { element: title.parentNode, text: title.textContent };
      point.element.classList.add("point");
      title.remove(); // the browser would show it as well
      return point;
    });
    if (points.length === 0) continue;
    let place = -1;
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("pointermove", (event) => {
      const point = near(points, event);
      if (point) show(point); else hide();
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.key === "Escape") { hide(); return; }
      if (event.key === "Home") place = 0;
      else if (event.key === "End") place = points.length - 1;
      else if (event.key in steps) place = (Math.max(place, steps[event.key] > 0 ? -1 : 0) + steps[event.key] + points.length) % points.length;
      else return;
      event.preventDefault();
      show(points[place]);
    });
  }
})();
