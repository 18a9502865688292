// The phone: bubbles, ticks, buttons, and the box to type in.
import { $, $$, APPS, ask, el, keep, tell } from "./dom.js";

const TICKS = { sending: "◌", sent: "✓", delivered: "✓✓", read: "✓✓", failed: "!" };
const SIGNS = { voice: "Voice note", contact: "Contact", location: "Location", photo: "Photo", sticker: "Sticker" };
const STYLES = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "code" };
const NEAR = 120; // px from the end that still count as being there

let student = null; // the one whose chat is open
let editing = null; // the message that is being changed
const timers = {}; // that end the typing sign and the draft
let following = true; // whether the end of the chat is kept in sight
let problem = () => {};

const bubbles = $("#bubbles");
const box = $("#text");

async function say(more) {
  problem("");
  try {
    await ask("messages", { provider: student.provider, student: student.student, name: student.name, ...more });
  } catch (error) {
    problem(error.message);
  }
}

// ---- drawing ----

// Text with its entities. Telegram counts them in UTF-16 code units, as JavaScript does; of nested ones the outer counts.
function written(text, entities) {
  const parts = [];
  let end = 0;
  for (const { type, offset, length } of entities) {
    if (offset < end || !STYLES[type]) continue;
    parts.push(text.slice(end, offset), el(STYLES[type], { textContent: text.slice(offset, offset + length) }));
    end = offset + length;
  }
  return [...parts, text.slice(end)];
}

function content(message) {
  const parts = [];
  if (message.media && (message.kind === "photo" || message.kind === "sticker")) {
    parts.push(el("img", { src: `/sim/files/${message.media}`, alt: SIGNS[message.kind], className: message.kind }));
  } else if (SIGNS[message.kind]) {
    parts.push(el("p", { className: "sign", textContent: SIGNS[message.kind] }));
  }
  if (message.text) parts.push(el("p", { className: "text", dir: "auto" }, ...written(message.text, message.entities)));
  return parts;
}

function ticks(message) {
  const time = new Date(message.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const state = el("span", { className: `ticks ${message.state}`, textContent: TICKS[message.state] });
  state.setAttribute("role", "img");
  state.setAttribute("aria-label", message.state);
  const change =
    message.from === "student" && message.kind === "text" && student.provider !== "twilio"
      ? el("button", { type: "button", className: "change", textContent: "Change", onclick: () => change_(message) })
      : null;
  return el("p", { className: "foot" }, change, message.edited ? "edited " : "", `${time} `, state);
}

function pressable(message, button) {
  const data = { kind: "press", message: message.id, data: button.data, text: button.data ? "" : button.text };
  const pressed = el("button", { type: "button", disabled: Boolean(button.url), onclick: () => say(data) }, button.text);
  if (button.description) pressed.append(el("small", { textContent: button.description }));
  pressed.classList.toggle("waiting", button.waiting);
  return pressed;
}

function draw(message) {
  const item = el("li", { className: message.from }, el("div", { className: "bubble" }, ...content(message), ticks(message)));
  if (message.error) item.append(el("p", { className: "error", textContent: message.error }));
  for (const row of message.buttons) {
    item.append(el("div", { className: "row" }, ...row.map((button) => pressable(message, button))));
  }
  return item;
}

function drawKeyboard(rows) {
  const keyboard = $("#keyboard");
  keyboard.hidden = rows.length === 0;
  const drawn = rows.map((row) => {
    const keys = row.map((key) => el("button", { type: "button", textContent: key.text, onclick: () => say({ text: key.text }) }));
    return el("div", { className: "row" }, ...keys);
  });
  keyboard.replaceChildren(...drawn);
}

function showFor(id, seconds) {
  clearTimeout(timers[id]);
  $(id).hidden = seconds <= 0;
  if (seconds > 0) timers[id] = setTimeout(() => { $(id).hidden = true; }, seconds * 1000);
}

function follow() {
  if (following) bubbles.scrollTop = bubbles.scrollHeight;
}

// ---- what others call ----

export function open(chosen) {
  student = chosen;
  stopEditing();
  $("#who").textContent = chosen.name;
  $("#where").textContent = `${APPS[chosen.provider]} · ${chosen.student}`;
  $("#say").hidden = false;
  bubbles.replaceChildren();
  following = true;
  show(null);
}

// `phone` is what the simulator knows of the open chat; null when the student has not written yet.
export function show(phone) {
  keep(bubbles, phone ? phone.messages : [], (message) => message.id, draw);
  drawKeyboard(phone ? phone.keyboard : []);
  $("#draft").textContent = phone ? phone.draft : "";
  showFor("#draft", phone && phone.draft ? phone.draft_for : 0);
  showFor("#typing", phone ? phone.typing : 0);
  tell($("#toast"), phone ? phone.notice : "");
  follow();
}

// ---- typing ----

function change_(message) {
  editing = message.id;
  $("#editing").hidden = false;
  box.value = message.text;
  box.focus();
}

function stopEditing() {
  editing = null;
  $("#editing").hidden = true;
}

function submit(event) {
  event.preventDefault();
  const text = box.value;
  if (!text.trim()) return;
  say(editing ? { kind: "edited", message: editing, text } : { text });
  box.value = "";
  stopEditing();
  box.focus();
}

function read(file) {
  const reader = new FileReader();
  reader.onload = () => say({ kind: "photo", content: reader.result.split(",")[1], content_type: file.type, text: box.value });
  reader.readAsDataURL(file);
}

export function start(onProblem) {
  problem = onProblem;
  bubbles.addEventListener("load", follow, true); // a picture takes its place only now
  bubbles.addEventListener("scroll", () => {
    following = bubbles.scrollHeight - bubbles.scrollTop - bubbles.clientHeight < NEAR;
  });
  $("#say").addEventListener("submit", submit);
  $("#stop").addEventListener("click", () => { box.value = ""; stopEditing(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  $$("#more button").forEach((button) =>
    button.addEventListener("click", () => {
      $("#more").open = false;
      say({ kind: button.value });
    }));
  $("#file").addEventListener("change", (event) => {
    if (event.target.files[0]) read(event.target.files[0]);
    event.target.value = "";
    $("#more").open = false;
  });
}
