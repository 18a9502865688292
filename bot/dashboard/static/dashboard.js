// Shows times in the reader's own time zone; without this script they read in UTC.
"use strict";
function localise(root) {
  for (const time of root.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    }
  }
}
localise(document);

// A part of a page that tells of long work is read again while that goes on; without this script the page reloads.
function follow(part) {
  if (!part) return;
  const { every, address } = part.dataset;
  setTimeout(async () => {
    let next = part;
    try {
      const reply = document.hidden ? null : await fetch(address);
      if (reply?.ok) {
        next = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("[data-every]");
        if (!next) return location.assign(address); // it has ended
        part.replaceWith(next);
      }
    } catch {} // the service is away for a moment
    follow(next);
  }, every * 1000);
}
follow(document.querySelector("[data-every]"));
