"""What was given up: who may see it, what it says and hides, and that trying again really does."""

from __future__ import annotations

import re
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from bot.dashboard.reasons import UNRECORDED, reason_for
from bot.ports import Inbound, Kind
from bot.store import ANSWERED, BURIED, WAITING, Store, Work
from bot.tables import now
from tests.bot.dashboard.visiting import ORIGIN, token, visitor
from tests.served import WRITTEN

PAGE = "/dashboard/undelivered"
QUESTION, REPLY = "Why is my sister sad?", "She may be tired."


class Place(NamedTuple):
    """Where a message of the tests stands."""

    message_id: int
    conversation_id: int


async def taken(store: Store, address: str, channel: str) -> tuple[Work, int, str]:
    """A question, accepted and leased."""
    accepted = await store.accept(Inbound(channel, f"id of {address}", address, Kind.TEXT, QUESTION))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    return work, accepted.conversation_id, lease


async def not_delivered(store: Store, error: str, address: str = "whatsapp:+919876500001") -> Place:
    """A question that was answered; the answer was refused."""
    work, conversation_id, lease = await taken(store, address, "whatsapp")
    await store.commit_answer(work, conversation_id, lease, f"{work.message_id:032}", WRITTEN, [REPLY])
    part = await store.next_part(conversation_id)
    assert part is not None
    await store.not_sent(part.part.id, error, until=None)
    await store.release(conversation_id, lease)
    return Place(work.message_id, conversation_id)


async def not_answered(store: Store, error: str, address: str = "4711") -> Place:
    """A question on which the tutor broke once too often."""
    work, conversation_id, lease = await taken(store, address, "telegram")
    await store.commit_reply(work, conversation_id, lease, [], BURIED, error)
    await store.release(conversation_id, lease)
    return Place(work.message_id, conversation_id)


async def form(client: httpx.AsyncClient) -> dict[str, str]:
    """What every form of the signed-in session carries."""
    return {"token": token((await client.get("/dashboard")).text)}


def boxes(html: str) -> list[int]:
    """The numbers of the messages to tick."""
    return [int(number) for number in re.findall(r'type="checkbox" name="message" value="(\d+)"', html)]


# ---- who may ------------------------------------------------------------------------------------------------------


async def test_strangers_see_and_change_nothing(client: httpx.AsyncClient, store: Store) -> None:
    await not_delivered(store, "PermanentError 63016")
    seen = await client.get(PAGE)
    assert (seen.url.path, [step.status_code for step in seen.history]) == ("/dashboard/sign-in", [303])
    tried = await client.post(PAGE, data={"token": token(seen.text), "all": "1"})
    assert tried.url.path == "/dashboard/sign-in"
    assert (await store.counts())["outbox.failed"] == 1


async def test_form_needs_the_sessions_own_token_and_origin(
    teacher: httpx.AsyncClient, app: FastAPI, store: Store
) -> None:
    await not_delivered(store, "PermanentError 63016")
    right = await form(teacher)
    async with visitor(app) as other:
        foreign = token((await other.get("/dashboard/sign-in")).text)
    for forged in ({}, {"token": ""}, {"token": foreign}):
        assert (await teacher.post(PAGE, data=forged | {"all": "1"})).status_code == 403
    elsewhere = {"Origin": "http://evil.example"}
    assert (await teacher.post(PAGE, data=right | {"all": "1"}, headers=elsewhere)).status_code == 403
    assert (await store.counts())["outbox.failed"] == 1
    await teacher.post(PAGE, data=right | {"all": "1"}, headers={"Origin": ORIGIN})
    assert await store.given_up() == []


# ---- what is seen ------------------------------------------------------------------------------------------------


async def test_list_says_why_and_shows_nobodys_words_or_number(teacher: httpx.AsyncClient, store: Store) -> None:
    refused = await not_delivered(store, "PermanentError 63016")
    broken = await not_answered(store, "RuntimeError")
    html = (await teacher.get(PAGE)).text
    assert boxes(html) == [broken.message_id, refused.message_id]
    for shown in (
        f"Message {refused.message_id}<", "not delivered", ">WhatsApp<", "More than 24 hours had passed",
        "once the student has written again", "PermanentError 63016",
        f"Message {broken.message_id}<", "not answered", ">Telegram<", "does not expect: RuntimeError.",
        f"{now():%d %b %Y}",
    ):  # fmt: skip
        assert shown in html
    told = re.sub(r'(?:datetime|value)="[^"]*"', "", html)  # microseconds and tokens hold any four digits one day
    for hidden in (QUESTION, "sister", REPLY, "tired", WRITTEN.text, "98765", "4711"):
        assert hidden not in told


async def test_one_reason_is_said_once(teacher: httpx.AsyncClient, store: Store) -> None:
    early = await not_delivered(store, "TransientError 401", "1")
    between = await not_delivered(store, "TransientError", "2")
    late = await not_delivered(store, "PermanentError 20003", "3")
    html = (await teacher.get(PAGE)).text
    assert boxes(html) == [late.message_id, early.message_id, between.message_id]
    assert html.count("does not know us") == 1
    assert "<code>PermanentError 20003</code>, <code>TransientError 401</code>" in html


async def test_answers_that_wait_for_their_student_are_counted_and_not_offered(
    teacher: httpx.AsyncClient, store: Store
) -> None:
    work, conversation_id, lease = await taken(store, "whatsapp:+919876500001", "whatsapp")
    await store.commit_answer(work, conversation_id, lease, f"{work.message_id:032}", WRITTEN, [REPLY])
    part = await store.next_part(conversation_id)
    assert part is not None
    await store.starting(part, conversation_id, lease)
    await store.too_late(part.part.id, "OutsideWindow 63016")
    html = (await teacher.get(PAGE)).text
    assert "1 answer waits for the student to write again" in html
    assert boxes(html) == []


async def test_nothing_given_up(teacher: httpx.AsyncClient) -> None:
    html = (await teacher.get(PAGE)).text
    assert "Nothing to try again" in html
    assert "<button" not in html.partition("<main")[2]


async def test_tiles_and_navigation_lead_to_the_page(teacher: httpx.AsyncClient, store: Store) -> None:
    def tiles(html: str) -> list[str]:
        return re.findall(rf'<a href="{PAGE}"><strong>(\d+</strong> [a-z ]+)</a>', html)

    before = (await teacher.get("/dashboard")).text
    assert tiles(before) == []
    assert f'<li><a href="{PAGE}" >Undelivered</a>' in before
    assert '<a href="/dashboard" aria-current="page">Answers</a>' in before
    await not_delivered(store, "PermanentError 63016")
    assert tiles((await teacher.get("/dashboard")).text) == ["1</strong> undelivered"]
    await not_answered(store, "RuntimeError")
    assert tiles((await teacher.get("/dashboard")).text) == ["1</strong> given up", "1</strong> undelivered"]
    page = (await teacher.get(PAGE)).text
    assert f'<a href="{PAGE}" aria-current="page">Undelivered</a>' in page
    assert '<a href="/dashboard" >Answers</a>' in page


async def test_who_blocked_us_is_neither_listed_nor_tried_again(teacher: httpx.AsyncClient, store: Store) -> None:
    work, conversation_id, lease = await taken(store, "4712", "telegram")
    await store.blocked(conversation_id, "Unreachable 403")
    await store.release(conversation_id, lease)
    assert boxes((await teacher.get(PAGE)).text) == []
    done = await teacher.post(PAGE, data=await form(teacher) | {"message": str(work.message_id)})
    assert "Nothing was left to be tried again" in done.text
    await teacher.post(PAGE, data=await form(teacher) | {"all": "1"})
    assert await store.message_state(work.message_id) == BURIED


# ---- trying again ------------------------------------------------------------------------------------------------


async def test_chosen_ones_are_tried_again_and_only_they(teacher: httpx.AsyncClient, store: Store) -> None:
    refused = await not_delivered(store, "PermanentError 63016")
    broken = await not_answered(store, "RuntimeError", "1")
    other = await not_answered(store, "RuntimeError", "2")
    chosen = {"message": [str(refused.message_id), str(broken.message_id)]}
    done = await teacher.post(PAGE, data=await form(teacher) | chosen)
    assert [step.status_code for step in done.history] == [303]
    assert "2 will be tried again within seconds." in done.text
    assert boxes(done.text) == [other.message_id]

    states = [await store.message_state(one.message_id) for one in (refused, broken, other)]
    assert states == [ANSWERED, WAITING, BURIED]
    part = await store.next_part(refused.conversation_id)
    assert part is not None
    assert (part.part.text, part.due, part.attempts, part.in_doubt) == (REPLY, True, 0, False)
    work = await store.next_message(broken.conversation_id)
    assert work is not None
    assert (work.message_id, work.attempts) == (broken.message_id, 0)
    # what the sweeper of the running service takes up
    assert sorted(await store.neglected()) == [refused.conversation_id, broken.conversation_id]
    counts = await store.counts()
    assert (counts["outbox.sending"], counts["incidents.closed"], counts["incidents.open"]) == (1, 2, 1)


async def test_all_are_tried_again_also_those_not_shown(
    teacher: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.dashboard.undelivered.SHOWN", 2)
    places = [await not_answered(store, "RuntimeError", str(number)) for number in range(3)]
    html = (await teacher.get(PAGE)).text
    assert boxes(html) == [places[2].message_id, places[1].message_id]
    assert "the latest 2; there are more" in html
    done = await teacher.post(PAGE, data=await form(teacher) | {"all": "1"})
    assert "3 will be tried again within seconds." in done.text
    assert "there are more" not in done.text
    assert [await store.message_state(one.message_id) for one in places] == [WAITING] * 3


async def test_nothing_chosen_changes_nothing_and_says_so(teacher: httpx.AsyncClient, store: Store) -> None:
    place = await not_answered(store, "RuntimeError")
    response = await teacher.post(PAGE, data=await form(teacher))
    assert response.status_code == 422
    assert re.search(r'role="alert">\s*Tick what should be tried again', response.text)
    assert boxes(response.text) == [place.message_id]
    assert await store.message_state(place.message_id) == BURIED


@pytest.mark.parametrize("number", ["999", "0", "-1", "", "²", "1 ", "01", "9" * 40, "<b>", "1,2"])
async def test_numbers_that_are_not_listed_change_nothing(
    teacher: httpx.AsyncClient, store: Store, number: str
) -> None:
    place = await not_answered(store, "RuntimeError")
    done = await teacher.post(PAGE, data=await form(teacher) | {"message": number})
    assert done.status_code == 200
    assert "Nothing was left to be tried again" in done.text
    assert await store.message_state(place.message_id) == BURIED


async def test_a_whole_page_may_be_ticked(teacher: httpx.AsyncClient, store: Store) -> None:
    place = await not_answered(store, "RuntimeError")
    ticked = [str(number) for number in range(place.message_id, place.message_id + 200)]
    done = await teacher.post(PAGE, data=await form(teacher) | {"message": ticked})
    assert "1 will be tried again within seconds." in done.text


@pytest.mark.parametrize("tried", ["", "x", "-1", "²", "9" * 40, "<b>1</b>"])
async def test_made_up_addresses_claim_nothing(teacher: httpx.AsyncClient, tried: str) -> None:
    assert 'role="status"' not in (await teacher.get(PAGE, params={"tried": tried})).text


# ---- why ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why", "remedy"),
    [
        ("PermanentError 63016", "More than 24 hours", "written again"),
        ("131047", "More than 24 hours", "written again"),
        ("TransientError 20003", "account SID or the token is wrong", "corrects it in the settings"),
        ("PermanentError 401", "account SID or the token is wrong", "corrects it in the settings"),
        ("TransientError 190", "token has expired", "corrects it in the settings"),
        ("TransientError 403", "does not allow our account", "permissions"),
        ("TransientError 200", "does not allow our account", "permissions"),
        ("TransientError 429", "than the messaging service allows", "in an hour"),
        ("TransientError 63018", "than the messaging service allows", "in an hour"),
        ("TransientError 503", "out of order", "in an hour"),
        ("TransientError", "could not be reached", "connection to the internet"),
        ("TransientError 777", "with its error 777", "looks this error up"),
        ("PermanentError 400", "did not accept this message", "Tell the operator"),
        ("PermanentError 63099", "with its error 63099", "looks this error up"),
        ("63099", "with its error 63099", "looks this error up"),
        ("GenerationError", "model could not write", "sahpathi doctor"),
        ("OperationalError", "database could not be used", "disk is full"),
        ("ZeroDivisionError", "does not expect: ZeroDivisionError.", "the log has more"),
    ],
)
def test_reasons_in_words(error: str, why: str, remedy: str) -> None:
    reason = reason_for(error)
    assert why in reason.why
    assert remedy in reason.remedy


def test_a_reason_that_was_not_recorded() -> None:
    assert reason_for("") is UNRECORDED
