"""What was given up, in a real browser: on a phone, from the keyboard, without scripts, and answered in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Browser, BrowserContext, Page, expect

from bot.live import MemoryLive
from bot.ports import Answer, Inbound, Kind, Turn
from bot.store import ANSWERED, BURIED, Store
from bot.worker import Publish
from tests.browser.usability import usable_on_every_size
from tests.browsing import PHONE, complaints, on_a_phone
from tests.served import PreparedTutor, School

NAME, PASSWORD = "meera", "rain on a tin roof"

pytestmark = pytest.mark.browser


class MendableTutor(PreparedTutor):
    """Breaks on everything until it is mended."""

    broken = True

    async def answer(self, turn: Turn, publish: Publish) -> Answer:
        if self.broken:
            raise RuntimeError("the tutor broke")
        return await super().answer(turn, publish)


@pytest.fixture
def tutor() -> MendableTutor:
    return MendableTutor()


@pytest.fixture
async def school(store: Store, tutor: MendableTutor) -> AsyncIterator[School]:
    """A school with a teacher, and two questions on which the tutor broke once too often."""
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await store.add_user(NAME, hashed, "teacher")
    made = School(store, tutor, MemoryLive())
    for student in ("first", "second"):
        accepted = await store.accept(Inbound("web", student, student, Kind.TEXT, "Why?"))
        while await store.message_state(accepted.message_id) != BURIED:
            await made.worker.drain(accepted.conversation_id)
            await asyncio.sleep(0.02)  # as the sweeper: until the next attempt is due
    yield made
    await made.close()


async def signed_in(context: BrowserContext) -> Page:
    """The dashboard, as the teacher sees it after signing in."""
    page = await context.new_page()
    await page.goto("/dashboard")
    await page.get_by_label("Name").fill(NAME)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Answers", exact=True)).to_be_visible()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_named_legible_and_large_enough(chromium: Browser, address: str, scheme: str) -> None:
    page = await signed_in(await on_a_phone(chromium, address))
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    heard = complaints(page)
    await usable_on_every_size(page)
    await page.get_by_role("link", name="2 given up").click()
    await expect(page.get_by_role("heading", name="Undelivered")).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_role("button", name="Try all again").click()
    await expect(page.get_by_role("status")).to_have_text("2 will be tried again within seconds.")
    await usable_on_every_size(page)
    assert heard == []


async def test_chosen_one_is_answered_in_the_end(
    chromium: Browser, school: School, tutor: MendableTutor, address: str
) -> None:
    page = await signed_in(await on_a_phone(chromium, address))
    await page.get_by_role("link", name="Undelivered", exact=True).click()
    await expect(page.get_by_role("checkbox")).to_have_count(2)
    await page.get_by_role("button", name="Try again", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Tick what should be tried again")
    second, first = await school.store.given_up()
    box = page.get_by_label(f"Message {first.message_id}")
    await box.focus()
    await page.keyboard.press("Space")
    await expect(box).to_be_checked()
    await page.keyboard.press("Enter")  # sends the form as its first button does: what is ticked, not all
    await expect(page.get_by_role("status")).to_have_text("1 will be tried again within seconds.")
    await expect(page.get_by_role("checkbox")).to_have_count(1)

    tutor.broken = False
    for conversation_id in await school.store.neglected():  # what the sweeper does
        await school.worker.drain(conversation_id)
    assert await school.store.message_state(first.message_id) == ANSWERED
    assert await school.store.message_state(second.message_id) == BURIED


async def test_everything_works_without_scripts(chromium: Browser, school: School, address: str) -> None:
    page = await signed_in(await chromium.new_context(viewport=PHONE, base_url=address, java_script_enabled=False))
    await page.get_by_role("link", name="2 given up").click()
    await page.get_by_label("Message").first.check()
    await page.get_by_role("button", name="Try again", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("1 will be tried again within seconds.")
    assert len(await school.store.given_up()) == 1
