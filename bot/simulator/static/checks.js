// What was broken, and what shall go wrong.
import { $, $$, APPS, ask, el, keep, tell } from "./dom.js";

const REFUSALS = {
  telegram: { 403: "has blocked the bot" },
  twilio: {
    21610: "has unsubscribed (21610)",
    63016: "wrote too long ago (63016)",
    63018: "is written to too often (63018)",
    63024: "cannot be reached (63024)",
  },
  cloud: {
    131047: "wrote too long ago (131047)",
    131026: "cannot be reached (131026)",
    131056: "is written to too often (131056)",
    130429: "is one of too many (130429)",
  },
};

let faults = {};
let student = null;
let problem = () => {};

function draw(violation) {
  const time = new Date(violation.at * 1000).toLocaleTimeString();
  return el(
    "li",
    {},
    el("p", { className: "rule" }, `${APPS[violation.provider]}, ${violation.method}: `, el("b", { textContent: violation.rule })),
    el("p", { textContent: violation.words }),
    violation.found ? el("p", { className: "found", textContent: `Sent: ${violation.found}` }) : null,
    el("p", { className: "hint", textContent: `${time} · ${violation.answer}` }),
  );
}

function drawFaults() {
  const armed = faults[$("#at").value]?.faults || [];
  $$("#faults input").forEach((input) => { input.checked = armed.some((fault) => fault.kind === input.value); });
  const often = armed[0] && (armed[0].times === 1 ? "once" : String(armed[0].probability));
  if ([...$("#often").options].some((option) => option.value === often)) $("#often").value = often;
}

function drawRefusal() {
  const form = $("#refusal");
  form.hidden = !student;
  if (!student) return;
  const codes = Object.entries(REFUSALS[student.provider]);
  const options = [["", "takes messages"], ...codes].map(([value, textContent]) => el("option", { value, textContent }));
  $("#code").replaceChildren(...options);
  $("#code").value = faults[student.provider]?.refusals[student.student] || "";
}

async function plan(body) {
  problem("");
  try {
    faults = await ask("faults", body);
  } catch (error) {
    problem(error.message);
  }
}

function arm() {
  const often = $("#often").value;
  const chance = often === "once" ? { times: 1 } : { probability: Number(often) };
  const kinds = $$("#faults input:checked").map((input) => input.value);
  plan({ provider: $("#at").value, faults: kinds.map((kind) => ({ kind, ...chance })) });
}

// ---- what others call ----

export function open(chosen) {
  student = chosen;
  drawRefusal();
}

export function show(view) {
  faults = view.faults;
  keep($("#violations"), view.violations, (violation) => String(violation.seq), draw);
  $("#clean").hidden = view.violated > 0;
  $$(".count").forEach((count) => tell(count, view.violated ? String(view.violated) : ""));
  if (!$("#faults").contains(document.activeElement)) drawFaults();
  if (document.activeElement !== $("#code")) drawRefusal();
}

export function start(onProblem) {
  problem = onProblem;
  $("#at").addEventListener("change", drawFaults);
  $("#often").addEventListener("change", arm);
  $$("#faults input").forEach((input) => input.addEventListener("change", arm));
  $("#code").addEventListener("change", (event) =>
    plan({ provider: student.provider, refusals: { [student.student]: event.target.value } }));
}
