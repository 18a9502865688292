"""What was answered before is answered again, as long as nothing speaks against it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from bot.ports import Answer, Decoding, Route
from bot.recall.cache import AnswerCache, Setting
from bot.store import Store
from rag.same import Reader, Threshold
from tests.bot.distress import answered, forgotten

SETTING = Setting("en", 6, "science", Decoding(), "index-1")
ADAPTER = "science-0123456789ab"
ANSWER = Answer("Vapour forms.", Route.GENERATED, "en", confidence=0.9, adapter=ADAPTER, timings={"total": 900.0})
QUESTION = "What is evaporation?"


@dataclass
class Promoted:
    """What is promoted, and a canary that one conversation gets."""

    current: str = ADAPTER
    canary: str = ""

    def __call__(self, subject: str | None, conversation: str | None) -> str:
        return self.canary if self.canary and conversation == "7" else self.current


@pytest.fixture
def promoted() -> Promoted:
    return Promoted()


@pytest.fixture
def cache(store: Store, reader: Reader, promoted: Promoted) -> AnswerCache:
    return AnswerCache(reader, Threshold(0.8), promoted, store.may_be_repeated, size=3)


def keep(cache: AnswerCache, question: str = QUESTION, answer: Answer = ANSWER, setting: Setting = SETTING) -> None:
    cache.put(question, setting, answer, topic="science", conversation="1", message=1)


async def got(cache: AnswerCache, question: str = QUESTION, setting: Setting = SETTING, **more: object) -> str | None:
    given = {"conversation": "2", "message": 2, **more}
    answer = await cache.get(question, setting, **given)  # type: ignore[arg-type]  # keyword tests
    return answer.text if answer else None


async def test_the_same_question_is_answered_again_and_no_other(cache: AnswerCache) -> None:
    keep(cache)
    assert await got(cache, "define evaporation") == ANSWER.text
    assert await got(cache, "What is condensation?") is None
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        replace(SETTING, language="hi"),
        replace(SETTING, class_level=7),
        replace(SETTING, subject=None),
        replace(SETTING, decoding=Decoding(temperature=0.123)),
    ],
)
async def test_another_setting_is_another_question(cache: AnswerCache, other: Setting) -> None:
    keep(cache)
    assert await got(cache, setting=other) is None
    assert await got(cache) == ANSWER.text


async def test_other_books_empty_it(cache: AnswerCache) -> None:
    keep(cache)
    assert await got(cache, setting=replace(SETTING, index="index-2")) is None
    assert len(cache) == 0


async def test_a_promotion_leaves_nothing_to_be_found(cache: AnswerCache, promoted: Promoted) -> None:
    keep(cache)
    promoted.current = "science-ffffffffffff"
    assert await got(cache) is None
    keep(cache)  # written by the adapter that was replaced in the meantime
    assert await got(cache) is None
    keep(cache, answer=replace(ANSWER, adapter=promoted.current))
    assert await got(cache) == ANSWER.text


async def test_a_canary_answers_its_conversations_itself(cache: AnswerCache, promoted: Promoted) -> None:
    keep(cache)
    promoted.canary = "science-cccccccccccc"
    assert await got(cache, conversation="7") is None
    assert await got(cache, conversation="8") == ANSWER.text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Why is it so?", ANSWER),
        ("iska karan batao", ANSWER),
        (QUESTION, replace(ANSWER, caution="I'm not very sure.")),
        (QUESTION, replace(ANSWER, route=Route.NOT_IN_BOOK)),
        (QUESTION, replace(ANSWER, route=Route.REFUSED)),
    ],
)
async def test_what_may_not_be_repeated_is_not_kept(cache: AnswerCache, question: str, answer: Answer) -> None:
    keep(cache, question, answer)
    assert len(cache) == 0
    assert await got(cache, question) is None


async def test_the_one_that_was_asked_least_lately_goes_first(cache: AnswerCache) -> None:
    for topic in ("sound", "light", "heat"):
        keep(cache, f"What is {topic}?")
    assert await got(cache, "What is sound?")
    keep(cache, "What is friction?")
    assert await got(cache, "What is light?") is None
    assert await got(cache, "What is sound?")
    assert len(cache) == 3


async def test_no_timings_and_nobody_are_kept(cache: AnswerCache) -> None:
    cache.put(QUESTION, SETTING, ANSWER, topic="science", conversation="conversation-of-asha", message=1)
    answer = await cache.get(QUESTION, SETTING, conversation=None, message=2)
    assert answer is not None
    assert answer.timings == {}
    assert "asha" not in repr(cache)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("against", ["thumb", "thumb on what was repeated", "corrected", "rejected", "forgotten"])
async def test_who_speaks_against_an_answer_ends_it(store: Store, cache: AnswerCache, against: str) -> None:
    stored = [await store.answer(await answered(store, ANSWER, QUESTION)) for _ in range(2)]
    first, second = (answer for answer in stored if answer is not None)
    cache.put(QUESTION, SETTING, ANSWER, topic="science", conversation="1", message=first.message_id)
    assert await got(cache, message=second.message_id) == ANSWER.text
    match against:
        case "thumb":
            await store.rate(first.conversation_id, first.id, -1)
        case "thumb on what was repeated":
            await store.rate(second.conversation_id, second.id, -1)
        case "corrected":
            await store.review(second.id, by="teacher", correction="Not so.")
        case "rejected":
            await store.reject(first.id, by="teacher")
        case "forgotten":
            await forgotten(store)
    assert await got(cache) is None
    assert len(cache) == 0


async def test_praise_and_approval_leave_it(store: Store, cache: AnswerCache) -> None:
    stored = await store.answer(await answered(store, ANSWER, QUESTION))
    assert stored is not None
    cache.put(QUESTION, SETTING, ANSWER, topic="science", conversation="1", message=stored.message_id)
    await store.rate(stored.conversation_id, stored.id, 1)
    await store.review(stored.id, by="teacher")
    assert await got(cache) == ANSWER.text


def test_a_size_of_nothing_is_refused(reader: Reader, promoted: Promoted) -> None:
    with pytest.raises(ValueError, match="1 answer or more"):
        AnswerCache(reader, Threshold(0.8), promoted, lambda _: None, size=0)  # type: ignore[arg-type, return-value]
