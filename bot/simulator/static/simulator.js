// The page: which student is open, and what is new.
import * as chat from "./chat.js";
import * as checks from "./checks.js";
import { $, $$, APPS, ask, el, keep, tell } from "./dom.js";

const QUICK = 500; // ms between two looks
const IDLE = 3000; // while nobody sees the page, or nothing answers
const FIRST = [
  { provider: "telegram", student: "700100200", name: "Asha" },
  { provider: "twilio", student: "+919876543210", name: "Ravi" },
  { provider: "cloud", student: "+919812345678", name: "Meera" },
];

let added = [...FIRST]; // students who have not written yet
let student = null;
let version = 0;

const problem = (text) => tell($("#problem"), text);
const key = (one) => `${one.provider}/${one.student}`;

// ---- panes ----

function pane(name) {
  document.body.dataset.pane = name;
  $$(".tabs button").forEach((tab) => tab.setAttribute("aria-pressed", String(tab.value === name)));
}

function open(one) {
  student = one;
  version = 0;
  chat.open(one);
  checks.open(one);
  location.hash = key(one);
  pane("chat");
  look();
}

// ---- students ----

function draw(one) {
  const about = el("span", { className: "about" }, el("b", { textContent: one.name }), el("small", { textContent: APPS[one.provider] }));
  const last = el("span", { className: "last", dir: "auto", textContent: one.last || one.student });
  return el("li", {}, el("button", { type: "button", onclick: () => open(one) }, about, last));
}

function listed(phones) {
  const known = new Set(phones.map(key));
  keep($("#list"), [...phones, ...added.filter((one) => !known.has(key(one)))], key, draw);
  $$("#list li").forEach((item) =>
    item.firstElementChild.setAttribute("aria-current", String(Boolean(student) && item.dataset.key === key(student))));
}

function join(event) {
  event.preventDefault();
  const [provider, number, name] = ["provider", "student", "name"].map((id) => $(`#${id}`).value.trim());
  const fits = provider === "telegram" ? /^[1-9]\d{0,14}$/ : /^\+[1-9]\d{6,14}$/;
  const wrong = provider === "telegram" ? "Write a number such as 700100201." : "Write a telephone number such as +919876500001.";
  tell($("#join .notice"), fits.test(number) ? "" : wrong);
  if (!fits.test(number)) return;
  added = [{ provider, student: number, name }, ...added];
  event.target.reset();
  event.target.parentElement.open = false;
  open(added[0]);
}

// ---- looking ----

async function look() {
  const asked = student;
  const query = new URLSearchParams({ version, ...(asked && { provider: asked.provider, student: asked.student }) });
  const view = await ask(`view?${query}`);
  if (asked !== student || view.version === version) return;
  version = view.version;
  $("#service").textContent = `for ${view.service}`;
  listed(view.phones);
  checks.show(view);
  if (student) chat.show(view.open);
}

async function watch() {
  let wait = document.hidden ? IDLE : QUICK;
  try {
    await look();
    if ($("#problem").dataset.lost) problem("");
    delete $("#problem").dataset.lost;
  } catch (error) {
    wait = IDLE;
    $("#problem").dataset.lost = "yes";
    problem("The simulator does not answer. Is it still running?");
  }
  setTimeout(watch, wait);
}

function restored() {
  const [provider, number] = decodeURIComponent(location.hash.slice(1)).split("/");
  return added.find((one) => one.provider === provider && one.student === number);
}

chat.start(problem);
checks.start(problem);
$("#join").addEventListener("submit", join);
$("#reset").addEventListener("click", () => ask("reset", {}).catch((error) => problem(error.message)));
$$(".tabs button").forEach((tab) => tab.addEventListener("click", () => pane(tab.value)));
listed([]);
if (restored()) open(restored());
watch();
