"""What Twilio could not bring: taken up from its list of messages, once."""

from __future__ import annotations

import asyncio

from bot.channels.whatsapp import WhatsAppChannel
from bot.ports import Inbound, Kind
from tests.bot.simulator.driver import Driver, Webhooks, eventually

ASHA, RAVI = "+919876543210", "+919876543211"


class Taken(list[Inbound]):
    """What was taken up; the look ends after `looks` of them."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough, self.stop = enough, asyncio.Event()

    async def accept(self, inbound: Inbound) -> None:
        self.append(inbound)
        if len(self) >= self.enough:
            self.stop.set()


async def taken(whatsapp: WhatsAppChannel, enough: int, every: float = 0.05) -> Taken:
    found = Taken(enough)
    await asyncio.wait_for(whatsapp.catch_up(found.accept, found.stop, every=every), 20)
    return found


async def test_what_was_written_while_nobody_listened_is_taken_up_in_order(
    providers: Driver, service: Webhooks, whatsapp: WhatsAppChannel
) -> None:
    service.answers = [503] * 3  # Twilio does not repeat what was answered, whatever the answer
    said = [await asyncio.to_thread(providers.say, "twilio", who, text) for who, text in
            ((ASHA, "What is a cell?"), (RAVI, "/class 7"), (ASHA, "stop"))]  # fmt: skip
    found = await taken(whatsapp, 3)
    assert [one.provider_id for one in found] == [one["provider_id"] for one in said]
    assert [(one.kind, one.text) for one in found] == [
        (Kind.TEXT, "What is a cell?"), (Kind.COMMAND, "/class 7"), (Kind.COMMAND, "/stop"),
    ]  # fmt: skip
    assert {one.address for one in found} == {f"whatsapp:{ASHA}", f"whatsapp:{RAVI}"}
    assert providers.violations() == []


async def test_a_webhook_and_the_list_give_the_same_message(
    providers: Driver, service: Webhooks, whatsapp: WhatsAppChannel
) -> None:
    said = await asyncio.to_thread(providers.say, "twilio", ASHA, "What is a cell?")
    await asyncio.to_thread(eventually, lambda: service.deliveries)
    (found,) = await taken(whatsapp, 1)
    assert found == Inbound("whatsapp", said["provider_id"], f"whatsapp:{ASHA}", Kind.TEXT, "What is a cell?")


async def test_media_gets_its_kind_word_and_our_own_replies_are_no_questions(
    providers: Driver, whatsapp: WhatsAppChannel
) -> None:
    await asyncio.to_thread(lambda: providers.say("twilio", ASHA, kind="photo"))
    await whatsapp._client.send(providers.config.twilio.sender, f"whatsapp:{ASHA}", "Hello", "http://127.0.0.1/x")
    (found,) = await taken(whatsapp, 1)
    assert found.kind is Kind.UNSUPPORTED


async def test_a_provider_that_is_away_is_asked_again(providers: Driver, whatsapp: WhatsAppChannel) -> None:
    await asyncio.to_thread(lambda: providers.fault("twilio", "server_error", times=2, only=["list"]))
    await asyncio.to_thread(providers.say, "twilio", ASHA, "What is a cell?")
    assert len(await taken(whatsapp, 1)) == 1
    assert [call["status"] for call in providers.calls("list")][:3] == [500, 500, 200]


async def test_what_could_not_be_stored_is_looked_up_again(providers: Driver, whatsapp: WhatsAppChannel) -> None:
    await asyncio.to_thread(providers.say, "twilio", ASHA, "What is a cell?")
    stop, tries = asyncio.Event(), 0

    async def accept(inbound: Inbound) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("the disk is full")
        stop.set()

    await asyncio.wait_for(whatsapp.catch_up(accept, stop, every=0.05), 20)
    assert tries == 2
