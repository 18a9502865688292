"""The pages in a real browser: typing, streaming, sources, keyboard, screen reader, small screens, bad networks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Browser, BrowserContext, Page, expect
from playwright.async_api import Route as Exchange

from bot.ports import Answer, Route
from bot.store import Store
from tests.browser.usability import fits, usable, usable_on_every_size
from tests.browsing import complaints, on_a_phone
from tests.served import PHOTOSYNTHESIS, WRITTEN, School

PLACE = "Science, Class 7 · Photosynthesis, How Plants Make Food · page 2"
CAUTIOUS = replace(WRITTEN, confidence=0.3, caution="I'm not very sure. Please verify with your teacher!")

pytestmark = pytest.mark.browser


@pytest.fixture
async def school(store: Store) -> AsyncIterator[School]:
    made = School(store)
    yield made
    await made.close()


@pytest.fixture
async def context(chromium: Browser, address: str) -> BrowserContext:
    return await on_a_phone(chromium, address)


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """The chat page on a small phone."""
    opened = await context.new_page()
    await opened.goto("/")
    return opened


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("Your question").fill(question)
    await page.keyboard.press("Enter")


# ---- a student ---------------------------------------------------------------------------------------------------


async def test_student_asks_watches_the_answer_grow_reads_the_source_and_thanks(school: School, page: Page) -> None:
    heard = complaints(page)
    await page.reload()
    assert await fits(page)
    school.tutor.gate.clear()
    await page.get_by_label("Your question").press_sequentially("What is photosynthesis?")
    await page.get_by_role("button", name="Send").click()
    turn = page.locator(".turn")
    await expect(turn.locator(".asked p")).to_have_text("What is photosynthesis?")
    await expect(turn.locator(".text")).to_have_text(WRITTEN.text)  # shown while the tutor still writes
    await expect(turn.get_by_text(PLACE)).to_be_hidden()
    status = page.locator("#heard")
    await expect(status).to_have_text("Looking in your book…")  # pieces are not announced

    school.tutor.gate.set()
    await expect(turn.get_by_text("Written by the tutor from your book")).to_be_visible()
    await expect(status).to_contain_text(WRITTEN.text)
    await expect(status).to_contain_text(PLACE)
    quote = turn.get_by_text(PHOTOSYNTHESIS.quote)
    await expect(quote).to_be_hidden()
    await turn.get_by_text(PLACE).click()
    await expect(quote).to_be_visible()
    await turn.get_by_role("button", name="Helpful", exact=True).click()
    await expect(turn.get_by_text("Thank you!")).to_be_visible()
    await expect(turn.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "true")
    [answer] = await school.store.answers()
    assert answer.rating == 1
    assert await fits(page)
    assert heard == []


async def test_everything_works_from_the_keyboard(school: School, page: Page) -> None:
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the question box")).to_be_focused()
    await page.keyboard.press("Enter")
    box = page.get_by_label("Your question")
    await expect(box).to_be_focused()
    await page.keyboard.type("First line")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("second line")
    await expect(box).to_have_value("First line\nsecond line")
    await page.keyboard.press("Enter")
    await expect(page.locator(".place")).to_have_text(PLACE)
    assert school.tutor.heard[0].text == "First line\nsecond line"
    await expect(box).to_be_focused()
    await expect(box).to_have_value("")

    for name in ("Any subject", "Any class"):  # backwards, out of the form
        await page.keyboard.press("Shift+Tab")
        assert await page.evaluate("document.activeElement.selectedOptions[0].text") == name
    await page.keyboard.press("Shift+Tab")
    await expect(page.get_by_role("button", name="Not helpful")).to_be_focused()
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Space")
    await expect(page.locator(".thanks:visible").first).to_have_text("Thank you!")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(PHOTOSYNTHESIS.quote)).to_be_visible()
    [answer] = await school.store.answers()
    assert answer.rating == -1


async def test_example_and_hints_are_sent(school: School, page: Page) -> None:
    await page.get_by_label("Class", exact=True).select_option("Class 7")
    await page.get_by_label("Subject").select_option("Science")
    await page.get_by_role("button", name="What are equivalent fractions?").click()
    await expect(page.locator(".place")).to_have_text(PLACE)
    await expect(page.get_by_label("Your question")).to_be_focused()
    [turn] = school.tutor.heard
    assert (turn.text, turn.profile.class_level, turn.profile.subject) == (
        "What are equivalent fractions?",
        7,
        "science",
    )
    assert turn.profile.language is None  # nobody chose one: answer as the student writes


async def test_text_is_never_markup(school: School, page: Page) -> None:
    evil = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
    source = replace(PHOTOSYNTHESIS, book=evil, quote=evil)
    school.tutor.otherwise = Answer(evil, Route.QUOTED, "en", confidence=0.9, caution=evil, sources=(source,))
    await ask(page, evil)
    turn = page.locator(".turn")
    await expect(turn.locator(".caution")).to_have_text(evil)
    for part in (".asked p", ".text", "blockquote"):
        await expect(turn.locator(part)).to_have_text(evil)
    await expect(turn.locator(".place")).to_contain_text(evil)
    assert await turn.locator("script, img").count() == 0
    assert await page.evaluate("window.hurt") is None


async def test_speaks_three_languages(school: School, page: Page) -> None:
    await ask(page, "Why?")
    await expect(page.locator(".place")).to_have_text(PLACE)
    await page.get_by_label("Language").select_option("हिन्दी")
    await expect(page.locator("html")).to_have_attribute("lang", "hi")
    await expect(page.get_by_label("आपका सवाल")).to_have_attribute("placeholder", "सवाल पूछिए")
    await expect(page.locator(".place")).to_have_text(PLACE.replace("page", "पृष्ठ"))
    await expect(page.get_by_role("button", name="मदद नहीं मिली")).to_be_visible()
    assert await fits(page)
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("lang", "hi")
    await page.get_by_label("आपका सवाल").fill("क्यों?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".place")).to_have_count(2)
    assert school.tutor.heard[-1].profile.language == "hi"
    await page.get_by_label("भाषा").select_option("Hinglish")
    await expect(page.locator("html")).to_have_attribute("lang", "hi-Latn")


# ---- when things go wrong ----------------------------------------------------------------------------------------


async def test_refused_question_is_kept_and_can_be_sent_again(school: School, page: Page) -> None:
    school.admitting = False
    await ask(page, "Why is the sky blue?")
    await expect(page.get_by_text("<too_many_questions en>").first).to_be_visible()
    await expect(page.locator(".asked p")).to_have_text("Why is the sky blue?")
    school.admitting = True
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".place")).to_have_text(PLACE)
    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    assert [turn.text for turn in school.tutor.heard] == ["Why is the sky blue?"]


async def test_question_asked_without_network_is_answered_when_it_is_back(
    school: School, context: BrowserContext, page: Page
) -> None:
    await context.set_offline(True)
    await expect(page.get_by_text("You are offline.")).to_be_visible()
    await ask(page, "Why is the sky blue?")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert school.tutor.heard == []
    await context.set_offline(False)
    await expect(page.locator(".place")).to_have_text(PLACE)
    await expect(page.get_by_text("You are offline.")).to_be_hidden()
    assert [turn.text for turn in school.tutor.heard] == ["Why is the sky blue?"]


async def test_answers_lost_on_their_way_are_asked_for_again_but_written_once(school: School, page: Page) -> None:
    lost: list[Exchange] = []

    async def lose(route: Exchange) -> None:
        await route.fetch()  # the server has heard it; the browser will not know
        await route.abort()
        lost.append(route)

    await page.clock.install()
    await page.route("/api/ask", lose)
    await ask(page, "Why is the sky blue?")
    async with asyncio.timeout(20):
        while len(lost) < 3:  # once, and twice more by itself
            await page.clock.fast_forward(1000)
            await asyncio.sleep(0.1)
    await expect(page.locator(".failed p")).to_have_text("The connection was lost. Your question is safe.")
    await page.unroute("/api/ask")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".place")).to_have_text(PLACE)
    assert [turn.text for turn in school.tutor.heard] == ["Why is the sky blue?"]


async def test_reload_keeps_the_talk_and_a_pending_question_is_asked_once(school: School, page: Page) -> None:
    await ask(page, "First?")
    await expect(page.locator(".place")).to_have_text(PLACE)
    school.tutor.gate.clear()
    await ask(page, "Second?")
    await expect(page.locator(".turn").nth(1).locator(".text")).to_have_text(WRITTEN.text)
    await page.reload()
    await expect(page.locator(".asked p")).to_have_text(["First?", "Second?"])
    school.tutor.gate.set()
    await expect(page.locator(".place")).to_have_text([PLACE, PLACE])
    assert [turn.text for turn in school.tutor.heard] == ["First?", "Second?"]
    await page.get_by_role("button", name="New chat").click()
    await expect(page.get_by_role("heading", name="What are you studying today?")).to_be_visible()
    await expect(page.locator(".turn")).to_have_count(0)


async def test_question_nobody_can_answer_ends_kindly(school: School, page: Page) -> None:
    await ask(page, "unanswerable")
    await expect(page.locator(".failed p")).to_have_text("<sorry_error en>")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def test_empty_and_far_too_long_questions_are_not_sent(school: School, page: Page) -> None:
    await page.keyboard.press("Tab")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("alert")).to_have_text("Type your question first.")
    await ask(page, "a" * 20_000)
    await expect(page.get_by_role("alert")).to_contain_text("20000 characters, and 200 is the most")
    await expect(page.get_by_label("Your question")).to_have_value("a" * 20_000)
    assert await fits(page)
    await ask(page, "Why?")
    await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.locator(".place")).to_have_text(PLACE)


# ---- for everybody -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_named_legible_and_large_enough(school: School, page: Page, scheme: str) -> None:
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for role in ("banner", "main", "form"):
        await expect(page.get_by_role(role)).to_have_count(1)
    await usable_on_every_size(page)
    school.tutor.answers["unsure"] = CAUTIOUS
    school.tutor.answers["elsewhere"] = Answer("Not in your book.", Route.NOT_IN_BOOK, "en")
    for number, question in enumerate(("unsure", "elsewhere", "unanswerable"), start=1):
        await ask(page, question)
        await expect(page.locator(".turn .text:visible, .turn .failed:visible")).to_have_count(number)
    await page.locator(".place").click()
    await page.get_by_role("button", name="Helpful", exact=True).first.click()
    await expect(page.locator(".thanks:visible").first).to_have_text("Thank you!")
    await usable_on_every_size(page)


# ---- a teacher ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_teacher_signs_in_corrects_an_answer_and_signs_out(
    school: School, context: BrowserContext, page: Page, scheme: str
) -> None:
    await school.store.add_user(
        "meera", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("rain on a tin roof"), "teacher"
    )
    for question in ("What is <b>photosynthesis</b>?", "And respiration?"):
        await ask(page, question)
        await expect(page.locator(".turn:last-child .place")).to_have_text(PLACE)

    heard = complaints(page)
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto("/dashboard")
    await usable(page)
    await page.get_by_label("Name").fill("meera")
    await page.get_by_label("Password").fill("rain on a tin roof")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Answers")).to_be_visible()
    await usable(page)
    await page.get_by_role("link", name="What is <b>photosynthesis</b>?").click()
    await usable(page)
    box = page.get_by_label("Or write what it should have said")
    await expect(box).to_have_value(WRITTEN.text)
    await box.fill("पौधे अपना भोजन स्वयं बनाते हैं।")
    await page.get_by_role("button", name="Save the correction").click()
    await expect(page.get_by_role("status")).to_contain_text("Your correction is saved.")
    await usable(page)
    await page.get_by_role("link", name="Next to review").click()
    await page.get_by_role("button", name="Approve as it is").click()
    await expect(page.get_by_role("status")).to_contain_text("Nothing left to review.")
    reviews = [(answer.review, answer.correction) for answer in await school.store.answers()]
    assert reviews == [("approved", None), ("corrected", "पौधे अपना भोजन स्वयं बनाते हैं।")]
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.go_back()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()  # nothing was kept by the browser
    assert heard == []


async def test_two_questions_in_a_row_are_both_answered(school: School, page: Page) -> None:
    school.tutor.gate.clear()
    await ask(page, "First?")
    await ask(page, "Second?")
    await expect(page.locator(".asked p")).to_have_text(["First?", "Second?"])
    school.tutor.gate.set()
    await expect(page.locator(".place")).to_have_text([PLACE, PLACE])
    assert [turn.text for turn in school.tutor.heard] == ["First?", "Second?"]
