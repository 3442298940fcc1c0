// Reads the state of the server every second and draws it. Texts are set as text, so no value can add elements.

import { Plot } from "./plot.js";

const POLL_MS = 1000;
const PLOT_MS = 3000; // Minimum time between two plots of an index that is being written.
const BASE = "/__local__/page/";

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

let paused = false;
let state = null;
let chosen = decoded(location.hash.slice(1)); // "account/index"
let plotted = { key: null, at: -Infinity };
let isPlotting = false;
let matchedIds = [];
let picked = { id: null, text: null }; // The ID of the last point that was clicked, and how the query box shows it.

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // A percent sign that encodes nothing.
  }
}

async function read(path, options) {
  const response = await fetch(BASE + path, options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function element(tag, text, className) {
  const created = document.createElement(tag);
  if (text !== undefined) created.textContent = text;
  if (className) created.className = className;
  return created;
}

// Replace the children of an element if they changed, so that neither the focus nor a selection of text is lost.
function update(parent, children) {
  const next = element(parent.tagName);
  next.append(...children);
  if (next.innerHTML === parent.innerHTML) return;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...next.childNodes);
  if (focused !== undefined) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function row(cells) {
  const created = element("tr");
  created.append(...cells.map((cell) => (cell instanceof Node ? cell : element("td", cell))));
  return created;
}

const numeric = (value) => element("td", value === null ? "" : number.format(value), "number");
const keyOf = (index) => `${index.account_id}/${index.name}`;

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function duration(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

function showServer() {
  const held = state.held ? " Writes are on hold." : "";
  const faults = state.faults.length ? ` Active fault rules: ${state.faults.length}.` : "";
  byId("server").textContent =
    `API base URL: ${state.base_url}. Writes become visible after ${state.lag} s.${held}${faults}`;
}

function showIndexes(indexes) {
  byId("no-indexes").hidden = indexes.length > 0;
  if (!indexes.some((index) => keyOf(index) === chosen)) choose(indexes.length ? keyOf(indexes[0]) : "");
  byId("vectors").hidden = chosen === "";
  byId("chosen").textContent = chosenIndex().index;
  const rows = indexes.map((index) => {
    const button = element("button", index.name, "link");
    button.type = "button";
    button.dataset.key = keyOf(index);
    button.setAttribute("aria-pressed", String(keyOf(index) === chosen));
    const name = element("th");
    name.scope = "row";
    name.append(button);
    const batch = index.processed_up_to === null ? "never" : time.format(new Date(index.processed_up_to * 1000));
    const created = row([
      name, numeric(index.dimensions), index.metric, numeric(index.vectors), numeric(index.pending_mutations), batch,
      index.account_id,
    ]);
    if (keyOf(index) === chosen) created.className = "chosen";
    return created;
  });
  update(byId("indexes"), rows);
}

function showBudget({ allowance, windows, blocks, arrived_during_block: late }) {
  const [requests, seconds] = allowance.split("/").map(Number);
  byId("allowance").textContent =
    `Each credential has ${number.format(requests)} requests in ${number.format(seconds)} s. ` +
    `Rate-limit blocks so far: ${number.format(blocks)}. Requests during a block: ${number.format(late)}.`;
  const items = windows.map((window, position) => {
    const item = element("li");
    const meter = element("meter");
    Object.assign(meter, { min: 0, max: requests, low: requests * 0.2, value: window.left });
    meter.setAttribute("aria-hidden", "true");
    const text = window.blocked
      ? `Credential ${position + 1}: blocked for ${number.format(window.reset)} s`
      : `Credential ${position + 1}: ${number.format(window.left)} requests left, full again in ${number.format(window.reset)} s`;
    item.append(meter, element("span", text, window.blocked ? "bad" : undefined));
    return item;
  });
  update(byId("windows"), items);
}

function showRequests(requests) {
  byId("no-requests").hidden = requests.length > 0;
  const rows = requests.map((request) => {
    const index = /\/vectorize\/v2\/indexes\/([^/]+)/.exec(request.path);
    const failed = request.status === null || request.status >= 400;
    const pending = request.ended === null;
    const status = pending ? "pending" : (request.status ?? "closed");
    return row([
      time.format(new Date(request.started * 1000)),
      request.operation === "unknown" ? `${request.method} ${request.path}` : request.operation,
      index ? index[1] : "", // The server has decoded it.
      element("td", status, `number ${pending ? "" : failed ? "bad" : "good"}`),
      element("td", request.code ?? "", "number"),
      numeric(request.vectors || null),
      element("td", request.body_bytes ? size(request.body_bytes) : "", "number"),
      element("td", pending ? "" : duration(request.ended - request.started), "number"),
      request.fault ?? "",
    ]);
  });
  update(byId("requests"), rows);
}

// Forget what belongs to the index that was chosen before.
function choose(key) {
  chosen = key;
  history.replaceState(null, "", key ? `#${encodeURIComponent(key)}` : location.pathname);
  byId("answer").textContent = "";
  byId("results").hidden = true;
  matchedIds = [];
  plotted = { key: null, at: -Infinity };
}

function chosenIndex() {
  const slash = chosen.indexOf("/");
  return { account_id: chosen.slice(0, slash), index: chosen.slice(slash + 1) };
}

async function refreshPlot() {
  const index = state.indexes.find((candidate) => keyOf(candidate) === chosen);
  if (!index || isPlotting) return;
  const color = byId("color").value || "namespace";
  const key = JSON.stringify([chosen, index.processed_up_to_mutation, color]);
  if (key === plotted.key || performance.now() - plotted.at < PLOT_MS) return;
  isPlotting = true;
  try {
    const requested = chosen;
    const data = await read(`plot?${new URLSearchParams({ ...chosenIndex(), color })}`);
    if (requested !== chosen) return;
    update(byId("color"), data.keys.map((name) => Object.assign(element("option", name), { value: name })));
    byId("color").value = data.keys.includes(color) ? color : "namespace";
    plot.show(data, byId("color").value);
    plot.mark(matchedIds);
    plotted = { key, at: performance.now() };
  } catch (error) {
    byId("plot-caption").textContent = `The plot could not be drawn. ${error.message}`;
  } finally {
    isPlotting = false;
  }
}

function queryBody(fields) {
  const text = fields.get("vector");
  const body = { ...chosenIndex(), topK: Number(fields.get("topK")), returnMetadata: "all" };
  if (text === picked.text) body.vectorId = picked.id;
  else if (text.trim().startsWith("[")) body.vector = JSON.parse(text);
  else body.vectorId = text.trim();
  if (fields.get("namespace")) body.namespace = fields.get("namespace");
  if (fields.get("filter").trim()) body.filter = JSON.parse(fields.get("filter"));
  return body;
}

async function query() {
  const answer = byId("answer");
  try {
    const body = JSON.stringify(queryBody(new FormData(byId("query"))));
    const result = await read("query", { method: "POST", body, headers: { "Content-Type": "application/json" } });
    matchedIds = result.matches.map((match) => match.id);
    const rows = result.matches.map((match) =>
      row([
        element("td", match.score.toFixed(4), "number"), match.id, match.namespace ?? "",
        element("td", match.metadata === undefined ? "" : JSON.stringify(match.metadata), "metadata"),
      ]),
    );
    update(byId("matches"), rows);
    byId("results").hidden = rows.length === 0;
    answer.className = "";
    answer.textContent =
      `${rows.length} ${rows.length === 1 ? "result" : "results"} in ${duration(result.seconds)}. ` +
      `The plot marks ${plot.mark(matchedIds)} of them.`;
  } catch (error) {
    answer.className = "bad";
    answer.textContent = error instanceof SyntaxError ? `Not valid JSON: ${error.message}` : error.message;
  }
}

function draw() {
  showServer();
  showIndexes(state.indexes);
  showBudget(state.budget);
  showRequests(state.requests);
  refreshPlot();
}

async function poll() {
  if (!paused && !document.hidden) {
    try {
      state = await read("state");
      byId("connection").hidden = true;
      draw();
    } catch (error) {
      byId("connection").textContent = `Local Vectorize does not answer (${error.message}). Retrying every second.`;
      byId("connection").hidden = false;
    }
  }
  setTimeout(poll, POLL_MS);
}

const plot = new Plot((id) => {
  const box = byId("query").elements.vector;
  box.value = id; // The box drops line feeds.
  picked = { id, text: box.value };
  query();
});
byId("query").addEventListener("submit", (event) => {
  event.preventDefault();
  query();
});
byId("color").addEventListener("change", () => {
  plotted.at = -Infinity;
  refreshPlot();
});
byId("indexes").addEventListener("click", (event) => {
  if (!event.target.dataset.key) return;
  choose(event.target.dataset.key);
  draw();
});
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
});
poll();
