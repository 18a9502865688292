"""A student opens the page of the real service in Chromium, asks, and reads where the answer stands in the book."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.servers import CHROMIUM_FLAGS, chromium
from tests.service import Service


@pytest.mark.browser
def test_a_question_asked_on_the_page_is_answered_with_its_source(home: Path, processes: ExitStack) -> None:
    service = Service(home)
    processes.callback(service.stop)
    service.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*CHROMIUM_FLAGS])
        page = browser.new_page(viewport={"width": 360, "height": 740})
        page.goto(service.url)
        page.get_by_role("textbox").fill("What is photosynthesis?")
        page.keyboard.press("Enter")
        place = page.locator(".place").first
        expect(place).to_be_visible(timeout=60_000)
        expect(place).to_contain_text("Science, Class 7")
        expect(place).to_contain_text("page 1")
        browser.close()
