"""The page in a real browser: a student's phone, and what is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.bot.simulator.driver import Driver, eventually
from tests.browsing import browser, complaints, on_a_phone

ASHA = "700100200"
THUMBS = {"inline_keyboard": [[{"text": "👍", "callback_data": "up"}, {"text": "👎", "callback_data": "down"}]]}
EVIL = "<img src=x onerror='window.hurt = 1'>"

pytestmark = pytest.mark.browser


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as launched:
        yield launched


@pytest.fixture
async def page(chromium: Browser, simulator: Driver) -> Page:
    """The page on a small phone."""
    opened = await (await on_a_phone(chromium, simulator.url)).new_page()
    await opened.goto("/")
    return opened


async def call(simulator: Driver, method: str, **params: object) -> dict[str, object]:
    """The bot's part."""
    address = f"/bot{simulator.config.telegram.token}/{method}"
    response = await asyncio.to_thread(simulator.client.post, address, json=params)
    answer: dict[str, object] = response.json()
    return answer


async def updates(simulator: Driver) -> list[dict[str, object]]:
    found = (await call(simulator, "getUpdates"))["result"]
    assert isinstance(found, list)
    return found


async def fits(page: Page) -> bool:
    """Whether nothing sticks out at the side."""
    widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return bool(widths[0] <= widths[1])


async def small_targets(page: Page) -> list[str]:
    """Controls too small for a finger."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("button, select, textarea, summary, fieldset label")]
          .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"""
    )
    return found


async def test_a_student_asks_and_presses(simulator: Driver, page: Page) -> None:
    heard = complaints(page)
    await page.reload()
    await page.get_by_role("button", name="Asha").click()
    await page.get_by_label("Message", exact=True).fill("What is photosynthesis?")
    await page.keyboard.press("Enter")
    bubble = page.locator("#bubbles .student")
    await expect(bubble).to_contain_text("What is photosynthesis?")
    await expect(bubble.get_by_label("sent")).to_be_visible()
    (update,) = await updates(simulator)
    await call(simulator, "getUpdates", offset=int(str(update["update_id"])) + 1)
    await expect(bubble.get_by_label("delivered")).to_be_visible()

    await call(simulator, "sendChatAction", chat_id=ASHA, action="typing")
    await expect(page.locator("#typing")).to_be_visible()
    await call(simulator, "sendMessageDraft", chat_id=ASHA, draft_id=1, text="Plants make")
    await expect(page.locator("#draft")).to_have_text("Plants make")
    text = "<b>Looking</b> …"
    sent = await call(simulator, "sendMessage", chat_id=ASHA, text=text, parse_mode="HTML", reply_markup=THUMBS)
    answer = page.locator("#bubbles .bot")
    await expect(answer).to_contain_text("Looking …")
    await expect(answer.locator("b")).to_have_text("Looking")
    await expect(page.locator("#typing")).to_be_hidden()
    await expect(page.locator("#draft")).to_be_hidden()
    message = sent["result"]
    assert isinstance(message, dict)
    where = {"chat_id": ASHA, "message_id": message["message_id"]}
    await call(simulator, "editMessageText", text="Plants make food.", reply_markup=THUMBS, **where)
    await expect(answer).to_contain_text("Plants make food.")
    await expect(answer).to_contain_text("edited")

    await answer.get_by_role("button", name="👍").click()
    await expect(answer.locator(".waiting")).to_have_count(1)
    query = (await updates(simulator))[-1]["callback_query"]
    assert isinstance(query, dict)
    await call(simulator, "answerCallbackQuery", callback_query_id=query["id"], text="Thank you!")
    await expect(page.get_by_role("status")).to_have_text("Thank you!")
    await expect(answer.locator(".waiting")).to_have_count(0)
    assert await fits(page)
    assert heard == []


async def test_a_student_sends_a_picture_and_changes_a_message(simulator: Driver, page: Page) -> None:
    await page.get_by_role("button", name="Asha").click()
    await page.get_by_label("Send something else").click()
    await page.get_by_role("button", name="Photo").click()
    picture = page.locator("#bubbles img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    await page.get_by_label("Message", exact=True).fill("Waht?")
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_role("button", name="Change").click()
    await page.get_by_label("Message", exact=True).fill("What?")
    await page.keyboard.press("Enter")
    await expect(page.locator("#bubbles .student").last).to_contain_text("What?")
    assert [next(iter(update.keys() - {"update_id"})) for update in await updates(simulator)] == [
        "message",
        "message",
        "edited_message",
    ]


async def test_a_reply_keyboard_says_its_text(simulator: Driver, page: Page) -> None:
    await asyncio.to_thread(simulator.say, "telegram", ASHA, "hello", name="Asha")
    await page.get_by_role("button", name="Asha").click()
    keyboard = {"keyboard": [["Class 6", "Class 7"]]}
    await call(simulator, "sendMessage", chat_id=ASHA, text="Which class?", reply_markup=keyboard)
    await page.get_by_role("group", name="Reply keyboard").get_by_role("button", name="Class 7").click()
    await expect(page.locator("#bubbles .student").last).to_contain_text("Class 7")


async def test_text_is_never_markup(simulator: Driver, page: Page) -> None:
    await asyncio.to_thread(simulator.say, "telegram", ASHA, EVIL, name=EVIL)
    markup = {"inline_keyboard": [[{"text": EVIL, "callback_data": "x"}]]}
    await call(simulator, "sendMessage", chat_id=ASHA, text=EVIL, reply_markup=markup)
    await call(simulator, "sendMessage", chat_id=EVIL, text="x")
    await page.get_by_role("button", name=EVIL).first.click()
    await expect(page.locator("#bubbles .text")).to_have_text([EVIL, EVIL])
    await expect(page.locator("#bubbles .row button")).to_have_text(EVIL)
    await page.get_by_role("button", name="Checks").click()
    await expect(page.locator("#violations .found")).to_contain_text(EVIL)
    assert await page.locator("#bubbles img, #violations img, #list img").count() == 0
    assert await page.evaluate("window.hurt") is None


async def test_broken_rules_and_faults(simulator: Driver, page: Page) -> None:
    await asyncio.to_thread(simulator.say, "telegram", ASHA, "hello", name="Asha")
    await call(simulator, "sendMessage", chat_id=ASHA, text="x" * 5000)
    await page.get_by_role("button", name="Asha").click()
    await page.get_by_role("button", name="Checks 1").click()
    await expect(page.locator("#violations li")).to_contain_text("1-4096 characters after entities parsing")
    await page.get_by_label("How often").select_option("Every time")
    await page.get_by_label("The provider is ill").check()
    await expect(page.get_by_label("The provider is ill")).to_be_checked()
    assert (await call(simulator, "getMe"))["error_code"] == 500
    await page.get_by_label("The provider is ill").uncheck()
    await page.get_by_label("The open student").select_option("has blocked the bot")
    await asyncio.to_thread(eventually, lambda: simulator.get("faults")["telegram"]["refusals"])
    assert (await call(simulator, "sendMessage", chat_id=ASHA, text="x"))["error_code"] == 403
    await page.get_by_role("button", name="Clear").click()
    await expect(page.get_by_text("None so far.")).to_be_visible()


async def test_a_student_is_added(simulator: Driver, page: Page) -> None:
    await page.get_by_text("Add a student").click()
    await page.get_by_label("Number").fill("hello")
    await page.get_by_label("Name").fill("Kabir")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="700100201")).to_be_visible()
    await page.get_by_label("App").select_option("WhatsApp (Twilio)")
    await page.get_by_label("Number").fill("+919876500001")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("heading", name="Kabir")).to_be_visible()
    await page.get_by_label("Message", exact=True).fill("hello")
    await page.keyboard.press("Enter")
    await expect(page.locator("#bubbles .student")).to_contain_text("hello")
    await page.reload()
    await expect(page.get_by_role("button", name="Kabir")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_part_fits_a_finger_and_the_screen(simulator: Driver, page: Page, scheme: str) -> None:
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await asyncio.to_thread(simulator.say, "telegram", ASHA, "a" * 300, name="Asha")
    await call(simulator, "sendMessage", chat_id=ASHA, text="b" * 300, reply_markup=THUMBS)
    await page.get_by_role("button", name="Asha").click()
    await expect(page.locator("#bubbles li")).to_have_count(2)
    for width, height in ((320, 568), (360, 740), (1280, 800)):
        await page.set_viewport_size({"width": width, "height": height})
        for part in ("Students", "Chat", "Checks"):
            if width < 960:
                await page.get_by_role("button", name=part).click()
            assert await fits(page)
            assert await small_targets(page) == []
