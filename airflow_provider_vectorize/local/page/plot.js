// Plot of the vectors of an index: one SVG path for each group of points, which stays fast with thousands of points.

const SVG = "http://www.w3.org/2000/svg";
const REACH = 14; // Maximum distance of the pointer from a point, in CSS pixels.

const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

function svgElement(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function colorOf(data, group) {
  const named = data.groups.length - data.others;
  if (group >= named) return `var(--other-${group - named})`;
  if (!data.ordered) return `var(--group-${group})`;
  return `var(--range-${named > 1 ? Math.round((group * 7) / (named - 1)) : 7})`;
}

export class Plot {
  #svg = document.getElementById("plot");
  #area = document.getElementById("plot-area");
  #label = document.getElementById("point");
  #legend = document.getElementById("legend");
  #data = null;
  #positions = new Map();
  #paths = [];
  #shown = null; // The only group that is not faded, by its label.
  // A match is a ring: a large dot with a smaller one of the color of the background on top.
  #matches = ["match", "match-inside"].map((name) => svgElement("path", { class: name }));
  #hovered = svgElement("path", { class: "hovered" });

  constructor(onPick) {
    this.#svg.addEventListener("pointermove", (event) => this.#hover(this.#nearest(event)));
    this.#svg.addEventListener("pointerleave", () => this.#hover(null));
    this.#svg.addEventListener("click", (event) => {
      const point = this.#nearest(event);
      if (point !== null) onPick(this.#data.ids[point]);
    });
  }

  show(data, colorName) {
    this.#data = data;
    this.#positions = new Map(data.ids.map((id, point) => [id, point]));
    this.#frame();
    const parts = data.groups.map(() => []);
    data.group.forEach((group, point) => parts[group].push(this.#dot(point)));
    this.#paths = parts.map((dots, group) => {
      const path = svgElement("path", { d: dots.join("") });
      path.style.stroke = colorOf(data, group);
      return path;
    });
    // Frequent groups are drawn first, so that they do not hide rare ones.
    const order = [...this.#paths.keys()].sort((a, b) => data.groups[b].count - data.groups[a].count);
    this.#svg.replaceChildren(...order.map((group) => this.#paths[group]), ...this.#matches, this.#hovered);
    this.#hover(null);
    this.#showLegend();
    this.#describe(colorName);
  }

  // Mark the vectors with these IDs, and return how many of them the plot contains.
  mark(ids) {
    const points = ids.map((id) => this.#positions.get(id)).filter((point) => point !== undefined);
    for (const path of this.#matches) path.setAttribute("d", points.map((point) => this.#dot(point)).join(""));
    return points.length;
  }

  #dot(point) {
    return `M${this.#data.x[point]} ${-this.#data.y[point]}h.01`;
  }

  #frame() {
    const { x, y } = this.#data;
    const range = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [0, 0]);
    const [left, right] = range(x);
    const [bottom, top] = range(y);
    const margin = 40;
    const box = [left - margin, -top - margin, right - left + 2 * margin, top - bottom + 2 * margin];
    this.#svg.setAttribute("viewBox", box.join(" "));
  }

  #nearest(event) {
    const matrix = this.#svg.getScreenCTM();
    if (!this.#data || !matrix) return null;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = null;
    let least = (REACH / matrix.a) ** 2;
    for (let point = 0; point < this.#data.ids.length; point++) {
      if (this.#isFaded(this.#data.group[point])) continue;
      const distance = (this.#data.x[point] - at.x) ** 2 + (-this.#data.y[point] - at.y) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  #hover(point) {
    this.#label.hidden = point === null;
    this.#hovered.setAttribute("d", point === null ? "" : this.#dot(point));
    if (point === null) return;
    const text = document.createElement("span");
    text.textContent = `${this.#data.ids[point]} · ${this.#data.groups[this.#data.group[point]].label}`;
    this.#label.replaceChildren(text);
  }

  #isFaded(group) {
    return this.#shown !== null && this.#data.groups[group].label !== this.#shown;
  }

  #showLegend() {
    if (!this.#data.groups.some((group) => group.label === this.#shown)) this.#shown = null;
    const focused = [...this.#legend.querySelectorAll("button")].indexOf(document.activeElement);
    this.#legend.replaceChildren(
      ...this.#data.groups.map((group, position) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", String(group.label === this.#shown));
        const key = svgElement("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
        const circle = svgElement("circle", { cx: 5, cy: 5, r: 5 });
        circle.style.fill = colorOf(this.#data, position);
        key.append(circle);
        button.append(key, `${group.label} (${number.format(group.count)})`);
        button.addEventListener("click", () => {
          this.#shown = this.#shown === group.label ? null : group.label;
          this.#showLegend();
        });
        const item = document.createElement("li");
        item.append(button);
        return item;
      }),
    );
    this.#legend.querySelectorAll("button")[focused]?.focus();
    this.#paths.forEach((path, group) => path.classList.toggle("faded", this.#isFaded(group)));
  }

  #describe(colorName) {
    const { ids, total, explained, groups } = this.#data;
    const sampled = ids.length < total ? `A sample of ${number.format(ids.length)} of` : "All";
    document.getElementById("plot-caption").textContent =
      `${sampled} ${number.format(total)} vectors, projected onto their two principal components and colored by ` +
      `${colorName} (${groups.length} ${groups.length === 1 ? "group" : "groups"}). Click a point to query its neighbors.`;
    document.getElementById("explained").textContent =
      `The axes show ${percent.format(explained[0] + explained[1])} of the variance.`;
    this.#area.dataset.points = String(ids.length);
  }
}
