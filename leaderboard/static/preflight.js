// Checks a predictions file in the page, by the server's rules, before it is sent. Nothing leaves the browser.
// Limits and texts are the server's own: `page_rules` of evaluator/reading/upload_rules.py, which the page contains as
// `rules`. They depend on public things only: the dataset and the benchmark's public image list.

// replaces NaN and Infinity, for which JSON has no words, while the rest is read
const NON_FINITE = "\u0000not finite: ";

class Problems {
  constructor(rules) {
    this.texts = rules.texts;
    this.most = rules.limits.problems;
    this.list = [];
    this.total = 0;
  }

  // As `Problems.broken` in evaluator/reading/json_documents.py.
  broken(rule, entry, pointer, values) {
    this.total += 1;
    if (this.list.length >= this.most) return;
    const [code, found, expected] = this.texts[rule];
    const fill = (text) => text.replace(/{(\w+)}/g, (_, name) => (name === "value" ? shown(values.value) : values[name]));
    this.list.push({ code, entry, pointer, message: fill(found), expected: fill(expected) });
  }
}

const hex = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

// JSON as Python writes it, of a little more than `room.left` characters: a list of a million numbers is not written out
// for a line of sixty characters.
function json(value, room) {
  room.left -= 1;
  if (typeof value === "string") {
    const start = value.startsWith(NON_FINITE) ? value.slice(NON_FINITE.length) : value.slice(0, Math.max(room.left, 0) + 1);
    room.left -= start.length;
    return JSON.stringify(start).replace(/[^ -~]/g, hex);
  }
  if (value === null || typeof value !== "object") return String(value);
  const parts = [];
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length && room.left > 0; index += 1) parts.push(json(value[index], room));
    return `[${parts.join(", ")}]`;
  }
  for (const key in value) {
    if (room.left <= 0) break;
    const name = json(key, room);
    parts.push(`${name}: ${json(value[key], room)}`);
  }
  return `{${parts.join(", ")}}`;
}

// The start of a value, as `shown` in evaluator/errors.py.
function shown(value) {
  if (value instanceof Float) return value.toString();
  if (typeof value === "string" && value.startsWith(NON_FINITE)) return value.slice(NON_FINITE.length);
  const text = json(value, { left: 61 });
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

// A number as Python writes a float: JavaScript leaves out the ".0" of a whole one.
class Float {
  constructor(value) {
    this.value = value;
  }

  toString() {
    const size = Math.abs(this.value);
    if (size >= 1e16 && Number.isFinite(size)) return this.value.toExponential();
    return Number.isInteger(this.value) ? `${this.value}.0` : String(this.value);
  }
}

// The numbers of a list by their meaning, as `Names` in evaluator/reading/upload_rules.py.
class Names {
  constructor(path, groups, axes) {
    Object.assign(this, { path, groups, axes });
  }

  // [pointer, what it is]
  number(index) {
    const size = this.axes.length;
    return [`${this.path}/${index}`, `${this.groups[Math.floor(index / size)]}, ${this.axes[index % size]}`];
  }
}

// One file's entries against the rules: what EntryReader and its kinds do on the server, in the same order.
class Entries {
  constructor(rules, imageList) {
    this.rules = rules;
    this.problems = new Problems(rules);
    this.people = imageList ? new Map(imageList.images.map((image) => [image.id, image.people ? image.people.map((person) => person.person_id) : null])) : null;
    this.counts = new Map(); // image -> entries
    this.entryOf = new Map(); // image and person -> entry
    this.smallest = Infinity; // coordinate
    this.tooFar = 0; // problems that are numbers of otherwise good entries
  }

  read(item, entry) {
    const { problems, rules } = this;
    if (item === null || typeof item !== "object" || Array.isArray(item)) {
      problems.broken("not_an_object", entry, "", { value: item });
      return;
    }
    const before = problems.total;
    const image = this.wholeNumber(entry, item, "image_id", true);
    const person = rules.single ? this.wholeNumber(entry, item, "person_id", false) : null;
    const score = rules.entry === "keypoints_3d" ? 0 : this.score(entry, item);
    const names = rules.entry === "uv" ? this.surfaceMap(entry, item) : this.keypoints(entry, item);
    if (rules.entry === "keypoints" && rules.limbs.length && "limbs" in item) this.limbs(entry, item);
    if (image === null || (rules.single && person === null && "person_id" in item)) return;
    this.counts.set(image, (this.counts.get(image) || 0) + 1);
    this.ids(entry, image, person);
    if (problems.total !== before) return;
    if (names) this.ranges(entry, names, item[rules.entry]);
    this.range(entry, "/score", "score", score);
    this.tooFar += problems.total - before;
  }

  wholeNumber(entry, item, key, required) {
    const value = item[key];
    const wrong = (rule) => this.problems.broken(rule, entry, `/${key}`, { key, value });
    if (!(key in item)) {
      if (required) this.problems.broken("missing_key", entry, "", { key });
    } else if (typeof value === "string" && value.startsWith(NON_FINITE)) wrong("id_not_finite");
    else if (!Number.isInteger(value)) wrong("id_not_whole");
    else if (Math.abs(value) > 2 ** 63) wrong("id_too_large");
    else return value;
    return null;
  }

  isNumber(entry, pointer, what, value) {
    if (typeof value === "number") return true;
    const rule = typeof value === "string" && value.startsWith(NON_FINITE) ? "not_finite" : "not_a_number";
    this.problems.broken(rule, entry, pointer, { what, value });
    return false;
  }

  range(entry, pointer, what, value) {
    if (Math.abs(value) <= this.rules.limits.largest) return true;
    this.problems.broken(Number.isFinite(value) ? "out_of_range" : "not_finite", entry, pointer, { what, value: new Float(value) });
    return false;
  }

  isList(entry, item, key, count) {
    const expected = this.rules.expected[key];
    const value = item[key];
    if (!(key in item)) this.problems.broken("missing_key", entry, "", { key });
    else if (!Array.isArray(value)) this.problems.broken("list_wrong_type", entry, `/${key}`, { key, value, expected });
    else if (value.length !== count) this.problems.broken("list_wrong_count", entry, `/${key}`, { key, count: value.length, expected });
    else return true;
    return false;
  }

  score(entry, item) {
    if (!("score" in item)) this.problems.broken("missing_key", entry, "", { key: "score" });
    else this.isNumber(entry, "/score", "score", item.score);
    return item.score;
  }

  // Groups of numbers, of which each whole group may be null where `mayMiss`.
  groups(entry, names, values, mayMiss) {
    const size = names.axes.length;
    for (let start = 0; start < values.length; start += size) {
      let missing = 0;
      for (let index = start; index < start + size; index += 1) missing += values[index] === null;
      if (missing === size && mayMiss) continue;
      if (missing) {
        const [pointer] = names.number(start);
        this.problems.broken(missing === size ? "missing_joint" : "partly_null", entry, pointer, { what: names.groups[start / size] });
        continue;
      }
      for (let index = start; index < start + size; index += 1) {
        if (typeof values[index] !== "number") this.isNumber(entry, ...names.number(index), values[index]);
      }
    }
  }

  ranges(entry, names, values) {
    values.forEach((value, index) => {
      if (value !== null && !(Math.abs(value) <= this.rules.limits.largest)) this.range(entry, ...names.number(index), value);
    });
  }

  keypoints(entry, item) {
    const { entry: key, joints, axes, missing_joints: mayMiss } = this.rules;
    const size = axes.keypoints.length;
    if (!this.isList(entry, item, key, size * joints.length)) return null;
    const names = new Names(`/${key}`, joints, axes.keypoints);
    const values = item[key];
    this.groups(entry, names, values, mayMiss && key === "keypoints");
    for (let start = 0; key === "keypoints" && start < values.length; start += size) {
      for (const value of [values[start], values[start + 1]]) if (typeof value === "number" && value < this.smallest) this.smallest = value;
    }
    return names;
  }

  limbs(entry, item) {
    const { axes, limbs, single } = this.rules;
    if (!this.isList(entry, item, "limbs", limbs.length)) return;
    item.limbs.forEach((limb, index) => {
      const names = new Names(`/limbs/${index}`, [limbs[index]], axes.limbs);
      if (!Array.isArray(limb) || limb.length !== axes.limbs.length) {
        this.problems.broken("limb_wrong_count", entry, names.path, { what: limbs[index], value: limb });
        return;
      }
      const before = this.problems.total;
      this.groups(entry, names, limb, single);
      if (this.problems.total === before) this.ranges(entry, names, limb);
    });
  }

  // A box and a shape that fit; the map itself is checked on the server.
  surfaceMap(entry, item) {
    const { problems, rules } = this;
    const before = problems.total;
    if (this.isList(entry, item, "bbox", rules.axes.bbox.length)) {
      const names = new Names("/bbox", ["bbox"], rules.axes.bbox);
      item.bbox.forEach((value, index) => {
        const [pointer, what] = names.number(index);
        if (this.isNumber(entry, pointer, what, value) && this.range(entry, pointer, what, value) && index > 1 && !(value > 0)) {
          problems.broken("box_without_size", entry, pointer, { what, value });
        }
      });
    }
    const shape = item.uv_shape;
    if (this.isList(entry, item, "uv_shape", 3)) {
      if (!shape.every(Number.isInteger)) problems.broken("shape_not_whole", entry, "/uv_shape", { value: shape });
      else if (shape[0] !== 3 || Math.min(...shape) < 1) problems.broken("shape_wrong", entry, "/uv_shape", { value: shape });
    }
    if (!("uv_data" in item)) problems.broken("missing_key", entry, "", { key: "uv_data" });
    else if (typeof item.uv_data !== "string") problems.broken("map_not_text", entry, "/uv_data", { value: item.uv_data });
    if (problems.total !== before) return;
    const [box_width, box_height] = item.bbox.slice(2).map((side) => Math.max(Math.trunc(side), 1));
    const [, height, width] = shape;
    if (height !== box_height || width !== box_width) {
      problems.broken("shape_not_of_box", entry, "/uv_shape", { width, height, box_width, box_height });
    } else if (width * height > rules.limits.map_pixels) {
      problems.broken("map_too_large", entry, "/uv_shape", { pixels: width * height });
    }
  }

  ids(entry, image, given) {
    const { people, problems, rules } = this;
    if (people && !people.has(image)) {
      problems.broken("unknown_image", entry, "/image_id", { image });
      return;
    }
    if (!rules.single) return;
    const listed = (people && people.get(image)) || [0];
    if (given === null && listed.length !== 1) {
      problems.broken("missing_person_id", entry, "", { image, people: listed.length });
      return;
    }
    const person = given === null ? listed[0] : given;
    if (people && !listed.includes(person)) {
      problems.broken("unknown_person", entry, "/person_id", { image, person });
      return;
    }
    const pose = `${image} ${person}`;
    if (this.entryOf.has(pose)) problems.broken("repeated_person", entry, "", { person, image, other: this.entryOf.get(pose) });
    else this.entryOf.set(pose, entry);
  }

  // Each person of the image list without an entry, where everybody must have one.
  everybody() {
    const missing = new Problems(this.rules);
    for (const [image, listed] of this.people) {
      for (const person of listed || [0]) {
        if (missing.total >= this.rules.limits.counted) return missing;
        if (!this.entryOf.has(`${image} ${person}`)) missing.broken("missing_person", null, "", { person, image });
      }
    }
    return missing;
  }
}

// How much a file for this benchmark may hold, as `limits_of` on the server: {size in bytes, entries}.
export function limits(rules, imageList) {
  const bounds = rules.limits;
  if (!imageList) return { size: bounds.size, entries: Infinity };
  const people = imageList.images.reduce((sum, image) => sum + (image.people ? image.people.length : 1), 0);
  const expected = rules.single ? 2 * people : Math.max(bounds.least_entries, bounds.entries_per_image * imageList.images.length);
  const pixels = Math.min(bounds.pixels, Math.max(bounds.least_pixels, bounds.pixels_per_image * imageList.images.length));
  const numbers = 3 * rules.joints.length + 4 * rules.limbs.length;
  const size = rules.entry === "uv" ? 4 * pixels : expected * (bounds.number_bytes * numbers + bounds.other_bytes);
  return {
    size: Math.min(bounds.size, Math.max(bounds.least_size, Math.ceil(size / 2 ** 20) * 2 ** 20)),
    entries: rules.single ? Infinity : expected,
  };
}

// Returns {problems, total, entries, covered: images with an entry, images, most: poses in one image, hints}.
export function check(document_, rules, imageList) {
  const reader = new Entries(rules, imageList);
  const { counts, people, problems } = reader;
  const result = { problems: problems.list, total: 0, entries: 0, covered: 0, images: people ? people.size : null, most: 0, hints: [] };
  if (!Array.isArray(document_)) {
    problems.broken("not_a_list", null, "", { value: document_ });
    result.total = problems.total;
    return result;
  }
  const most = limits(rules, imageList).entries;
  const full = () => problems.total >= rules.limits.counted;
  for (let entry = 0; entry < Math.min(document_.length, most + 1) && !full(); entry += 1) reader.read(document_[entry], entry);
  if (document_.length > most && !full()) problems.broken("too_many_entries", null, "", { most });
  const missing = rules.entry === "keypoints_3d" && people && problems.total === reader.tooFar && !full() ? reader.everybody() : new Problems(rules);
  result.total = problems.total + missing.total;
  // problems of the file as a whole come first
  const whole = [...problems.list, ...missing.list].filter((each) => each.entry === null);
  result.problems = [...whole, ...problems.list.filter((each) => each.entry !== null)].slice(0, rules.limits.problems);
  result.entries = document_.length;
  result.covered = people ? [...counts.keys()].filter((image) => people.has(image)).length : counts.size;
  result.most = Math.max(0, ...[...counts.values()].slice(0, 100000));
  if (people && result.covered < people.size && !result.total) {
    const lost = people.size - result.covered;
    result.hints.push(`${lost.toLocaleString("en")} of ${people.size.toLocaleString("en")} images have no entry. Everybody in them counts as missed.`);
  }
  if (reader.smallest === 1) result.hints.push("The smallest coordinate is exactly 1.0: pixels are counted from 0 here. One pixel moves strict metrics.");
  return result;
}

export class TooLarge extends Error {
  constructor(rule, most) {
    super();
    Object.assign(this, { rule, size: most % 2 ** 30 === 0 ? `${most >> 30} GiB` : `${most >> 20} MiB` });
  }
}

// The text of a file: .json as it is, .json.gz inflated. A zip is left to the server.
export async function text(file, most) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head[0] === 0x50 && head[1] === 0x4b) return null;
  let stream = file.stream();
  const packed = head[0] === 0x1f && head[1] === 0x8b;
  if (packed) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > most) {
      await reader.cancel();
      throw new TooLarge(packed ? "inflates_too_large" : "file_too_large", most);
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
  parts.push(decoder.decode());
  return parts.join("");
}

// The document with NaN and Infinity marked wherever they are not in a string.
function withWords(source) {
  const next = /"|-?\bInfinity\b|\bNaN\b/g;
  const parts = [];
  let from = 0;
  for (let found = next.exec(source); found; found = next.exec(source)) {
    if (found[0] !== '"') {
      parts.push(source.slice(from, found.index), JSON.stringify(NON_FINITE + found[0]));
      from = next.lastIndex;
      continue;
    }
    let end = found.index;
    let slashes;
    do {
      end = source.indexOf('"', end + 1);
      slashes = 0;
      while (end > 0 && source[end - 1 - slashes] === "\\") slashes += 1;
    } while (slashes % 2);
    if (end < 0) break;
    next.lastIndex = end + 1;
  }
  parts.push(source.slice(from));
  return parts.join("");
}

// JSON, and where the only trouble is NaN or Infinity, the document with those marked so that they can be named.
export function parse(source) {
  try {
    return JSON.parse(source);
  } catch (error) {
    const marked = withWords(source);
    if (marked === source) throw error;
    return JSON.parse(marked);
  }
}

// --- the page ---

const SIGNS = {
  bad: "M8 2 14.5 13.5h-13ZM8 6.5v3.2M8 11.4v.2",
  warn: "M8 2 14.5 13.5h-13ZM8 6.5v3.2M8 11.4v.2",
  ok: "M2.5 8.5 6.3 12.3 13.5 4.5",
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function sign(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", "stroke-width": "1.6", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SIGNS[kind]);
  svg.append(path);
  return svg;
}

function bytes(count) {
  return count < 1000 ? `${count} B` : count < 1e6 ? `${Math.round(count / 1000)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}

function many(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

function page() {
  const form = document.getElementById("submit-form");
  const input = document.getElementById("id_file");
  const drop = document.getElementById("drop");
  const panel = document.getElementById("checks");
  const send = document.getElementById("send");
  const said = document.getElementById("checks-said");
  const rules = JSON.parse(document.getElementById("rules").textContent);
  const described = JSON.parse(document.getElementById("described").textContent);
  const timers = [];
  let phase = send ? send.dataset.phase : "";
  let fileIsBad = false;
  let sending = false;
  let list = null;
  let turn = 0;

  function least(total) {
    return total >= rules.limits.counted ? "At least " : "";
  }

  function tooLarge({ rule, size }) {
    const problems = new Problems(rules);
    problems.broken(rule, null, "", { size });
    const [{ message, expected }] = problems.list;
    return `${message[0].toUpperCase()}${message.slice(1)}. Expected ${expected}.`;
  }

  function images() {
    if (!rules.images) return Promise.resolve(null);
    list = list || fetch(rules.images, { credentials: "same-origin" }).then((response) => (response.ok ? response.json() : null)).catch(() => null);
    return list;
  }

  function button() {
    if (!send) return;
    const ready = phase === "open" && !fileIsBad;
    send.disabled = !ready || sending;
    send.classList.toggle("off", !ready);
    send.classList.toggle("go", ready);
    send.toggleAttribute("aria-busy", sending);
    send.textContent = sending ? "Sending…" : phase !== "open" ? send.dataset[phase] : fileIsBad ? "Fix the file first" : send.dataset.open;
  }

  function allow(yes) {
    fileIsBad = !yes;
    button();
  }

  // Counted from when the page was made: the reader's clock may be wrong.
  function at(seconds, act) {
    if (seconds === undefined) return;
    const due = Date.now() + 1000 * Number(seconds);
    timers.push(() => { if (act && Date.now() >= due) { act(); act = null; } });
  }

  function enter(next) {
    phase = next;
    for (const [id, shown] of [["closed", next === "closed"], ["not-open", false]]) {
      const box = document.getElementById(id);
      if (box) box.hidden = !shown;
    }
    button();
  }

  function show(kind, title, line, result) {
    panel.hidden = false;
    panel.className = `checks ${kind}`;
    const heading = element("h3", { id: "checks-title" }, title);
    const head = element("header", {}, sign(kind), element("div", {}, heading, element("p", { class: "small soft" }, line)));
    panel.replaceChildren(head);
    said.textContent = `${title}. ${line}`;
    if (!result) return;
    if (result.problems.length) {
      const copy = element("button", { type: "button", class: "btn tiny push" }, "Copy the list");
      copy.addEventListener("click", async () => {
        const lines = result.problems.map((each) => `${each.entry === null ? "file" : `entry ${each.entry}`}${each.pointer}: ${each.message} (expected ${each.expected})`);
        await navigator.clipboard.writeText(lines.join("\n"));
        copy.textContent = "Copied";
      });
      head.append(copy);
    }
    const covered = result.images === null ? result.covered.toLocaleString("en") : `${result.covered.toLocaleString("en")} of ${result.images.toLocaleString("en")}`;
    const share = element("dd", {}, covered);
    const coverage = element("div", {}, element("dt", {}, "Images covered"), share);
    if (result.images) share.append(element("progress", { max: result.images, value: result.covered, "aria-label": "Images covered" }));
    panel.append(
      element("dl", { class: "facts" },
        element("div", {}, element("dt", {}, "Entries"), element("dd", {}, result.entries.toLocaleString("en"))),
        coverage,
        element("div", {}, element("dt", {}, "Poses per image"), element("dd", {}, `${result.most} `, element("small", { class: "muted small" }, "at most"))),
        element("div", {}, element("dt", {}, "Problems"), element("dd", {}, least(result.total) + result.total.toLocaleString("en")))),
    );
    if (!result.problems.length && !result.hints.length) return;
    const items = element("ol", { class: "probs" });
    for (const each of result.problems) {
      const where = element("span", { class: "where" }, each.entry === null ? "file" : `entry ${each.entry}`);
      if (each.pointer) where.append(element("span", { class: "ptr" }, each.pointer));
      items.append(element("li", {}, where, element("div", {}, element("p", {}, each.message), element("p", {}, `Expected ${each.expected}.`)), element("span", { class: "got" }, each.code)));
    }
    for (const hint of result.hints) {
      items.append(element("li", {}, element("span", { class: "where warnw" }, "hint"), element("div", {}, element("p", {}, hint)), element("span", { class: "got" })));
    }
    items.tabIndex = 0;
    items.setAttribute("aria-label", "What was found");
    panel.append(items);
  }

  async function look(file) {
    const mine = ++turn;
    const started = performance.now();
    document.getElementById("drop-name").textContent = file.name;
    document.getElementById("drop-fact").textContent = `${bytes(file.size)}. Being checked in this page; nothing has been sent.`;
    document.getElementById("drop-button").textContent = "Choose another file";
    fill("file", file.name);
    if (file.size > rules.limit) {
      show("bad", "The file is too large to be sent from this page", `At most ${rules.limit >> 20} MiB. Compress it: .json.gz and .zip are read too.`, null);
      allow(false);
      return;
    }
    let result = null;
    try {
      const known = await images();
      const source = await text(file, limits(rules, known).size);
      if (mine !== turn) return;
      if (source === null) {
        show("warn", "A zip is checked on the server", "It must hold exactly one .json file. Send it, or unpack it to have it checked here.", null);
        allow(true);
        return;
      }
      const document_ = parse(source);
      result = check(document_, rules, known);
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof RangeError) { // a browser's text has at most half a GiB
        show("warn", "The file is too large to be checked in this page", "It is checked on the server.", null);
        allow(true);
        return;
      }
      const because = error instanceof SyntaxError ? `It is not JSON: ${error.message}.` : error instanceof TooLarge ? tooLarge(error) : "It is damaged, or not UTF-8 text.";
      document.getElementById("drop-fact").textContent = `${bytes(file.size)}. It could not be read; nothing has been sent.`;
      show("bad", "The file cannot be read, so it cannot be sent yet", `${because} Checking costs no quota.`, null);
      allow(false);
      return;
    }
    if (mine !== turn) return;
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    document.getElementById("drop-fact").textContent = `${bytes(file.size)}. Checked in this page in ${seconds} s; nothing has been sent.`;
    if (result.total) {
      const rest = result.total > result.problems.length ? `The first ${result.problems.length} are listed. ` : "";
      show("bad", `${least(result.total)}${many(result.total, "problem")}, so this file cannot be sent yet`, `${rest}Checking costs no quota. Fix the file and drop it again.`, result);
      allow(false);
    } else {
      const hinted = result.hints.length ? ` and ${many(result.hints.length, "hint")}` : "";
      show(result.hints.length ? "warn" : "ok", `${many(result.entries, "entry").replace("entrys", "entries")}, no problems${hinted}`, "The server checks it again. It has not been sent yet.", result);
      allow(true);
    }
  }

  function fill(name, value) {
    for (const target of document.querySelectorAll(`[data-fill=${name}]`)) target.textContent = value;
  }

  // to the browser a fixed file of the same name is the same file: forget it, so that it can be chosen again
  let before = null;
  input.addEventListener("click", () => {
    before = new DataTransfer();
    for (const file of input.files) before.items.add(file);
    input.value = "";
  });
  input.addEventListener("cancel", () => { if (before) input.files = before.files; });
  input.addEventListener("change", () => { if (input.files.length) look(input.files[0]); });
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    look(input.files[0]);
  });
  const method = document.getElementById("id_method");
  method.addEventListener("input", () => {
    fill("method", method.value.replace(/["\\$`]/g, "\\$&") || "My method");
    const known = described[method.value];
    if (!known) return;
    for (const [key, value] of Object.entries(known)) {
      const field = document.getElementById(`id_${key}`);
      if (field && !field.value) field.value = value;
    }
  });

  // --- sending: by the script, so that errors appear here and the chosen file stays chosen

  const alert_ = document.getElementById("form-error");

  function complain(errors) {
    for (const old of form.querySelectorAll(".wrong[data-sent]")) old.remove();
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    const { __all__: whole = [], file = [], ...fields } = errors;
    const fileError = document.getElementById("id_file_error");
    fileError.textContent = file.join(" ");
    fileError.hidden = !file.length;
    for (const [name, messages] of Object.entries(fields)) {
      const field = document.getElementById(`id_${name}`);
      if (!field) { whole.push(...messages); continue; }
      field.setAttribute("aria-invalid", "true");
      field.closest(".field").append(element("p", { class: "wrong", "data-sent": "" }, messages.join(" ")));
    }
    const found = Object.keys(errors).length > 0;
    alert_.hidden = !found;
    alert_.querySelector("p").textContent = !found ? "" : whole.join(" ") || "Nothing was submitted. Please correct the marked fields.";
    if (found) alert_.scrollIntoView({ block: "center" });
  }

  // the page as it is now: after signing in again, its form has another token
  async function renewToken() {
    const response = await fetch(location.href, { credentials: "same-origin" });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("#submit-form [name=csrfmiddlewaretoken]");
    if (fresh) form.elements.csrfmiddlewaretoken.value = fresh.value;
    return Boolean(fresh);
  }

  function post() {
    return fetch(form.action, { method: "POST", body: new FormData(form), credentials: "same-origin", headers: { Accept: "application/json" } });
  }

  async function submit() {
    let response = await post();
    if (response.status === 403 && (await renewToken())) response = await post();
    const inJson = (response.headers.get("Content-Type") || "").startsWith("application/json");
    if (inJson) {
      const said = await response.json();
      if (said.url) { location.assign(said.url); return true; }
      if (said.errors) { complain(said.errors); return false; }
    }
    const because = response.redirected || response.status === 403 ? "You are signed out. Sign in again in another tab, then submit once more."
      : response.status === 413 ? "The file is larger than the server accepts. Compress it: .json.gz and .zip are read too."
      : response.status === 429 ? "Too many requests. Wait a moment, then submit again."
      : `The server could not accept the file now (${response.status}). Submit again in a while.`;
    complain({ __all__: [`${because} Your file and entries are still here.`] });
    return false;
  }

  form.addEventListener("submit", async (event) => {
    if (!send) return;
    event.preventDefault();
    if (sending || phase !== "open") return;
    sending = true;
    button();
    let left = false;
    try {
      left = await submit();
    } catch {
      complain({ __all__: ["The file did not reach the server: the connection failed, or the file changed on disk. Your entries are still here; submit again."] });
    }
    if (left) return;
    sending = false;
    button();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) { sending = false; button(); } });
  at(form.dataset.opensIn, () => enter("open"));
  at(form.dataset.closesIn, () => enter("closed"));
  if (timers.length) setInterval(() => { for (const look_ of timers) look_(); }, 500);
  if (input.files.length) look(input.files[0]);
}

if (typeof document !== "undefined" && document.getElementById("submit-form")) page();
