import {GLYPHS, Microphone, WORDS, asked, stored} from "/pages/microphone.js";

const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MINUTE = 60, WINDOW = 3;
let microphone = null, labels = [], history = [], lost = 0, lastLevel = 0;

at("host").textContent = location.host;
at("keep").checked = Boolean(stored.get("profile"));
at("forget").hidden = !stored.get("profile");
ask();

async function ask() {
  const wanted = await asked(stored.get("token"));
  at("token-ask").hidden = wanted !== "token";
  if (wanted === "unreachable" && !at("refusal").textContent)
    at("refusal").textContent = "The server does not answer.";
}

at("forget").addEventListener("click", () => {
  stored.remove("profile");
  at("forget").hidden = true;
  at("keep").checked = false;
});

at("start").addEventListener("click", async () => {
  at("start").disabled = true;
  at("refusal").textContent = "";
  if (at("token").value) stored.set("token", at("token").value.trim());
  const keep = at("keep").checked;
  const session = keep && stored.get("profile") ? {profile: stored.get("profile")} : {};
  if (new URLSearchParams(location.search).get("mode") === "lossless") session.mode = "lossless";
  microphone = new Microphone(showLevel, told);
  try {
    await microphone.start(session, stored.get("token"));
  } catch (error) {
    refuse(error.name === "NotAllowedError" ? "The microphone is not permitted." : error.message);
  }
});

function refuse(text) {
  microphone?.stop();
  microphone = null;
  at("refusal").textContent = text;
  at("start").disabled = false;
  at("consent").hidden = false;
  at("live").hidden = true;
  ask();
}

function told(type, message) {
  switch (type) {
    case "session.created": return begin(message);
    case "reading": return show(message);
    case "gap":
      if (message.cause === "too slow") lost += message.seconds;  // the other is the client's own
      return state();
    case "profile":
      stored.set("profile", message.data);
      at("forget").hidden = false;
      at("taught").textContent = "Kept in this browser.";
      return undefined;
    case "error":
      if (message.fatal) return refuse(message.message);
      at("taught").textContent = message.message;
      return undefined;
    case "gone": return refuse("The microphone was disconnected.");
    case "close":
      if (!microphone) return undefined;
      if (message.code === 1000) return refuse("");
      if (message.code === 1012)
        return refuse("The server restarts, and the session has ended. Start again in a moment.");
      if (message.code === 1006 && at("live").hidden)
        return refuse("The server refused the connection: it may be full, or need a token.");
      return refuse("The connection has ended.");
  }
  return undefined;
}

function begin(created) {
  labels = created.labels;
  history = [];
  lost = 0;
  at("consent").hidden = true;
  at("live").hidden = false;
  at("corrections").hidden = !at("keep").checked;
  at("about").textContent = `${created.model}, licence ${created.licence}; livesr ${created.version}`;
  at("bars").replaceChildren(...labels.flatMap((label) => {
    const name = element("span", {}, `${GLYPHS[label] ?? "◆"} ${label}`);
    name.style.color = `var(--${label})`;
    const bar = element("div", {class: "bar", role: "meter", "aria-label": label,
      "aria-valuemin": 0, "aria-valuemax": 100, id: `bar-${label}`}, element("i"));
    bar.firstChild.style.background = `var(--${label}, var(--focus))`;
    return [name, bar, element("span", {class: "share", id: `share-${label}`})];
  }));
  at("teach").replaceChildren(...labels.map((label, index) => {
    const button = element("button", {"aria-keyshortcuts": index + 1}, `${index + 1} ${label}`);
    button.addEventListener("click", () => teach(label));
    return button;
  }));
  at("pause").focus();
  state();
}

function element(name, attributes = {}, inner = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(inner);
  return made;
}

function teach(label) {
  at("taught").textContent = "";
  microphone?.voice.tell("teach", {label});
}

function show(reading) {
  history.push(reading);
  while (history.length && history[0].end < reading.end - MINUTE) history.shift();
  const word = reading.label ?? WORDS[reading.status];
  at("word").textContent = reading.label ? `${GLYPHS[word] ?? "◆"} ${word}` : word;
  at("word").style.color = reading.label ? `var(--${word}, inherit)` : "var(--quiet)";
  at("word").dataset.label = reading.label ?? "";
  at("reason").textContent = reading.reason ?? "\u00a0";
  for (const label of labels) {
    const share = Math.round(100 * reading.smoothed[label]);
    at(`bar-${label}`).firstChild.style.width = `${share}%`;
    at(`bar-${label}`).setAttribute("aria-valuenow", share);
    at(`share-${label}`).textContent = `${share} %`;
  }
  drawAttention(reading);
  drawHistory(reading.end);
}

function showLevel(decibels) {
  const now = performance.now();
  if (now - lastLevel < 50) return;
  lastLevel = now;
  const shown = Math.max(-60, Math.min(0, decibels));
  at("level").firstChild.style.width = `${(1 + shown / 60) * 100}%`;
  at("level").firstChild.style.background = decibels > -1 ? "var(--angry)" : "var(--neutral)";
  at("level").setAttribute("aria-valuenow", Math.round(shown));
}

function state() {
  const words = [microphone?.paused ? "paused" : "listening"];
  const seconds = lost + (microphone?.lost ?? 0);
  if (seconds) words.push(`${seconds.toFixed(1)} s lost`);
  at("state").textContent = words.join(", ");
}

function canvas(id) {
  const drawn = at(id), scale = devicePixelRatio || 1;
  const width = drawn.clientWidth, height = Number(drawn.getAttribute("height"));
  if (drawn.width !== Math.round(width * scale)) {
    drawn.dataset.height ??= height;
    drawn.width = Math.round(width * scale);
    drawn.style.height = `${drawn.dataset.height}px`;
  }
  const pen = drawn.getContext("2d");
  const unit = drawn.width / width || 1;
  pen.setTransform(unit, 0, 0, drawn.height / Number(drawn.dataset.height), 0, 0);
  pen.clearRect(0, 0, width, Number(drawn.dataset.height));
  return [pen, width, Number(drawn.dataset.height)];
}

function drawAttention(reading) {
  const [pen, width, height] = canvas("attention");
  const weights = reading.attention ?? [], most = Math.max(1e-9, ...weights);
  pen.fillStyle = colour(reading.label ? `--${reading.label}` : "--attention") || colour("--attention");
  weights.forEach((weight, index) => {
    const place = (reading.attention_times[index] - reading.end + WINDOW) / WINDOW * width;
    const tall = weight / most * height;
    pen.fillRect(place, height - tall, Math.max(1.5, width / 160), tall);
  });
}

function drawHistory(end) {
  const [pen, width, height] = canvas("history");
  let before = null;
  for (const reading of history) {
    const right = (reading.end - end + MINUTE) / MINUTE * width;
    const left = before === null ? right - 0.25 / MINUTE * width : before;
    before = right;
    if (reading.status === "no-speech" || reading.status === "warming-up") {
      pen.globalAlpha = 1;
      pen.fillStyle = colour("--quiet");
      pen.fillRect(left, height - 2, right - left, 1);
      continue;
    }
    pen.globalAlpha = reading.status === "speech" ? 1 : 0.4;
    let foot = height;
    for (const label of labels) {
      const tall = reading.smoothed[label] * height;
      pen.fillStyle = colour(`--${label}`) || colour("--focus");
      pen.fillRect(left, foot - tall, right - left + 0.5, tall);
      foot -= tall;
    }
  }
  pen.globalAlpha = 1;
}

at("pause").addEventListener("click", () => {
  if (!microphone) return;
  microphone.paused = !microphone.paused;
  at("pause").textContent = microphone.paused ? "Go on" : "Pause";
  state();
});
at("reset").addEventListener("click", () => {
  microphone?.voice.tell("reset");
  history = [];
});
at("stop").addEventListener("click", () => refuse(""));

document.addEventListener("keydown", (event) => {
  if (!microphone || at("live").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = {p: "pause", r: "reset", q: "stop"}[event.key];
  if (button) at(button).click();
  const label = labels[Number(event.key) - 1];
  if (label && !at("corrections").hidden) teach(label);
});
addEventListener("pagehide", () => microphone?.stop());
