// The page of an index: asks /api, shows moments, plays them. No library, nothing from elsewhere.

const $ = (name) => document.getElementById(name);
const state = { query: null, moments: [], open: null, chosen: -1 };

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: body instanceof Blob ? {} : { "Content-Type": "application/json" },
    body: body instanceof Blob ? body : JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  const told = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Error(told.error ?? `status ${response.status}`);
  return told;
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function clock(seconds) {
  const whole = Math.floor(seconds), tenths = Math.floor((seconds - whole) * 10);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const lead = hours ? `${hours}:${String(minutes).padStart(2, "0")}` : `${minutes}`;
  return `${lead}:${String(whole % 60).padStart(2, "0")}.${tenths}`;
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function filters() {
  const number = (name) => ($(name).value === "" ? null : Number($(name).value));
  return {
    folder: $("folder").value || null,
    longer_than_s: number("longer"),
    shorter_than_s: number("shorter"),
    after: $("after").value || null,
    before: $("before").value || null,
  };
}

// What is asked besides the words or the example.
function conditions() {
  const without = $("without").value.trim();
  return {
    without: without ? [without] : [],
    filters: filters(),
    ...($("unsure").checked ? { least_confidence: 0 } : {}),
  };
}

async function search(asked, label) {
  state.query = { ...asked, ...conditions() };
  if (asked.text && $("track").value) state.query.track = $("track").value;
  say("searching ...");
  $("moments").replaceChildren();
  try {
    const answer = await ask("/api/search", state.query);
    show(answer, label);
  } catch (error) {
    state.moments = [];
    say(error.message, true);
  }
}

function show(answer, label) {
  state.moments = answer.moments;
  state.chosen = -1;
  $("notes").textContent = answer.notes.join("; ");
  const took = `${answer.num_searched} windows, ${(answer.elapsed_s * 1000).toFixed(0)} ms`;
  if (answer.moments.length) {
    say(`${label}: ${answer.moments.length} moments (${took})`);
  } else if (answer.best_unsure) {
    say(`${label}: nothing is sure enough (${took}). Nearest, with confidence ` +
        `${answer.best_unsure.confidence.toFixed(2)}:`);
    state.moments = [answer.best_unsure];
  } else {
    say(`${label}: nothing found (${took})`);
  }
  $("moments").replaceChildren(...state.moments.map(card));
}

function card(moment) {
  const picture = element("span", { class: "picture" },
    element("img", { src: `/api/thumbnails/${moment.row}`, alt: "", loading: "lazy" }),
    element("span", { class: "time" }, `${clock(moment.start_s)} – ${clock(moment.end_s)}`));
  const folded = moment.same?.length ? `, and ${moment.same.length} like it` : "";
  const words = element("span", { class: "words" }, moment.name ?? moment.path,
    element("small", {}, `confidence ${moment.confidence.toFixed(2)}, score ` +
      `${moment.score.toFixed(3)}${folded}`));
  const button = element("button", { type: "button", "data-moment": moment.id }, picture, words);
  button.addEventListener("click", () => play(moment));
  button.addEventListener("pointerenter", () => preview(picture, moment));
  button.addEventListener("pointerleave", () => picture.querySelector("video")?.remove());
  return element("li", {}, button);
}

function fileOf(moment) {
  return `/api/videos/${moment.video}/file#t=${moment.start_s},${moment.end_s}`;
}

function clipOf(moment) {
  return `/api/moments/${encodeURIComponent(moment.id)}/clip`;
}

function preview(picture, moment) {
  if (picture.querySelector("video")) return;
  const video = element("video", { playsinline: "", preload: "metadata" });
  video.muted = true;
  video.addEventListener("loadedmetadata", () => { video.currentTime = moment.start_s; });
  video.addEventListener("timeupdate", () => {
    if (video.currentTime > moment.end_s) video.currentTime = moment.start_s;
  });
  video.addEventListener("error", () => video.remove());
  video.src = fileOf(moment);
  picture.append(video);
  video.play().catch(() => {});
}

async function play(moment) {
  state.open = { moment, offset: 0, start: moment.start_s, end: moment.end_s };
  const video = $("video");
  $("shown").textContent = `${moment.path}, ${clock(moment.start_s)} – ${clock(moment.end_s)}`;
  $("trouble").textContent = "";
  $("names").textContent = "";
  $("save").href = clipOf(moment);
  video.src = fileOf(moment);
  if (!$("player").open) $("player").showModal();
  video.play().catch(() => {});
  draw([], 0);
  try {
    const told = await ask(`/api/videos/${moment.video}`);
    const during = told.names.filter((n) => n.start_s < moment.end_s && n.end_s > moment.start_s);
    $("names").textContent = during.map((n) => `${n.track}: ${n.name}`).join("; ");
    state.open.duration = told.duration_s;
    state.open.windows = await ask("/api/timeline", { ...state.query, track: null, video: moment.video });
    draw(state.open.windows, told.duration_s);
  } catch (error) {
    $("trouble").textContent = error.message;
  }
}

// A browser that cannot play the file itself gets the moment as a clip of its own.
function playClip() {
  const { moment, offset } = state.open ?? {};
  if (!moment) return;
  if (offset) {
    $("trouble").textContent = "this moment cannot be played here; save the clip instead";
    return;
  }
  state.open.offset = moment.start_s;
  $("trouble").textContent = "";
  $("video").src = clipOf(moment);
  $("video").play().catch(() => {});
}

function draw(windows, duration) {
  const canvas = $("timeline"), context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!windows.length || !state.open) return;
  const style = getComputedStyle(document.documentElement);
  const heat = style.getPropertyValue("--heat"), ink = style.getPropertyValue("--ink");
  const scores = windows.map((w) => w.score);
  const low = Math.min(...scores), high = Math.max(...scores, low + 1e-6);
  const x = (time) => (time / duration) * canvas.width;
  for (const w of windows) {
    const share = (w.score - low) / (high - low);
    context.fillStyle = `rgba(${heat}, ${0.1 + 0.6 * share})`;
    const top = canvas.height * (1 - 0.15 - 0.85 * share);
    context.fillRect(x(w.start_s), top, Math.max(1, x(w.end_s) - x(w.start_s)), canvas.height);
  }
  context.strokeStyle = ink;
  context.lineWidth = 2 * devicePixelRatio;
  const { start, end } = state.open;
  context.strokeRect(x(start), 1, Math.max(3, x(end) - x(start)), canvas.height - 2);
  const now = $("video").currentTime + state.open.offset;
  context.fillStyle = ink;
  context.fillRect(x(now), 0, 2 * devicePixelRatio, canvas.height);
}

function moreLikeThis() {
  if (!state.open) return;
  const { moment } = state.open;
  $("player").close();
  search({ like: moment.id }, `like ${moment.path} at ${clock(moment.start_s)}`);
}

async function upload(file) {
  if (!file) return;
  say(`sending ${file.name} ...`);
  $("moments").replaceChildren();
  try {
    const told = await ask("/api/uploads", file);
    await search({ example: told.example }, `like ${file.name}`);
  } catch (error) {
    say(error.message, true);
  }
}

function choose(step) {
  const buttons = [...$("moments").querySelectorAll("button")];
  if (!buttons.length) return;
  state.chosen = (state.chosen + step + buttons.length) % buttons.length;
  buttons[state.chosen].focus();
  buttons[state.chosen].scrollIntoView({ block: "nearest" });
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) search({ text }, `“${text}”`);
  else say("say what is to be seen", true);
});
$("upload").addEventListener("change", () => upload($("upload").files[0]));
$("close").addEventListener("click", () => $("player").close());
$("like").addEventListener("click", moreLikeThis);
$("player").addEventListener("close", () => {
  $("video").removeAttribute("src");
  $("video").load();
  state.open = null;
});
$("video").addEventListener("error", () => { if (state.open && $("video").src) playClip(); });
$("video").addEventListener("loadedmetadata", () => {
  if (state.open && !state.open.offset) $("video").currentTime = state.open.start;
});
$("video").addEventListener("timeupdate", () => {
  if (!state.open) return;
  const video = $("video"), { start, end, offset } = state.open;
  if ($("loop").checked && video.currentTime + offset >= end) video.currentTime = start - offset;
  if (state.open.windows) draw(state.open.windows, state.open.duration);
});
$("timeline").addEventListener("click", (event) => {
  if (!state.open?.duration) return;
  const share = event.offsetX / $("timeline").clientWidth;
  $("loop").checked = false;
  if (state.open.offset) {
    $("trouble").textContent = "only the moment itself can be played of this file";
    return;
  }
  $("video").currentTime = share * state.open.duration;
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement && event.target.type !== "checkbox";
  if (event.key === "/" && !isTyping && !$("player").open) {
    event.preventDefault();
    $("text").focus();
  } else if (event.key === "m" && $("player").open) {
    moreLikeThis();
  } else if ((event.key === "ArrowRight" || event.key === "ArrowLeft") && !isTyping && !$("player").open) {
    event.preventDefault();
    choose(event.key === "ArrowRight" ? 1 : -1);
  }
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  upload(event.dataTransfer.files[0]);
});

ask("/api/index").then((facts) => {
  document.title = `Search ${facts.name}`;
  const failed = facts.failed.length ? `, ${facts.failed.length} files could not be read` : "";
  $("facts").textContent = `${facts.num_videos} videos, ${facts.hours.toFixed(1)} hours${failed}. ` +
    `Model: ${facts.model}`;
  $("facts").title = facts.failed.map((f) => `${f.path}: ${f.reason}`).join("\n");
  if (facts.trained_on_generated) {
    $("notes").textContent =
      "This model was trained on generated videos; of real ones it knows nothing.";
  }
  for (const folder of facts.folders) if (folder !== ".") $("folder").append(element("option", {}, folder));
  for (const track of Object.keys(facts.tracks)) $("track").append(element("option", {}, track));
  if (!facts.num_videos) say("this index is empty; fill it with `internvideo index`");
}).catch((error) => say(error.message, true));
