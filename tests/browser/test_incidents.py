"""A child in distress on the dashboard, in a real browser: on a phone, in both schemes, and without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Browser, expect

from bot.live import MemoryLive
from bot.store import CLOSED, REAL, Store
from bot.tables import now
from tests.bot.distress import FAILED_CLOSED, QUESTION, REFUSED, answered, happened
from tests.browser.test_undelivered import NAME, PASSWORD, signed_in
from tests.browser.usability import usable_on_every_size
from tests.browsing import PHONE, complaints, on_a_phone
from tests.served import PreparedTutor, School

pytestmark = pytest.mark.browser


@pytest.fixture
async def school(store: Store) -> AsyncIterator[School]:
    """A school with a teacher, a child in distress of whom one adult was told, and a filter that failed once."""
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await store.add_user(NAME, hashed, "teacher")
    await happened(store, FAILED_CLOSED, address="2")
    case = await happened(store)
    await store.alerted(case.id, "mailto:asha@school.example", following=now())
    made = School(store, PreparedTutor(), MemoryLive())
    yield made
    await made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_are_named_legible_and_large_enough(chromium: Browser, address: str, scheme: str) -> None:
    page = await signed_in(await on_a_phone(chromium, address))
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    heard = complaints(page)
    await page.get_by_role("link", name="2 need attention").click()
    await expect(page.get_by_role("heading", name="Incidents", exact=True)).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_role("link", name="Thoughts of self-harm").click()
    await expect(page.get_by_text(QUESTION)).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_role("button", name="I look after it").click()
    await expect(page.get_by_role("status")).to_have_text("You look after this. Nobody else is alerted.")
    await usable_on_every_size(page)
    await page.get_by_label("Note").fill("Spoke with him. उसकी माँ से बात की।")
    await expect(page.get_by_role("radio", name="It was right to alert")).to_be_checked()
    await page.get_by_role("radio", name="False alarm").check()
    await page.get_by_role("button", name="Close with this note").click()
    await expect(page.get_by_role("status")).to_have_text("Closed. Thank you for looking after it.")
    await expect(page.get_by_text("False alarm: nothing was wrong.")).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_role("link", name="All incidents").click()
    await page.get_by_role("link", name="Closed", exact=True).click()
    await expect(page.get_by_text("Spoke with him.")).to_be_visible()
    await usable_on_every_size(page)
    assert heard == []


async def test_everything_works_without_scripts(chromium: Browser, school: School, address: str) -> None:
    page = await signed_in(await chromium.new_context(viewport=PHONE, base_url=address, java_script_enabled=False))
    await page.get_by_role("link", name="Incidents", exact=True).click()
    await page.get_by_role("link", name="Thoughts of self-harm").click()
    await page.get_by_role("button", name="Close with this note").click()  # held back: the note is required
    await page.get_by_label("Note").fill("   ")
    await page.get_by_role("button", name="Close with this note").click()
    await expect(page.get_by_role("alert")).to_contain_text("Write in a few words")
    await page.get_by_label("Note").fill("Spoke with him.")
    await page.get_by_role("button", name="Close with this note").click()
    await expect(page.get_by_role("status")).to_contain_text("Closed.")
    (case,) = await school.store.incidents(CLOSED)
    assert (case.note, case.closed_by, case.outcome) == ("Spoke with him.", NAME, REAL)
    await page.get_by_role("link", name="What Sahpathi replied").click()
    await expect(page.get_by_role("link", name=f"Incident {case.id}")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_refusal_is_judged_on_a_phone(chromium: Browser, school: School, address: str, scheme: str) -> None:
    await answered(school.store, REFUSED, "How are fireworks made?")
    page = await signed_in(await on_a_phone(chromium, address))
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.get_by_label("How", exact=True).select_option("refused")
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("link", name="How are fireworks made?").click()
    await expect(page.get_by_text("Making or getting weapons")).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_role("button", name="Should have been answered").click()
    await expect(page.get_by_role("status")).to_contain_text("it should have been answered")
    await usable_on_every_size(page)
    await page.get_by_role("link", name="All refused").click()
    await page.get_by_role("link", name="Wrongly refused").click()
    await expect(page.get_by_role("link", name="How are fireworks made?")).to_be_visible()
    await usable_on_every_size(page)
