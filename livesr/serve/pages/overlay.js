// A transparent page for OBS and its like. By URL: ?bars=no for the word alone, ?size=96 for its
// height in pixels. The token and the agreement are kept in the browser, never in the URL.
import {GLYPHS, Microphone, WORDS, asked, stored} from "/pages/microphone.js";

const at = (id) => document.getElementById(id);
const options = new URLSearchParams(location.search);
const RETRY = 5000;
let wait = 0;

at("host").textContent = location.host;
at("bars").hidden = options.get("bars") === "no";
const size = Number(options.get("size"));
if (size >= 8 && size <= 400) at("word").style.fontSize = `${size}px`;

async function begin() {
  clearTimeout(wait);
  const wanted = await asked(stored.get("token"));
  at("token-ask").hidden = wanted !== "token";
  if (wanted === "token") return refuse("");
  const microphone = new Microphone(() => {}, (type, message) => {
    if (type === "session.created") {
      at("consent").hidden = true;
      at("live").hidden = false;
      at("bars").replaceChildren(...message.labels.flatMap((label) => {
        const name = document.createElement("span"), bar = document.createElement("div");
        name.textContent = `${GLYPHS[label] ?? "◆"} ${label}`;
        bar.className = "bar";
        bar.append(document.createElement("i"));
        bar.firstChild.id = `bar-${label}`;
        bar.firstChild.style.background = `var(--${label})`;
        return [name, bar, document.createElement("span")];
      }));
    } else if (type === "reading") {
      const word = message.label ?? WORDS[message.status];
      at("word").textContent = message.label ? `${GLYPHS[word] ?? "◆"} ${word}` : word;
      at("word").dataset.label = message.label ?? "";
      for (const [label, share] of Object.entries(message.smoothed))
        at(`bar-${label}`).style.width = `${100 * share}%`;
    } else if (type === "close" || type === "gone") {
      microphone.stop();
      at("word").textContent = "";
      wait = setTimeout(begin, RETRY);
    }
  });
  try {
    await microphone.start({attention: false}, stored.get("token"));
  } catch (error) {
    refuse(error.name === "NotAllowedError" ? "The microphone is not permitted." : error.message);
  }
  return undefined;
}

function refuse(text) {
  at("refusal").textContent = text;
  at("consent").hidden = false;
  at("live").hidden = true;
}

at("start").addEventListener("click", () => {
  if (at("token").value) stored.set("token", at("token").value.trim());
  stored.set("agreed", "yes");
  begin();
});
if (stored.get("agreed")) begin();
else asked(stored.get("token")).then((wanted) => { at("token-ask").hidden = wanted !== "token"; });
