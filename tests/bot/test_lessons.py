"""What the log has to teach: only of students who agreed, and nothing of those who are forgotten."""

from __future__ import annotations

import asyncio

import pytest

from bot.ports import Answer, Effect, Route
from bot.store import Store
from tests.bot.distress import REFUSED, answered, forgotten

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

RAIN = Answer("Rain is water.", Route.QUOTED, "en", confidence=0.8, passages=("Rain is water.",))
AGREED = Answer("Thank you.", Route.COMMAND, "en", effect=Effect.CONSENT)
STOPPED = Answer("Stopped.", Route.COMMAND, "en", effect=Effect.WITHDRAW)


async def reviewed(store: Store, address: str, question: str = "What is rain?", *, channel: str = "whatsapp") -> str:
    answer = await answered(store, RAIN, question, address=address, channel=channel)
    assert await store.review(answer, by="Asha")
    return answer


async def test_only_students_who_agreed_and_still_do_are_learned_from(store: Store) -> None:
    kept = []
    for address in ("agreed", "withdrawn", "forgotten"):
        await answered(store, AGREED, "/agree", address=address)
        kept.append(await reviewed(store, address))
    await reviewed(store, "silent")
    assert [answer.id for answer in (await store.lessons()).answers] == kept
    await answered(store, STOPPED, "/stop", address="withdrawn")
    await forgotten(store, "forgotten")
    lessons = await store.lessons()
    assert [answer.id for answer in lessons.answers] == kept[:1]
    assert lessons.withheld == 2  # the silent and the withdrawn; of the forgotten nothing is left to be counted


async def test_who_asked_to_be_forgotten_is_left_out_before_it_is_done(store: Store) -> None:
    await answered(store, AGREED, "/agree", address="going")
    await reviewed(store, "going")
    gone = Answer("All is erased.", Route.COMMAND, "en", effect=Effect.FORGET)
    await answered(store, gone, "/forget yes", address="going")
    assert (await store.lessons()).answers == ()


async def test_where_the_school_has_asked_a_stop_still_counts(store: Store) -> None:
    stays = await reviewed(store, "one", channel="web")
    await reviewed(store, "two", channel="web")
    await answered(store, STOPPED, "/STOP", address="two", channel="web")
    assert (await store.lessons()).answers == ()
    assert [answer.id for answer in (await store.lessons(("web", "console"))).answers] == [stays]


async def test_thumbs_are_counted_and_prove_nothing(store: Store) -> None:
    await answered(store, AGREED, "/agree", address="one")
    liked = await answered(store, RAIN, "What is rain?", address="one")
    answer = await store.answer(liked)
    assert answer is not None
    await store.rate(answer.conversation_id, liked, 1)
    lessons = await store.lessons()
    assert (lessons.answers, lessons.liked) == ((), 1)
    await store.review(liked, by="Asha")
    lessons = await store.lessons()
    assert (len(lessons.answers), lessons.liked) == (1, 0)


async def test_verified_answers_teach_unreviewed_and_refusals_never(store: Store) -> None:
    await answered(store, AGREED, "/agree", address="one")
    verified = await answered(store, Answer("Yes.", Route.VERIFIED, "en"), "Is it?", address="one")
    refused = await answered(store, REFUSED, "How are weapons made?", address="one")
    await store.review_refusal(refused, by="Asha", right=True)
    lessons = await store.lessons()
    assert [answer.id for answer in lessons.answers] == [verified]
    assert lessons.asked == {"Is it?": 1}


async def test_questions_are_counted_in_the_words_they_were_put_in(store: Store) -> None:
    for address in ("one", "two"):
        await answered(store, AGREED, "/agree", address=address)
        await answered(store, RAIN, "What is rain?", address=address)
    await answered(store, RAIN, "what is rain", address="one")
    await answered(store, RAIN, "What is rain?", address="silent")
    assert (await store.lessons()).asked == {"What is rain?": 2, "what is rain": 1}


async def test_an_empty_log_teaches_nothing(store: Store) -> None:
    lessons = await asyncio.wait_for(store.lessons(("web",)), 10)
    assert (lessons.answers, lessons.asked, lessons.liked, lessons.withheld) == ((), {}, 0, 0)
