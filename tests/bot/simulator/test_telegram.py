"""The Bot API as python-telegram-bot meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken
from telegram.request import HTTPXRequest

from tests.bot.simulator.driver import Driver, Webhooks, driven, eventually

ASHA = "700100200"
RAVI = "700100300"
THUMBS = InlineKeyboardMarkup([[InlineKeyboardButton("👍", callback_data="up")]])
SECRET = "s3cret-Token"


@pytest.fixture
async def bot(simulator: Driver) -> AsyncIterator[Bot]:
    async with bot_of(simulator) as made:
        yield made


def bot_of(simulator: Driver, token: str = "") -> Bot:
    """The real client; that it need not read certificates for plain HTTP saves a tenth of a second each time."""
    base, plain = simulator.url, {"verify": False}
    return Bot(
        token or simulator.config.telegram.token,
        base_url=f"{base}/bot",
        base_file_url=f"{base}/file/bot",
        request=HTTPXRequest(httpx_kwargs=plain),
        get_updates_request=HTTPXRequest(httpx_kwargs=plain),
    )


# ---- sending ---------------------------------------------------------------------------------------------------------


async def test_the_bot_knows_itself(simulator: Driver, bot: Bot) -> None:
    me = await bot.get_me()
    assert (me.id, me.username, me.is_bot) == (123456, "SahpathiSimulatedBot", True)


async def test_another_token_is_refused(simulator: Driver) -> None:
    with pytest.raises(InvalidToken):
        async with bot_of(simulator, "123456:another"):
            pass
    assert simulator.broken() == ["Authorizing your bot"]


async def test_a_message_is_shown_on_the_phone(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello", name="Asha")
    sent = await bot.send_message(ASHA, "Plants make food.", reply_markup=THUMBS)
    assert (sent.text, sent.chat.id, sent.chat.first_name) == ("Plants make food.", int(ASHA), "Asha")
    assert sent.reply_markup == THUMBS
    shown = simulator.last("telegram", ASHA)
    assert (shown["id"], shown["from"], shown["text"]) == (str(sent.message_id), "bot", "Plants make food.")
    assert shown["buttons"][0][0]["text"] == "👍"
    assert simulator.violations() == []


async def test_formatting_is_parsed_before_it_is_shown(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    sent = await bot.send_message(ASHA, " \n<b>क</b> &amp; *x* ", parse_mode="HTML")
    assert sent.text == "क & *x*"
    assert [(entity.type, entity.offset, entity.length) for entity in sent.entities] == [("bold", 0, 1)]


async def test_an_edit_changes_the_bubble_in_place(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    sent = await bot.send_message(ASHA, "Looking …")
    await bot.send_message(ASHA, "Another")
    edited = await sent.edit_text("Plants make food.", reply_markup=THUMBS)
    assert isinstance(edited, Message)
    assert edited.edit_date is not None
    assert simulator.shown("telegram", ASHA) == ["hello", "Plants make food.", "Another"]
    await sent.edit_reply_markup(None)
    assert simulator.phone("telegram", ASHA)["messages"][1]["buttons"] == []


async def test_typing_is_shown_until_a_message_comes(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    await bot.send_chat_action(ASHA, "typing")
    assert 0 < simulator.phone("telegram", ASHA)["typing"] <= 5
    await bot.send_message(ASHA, "Here I am")
    assert simulator.phone("telegram", ASHA)["typing"] == 0


async def test_a_draft_is_seen_until_the_message_comes(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    assert await bot.send_message_draft(int(ASHA), 1, "Here")
    assert await bot.send_message_draft(int(ASHA), 1, "Here I")
    phone = simulator.phone("telegram", ASHA)
    assert (phone["draft"], len(phone["messages"])) == ("Here I", 1)
    assert 25 < phone["draft_for"] <= 30
    await bot.send_message(ASHA, "Here I am")
    assert simulator.phone("telegram", ASHA)["draft"] == ""
    assert simulator.violations() == []


async def test_a_reply_keyboard_comes_and_goes(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    await bot.send_message(ASHA, "Which class?", reply_markup=ReplyKeyboardMarkup([["6", "7"]]))
    assert [[key["text"] for key in row] for row in simulator.phone("telegram", ASHA)["keyboard"]] == [["6", "7"]]
    await bot.send_message(ASHA, "Thanks", reply_markup=ReplyKeyboardRemove())
    assert simulator.phone("telegram", ASHA)["keyboard"] == []


async def test_a_blocked_bot_is_told(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    simulator.refuse("telegram", ASHA, "403")
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(ASHA, "Anybody?")
    simulator.refuse("telegram", ASHA, "")
    await bot.send_message(ASHA, "There you are")
    assert simulator.violations() == []


async def test_commands_are_taken(simulator: Driver, bot: Bot) -> None:
    assert await bot.set_my_commands([("start", "Begin"), ("class", "Choose your class")])


@pytest.mark.parametrize("way", ["query", "form", "multipart", "json"])
def test_a_call_may_be_made_in_every_documented_way(simulator: Driver, way: str) -> None:
    simulator.say("telegram", ASHA, "hello")
    params = {"chat_id": ASHA, "text": "Hi", "disable_notification": "true"}
    client, address = simulator.client, f"/bot{simulator.config.telegram.token}/sendMessage"
    response = {
        "query": lambda: client.get(address, params=params),
        "form": lambda: client.post(address, data=params),
        "multipart": lambda: client.post(address, data=params, files={"certificate": b"x"}),
        "json": lambda: client.post(address, json=params | {"chat_id": int(ASHA), "disable_notification": True}),
    }[way]()
    assert response.json()["ok"]
    assert simulator.shown("telegram", ASHA)[-1] == "Hi"
    assert simulator.broken() == (["Making requests"] if way == "multipart" else [])


# ---- getUpdates ------------------------------------------------------------------------------------------------------


async def test_an_offset_confirms_all_below_it(simulator: Driver, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        simulator.say("telegram", ASHA, text)
    first = await bot.get_updates()
    assert [update.message.text for update in first if update.message] == ["one", "two", "three"]
    assert [update.update_id for update in await bot.get_updates()] == [update.update_id for update in first]
    rest = await bot.get_updates(offset=first[1].update_id)
    assert [update.update_id for update in rest] == [update.update_id for update in first[1:]]
    assert simulator.phone("telegram", ASHA)["messages"][0]["state"] == "delivered"
    assert await bot.get_updates(offset=first[-1].update_id + 1) == ()
    assert (await bot.get_webhook_info()).pending_update_count == 0


async def test_a_negative_offset_counts_from_the_end(simulator: Driver, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        simulator.say("telegram", ASHA, text)
    (last,) = await bot.get_updates(offset=-1)
    assert last.message is not None
    assert last.message.text == "three"
    assert len(await bot.get_updates()) == 1


async def test_no_more_than_the_limit_is_given(simulator: Driver, bot: Bot) -> None:
    for text in ("one", "two", "three"):
        simulator.say("telegram", ASHA, text)
    assert len(await bot.get_updates(limit=2)) == 2


async def test_a_long_poll_ends_as_soon_as_something_comes(simulator: Driver, bot: Bot) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    await asyncio.to_thread(simulator.say, "telegram", ASHA, "hello")
    (update,) = await asyncio.wait_for(polling, 10)
    assert update.message is not None
    assert update.message.from_user is not None


async def test_a_second_poll_ends_the_first(simulator: Driver, bot: Bot) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(0.05)
    async with bot_of(simulator) as other:
        second = asyncio.create_task(other.get_updates(timeout=30))
        with pytest.raises(Conflict, match="terminated by other getUpdates"):
            await asyncio.wait_for(polling, 10)
        await asyncio.to_thread(simulator.say, "telegram", ASHA, "hello")
        assert len(await asyncio.wait_for(second, 10)) == 1


async def test_unwanted_kinds_are_not_kept(simulator: Driver, bot: Bot) -> None:
    await bot.get_updates(allowed_updates=["callback_query"])
    simulator.say("telegram", ASHA, "hello")
    assert await bot.get_updates() == ()  # what was wanted before is still wanted
    await bot.get_updates(allowed_updates=[])
    simulator.say("telegram", ASHA, "hello")
    assert len(await bot.get_updates()) == 1


async def test_polling_and_a_webhook_exclude_each_other(simulator: Driver, service: Webhooks, bot: Bot) -> None:
    await bot.set_webhook(f"{service.url}/hook")
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    assert simulator.broken() == ["getUpdates"]


# ---- the webhook -----------------------------------------------------------------------------------------------------


async def test_the_webhook_is_called_with_the_secret(simulator: Driver, service: Webhooks, bot: Bot) -> None:
    await bot.set_webhook(f"{service.url}/hook", secret_token=SECRET, allowed_updates=["message"])
    said = simulator.say("telegram", ASHA, "/start now", name="Asha")
    (delivery,) = eventually(lambda: service.deliveries)
    assert delivery.path_query == "/hook"
    assert delivery.headers["x-telegram-bot-api-secret-token"] == SECRET
    update = json.loads(delivery.body)
    assert str(update["update_id"]) == said["provider_id"]
    assert update["message"]["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]
    eventually(lambda: simulator.last("telegram", ASHA)["state"] == "delivered")
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.allowed_updates) == (f"{service.url}/hook", 0, ("message",))


async def test_a_failed_webhook_is_called_again_and_nothing_overtakes_it(
    simulator: Driver, service: Webhooks, bot: Bot
) -> None:
    await bot.set_webhook(f"{service.url}/hook")
    service.answers = [500, 502]
    simulator.say("telegram", ASHA, "one")
    simulator.say("telegram", ASHA, "two")
    eventually(lambda: len(service.deliveries) == 4)
    texts = [json.loads(delivery.body)["message"]["text"] for delivery in service.deliveries]
    assert texts == ["one", "one", "one", "two"]
    assert (
        await bot.get_webhook_info()
    ).last_error_message == "Wrong response from the webhook: the webhook answered 502"


async def test_one_chat_does_not_wait_for_another(simulator: Driver, service: Webhooks, bot: Bot) -> None:
    await bot.set_webhook(f"{service.url}/hook")
    service.answers = [500]
    simulator.say("telegram", ASHA, "one")
    simulator.say("telegram", RAVI, "two")
    eventually(lambda: len(service.deliveries) == 3)


async def test_a_message_nobody_takes_is_given_up(simulator: Driver, service: Webhooks, bot: Bot) -> None:
    await bot.set_webhook(f"{service.url}/hook")
    service.answers = [500] * 4
    simulator.say("telegram", ASHA, "one")
    eventually(lambda: simulator.last("telegram", ASHA)["state"] == "failed")
    assert (await bot.get_webhook_info()).pending_update_count == 0


async def test_what_waits_goes_to_the_webhook_and_back(simulator: Driver, service: Webhooks, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "early")
    await bot.set_webhook(f"{service.url}/hook")
    eventually(lambda: len(service.deliveries) == 1)
    service.answers = [500] * 4
    simulator.say("telegram", ASHA, "late")
    await bot.delete_webhook()
    late = await bot.get_updates(timeout=1)
    assert [update.message.text for update in late if update.message] in (["late"], [])
    simulator.say("telegram", ASHA, "dropped")
    await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.get_updates() == ()


async def test_only_the_service_is_ever_called(simulator: Driver, bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)failed to resolve host"):
        await bot.set_webhook("https://elsewhere.example/hook")
    assert "the service's public address" in simulator.violations()[0]["words"]


@pytest.mark.parametrize(
    ("public", "reason"), [("http://tutor.example", "https url"), ("https://tutor.example:8000", "ports 80")]
)
async def test_a_public_address_must_be_one_that_telegram_calls(service: Webhooks, public: str, reason: str) -> None:
    with driven(service.url, public) as simulator:
        async with bot_of(simulator) as bot:
            with pytest.raises(BadRequest, match=reason):
                await bot.set_webhook(f"{public}/hook")


async def test_the_public_address_is_registered_and_the_service_called(service: Webhooks) -> None:
    with driven(service.url, "https://tutor.example") as simulator:
        async with bot_of(simulator) as bot:
            await bot.set_webhook("https://tutor.example/hook?x=1")
            simulator.say("telegram", ASHA, "hello")
            (delivery,) = eventually(lambda: service.deliveries)
            assert delivery.path_query == "/hook?x=1"


# ---- what students do ------------------------------------------------------------------------------------------------


async def test_a_press_waits_until_it_is_answered(simulator: Driver, bot: Bot) -> None:
    simulator.say("telegram", ASHA, "hello")
    sent = await bot.send_message(ASHA, "Was it good?", reply_markup=THUMBS)
    simulator.say("telegram", ASHA, kind="press", message=str(sent.message_id), data="up")
    query = (await bot.get_updates())[-1].callback_query
    assert query is not None
    assert (query.data, query.message and query.message.message_id) == ("up", sent.message_id)
    assert simulator.last("telegram", ASHA)["buttons"][0][0]["waiting"]
    await bot.answer_callback_query(query.id, "Thank you!")
    phone = simulator.phone("telegram", ASHA)
    assert not phone["messages"][-1]["buttons"][0][0]["waiting"]
    assert phone["notice"] == "Thank you!"


async def test_an_own_message_is_edited(simulator: Driver, bot: Bot) -> None:
    said = simulator.say("telegram", ASHA, "Waht?")
    simulator.say("telegram", ASHA, "What?", kind="edited", message=said["message"])
    first, second = await bot.get_updates()
    assert second.edited_message is not None
    assert first.message is not None
    assert (second.edited_message.text, second.edited_message.message_id) == ("What?", first.message.message_id)
    assert simulator.shown("telegram", ASHA) == ["What?"]


@pytest.mark.parametrize("kind", ["photo", "voice", "sticker"])
async def test_a_file_can_be_fetched(simulator: Driver, bot: Bot, kind: str) -> None:
    simulator.say("telegram", ASHA, "solve this", kind=kind)
    message = (await bot.get_updates())[0].message
    assert message is not None
    part = {"photo": message.photo and message.photo[-1], "voice": message.voice, "sticker": message.sticker}[kind]
    assert part
    assert message.caption == ("solve this" if kind == "photo" else None)
    content = await (await bot.get_file(part.file_id)).download_as_bytearray()
    assert len(content) == part.file_size


@pytest.mark.parametrize("kind", ["contact", "location"])
async def test_other_kinds_arrive(simulator: Driver, bot: Bot, kind: str) -> None:
    simulator.say("telegram", ASHA, kind=kind)
    message = (await bot.get_updates())[0].message
    assert message is not None
    assert getattr(message, kind) is not None
