"""The exact requests with which the real channels call the providers, held against tests/payloads/outgoing.

A file there holds a request's verb, path, headers and parameters, which are the form's, the JSON body's or the query's.
What differs from run to run stands in angle brackets.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.choices import thumbs
from bot.ports import Choice, HttpRequest, Inbound, Outgoing
from tests.bot.channels.simulated import (
    ASHA,
    ASHA_PHONE,
    PUBLIC,
    SECRET,
    cloud_of,
    confirmed,
    telegram_of,
    whatsapp_of,
)
from tests.bot.simulator.driver import Driver
from tests.payloads.recorded import FOLDER, Json, payload

TEXT = "Plants make food from light, *water* & air: 6 CO₂ + 6 H₂O.\n\nस्रोत: Science, Class 7, page 3"
THUMBS = thumbs("ab" * 16)
AGREE = (Choice("Yes, I agree", "/agree"), Choice("No", "/decline"))
CLASSES = tuple(Choice(f"Class {level}", f"/class {level}") for level in range(6, 11))
MENU = ("Class", "Subject", "Help")
ADDRESSES = {"telegram": ASHA, "twilio": f"whatsapp:{ASHA_PHONE}", "cloud": ASHA_PHONE.removeprefix("+")}


@dataclass
class Talk:
    """A channel, and a student whom it may write to. `found`: what the brackets of a file stand for."""

    provider: str
    channel: Any
    driver: Driver
    found: dict[str, str] = field(default_factory=dict)

    async def send(self, choices: tuple[Choice, ...] = (), menu: tuple[str, ...] = (), text: str = TEXT) -> None:
        part = Outgoing(42, ADDRESSES[self.provider], text, choices, menu)
        self.found["message"] = await self.channel.send(part)

    async def mark(self) -> None:
        await self.send(THUMBS)
        part = Outgoing(42, ADDRESSES[self.provider], TEXT, THUMBS)
        assert await self.channel.mark(part, self.found["message"], THUMBS[0].command)

    async def acknowledge(self) -> None:
        await self.send(THUMBS)
        pressed = {"kind": "press", "message": self.found["message"], "data": THUMBS[0].command}
        self.driver.say("telegram", ASHA, **pressed)
        (update,) = confirmed(self.driver)
        self.found["query"] = update["callback_query"]["id"]
        await self.channel.acknowledge(HttpRequest("/webhooks/telegram", {}, json.dumps(update).encode()))

    async def typing(self) -> None:
        last = self.driver.phone(self.provider, ASHA if self.provider == "telegram" else ASHA_PHONE)["messages"][-1]
        self.found["message"] = last["id"]
        await self.channel.typing(ADDRESSES[self.provider], last["id"])

    async def preview(self) -> None:
        assert await self.channel.preview(ADDRESSES[self.provider], 7, "Plants make")

    async def invite(self) -> None:
        assert await self.channel.invite(ADDRESSES[self.provider])

    async def start(self) -> None:
        await self.channel.start()

    async def start_polling(self) -> None:
        polling = telegram_of(self.driver)
        await polling.start()
        await polling.close()

    async def poll(self) -> None:
        stop = asyncio.Event()
        self.driver.say("telegram", ASHA, "What is a cell?")

        async def accept(inbound: Inbound) -> None:
            stop.set()

        polling = telegram_of(self.driver)
        await asyncio.wait_for(polling.poll(accept, stop), 10)
        await polling.close()

    async def reconcile(self) -> None:
        assert await self.channel.reconcile(Outgoing(42, ADDRESSES[self.provider], "Never sent")) is None


Deed = Callable[[Talk], Awaitable[None]]

# By file: the method as the simulator records it, and what makes the channel call it.
DEEDS: Mapping[str, Mapping[str, tuple[str, Deed]]] = {
    "telegram": {
        "text": ("sendMessage", Talk.send),
        "buttons": ("sendMessage", lambda talk: talk.send(THUMBS)),
        "buttons_in_rows": ("sendMessage", lambda talk: talk.send(CLASSES, text="Which class?")),
        "keyboard": ("sendMessage", lambda talk: talk.send(menu=MENU)),
        "typing": ("sendChatAction", Talk.typing),
        "edited_buttons": ("editMessageReplyMarkup", Talk.mark),
        "callback_answer": ("answerCallbackQuery", Talk.acknowledge),
        "preview": ("sendMessageDraft", Talk.preview),
        "me": ("getMe", Talk.start),
        "commands": ("setMyCommands", Talk.start),
        "set_webhook": ("setWebhook", Talk.start),
        "delete_webhook": ("deleteWebhook", Talk.start_polling),
        "poll": ("getUpdates", Talk.poll),
    },
    "twilio": {
        "text": ("create", Talk.send),
        "numbered": ("create", lambda talk: talk.send(CLASSES, text="Which class?")),
        "thumbs": ("create", lambda talk: talk.send(THUMBS)),
        "template": ("create", Talk.invite),
        "list": ("list", Talk.reconcile),
    },
    "cloud": {
        "text": ("messages", Talk.send),
        "buttons": ("messages", lambda talk: talk.send(AGREE, text="Do you agree?")),
        "three_buttons": ("messages", lambda talk: talk.send(CLASSES[:3], text="Which class?")),
        "list": ("messages", lambda talk: talk.send(CLASSES, text="Which class?")),
        "numbered": ("messages", lambda talk: talk.send(CLASSES * 3, text="Which class?")),
        "template": ("messages", Talk.invite),
        "read_and_typing": ("read", Talk.typing),
    },
}
MAKERS: Mapping[str, Callable[[Driver], Any]] = {
    "telegram": lambda driver: telegram_of(driver, public_url=PUBLIC, commands={"hi": [("help", "मदद")]}),
    "twilio": lambda driver: whatsapp_of(driver, template_sid="HX" + "7" * 32),
    "cloud": lambda driver: cloud_of(driver, template="answer_ready", template_language="hi"),
}


@pytest.fixture
async def talk(bot_api: Driver, request: pytest.FixtureRequest) -> AsyncIterator[Talk]:
    """With a student who has just written, on the provider that the test is about."""
    provider: str = request.getfixturevalue("provider")
    bot_api.say(provider, ASHA if provider == "telegram" else ASHA_PHONE, "hello", name="Asha")
    confirmed(bot_api)
    channel = MAKERS[provider](bot_api)
    yield Talk(provider, channel, bot_api)
    await channel.close()


@pytest.mark.parametrize("provider", DEEDS)
def test_every_file_has_a_deed(provider: str) -> None:
    assert {file.stem for file in (FOLDER / "outgoing" / provider).glob("*.json")} == DEEDS[provider].keys()


@pytest.mark.parametrize(
    ("provider", "name"), [(provider, name) for provider, deeds in DEEDS.items() for name in deeds]
)
async def test_the_request_is_the_one_on_file(talk: Talk, provider: str, name: str) -> None:
    method, deed = DEEDS[provider][name]
    await deed(talk)
    call = talk.driver.calls(method, provider=provider)[-1]
    assert (call["outcome"], call["status"] in {200, 201}) == ("ok", True)
    assert as_on_file(talk, call) == payload(f"outgoing/{provider}/{name}")
    assert talk.driver.violations() == []


def as_on_file(talk: Talk, call: Json) -> Json:
    """A recorded call, with brackets for what differs from run to run."""
    config, account = talk.driver.config, talk.driver.config.twilio
    secrets = {
        "token": config.telegram.token,
        "secret": SECRET,
        "credentials": base64.b64encode(f"{account.sid}:{account.auth_token}".encode()).decode(),
        "account": account.sid,
        "sender": account.sender,
        "phone_number_id": config.cloud.phone_number_id,
        "access_token": config.cloud.access_token,
    }
    parameters = {name: _decoded(value) for name, value in call["parameters"].items()}
    text = json.dumps(call["http"] | {"parameters": parameters})
    for name, value in secrets.items():
        text = text.replace(value, f"<{name}>")
    for name, value in talk.found.items():
        text = text.replace(f'"{value}"', f'"<{name}>"')
    shown: Json = json.loads(text)
    return shown


def _decoded(value: object) -> object:
    """The Bot API's forms hold objects and arrays as JSON."""
    return json.loads(value) if isinstance(value, str) and value[:2] in {'{"', '["', "[[", "[{"} else value
