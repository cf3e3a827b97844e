// The page: files that are chosen or dropped, and the forecasts as a figure, a table and a CSV file.
import { bySeries, factsOf, forecast, rowsOf } from "./forecast.js";

const DRAWN = 60;  // last rows in the figure
const part = (id) => document.getElementById(id);
const chosen = { model: null, data: null, ahead: null };
let ort = null, results = new Map();

function report(text, error = false) {
  part("message").textContent = text;
  part("message").classList.toggle("error", error);
}

async function run() {
  if (!chosen.model || !chosen.data) return report(`Choose ${chosen.model ? "a CSV file" : "a model"} as well.`);
  report("Forecasting …");
  part("result").hidden = true;
  try {
    ort ??= await import("./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs").catch(() => {
      throw new Error("the page must have onnxruntime-web next to it: run npm install in its folder");
    });
    ort.env.wasm.numThreads = 1;  // more need headers that simple servers do not send
    ort.env.logLevel = "error";
    const bytes = await chosen.model.arrayBuffer(), facts = factsOf(bytes);
    if (!facts.horizon) throw new Error("the model must be a forecaster: this one reads recordings");
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    const rows = bySeries(rowsOf(await chosen.data.text()), facts);
    const later = chosen.ahead ? bySeries(rowsOf(await chosen.ahead.text()), facts) : new Map();
    if (!rows.size) throw new Error("the data must have rows: the file has none");
    results = new Map();
    for (const [name, own] of rows) results.set(name, await forecast(ort, session, facts, name, own, later.get(name) ?? []));
    show(facts);
  } catch (error) {
    report(error.message, true);
  }
}

function show(facts) {
  const key = facts.id ?? "id", time = facts.time ?? "step", [first] = results.values();
  report(`${results.size} series, ${facts.horizon} steps ahead.`);
  part("series").replaceChildren(...[...results.keys()].map((name) => new Option(name, name)));
  part("series").onchange = () => draw(facts, results.get(part("series").value));
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const lines = [...results].flatMap(([name, found]) => found.lines.map((line) => [quoted(name), line.time, ...line.numbers].join(",")));
  part("save").href = URL.createObjectURL(new Blob([[[key, time, ...first.columns].join(","), ...lines, ""].join("\n")], { type: "text/csv" }));
  part("result").hidden = false;
  draw(facts, first);
}

function element(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function draw(facts, found) {
  const target = facts.target[0], past = found.past.slice(-DRAWN), ends = ["lo", "hi"].map((end) => found.columns.findIndex((name) => name.startsWith(`${target}_${end}`)));
  const interval = ends.every((at) => at >= 0) ? found.lines.map((line) => ends.map((at) => line.numbers[at])) : [];
  const shown = [...past.map((row) => row.number), ...found.lines.map((line) => line.numbers[0]), ...interval.flat()].filter(Number.isFinite);
  const [low, high] = [Math.min(...shown), Math.max(...shown)], count = past.length + found.lines.length;
  const x = (i) => 94 + (i / Math.max(count - 1, 1)) * 530, y = (v) => 250 - ((v - low) / (high - low || 1)) * 230;
  const path = (points) => points.filter(([, v]) => Number.isFinite(v)).map(([i, v]) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  const steps = [[past.length - 1, past.at(-1).number], ...found.lines.map((line, i) => [past.length + i, line.numbers[0]])];
  const band = [...interval.map(([bottom], i) => [past.length + i, bottom]), ...interval.map(([, top], i) => [past.length + i, top]).reverse()];
  const digits = (v) => v.toLocaleString("en", { maximumSignificantDigits: 4 });
  part("chart").replaceChildren(
    ...[low, high].flatMap((v) => [
      element("line", { class: "axis", x1: 90, x2: 626, y1: y(v), y2: y(v) }),
      element("text", { x: 84, y: y(v) + 4, "text-anchor": "end" }, digits(v)),
    ]),
    ...(band.length ? [element("polygon", { class: "interval", points: path(band) })] : []),
    element("polyline", { class: "past", points: path(past.map((row, i) => [i, row.number])) }),
    element("polyline", { class: "forecast", points: path(steps) }),
    element("text", { x: 94, y: 284 }, past[0].time),
    element("text", { x: 626, y: 284, "text-anchor": "end" }, found.lines.at(-1).time),
  );
  part("caption").textContent = `${target}: the last ${past.length} rows, the forecast${band.length ? " and its interval" : ""}.`;
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const name of [facts.time ?? "step", ...found.columns]) head.append(Object.assign(document.createElement("th"), { textContent: name }));
  const body = table.createTBody();
  for (const line of found.lines) {
    const row = body.insertRow();
    for (const cell of [line.time, ...line.numbers.map(digits)]) row.insertCell().textContent = cell;
  }
  part("table").replaceChildren(table);
}

// The role of a dropped file follows from its name.
function roleOf(file) {
  if (file.name.endsWith(".onnx")) return "model";
  return file.name.toLowerCase().startsWith("future") ? "ahead" : "data";
}

for (const role of Object.keys(chosen)) part(role).onchange = (event) => ((chosen[role] = event.target.files[0]), run());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    for (const file of event.dataTransfer.files) chosen[roleOf(file)] = file;
    run();
  });
}
