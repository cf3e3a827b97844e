// Rows of CSV files as the inputs of a graph that tsforecast exported, and its outputs as forecasts: as forecast.py does.

const DAY = 86_400_000;
const CYCLES = {  // of the calendar: the place of a time in one, and its length
  minute: (t) => [new Date(t).getUTCMinutes(), 60],
  hour: (t) => [(t - startOfDay(t)) / 3_600_000, 24],
  weekday: (t) => [(Math.floor(t / DAY) + 3) % 7, 7],
  day: (t) => [new Date(t).getUTCDate() - 1, 31],
  yearday: (t) => [(startOfDay(t) - Date.UTC(new Date(t).getUTCFullYear(), 0, 1)) / DAY, 365.25],
  month: (t) => [new Date(t).getUTCMonth(), 12],
};

const startOfDay = (t) => Math.floor(t / DAY) * DAY;
const monthOf = (t) => new Date(t).getUTCFullYear() * 12 + new Date(t).getUTCMonth() - 1970 * 12;
const startOfMonth = (months) => Date.UTC(1970, months, 1);

// The text of the facts lies among the metadata of the file: field 14 of the model, a key and a value.
export function factsOf(bytes) {
  const view = new Uint8Array(bytes), decoder = new TextDecoder();
  for (const [field, part] of fields(view)) {
    if (field !== 14) continue;
    const entry = Object.fromEntries(fields(part));
    if (decoder.decode(entry[1]) === "tsforecast") return JSON.parse(decoder.decode(entry[2]));
  }
  throw new Error("the model must be a file that tsforecast exported: it has no facts of it");
}

// Fields of a message of Protocol Buffers that are bytes, with their numbers.
function* fields(bytes) {
  let at = 0;
  const number = () => {
    let value = 0, factor = 1, byte;
    do {
      if (at >= bytes.length) throw new Error("the model must be an ONNX file: it ends in the midst of a field");
      byte = bytes[at++];
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = number(), kind = tag % 8, field = Math.floor(tag / 8);
    if (kind === 2) {
      const size = number();
      yield [field, bytes.subarray(at, at + size)];
      at += size;
    } else if (kind === 0) number();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else throw new Error("the model must be an ONNX file: it has a field of an unknown kind");
  }
}

// Rows of a CSV file as objects by column; cells may be in quotes.
export function rowsOf(text) {
  const rows = [];
  let row = [], cell = "", quoted = false;
  const source = text.replace(/^\ufeff/, "");
  for (let i = 0; i < source.length; i++) {
    const letter = source[i];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (source[i + 1] === '"') cell += source[++i];
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") row.push(cell), (cell = "");
    else if (letter === "\n" || letter === "\r") {
      if (cell || row.length) rows.push([...row, cell]);
      (row = []), (cell = "");
    } else cell += letter;
  }
  if (cell || row.length) rows.push([...row, cell]);
  const [names = [], ...others] = rows;
  return others.map((cells) => Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""])));
}

// Rows by series, in the order in which they come.
export function bySeries(rows, facts) {
  const key = facts.id ?? "id", found = new Map();
  if (facts.wide && rows.length) {  // a column for each series
    const names = Object.keys(rows[0]).filter((name) => name !== facts.time);
    rows = names.flatMap((name) => rows.map((row) => ({ [facts.time]: row[facts.time], [key]: name, [facts.target[0]]: row[name] })));
  }
  for (const row of rows) {
    const name = row[key] || "0";
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(row);
  }
  return found;
}

// A cell as a number: NaN where there is none; of a text its place among those that are known.
function numberOf(name, cell, texts) {
  if (name in texts) {
    const place = texts[name].indexOf(cell);
    if (place >= 0 || cell === "") return place;
    const code = texts[name].indexOf(String(Number(cell)));  // codes are whole numbers, which a file may have as 2.0
    return code < 0 ? texts[name].length : code;
  }
  const text = (cell ?? "").trim();
  if (["", "nan", "na", "null", "none"].includes(text.toLowerCase())) return NaN;
  if (["true", "false"].includes(text.toLowerCase())) return Number(text.toLowerCase() === "true");
  const number = Number(text);
  if (Number.isNaN(number)) throw new Error(`column ${name} must hold numbers with a decimal point: got '${cell}'`);
  return number;
}

// The steps of a series: rows by place, and the times of places.
class Steps {
  constructor(rows, facts) {
    this.facts = facts;
    this.unit = facts.frequency.unit;
    if (this.unit === "business day") throw new Error("this page must have days, months or shorter steps: the model has business days; use forecast.py");
    this.size = this.unit === "nanosecond" ? facts.frequency.count / 1e6 : facts.frequency.count;
    this.first = this.rest = 0;
    if (facts.kind !== "none") {
      const times = rows.map((row) => this.timeOf(row));
      const early = times.reduce((a, b) => Math.min(a, b));
      [this.first, this.rest] = this.split(early);
    }
    this.places = this.of(rows);
    this.length = this.places.reduce((a, b) => Math.max(a, b)) + 1;
  }

  timeOf(row) {
    const cell = row[this.facts.time];
    if (cell === undefined) throw new Error(`the file must have the column ${this.facts.time}`);
    if (this.facts.kind !== "datetime") return Number(cell);
    const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(cell), whole = cell.includes(":") ? cell.replace(" ", "T") : `${cell.slice(0, 10)}T00:00`;
    const time = Date.parse(zoned ? whole : `${whole}Z`);
    if (Number.isNaN(time)) throw new Error(`column ${this.facts.time} must hold times such as 2024-05-01 13:00: got '${cell}'`);
    return time;
  }

  // A time as a number that grows from step to step, and the rest.
  split(time) {
    if (this.unit === "integer" || this.unit === "nanosecond") return [time, 0];
    const months = monthOf(time);
    return [months, time - startOfMonth(months + (this.unit === "month end"))];
  }

  of(rows) {
    if (this.facts.kind === "none") return rows.map((_, i) => i);
    const places = rows.map((row) => (this.split(this.timeOf(row))[0] - this.first) / this.size);
    const seen = new Set();
    const odd = places.findIndex((place) => !Number.isInteger(place) || seen.size === seen.add(place).size);
    if (odd >= 0) throw new Error(`times must be different steps of ${this.facts.frequency.name}: see ${rows[odd][this.facts.time]}`);
    return places;
  }

  // Columns of rows, one number after the other, with NaN in steps that have no row.
  table(rows, places, names, length) {
    const lacks = names.filter((name) => !(name in rows[0]));
    if (lacks.length) throw new Error(`the file must have the columns ${names.join(", ")}: it lacks ${lacks.join(", ")}`);
    const found = Array.from({ length }, () => names.map(() => NaN));
    rows.forEach((row, i) => {
      if (places[i] >= 0 && places[i] < length) found[places[i]] = names.map((name) => numberOf(name, row[name], this.facts.texts));
    });
    return found;
  }

  time(place) {
    if (this.facts.kind === "none") return place + 1;
    const number = this.first + this.size * place;
    if (this.unit === "integer" || this.unit === "nanosecond") return number;
    return startOfMonth(number + (this.unit === "month end")) + this.rest;
  }

  // Times of places as text: dates alone where all are midnights.
  labels(places) {
    const times = places.map((place) => this.time(place));
    if (this.facts.kind !== "datetime") return times.map(String);
    const texts = times.map((time) => new Date(time).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, ""));
    return texts.every((text) => text.endsWith(" 00:00:00")) ? texts.map((text) => text.slice(0, 10)) : texts;
  }
}

const waves = (times, names) => times.map((t) => names.flatMap((name) => {
  const [place, length] = CYCLES[name](t), angle = (2 * Math.PI * place) / length;
  return [Math.sin(angle), Math.cos(angle)];
}));

// Run the graph on one series: its last rows, and points and quantiles of each step to come.
export async function forecast(ort, session, facts, name, rows, later) {
  const steps = new Steps(rows, facts), { horizon } = facts;
  const ahead = facts.inputs.includes("ahead") ? facts.future : [];
  const old = Array.from({ length: steps.length }, (_, i) => i), coming = Array.from({ length: horizon }, (_, i) => steps.length + i);
  let past = steps.table(rows, steps.places, [...facts.target, ...facts.past, ...facts.future], steps.length);
  let known = coming.map(() => []);
  if (ahead.length) {
    const places = facts.kind === "none" ? later.map((_, i) => i) : steps.of(later).map((place) => place - steps.length);
    known = later.length ? steps.table(later, places, ahead, horizon) : known.map(() => ahead.map(() => NaN));
    if (known.flat().some(Number.isNaN)) throw new Error(`series '${name}' must have ${ahead.join(", ")} for ${horizon} steps to come: add a file of them`);
  }
  if (facts.calendar.length) {
    const with_ = (table, places) => waves(places.map((at) => steps.time(at)), facts.calendar).map((wave, i) => [...table[i], ...wave]);
    [past, known] = [with_(past, old), with_(known, coming)];
  }
  const whole = (value) => new ort.Tensor("int64", BigInt64Array.from([BigInt(value)]), [1]);
  const numbers = (table, shape) => new ort.Tensor("float64", Float64Array.from(table.flat()), shape);
  const every = {
    past: () => numbers(past, [1, past.length, past[0].length]),
    known: () => whole(steps.length),
    series: () => whole(facts.ids.length === 1 && name === "0" && !facts.id ? 0 : facts.ids.indexOf(name)),
    ahead: () => numbers(known, [1, horizon, known[0].length]),
    static: () => numbers([facts.static.map((key) => numberOf(key, rows[0][key], facts.texts))], [1, facts.static.length]),
  };
  const found = await session.run(Object.fromEntries(facts.inputs.map((key) => [key, every[key]()])));
  const order = [...new Set(Object.values(facts.levels))].sort((a, b) => a - b), targets = facts.target.length;
  const columns = ["", ...Object.keys(facts.levels)].flatMap((level) => facts.target.map((name) => (level ? `${name}_${level}` : name)));
  const dates = steps.labels([...old, ...coming]);
  const lines = coming.map((place, h) => {
    const points = facts.target.map((_, k) => found.forecast.data[h * targets + k]);
    const others = Object.values(facts.levels).flatMap((level) =>
      facts.target.map((_, k) => found.quantiles.data[(h * targets + k) * order.length + order.indexOf(level)]));
    return { time: dates[place], numbers: [...points, ...others] };
  });
  return { columns, lines, past: old.map((i) => ({ time: dates[i], number: past[i][0] })) };
}
