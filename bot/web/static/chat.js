// The chat page. Text from anybody is put on the page through textContent only.
"use strict";
(() => {
  const STRINGS = JSON.parse(document.body.dataset.strings);
  const LIMIT = Number(document.body.dataset.limit);
  const TAGS = { en: "en", hi: "hi", hinglish: "hi-Latn" };
  const KEPT_TURNS = 30;
  const SILENCE = 30000; // ms; the server speaks every 10 s, so a quieter connection is dead
  const WAITS = [1000, 3000]; // ms before reconnecting by ourselves

  const $ = (selector, root = document) => root.querySelector(selector);
  const box = $("#question");
  const turns = $("#turns");
  const welcome = $("#welcome");
  const fresh = $("#fresh");
  const choices = { class: $("#class"), subject: $("#subject") };

  // ---- what is kept: the talk as long as the tab lives, the language for longer ----

  const read = (store, key) => { try { return window[store].getItem(key); } catch (error) { return null; } };
  const write = (store, key, value) => { try { window[store].setItem(key, value); } catch (error) { /* full or forbidden */ } };

  const unguessable = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(24));
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
  };

  let talk = { conversation: unguessable(), turns: [], class: "", subject: "" };
  try { talk = JSON.parse(read("sessionStorage", "sahpathi")) || talk; } catch (error) { /* start anew */ }

  const keep = () => {
    talk.turns = talk.turns.slice(-KEPT_TURNS);
    write("sessionStorage", "sahpathi", JSON.stringify(talk));
  };

  // ---- language ----

  const chosen = read("localStorage", "sahpathi.language");
  let language = STRINGS[chosen] ? chosen : "en";

  const t = (key, values = {}) =>
    (STRINGS[language][key] || STRINGS.en[key] || "").replace(/\{(\w+)\}/g, (all, name) => values[name]);

  function translate(root) {
    const values = (element) => JSON.parse(element.dataset.values || "null") || { n: element.dataset.tN };
    root.querySelectorAll("[data-t]").forEach((element) => {
      const text = t(element.dataset.t, values(element));
      if (text) element.textContent = text; // a subject we have no word for keeps its own
    });
    root.querySelectorAll("[data-t-label]").forEach((e) => e.setAttribute("aria-label", t(e.dataset.tLabel)));
    root.querySelectorAll("[data-t-placeholder]").forEach((e) => { e.placeholder = t(e.dataset.tPlaceholder); });
  }

  function put(element, key, values) {
    element.dataset.t = key;
    if (values) element.dataset.values = JSON.stringify(values);
    element.textContent = t(key, values);
    element.hidden = false;
  }

  function speak(lang) {
    language = lang;
    document.documentElement.lang = TAGS[lang];
    translate(document);
    document.querySelectorAll("template").forEach((template) => translate(template.content));
  }

  // ---- drawing ----

  const announce = (text) => { $("#heard").textContent = text; };
  const clone = (id) => document.importNode($(id).content, true).firstElementChild;

  function nearEnd() {
    const page = document.documentElement;
    return page.scrollHeight - window.scrollY - window.innerHeight < 160;
  }

  // To the end of the page, but never past the beginning of what is to be read.
  function reveal(element) {
    const page = document.documentElement;
    const top = element.getBoundingClientRect().top + window.scrollY - $(".top").offsetHeight - 12;
    window.scrollTo(0, Math.min(top, page.scrollHeight - window.innerHeight));
  }

  function draw(turn) {
    const item = clone("#turn");
    $(".asked p", item).textContent = turn.question;
    item.querySelectorAll(".thumb").forEach((thumb) => thumb.addEventListener("click", () => rate(turn, item, thumb.value)));
    $(".retry", item).addEventListener("click", () => {
      send(turn, item);
      box.focus();
    });
    turns.append(item);
    welcome.hidden = true;
    fresh.hidden = false;
    return item;
  }

  function show(part, item) {
    for (const name of ["waiting", "text", "failed"]) $(`.${name}`, item).hidden = name !== part;
  }

  function drawPiece(item, piece) {
    const following = nearEnd();
    show("text", item);
    $(".text", item).append(piece);
    if (following) reveal(item);
  }

  function drawAnswer(turn, item) {
    const answer = turn.answer;
    const cut = answer.caution ? answer.answer.length - answer.caution.length : answer.answer.length;
    show("text", item);
    const text = $(".text", item);
    text.textContent = answer.answer.slice(0, cut).trim();
    text.lang = $(".asked p", item).lang = TAGS[answer.language] || "";
    item.dataset.route = answer.route;
    if (STRINGS.en[`route.${answer.route}`]) put($(".badge", item), `route.${answer.route}`);
    $(".caution", item).textContent = answer.caution || "";
    $(".caution", item).hidden = !answer.caution;
    const sources = $(".sources", item);
    sources.textContent = "";
    answer.sources.forEach((source) => sources.append(drawSource(source)));
    sources.hidden = !answer.sources.length;
    $(".thumbs", item).hidden = answer.confidence === null;
    drawRating(turn, item);
  }

  function drawSource(source) {
    const line = clone("#source");
    const { book, chapter, page } = source;
    put($(".place", line), page ? "place" : "place_unpaged", { book, chapter, page });
    $("blockquote", line).textContent = source.quote;
    return line;
  }

  function drawRating(turn, item) {
    item.querySelectorAll(".thumb").forEach((e) => e.setAttribute("aria-pressed", String(e.value === turn.rating)));
  }

  function drawFailure(item, message) {
    const following = nearEnd();
    show("failed", item);
    $(".text", item).textContent = "";
    if (STRINGS.en[message]) put($(".failed p", item), message);
    else {
      delete $(".failed p", item).dataset.t;
      $(".failed p", item).textContent = message; // the server's own words, already in our language
    }
    announce($(".failed p", item).textContent);
    if (following) reveal(item);
  }

  function complain(message) {
    $("#problem").textContent = message;
    $("#problem").hidden = !message;
    if (message) box.setAttribute("aria-invalid", "true");
    else box.removeAttribute("aria-invalid");
  }

  // ---- asking ----

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  class Failure extends Error {
    // `lost`: the network's fault, so the same message may be asked for again
    constructor(text, { lost = false, code = "" } = {}) {
      super(text);
      this.lost = lost;
      this.code = code;
    }
  }

  async function send(turn, item) {
    turn.lost = false;
    show("waiting", item);
    $(".text", item).textContent = "";
    reveal(item);
    announce(t("looking"));
    try {
      turn.answer = await persist(turn, item);
      drawAnswer(turn, item);
      const place = $(".sources", item).innerText;
      announce([$(".text", item).textContent, turn.answer.caution, place].filter(Boolean).join("\n"));
      reveal(item);
    } catch (error) {
      fail(turn, item, error);
    }
    keep();
  }

  function fail(turn, item, error) {
    if (!(error instanceof Failure)) error = new Failure("broken");
    if (error.code === "too_long" || error.code === "empty_question") {
      if (!box.value) box.value = turn.question; // theirs to change
      complain(error.message);
    }
    turn.lost = error.lost;
    turn.problem = error.message;
    turn.settled = !error.lost && error.code !== "still_working";
    if (turn.settled) turn.key = unguessable(); // nothing more will come of that message: ask as a new one
    drawFailure(item, error.message);
  }

  async function persist(turn, item) {
    for (const wait of WAITS) {
      try {
        return await ask(turn, item);
      } catch (error) {
        if (!error.lost || !navigator.onLine) throw error;
        await pause(wait);
        show("waiting", item);
        $(".text", item).textContent = "";
      }
    }
    return ask(turn, item);
  }

  async function ask(turn, item) {
    const hurry = new AbortController();
    let timer = setTimeout(() => hurry.abort(), SILENCE);
    const alive = () => { clearTimeout(timer); timer = setTimeout(() => hurry.abort(), SILENCE); };
    try {
      const response = await fetch("/api/ask", {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream", "Idempotency-Key": turn.key },
        body: JSON.stringify(turn.body),
        signal: hurry.signal,
      });
      if (!response.ok) throw await refusal(response);
      return await listen(response, item, alive);
    } catch (error) {
      throw error instanceof Failure ? error : new Failure("lost", { lost: true });
    } finally {
      clearTimeout(timer);
    }
  }

  async function refusal(response) {
    try {
      const { error } = await response.json();
      return new Failure(error.message, { code: error.code });
    } catch (error) {
      return new Failure("broken");
    }
  }

  async function listen(response, item, alive) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let waiting = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Failure("lost", { lost: true });
      alive();
      const blocks = (waiting + decoder.decode(value, { stream: true })).split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) || [];
        if (name === "piece") drawPiece(item, JSON.parse(data).text);
        if (name === "answer") return JSON.parse(data);
        if (name === "error") throw new Failure(JSON.parse(data).message, { code: JSON.parse(data).code });
      }
    }
  }

  function start(question) {
    complain("");
    const body = { question, conversation: talk.conversation };
    if (chosenLanguage()) body.language = chosenLanguage();
    if (talk.class) body.class_level = Number(talk.class);
    if (talk.subject) body.subject = talk.subject;
    const turn = { key: unguessable(), question, body, answer: null, rating: null };
    talk.turns.push(turn);
    keep();
    return send(turn, draw(turn));
  }

  const chosenLanguage = () => read("localStorage", "sahpathi.language"); // none: answer as the student writes

  async function rate(turn, item, rating) {
    const before = turn.rating;
    const say = (key) => { put($(".thanks", item), key); announce(t(key)); };
    turn.rating = rating;
    drawRating(turn, item);
    try {
      const response = await fetch("/api/feedback", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ answer: turn.answer.id, conversation: talk.conversation, rating }),
      });
      if (!response.ok) throw new Failure("not_saved");
      say("thanks");
    } catch (error) {
      turn.rating = before;
      drawRating(turn, item);
      say("not_saved");
    }
    keep();
  }

  // ---- the student's hands ----

  function grow() {
    box.style.height = "auto";
    box.style.height = `${box.scrollHeight + 2}px`;
  }

  $("#ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = box.value.trim();
    if (!question) complain(t("empty"));
    else if (question.length > LIMIT) complain(t("long", { n: question.length, limit: LIMIT }));
    else {
      box.value = "";
      grow();
      start(question);
    }
    box.focus();
  });

  box.addEventListener("input", () => { complain(""); grow(); });
  box.addEventListener("keydown", (event) => {
    // isComposing: Enter then confirms a word in a Hindi keyboard
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("#send").click();
    }
  });

  document.querySelectorAll(".example").forEach((button) => button.addEventListener("click", () => {
    start(button.textContent);
    // The button is gone: keep the keyboard's place, without opening a phone's keyboard over the answer.
    if (matchMedia("(pointer: coarse)").matches) $(".turn:last-child .answer").focus({ preventScroll: true });
    else box.focus();
  }));

  fresh.addEventListener("click", () => {
    talk = Object.assign(talk, { conversation: unguessable(), turns: [] });
    keep();
    location.reload();
  });

  for (const [name, select] of Object.entries(choices)) {
    if (!select) continue;
    select.value = talk[name];
    if (select.selectedIndex < 0) select.value = talk[name] = ""; // a book that is gone
    select.addEventListener("change", () => { talk[name] = select.value; keep(); });
  }

  $("#language").addEventListener("change", (event) => {
    write("localStorage", "sahpathi.language", event.target.value);
    speak(event.target.value);
  });

  const network = () => { $("#offline").hidden = navigator.onLine; };
  addEventListener("offline", network);
  addEventListener("online", () => {
    network();
    const last = talk.turns[talk.turns.length - 1];
    if (last && last.lost && !last.answer) send(last, turns.lastElementChild);
  });

  // ---- begin ----

  $("#language").value = language;
  speak(language);
  network();
  talk.turns.forEach((turn) => {
    const item = draw(turn);
    if (turn.answer) drawAnswer(turn, item);
    else drawFailure(item, turn.problem || "lost");
  });
  const last = talk.turns[talk.turns.length - 1];
  if (last && !last.answer && !last.settled) send(last, turns.lastElementChild); // asked before the reload; the same key finds its answer
  else if (last) reveal(turns.lastElementChild);
})();
