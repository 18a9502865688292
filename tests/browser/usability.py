"""What every page owes to whoever uses it: controls with names, large and legible, and nothing that sticks out."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.async_api import Page

CONTROLS = {"button", "combobox", "textbox", "link", "DisclosureTriangle"}
SMALL_TARGETS = """() => [...document.querySelectorAll("button, select, textarea, input:not([type=hidden]), summary")]
  .filter(e => e.checkVisibility()).filter(e => e.getBoundingClientRect().height < 44)
  .map(e => e.outerHTML.slice(0, 80))"""
FAINT_TEXTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = rgba(color).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (e) => { while (rgba(getComputedStyle(e).backgroundColor)[3] < 255) e = e.parentElement; return e; };
  const faint = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility()) continue;
    const a = light(getComputedStyle(e).color), b = light(getComputedStyle(ground(e)).backgroundColor);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${e.outerHTML.slice(0, 80)}`);
  }
  return faint;
}"""


async def fits(page: Page) -> bool:
    """Whether nothing sticks out at the side."""
    widths: Sequence[int] = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return widths[0] <= widths[1]


async def nameless(page: Page) -> list[str]:
    """Controls that a screen reader could not name."""
    session = await page.context.new_cdp_session(page)
    tree = await session.send("Accessibility.getFullAXTree")
    await session.detach()
    controls = [node for node in tree["nodes"] if node.get("role", {}).get("value") in CONTROLS]
    assert controls
    return [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")]


async def usable(page: Page) -> None:
    assert await nameless(page) == []
    assert await page.evaluate(SMALL_TARGETS) == []
    assert await page.evaluate(FAINT_TEXTS) == []
    assert await fits(page)


async def usable_on_every_size(page: Page) -> None:
    for width, height in ((320, 568), (360, 740), (1280, 800)):
        await page.set_viewport_size({"width": width, "height": height})
        await usable(page)
