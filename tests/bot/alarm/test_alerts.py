"""Adults are told of a child in distress: over a real mail server and the simulator's Telegram, nobody twice for one
step, and nothing of the child leaves.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.alarm.alerts import HOLD_SECONDS, MOST_ROUNDS, NOBODY, Alarm, ByChannel, Sender
from bot.alarm.contacts import MAIL, TELEGRAM, Contact, contacts
from bot.alarm.mail import Mailer
from bot.alarm.notice import Notice
from bot.alarm.seen import Adults
from bot.channels.telegram import TelegramChannel
from bot.live import MemoryLive
from bot.ports import Inbound
from bot.store import OPEN, Case, Store
from bot.tables import now
from bot.words import DISTRESS
from bot.worker import Patience, Worker
from tests.bot.distress import ADDRESS, COMFORT, ESCALATED, FAILED_CLOSED, QUESTION, happened, kept, until
from tests.bot.simulator.driver import Driver, driven
from tests.mailbox import HOST, MailServer
from tests.memory import EchoTutor
from tests.servers import free_port

ASHA, MEERA, JOHN = "asha@school.example", "meera@school.example", "john@school.example"
PAGE = "https://tutor.school.example/dashboard/incidents"
CHAT = "700100900"
BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
LONG, SHORT = 600.0, 0.2  # seconds until the next adult is told


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


def mailer(port: int) -> Mailer:
    return Mailer(HOST, port, sender="tutor@school.example", starttls=False, timeout=5)


def by_mail(*addresses: str) -> Sequence[Contact]:
    return [Contact(MAIL, address) for address in addresses]


def alarm(
    store: Store, adults: Sequence[Contact], sender: Sender, *, escalate_after: float = LONG, page: str = PAGE
) -> Alarm:
    senders = {MAIL: sender}
    return Alarm(store, adults, senders, escalate_after=escalate_after, page=page, poll=0.02, again=0.05)


@asynccontextmanager
async def ringing(*alarms: Alarm) -> AsyncIterator[None]:
    """These run for as long as the body does."""
    tasks = [asyncio.create_task(one.run()) for one in alarms]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(store: Store, case: Case, reached: Callable[[Case], bool]) -> Case:
    """The incident, once it has come so far."""
    async with asyncio.timeout(10):
        while not reached(found := await kept(store, case.id)):  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
    return found


# ---- one after another ---------------------------------------------------------------------------------------------


@BOTH
async def test_the_first_adult_is_told_within_seconds_and_only_the_first(store: Store, server: MailServer) -> None:
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port))):
        case = await happened(store)
        told = await settled(store, case, lambda found: bool(found.told))
        await asyncio.sleep(0.2)
    assert server.to == [ASHA]
    assert [alert.contact for alert in told.told] == [f"mailto:{ASHA}"]
    assert told.told[0].at - case.created_at < timedelta(seconds=3)
    assert told.next_alert_at is not None
    assert timedelta(seconds=LONG - 10) < told.next_alert_at - now() < timedelta(seconds=LONG)


async def test_the_next_adult_is_told_until_somebody_looks_after_it(store: Store, server: MailServer) -> None:
    case = await happened(store)
    async with ringing(alarm(store, by_mail(ASHA, MEERA, JOHN), mailer(server.port), escalate_after=SHORT)):
        await until(lambda: len(server.mails) == 2)
        assert await store.see_incident(case.id, by="Meera")
        await asyncio.sleep(3 * SHORT)
    assert server.to == [ASHA, MEERA]
    assert (await kept(store, case.id)).state == OPEN


async def test_what_is_closed_alerts_nobody(store: Store, server: MailServer) -> None:
    case = await happened(store)
    assert await store.close_incident(case.id, by="Asha", note="I was there when she wrote it.")
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port))):
        await asyncio.sleep(0.3)
    assert server.mails == []


async def test_what_only_waits_for_staff_alerts_nobody(store: Store, server: MailServer) -> None:
    await happened(store, FAILED_CLOSED)
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port))):
        await asyncio.sleep(0.3)
    assert server.mails == []


async def test_after_three_rounds_it_only_stays_open_and_the_operator_is_told(
    store: Store, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    case = await happened(store)
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port), escalate_after=0.05)):
        left = await settled(store, case, lambda found: found.next_alert_at is None)
        await asyncio.sleep(0.3)
    assert server.to == [ASHA, MEERA] * MOST_ROUNDS
    assert (left.state, len(left.told)) == (OPEN, 2 * MOST_ROUNDS)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [f"incident {case.id}: nobody looks after it after 6 alerts; it stays open"]


async def test_several_children_are_each_told_of(store: Store, server: MailServer) -> None:
    cases = [await happened(store, address=str(number)) for number in range(5)]
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port))):
        await until(lambda: len(server.mails) == 5)
    numbers = sorted(int(re.findall(r"incidents/(\d+)", mail.text)[0]) for mail in server.mails)
    assert numbers == sorted(case.id for case in cases)


# ---- nobody twice, and none lost -----------------------------------------------------------------------------------


@BOTH
async def test_two_alarms_on_one_database_tell_nobody_twice(store: Store, server: MailServer) -> None:
    alarms = [alarm(store, by_mail(ASHA, MEERA), mailer(server.port), escalate_after=0.4) for _ in range(2)]
    async with ringing(*alarms):
        cases = [await happened(store, address=str(number)) for number in range(3)]
        await until(lambda: len(server.mails) == 6)
        for case in cases:
            assert await store.see_incident(case.id, by="Asha")
        await asyncio.sleep(0.6)
    assert sorted(server.to) == [ASHA] * 3 + [MEERA] * 3


class Stuck:
    """A mail server that takes a connection and says nothing: real ones do."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def send(self, address: str, notice: Notice) -> None:
        self.reached.set()
        await asyncio.Event().wait()


async def test_an_alarm_that_is_killed_before_it_told_anybody_loses_nothing(
    store: Store, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.alarm.alerts.HOLD_SECONDS", 0.5)
    assert HOLD_SECONDS > 0.5
    case = await happened(store)
    stuck = Stuck()
    async with ringing(alarm(store, by_mail(ASHA), stuck)):
        await stuck.reached.wait()
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port))):
        await asyncio.sleep(0.1)
        assert server.mails == []  # held by the dead one
        await until(lambda: bool(server.mails))
        await settled(store, case, lambda found: len(found.told) == 1)
    assert server.to == [ASHA]


# ---- whoever cannot be told ----------------------------------------------------------------------------------------


async def test_when_one_cannot_be_told_the_next_is_at_once(
    store: Store, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    server.refused[ASHA] = f"550 {ASHA} is unknown"
    case = await happened(store)
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port))):
        told = await settled(store, case, lambda found: bool(found.told))
    assert server.to == [MEERA]
    assert [alert.contact for alert in told.told] == [f"mailto:{MEERA}"]
    assert f"incident {case.id}: adult 1 cannot be told (PermanentError 550)" in caplog.messages
    assert f"incident {case.id}: adult 2 was told by mailto" in caplog.messages


async def test_one_who_hangs_holds_nobody_up_for_long(
    store: Store, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.alarm.alerts.SEND_SECONDS", 0.2)
    case = await happened(store)
    adults = [Contact(TELEGRAM, CHAT), *by_mail(MEERA)]
    senders: dict[str, Sender] = {TELEGRAM: Stuck(), MAIL: mailer(server.port)}
    async with ringing(Alarm(store, adults, senders, escalate_after=LONG, poll=0.02)):
        await settled(store, case, lambda found: bool(found.told))
    assert server.to == [MEERA]


async def test_while_nobody_can_be_told_it_is_tried_again_and_counts_as_no_round(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    case = await happened(store)
    server = MailServer(port=port)
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(port))):
        await until(lambda: sum("no adult can be told" in said for said in caplog.messages) > 2 * MOST_ROUNDS)
        with server:
            told = await settled(store, case, lambda found: bool(found.told))
    assert server.to == [ASHA]
    assert [alert.contact for alert in told.told] == [f"mailto:{ASHA}"]


async def test_one_who_can_never_be_told_does_not_keep_it_going_for_ever(store: Store, server: MailServer) -> None:
    server.refused[ASHA] = "550 unknown"
    case = await happened(store)
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port), escalate_after=0.05)):
        await settled(store, case, lambda found: found.next_alert_at is None)
    assert server.to == [MEERA] * MOST_ROUNDS


async def test_the_settings_may_name_others_after_a_restart(store: Store, server: MailServer) -> None:
    case = await happened(store)
    async with ringing(alarm(store, by_mail(JOHN), mailer(server.port), escalate_after=SHORT)):
        await settled(store, case, lambda found: bool(found.told))
    async with ringing(alarm(store, by_mail(ASHA, MEERA), mailer(server.port))):
        await settled(store, case, lambda found: len(found.told) == 2)
    assert server.to == [JOHN, ASHA]


async def test_without_adults_the_operator_is_told_what_to_set(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    case = await happened(store)
    await asyncio.wait_for(alarm(store, [], mailer(free_port())).run(), 5)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, NOBODY)]
    assert "SAHPATHI_SAFETY__ADULTS" in NOBODY
    assert [due.id for due in await store.alerts_due()] == [case.id]  # they are told once there are some


async def test_a_database_that_is_away_does_not_end_the_alarm(
    store: Store, server: MailServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    due, failures = store.alerts_due, 0

    async def sometimes(*, limit: int = 50) -> list[Case]:
        nonlocal failures
        failures += 1
        if failures < 3:
            raise ConnectionError("the database is away")
        return await due(limit=limit)

    monkeypatch.setattr(store, "alerts_due", sometimes)
    await happened(store)
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port))):
        await until(lambda: bool(server.mails))
    assert caplog.messages.count("the alarm failed; trying again") == 2


# ---- what is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", DISTRESS)
@pytest.mark.parametrize("page", [PAGE, ""])
async def test_a_mail_says_what_to_do_and_holds_nothing_of_the_child(
    store: Store, server: MailServer, caplog: pytest.LogCaptureFixture, category: str, page: str
) -> None:
    caplog.set_level(logging.DEBUG)
    case = await happened(store, replace(ESCALATED, incident=category))
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port), page=page)):
        await settled(store, case, lambda found: bool(found.told))
    (mail,) = server.mails
    words = DISTRESS[category]
    when = f"{case.created_at.astimezone():%Y-%m-%d %H:%M %Z}"
    address = f"{PAGE}/{case.id}" if page else f"sahpathi incidents show {case.id}"
    for shown in (words.english.lower(), words.hindi, f"Incident {case.id}", when, "WhatsApp", address, "child today"):
        assert shown in mail.text
    assert mail.text.count(address) == 2  # in both languages
    assert str(case.id) in mail.message["Subject"]
    for hidden in (QUESTION, "Ravi", "miss me", ADDRESS, "98765", COMFORT):
        assert hidden not in mail.whole
    for hidden in (QUESTION, "Ravi", "98765", "asha", COMFORT):
        assert not [said for said in _ours(caplog) if hidden in said]


def _ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("bot")]


async def test_a_kind_that_came_later_is_told_too(store: Store, server: MailServer) -> None:
    case = await happened(store, replace(ESCALATED, incident="a_new_kind"))
    async with ringing(alarm(store, by_mail(ASHA), mailer(server.port))):
        await settled(store, case, lambda found: bool(found.told))
    assert "a child in distress" in server.mails[0].text


# ---- by Telegram ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def providers() -> Iterator[Driver]:
    with driven("http://127.0.0.1:9") as driver:  # nobody receives: only sending is looked at
        yield driver


@pytest.fixture
async def telegram(providers: Driver) -> AsyncIterator[TelegramChannel]:
    providers.reset()
    channel = TelegramChannel(
        providers.config.telegram.token, secret="secret", api_base=providers.url, timeout=2.0, backoff=0.01
    )
    yield channel
    await channel.close()


async def test_an_adult_is_told_on_telegram_and_the_next_by_mail(
    store: Store, server: MailServer, providers: Driver, telegram: TelegramChannel
) -> None:
    providers.say("telegram", CHAT, "/start", name="Asha")
    case = await happened(store)
    senders: dict[str, Sender] = {TELEGRAM: ByChannel(telegram), MAIL: mailer(server.port)}
    adults = contacts(f"telegram:{CHAT}, mailto:{MEERA}")
    async with ringing(Alarm(store, adults, senders, escalate_after=SHORT, page=PAGE, poll=0.02)):
        await until(lambda: bool(server.mails))
        await settled(store, case, lambda found: len(found.told) == 2)
        assert await store.see_incident(case.id, by="Meera")
    (call,) = providers.sent("sendMessage")
    assert call["chat_id"] == CHAT
    assert f"{PAGE}/{case.id}" in call["text"]
    assert "Ravi" not in call["text"]
    (alert,) = [message for message in providers.phone("telegram", CHAT)["messages"] if message["from"] == "bot"]
    ((button,),) = alert["buttons"]
    assert (button["text"], button["data"]) == ("I look after it", f"/seen {case.id}")
    assert "press it under this message" in alert["text"]
    assert "press it under this message" not in server.mails[0].text
    assert providers.violations() == []


@asynccontextmanager
async def serving(store: Store, telegram: TelegramChannel, adults: Sequence[Contact]) -> AsyncIterator[None]:
    """What is written on Telegram is received and answered for as long as the body runs."""
    channels = {telegram.name: telegram}
    worker = Worker(
        store, EchoTutor(), channels, MemoryLive(), patience=Patience(), concurrency=4, adults=Adults(adults, PAGE)
    )

    async def accept(inbound: Inbound) -> None:
        await worker.drain((await store.accept(inbound)).conversation_id)

    stop = asyncio.Event()
    polling = asyncio.create_task(telegram.poll(accept, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(polling, 10)


@BOTH
async def test_the_button_under_an_alert_ends_the_alarm(
    store: Store, server: MailServer, providers: Driver, telegram: TelegramChannel
) -> None:
    providers.say("telegram", CHAT, "/start", name="Asha")
    case = await happened(store)
    senders: dict[str, Sender] = {TELEGRAM: ByChannel(telegram), MAIL: mailer(server.port)}
    adults = contacts(f"telegram:{CHAT}, mailto:{MEERA}")
    async with (
        serving(store, telegram, adults),
        ringing(Alarm(store, adults, senders, escalate_after=LONG, page=PAGE, poll=0.02)),
    ):
        await settled(store, case, lambda found: bool(found.told))
        (call,) = [call for call in providers.calls("sendMessage") if "sahpathi" in call["parameters"]["text"].lower()]
        press = {"kind": "press", "message": call["message_id"], "data": f"/seen {case.id}"}
        providers.say("telegram", CHAT, **press)
        seen = await settled(store, case, lambda found: found.seen_at is not None)
        await until(lambda: f"Incident {case.id} is looked after now" in providers.shown("telegram", CHAT)[-1])
    assert (seen.seen_by, seen.next_alert_at) == (f"Telegram {CHAT}", None)
    assert f"{PAGE}/{case.id}" in providers.shown("telegram", CHAT)[-1]
    assert server.mails == []
    assert providers.called("answerCallbackQuery")
    assert providers.violations() == []


async def test_a_chat_that_blocked_the_bot_is_passed_over(
    store: Store, server: MailServer, providers: Driver, telegram: TelegramChannel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    case = await happened(store)  # the adult has never written to the bot
    senders: dict[str, Sender] = {TELEGRAM: ByChannel(telegram), MAIL: mailer(server.port)}
    adults = contacts(f"telegram:{CHAT}, mailto:{MEERA}")
    async with ringing(Alarm(store, adults, senders, escalate_after=LONG, page=PAGE, poll=0.02)):
        await settled(store, case, lambda found: bool(found.told))
    assert server.to == [MEERA]
    assert not [said for said in _ours(caplog) if CHAT in said]
