// Checks a predictions file in the page, by the server's rules, before it is sent. Nothing leaves the browser.
// The rules come from public things only: the dataset's joints and the benchmark's public image list.

export const MOST_PROBLEMS = 100;
const MOST_COUNTED = 1000; // problems after which the rest is not looked at
const LARGEST = 1e6;
const LARGEST_INFLATED = 2 ** 30;
const MOST_PIXELS = 2 ** 22;
const NUMBER = "a finite number of magnitude up to 1e6";
// what stands in for NaN and Infinity, which JSON has no words for, while the rest is read
const NON_FINITE = "\u0000not finite: ";

class Problems {
  constructor() {
    this.list = [];
    this.total = 0;
  }

  add(code, entry, pointer, message, expected) {
    this.total += 1;
    if (this.list.length < MOST_PROBLEMS) this.list.push({ code, entry, pointer, message, expected });
  }
}

// What is written first of a value: a list of a million numbers is not written out for a line of sixty characters.
function startOf(value, room) {
  room.left -= 1;
  if (typeof value === "string") {
    const start = value.slice(0, Math.max(room.left, 0) + 1);
    room.left -= start.length;
    return start;
  }
  if (value === null || typeof value !== "object") return value;
  const made = Array.isArray(value) ? [] : {};
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length && room.left > 0; index += 1) made.push(startOf(value[index], room));
    return made;
  }
  for (const key in value) {
    if (room.left <= 0) break;
    made[startOf(key, room)] = startOf(value[key], room);
  }
  return made;
}

function shown(value) {
  if (typeof value === "string" && value.startsWith(NON_FINITE)) return value.slice(NON_FINITE.length);
  const text = value === undefined ? "nothing" : JSON.stringify(startOf(value, { left: 61 }));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function isNumber(problems, entry, pointer, what, value) {
  if (typeof value === "string" && value.startsWith(NON_FINITE)) {
    problems.add("not_finite", entry, pointer, `${what} is ${shown(value)}`, NUMBER);
  } else if (typeof value !== "number") {
    problems.add("wrong_type", entry, pointer, `${what} is ${shown(value)}`, NUMBER);
  } else if (!Number.isFinite(value)) {
    problems.add("not_finite", entry, pointer, `${what} is too large to be a number`, NUMBER);
  } else if (Math.abs(value) > LARGEST) {
    problems.add("out_of_range", entry, pointer, `${what} is ${shown(value)}`, NUMBER);
  } else {
    return true;
  }
  return false;
}

function wholeNumber(problems, entry, item, key, required) {
  if (!(key in item)) {
    if (required) problems.add("missing_key", entry, "", `no ${key}`, `a ${key}`);
    return null;
  }
  if (!Number.isInteger(item[key])) {
    problems.add("wrong_type", entry, `/${key}`, `${key} is ${shown(item[key])}`, "a whole number");
    return null;
  }
  return item[key];
}

function groups(problems, entry, path, what, values, size, unit, mayMiss) {
  for (let start = 0; start < values.length; start += size) {
    const group = values.slice(start, start + size);
    const missing = group.filter((value) => value === null).length;
    const index = start / size;
    if (missing === size && mayMiss) continue;
    if (missing === size) {
      problems.add("missing_joint", entry, `${path}/${start}`, `${unit} ${index} is missing`, "a place for every joint");
    } else if (missing) {
      problems.add("incomplete_joint", entry, `${path}/${start}`, `${unit} ${index} is partly null`, "all null, or none");
    } else {
      group.forEach((value, offset) => {
        isNumber(problems, entry, `${path}/${start + offset}`, `${what}[${start + offset}]`, value);
      });
    }
  }
}

function isList(problems, entry, item, key, count, expected) {
  const value = item[key];
  if (!(key in item)) problems.add("missing_key", entry, "", `no ${key}`, key);
  else if (!Array.isArray(value)) problems.add("wrong_type", entry, `/${key}`, `${key} is ${shown(value)}`, expected);
  else if (value.length !== count) problems.add("wrong_count", entry, `/${key}`, `${key} has ${value.length} values`, expected);
  else return true;
  return false;
}

// A box and a shape that fit; the picture itself is looked at on the server.
function surfaceMap(problems, entry, item) {
  const before = problems.total;
  const boxed = isList(problems, entry, item, "bbox", 4, "four numbers: x, y, width, height");
  if (boxed) {
    item.bbox.forEach((value, index) => {
      if (isNumber(problems, entry, `/bbox/${index}`, `bbox[${index}]`, value) && index > 1 && !(value > 0)) {
        problems.add("invalid_box", entry, `/bbox/${index}`, `bbox[${index}] is ${shown(value)}`, "a width and a height above 0");
      }
    });
  }
  const shape = item.uv_shape;
  if (isList(problems, entry, item, "uv_shape", 3, "[3, height, width]")) {
    if (!shape.every(Number.isInteger)) problems.add("wrong_type", entry, "/uv_shape", `uv_shape is ${shown(shape)}`, "three whole numbers");
    else if (shape[0] !== 3 || Math.min(...shape) < 1) problems.add("image_size", entry, "/uv_shape", `uv_shape is ${shown(shape)}`, "[3, height, width]");
  }
  if (!("uv_data" in item)) problems.add("missing_key", entry, "", "no uv_data", "uv_data");
  else if (typeof item.uv_data !== "string") problems.add("wrong_type", entry, "/uv_data", `uv_data is ${shown(item.uv_data)}`, "an RGB PNG of eight bits in base64");
  if (problems.total !== before) return;
  const [width, height] = item.bbox.slice(2).map((side) => Math.max(Math.trunc(side), 1));
  if (shape[1] !== height || shape[2] !== width) {
    problems.add("image_size", entry, "/uv_shape", `uv_shape is for ${shape[2]} x ${shape[1]} pixels, the box has ${width} x ${height}`, "the size of bbox, rounded down");
  } else if (width * height > MOST_PIXELS) {
    problems.add("image_size", entry, "/uv_shape", `${width * height} pixels`, `at most ${MOST_PIXELS}`);
  }
}

// How much a file for this benchmark may hold, as evaluator/reading/upload_limits.py has it: {size in bytes, entries}.
export function limits(rules, imageList) {
  if (!imageList) return { size: LARGEST_INFLATED, entries: Infinity };
  const people = imageList.images.reduce((sum, image) => sum + (image.people ? image.people.length : 1), 0);
  const expected = rules.single ? 2 * people : Math.max(10000, 100 * imageList.images.length);
  const pixels = Math.min(2 ** 31, Math.max(2 ** 27, 2 ** 20 * imageList.images.length));
  const size = rules.entry === "uv" ? 4 * pixels : expected * (25 * (3 * rules.joints.length + 4 * rules.limbs) + 512);
  return {
    size: Math.min(LARGEST_INFLATED, Math.max(2 ** 26, Math.ceil(size / 2 ** 20) * 2 ** 20)),
    entries: rules.single ? Infinity : expected,
  };
}

// Returns {problems, total, entries, images: ids covered, most: poses in one image, hints}.
export function check(document_, rules, imageList) {
  const problems = new Problems();
  const result = { problems: problems.list, total: 0, entries: 0, covered: 0, images: null, most: 0, hints: [] };
  const people = imageList ? new Map(imageList.images.map((image) => [image.id, image.people ? image.people.map((person) => person.person_id) : null])) : null;
  result.images = people ? people.size : null;
  if (!Array.isArray(document_)) {
    problems.add("not_a_list", null, "", `the file contains ${Array.isArray(document_) ? "a list" : typeof document_ === "object" ? "an object" : shown(document_)}`, "a list of entries");
    result.total = problems.total;
    return result;
  }
  const numbers = 3 * rules.joints.length;
  const space = rules.entry === "keypoints_3d";
  const surface = rules.entry === "uv";
  const key = space ? "keypoints_3d" : "keypoints";
  const expected = `${numbers} numbers: ${space ? "x, y, z in millimetres" : "x, y, confidence"} for each of ${rules.joints.length} joints`;
  const counts = new Map();
  const seen = new Map();
  let smallest = Infinity;
  const most = limits(rules, imageList).entries;
  if (document_.length > most) {
    problems.add("too_many_entries", null, "", `the file has more than ${most} entries`, `at most ${most} for this benchmark`);
  }
  const look = (item, entry) => {
    if (item === null || typeof item !== "object" || Array.isArray(item)) {
      problems.add("not_an_object", entry, "", `the entry is ${shown(item)}`, "an object");
      return;
    }
    const image = wholeNumber(problems, entry, item, "image_id", true);
    const person = rules.single ? wholeNumber(problems, entry, item, "person_id", false) : 0;
    if (space) { /* nothing to rank */ } else if (!("score" in item)) problems.add("missing_key", entry, "", "no score", "a score");
    else isNumber(problems, entry, "/score", "score", item.score);
    const values = item[key];
    if (surface) {
      surfaceMap(problems, entry, item);
    } else if (!(key in item)) {
      problems.add("missing_key", entry, "", `no ${key}`, key);
    } else if (!Array.isArray(values)) {
      problems.add("wrong_type", entry, `/${key}`, `${key} is ${shown(values)}`, expected);
    } else if (values.length !== numbers) {
      problems.add("wrong_count", entry, `/${key}`, `${key} has ${values.length} values`, expected);
    } else if (space) {
      groups(problems, entry, `/${key}`, key, values, 3, "joint", false);
    } else {
      groups(problems, entry, "/keypoints", "keypoints", item.keypoints, 3, "joint", rules.missing_joints);
      for (let joint = 0; joint < numbers; joint += 3) {
        const x = item.keypoints[joint];
        const y = item.keypoints[joint + 1];
        if (typeof x === "number" && x < smallest) smallest = x;
        if (typeof y === "number" && y < smallest) smallest = y;
      }
    }
    if (rules.limbs && "limbs" in item) {
      if (!Array.isArray(item.limbs) || item.limbs.length !== rules.limbs) {
        const found = Array.isArray(item.limbs) ? `limbs has ${item.limbs.length} values` : `limbs is ${shown(item.limbs)}`;
        problems.add("wrong_count", entry, "/limbs", found, `a list of ${rules.limbs} limbs, each [x1, y1, x2, y2]`);
      } else {
        item.limbs.forEach((limb, index) => {
          if (!Array.isArray(limb) || limb.length !== 4) problems.add("wrong_count", entry, `/limbs/${index}`, `limb ${index} is ${shown(limb)}`, "four numbers [x1, y1, x2, y2]");
          else groups(problems, entry, `/limbs/${index}`, `limbs[${index}]`, limb, 4, "limb", rules.missing_joints);
        });
      }
    }
    if (image === null) return;
    counts.set(image, (counts.get(image) || 0) + 1);
    if (people && !people.has(image)) {
      problems.add("unknown_image", entry, "/image_id", `the benchmark has no image ${image}`, "an id of its image list");
      return;
    }
    if (!rules.single) return;
    const listed = (people && people.get(image)) || [0];
    let who = person;
    if (who === null) {
      if (listed.length > 1) {
        problems.add("missing_person_id", entry, "", `image ${image} has ${listed.length} people and the entry has no person_id`, "a person_id");
        return;
      }
      who = listed[0];
    } else if (people && !listed.includes(who)) {
      problems.add("unknown_person", entry, "/person_id", `image ${image} has no person ${who}`, "a person of the image list");
      return;
    }
    const pose = `${image} ${who}`;
    if (seen.has(pose)) {
      problems.add("repeated_person", entry, "", `person ${who} of image ${image} has an entry already: entry ${seen.get(pose)}`, "one entry per person");
    } else {
      seen.set(pose, entry);
    }
  };
  for (let entry = 0; entry < Math.min(document_.length, most) && problems.total < MOST_COUNTED; entry += 1) {
    look(document_[entry], entry);
  }
  if (space && people && !problems.total) {
    for (const [image, listed] of people) {
      for (const person of listed || [0]) {
        if (problems.total < MOST_COUNTED && !seen.has(`${image} ${person}`)) problems.add("missing_person", null, "", `person ${person} of image ${image} has no entry`, "one entry per person");
      }
    }
  }
  result.total = problems.total;
  result.entries = document_.length;
  result.covered = people ? [...counts.keys()].filter((image) => people.has(image)).length : counts.size;
  result.most = Math.max(0, ...[...counts.values()].slice(0, 100000));
  if (people && result.covered < people.size && !problems.total) {
    const lost = people.size - result.covered;
    result.hints.push(`${lost.toLocaleString("en")} of ${people.size.toLocaleString("en")} images have no entry. Everybody in them counts as missed.`);
  }
  if (smallest === 1) result.hints.push("The smallest coordinate is exactly 1.0: pixels are counted from 0 here. One pixel moves strict metrics.");
  return result;
}

export class TooLarge extends Error {}

// The text of a file: .json as it is, .json.gz inflated. A zip is left to the server.
export async function text(file, most = LARGEST_INFLATED) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head[0] === 0x50 && head[1] === 0x4b) return null;
  let stream = file.stream();
  if (head[0] === 0x1f && head[1] === 0x8b) stream = stream.pipeThrough(new DecompressionStream("gzip"));
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
      throw new TooLarge(`It holds more than ${most >> 20} MiB.`);
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
  parts.push(decoder.decode());
  return parts.join("");
}

// The document with NaN and Infinity marked wherever they stand outside of strings.
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

function least(total) {
  return total >= MOST_COUNTED ? "At least " : "";
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

  function images() {
    if (!rules.images) return Promise.resolve(null);
    list = list || fetch(rules.images, { credentials: "same-origin" }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
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

  // Counted from when the page was made: the reader's date may be wrong.
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
        element("div", {}, element("dt", {}, "Poses an image"), element("dd", {}, `${result.most} `, element("small", { class: "muted small" }, "at most"))),
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
      const because = error instanceof SyntaxError ? `It is not JSON: ${error.message}.` : error instanceof TooLarge ? error.message : "It is damaged, or not UTF-8 text.";
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
      show(result.hints.length ? "warn" : "ok", `${many(result.entries, "entry").replace("entrys", "entries")}, no problem${hinted}`, "The server checks it again. It has not been sent yet.", result);
      allow(true);
    }
  }

  function fill(name, value) {
    for (const target of document.querySelectorAll(`[data-fill=${name}]`)) target.textContent = value;
  }

  // a repaired file of the same name is the same choice to the browser: forget it, and it can be chosen again
  let kept = null;
  input.addEventListener("click", () => {
    kept = new DataTransfer();
    for (const file of input.files) kept.items.add(file);
    input.value = "";
  });
  input.addEventListener("cancel", () => { if (kept) input.files = kept.files; });
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

  // --- sending: by the script, so that a refusal appears here and the chosen file stays chosen

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
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#submit-form [name=csrfmiddlewaretoken]");
    if (fresh) form.elements.csrfmiddlewaretoken.value = fresh.value;
    return Boolean(fresh);
  }

  function post() {
    return fetch(form.action, { method: "POST", body: new FormData(form), credentials: "same-origin", headers: { Accept: "application/json" } });
  }

  async function submit() {
    let answer = await post();
    if (answer.status === 403 && (await renewToken())) answer = await post();
    const inJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
    if (inJson) {
      const said = await answer.json();
      if (said.url) { location.assign(said.url); return true; }
      if (said.errors) { complain(said.errors); return false; }
    }
    const because = answer.redirected || answer.status === 403 ? "You are signed out. Sign in again in another tab, then submit once more."
      : answer.status === 413 ? "The file is larger than the server accepts. Compress it: .json.gz and .zip are read too."
      : answer.status === 429 ? "Too many requests. Wait a moment, then submit again."
      : `The server could not take the file now (${answer.status}). Submit again in a while.`;
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
