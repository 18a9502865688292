"""The page of training in a real browser: on a phone, in both schemes, following a run by itself, without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Browser, expect

from bot.jobs import TRAINING, Jobs
from bot.live import MemoryLive
from bot.store import Store
from bot.training_jobs import Training
from bot.training_runs import Figures, figures_as_row
from inference.adapters import Shelf
from tests.bot.dashboard.test_training import RUN, adapter, dataset, recorded
from tests.browser.test_undelivered import NAME, PASSWORD, signed_in
from tests.browser.usability import usable_on_every_size
from tests.browsing import PHONE, complaints, on_a_phone
from tests.served import PreparedTutor, School

pytestmark = pytest.mark.browser

HALF = Figures(subject="science", step=20, steps=40, loss=2.125, base_loss=3.25, dev_loss=2.7, seconds_left=240)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"  # tests/conftest.py puts it there


@pytest.fixture
async def school(store: Store, home: Path) -> AsyncIterator[School]:
    """A school with an operator, a dataset, a run with its report, and an adapter that answers."""
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await store.add_user(NAME, hashed, "operator")
    dataset(home)
    (recorded(home) / "report.html").write_text("<h1>How it went</h1>", encoding="utf-8")
    shelf = Shelf(home / "adapters")
    shelf.promote(shelf.find(adapter(home, b"1")))
    adapter(home, b"2", "2026-11-30T09:00:00+00:00")
    training = Training(Jobs(store), home, shelf, alone=True)
    made = School(store, PreparedTutor(), MemoryLive(), training=training)
    yield made
    await made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_run_is_followed_by_itself_to_its_end(
    chromium: Browser, address: str, store: Store, scheme: str
) -> None:
    jobs = Jobs(store)
    page = await signed_in(await on_a_phone(chromium, address))
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    heard = complaints(page)
    await page.get_by_role("link", name="Training", exact=True).click()
    await expect(page.get_by_role("heading", name="Training", exact=True)).to_be_visible()
    await usable_on_every_size(page)
    await page.get_by_label("The adapter answers").select_option("science")
    await page.get_by_role("button", name="Train", exact=True).click()
    await expect(page.get_by_text("It begins in a moment.")).to_be_visible()

    job = await jobs.claim(training=True)
    assert job is not None
    await jobs.report(job.id, 20, 40, figures_as_row(HALF, RUN))
    await expect(page.get_by_text("Step 20 of 40")).to_be_visible()  # nobody pressed anything
    await expect(page.get_by_text("About 4 minutes left")).to_be_visible()
    await expect(page.get_by_role("progressbar")).to_have_js_property("position", 0.5)
    await expect(page.get_by_role("button", name="Train", exact=True)).to_have_count(0)
    await usable_on_every_size(page)
    await page.get_by_role("button", name="Stop").focus()
    await jobs.report(job.id, 30, 40, figures_as_row(HALF, RUN) | {"step": 30})
    await expect(page.get_by_text("Step 30 of 40")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()

    await jobs.fail(job.id, "The process ended with status 1.\n" + "a long line of the log " * 12)
    await expect(page.get_by_role("heading", name="Training failed")).to_be_visible()
    await page.get_by_text("The last lines it wrote").click()
    await usable_on_every_size(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("It begins in a moment.")).to_be_visible()
    assert heard == []


async def test_everything_works_without_scripts(chromium: Browser, address: str, store: Store) -> None:
    page = await signed_in(await chromium.new_context(viewport=PHONE, base_url=address, java_script_enabled=False))
    await page.goto("/dashboard/training")
    await page.get_by_role("link", name="Report of").click()
    await expect(page.get_by_role("heading", name="How it went")).to_be_visible()
    await page.go_back()
    await page.get_by_role("button", name="Build a dataset").click()
    job = await Jobs(store).claim(training=True)
    assert job is not None
    await expect(page.get_by_text("The books are searched")).to_be_visible()
    await Jobs(store).finish(job.id, {"dataset": "0123456789ab", "examples": 61})
    await expect(page.get_by_text("0123456789ab has 61 examples.")).to_be_visible()  # the page reloads by itself
    assert await Jobs(store).latest(TRAINING) is not None
