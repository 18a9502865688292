// Small helpers. Text from anybody is put on the page through textContent only.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// An element with properties, text and children: el("p", { className: "hint" }, "Hello").
export function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const shown = new WeakMap(); // what each entry of a list was drawn from

// Makes a list show `items` with as few changes as can be: an entry is drawn anew only when its item has changed.
export function keep(list, items, key, draw) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = key(item);
    const print = JSON.stringify(item);
    let entry = known.get(name);
    known.delete(name);
    if (!entry || shown.get(entry) !== print) {
      const drawn = draw(item);
      drawn.dataset.key = name;
      shown.set(drawn, print);
      if (entry) entry.replaceWith(drawn);
      entry = drawn;
    }
    if (list.children[index] !== entry) list.insertBefore(entry, list.children[index] || null);
  });
  known.forEach((entry) => entry.remove());
}

// Asks the control API. Throws an Error whose message can be shown.
export async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(`/sim/${path}`, options);
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({}));
  const said = Array.isArray(detail) ? detail.map((item) => item.msg.replace("Value error, ", "")).join("; ") : detail;
  throw new Error(said || `The simulator answered ${response.status}.`);
}

export function tell(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

export const APPS = { telegram: "Telegram", twilio: "WhatsApp (Twilio)", cloud: "WhatsApp (Meta)" };
