"""A teacher's answer reaches whoever asks the same next, and stops when it is taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from bot.ports import Answer, Profile, Route, Source
from bot.recall import verified as module
from bot.recall.verified import Verified
from bot.replies import Replies
from bot.settings import PROJECT
from bot.store import Store
from bot.tables import StoredAnswer
from rag.same import Asked, Reader, Threshold
from tests.bot.distress import answered, forgotten, until

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

QUESTION = "What is evaporation?"
PLACE = Source("Science, Class 6", "The Water Cycle", 2, "Evaporation is the change of water into vapour.")
WRITTEN = Answer(
    "Evaporation is when water boils.",
    Route.GENERATED,
    "en",
    confidence=0.7,
    sources=(PLACE,),
    source_line="Source: Science, Class 6, The Water Cycle, page 2",
    passages=("Evaporation is the change of water into vapour.",),
)
RIGHT = "Evaporation is the change of water into vapour, at any temperature."
REPLIES = Replies.load(PROJECT / "data" / "locales")


@pytest.fixture
def recall(store: Store, reader: Reader) -> Verified:
    return Verified(store, reader, Threshold(0.8), REPLIES.say)


async def asked(store: Store, answer: Answer = WRITTEN, question: str = QUESTION, *, student: str = "asha") -> str:
    return await answered(store, answer, question, address=student, channel="web")


async def found(recall: Verified, question: str = QUESTION, language: str = "en", **known: object) -> str | None:
    answer = await recall.find(question, language=language, **known)  # type: ignore[arg-type]  # keyword tests
    return answer.text if answer else None


async def test_a_corrected_answer_is_given_with_its_mark_and_its_place(store: Store, recall: Verified) -> None:
    answer_id = await asked(store)
    await recall.refresh()
    assert await found(recall) is None
    await store.review(answer_id, by="teacher", correction=RIGHT)
    await recall.refresh()
    answer = await recall.find("wat is evaporasion", language="en")
    assert answer is not None
    assert (answer.text, answer.route, answer.sources, answer.confidence) == (RIGHT, Route.VERIFIED, (PLACE,), 1.0)
    assert answer.source_line.splitlines() == [REPLIES.say("checked_by_teacher", "en"), WRITTEN.source_line]


async def test_only_the_same_question_is_given_it(store: Store, recall: Verified) -> None:
    await store.review(await asked(store), by="teacher", correction=RIGHT)
    await recall.refresh()
    assert await found(recall, "Define evaporation") == RIGHT
    for other in ("What is condensation?", "Why is evaporation important?", "Is evaporation boiling?", "why?", ""):
        assert await found(recall, other) is None


async def test_an_answer_keeps_its_language(store: Store, recall: Verified) -> None:
    await store.review(await asked(store), by="teacher", correction=RIGHT)
    hindi = replace(WRITTEN, language="hi")
    await store.review(await asked(store, hindi, "वाष्पीकरण क्या है?"), by="teacher", correction="जल का वाष्प बनना।")
    await recall.refresh()
    assert await found(recall, "वाष्पीकरण किसे कहते हैं?", "hi") == "जल का वाष्प बनना।"
    assert await found(recall, "evaporation kya hai", "hinglish") is None
    assert await found(recall, "evaporation kya hai", "en") == RIGHT  # the student chose English


async def test_class_and_subject_must_agree_where_both_are_known(store: Store, recall: Verified) -> None:
    answer_id = await asked(store)
    async with store.writing() as session:
        row = await session.get_one(StoredAnswer, answer_id)
        row.class_level, row.subject = 6, "science"
    await store.review(answer_id, by="teacher")
    await recall.refresh()
    assert await found(recall, class_level=6, subject="science") == WRITTEN.text
    assert await found(recall) == WRITTEN.text
    assert await found(recall, class_level=9) is None
    assert await found(recall, class_level=6, subject="geography") is None


async def test_the_latest_decision_on_a_question_stands(store: Store, recall: Verified) -> None:
    first, second = await asked(store), await asked(store, question="Define evaporation.", student="ravi")
    await store.review(first, by="teacher")
    await store.review(second, by="teacher", correction=RIGHT)
    await recall.refresh()
    assert await found(recall) == RIGHT
    await store.review(first, by="teacher", correction="Water goes into the air.")
    await recall.refresh()
    assert await found(recall) == "Water goes into the air."
    assert await store.reject(second, by="teacher")
    await recall.refresh()
    assert await found(recall) is None


async def test_what_was_taken_back_is_not_given_even_before_the_next_look(store: Store, recall: Verified) -> None:
    first, second = await asked(store), await asked(store, student="ravi")
    await store.review(first, by="teacher")
    await store.review(second, by="teacher", correction=RIGHT)
    await recall.refresh()
    assert await store.retract_review(second)
    assert not await store.retract_review(second)
    assert await found(recall) == WRITTEN.text
    assert await store.reject(first, by="teacher")
    assert await found(recall) is None
    await recall.refresh()
    assert len(recall) == 1  # that it was rejected is remembered


async def test_who_is_forgotten_takes_the_question_along(store: Store, recall: Verified) -> None:
    await store.review(await answered(store, WRITTEN, QUESTION), by="teacher", correction=RIGHT)
    await recall.refresh()
    assert await found(recall) == RIGHT
    await forgotten(store)
    assert await found(recall) is None
    await recall.refresh()
    assert len(recall) == 0


async def test_an_approved_not_in_the_book_is_no_answer(store: Store, recall: Verified) -> None:
    absent = Answer("I could not find this in your books.", Route.NOT_IN_BOOK, "en")
    answer_id = await asked(store, absent)
    await store.review(answer_id, by="teacher")
    await recall.refresh()
    assert await found(recall) is None
    await store.review(answer_id, by="teacher", correction=RIGHT)
    await recall.refresh()
    assert await found(recall) == RIGHT


async def test_many_reviews_are_taken_over_and_each_only_once(
    store: Store, recall: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    topics = ("sound", "light", "heat", "force", "pressure")
    for topic in topics:
        await store.review(await asked(store, question=f"What is {topic}?"), by="teacher")
    await recall.refresh()
    assert len(recall) == len(topics)
    read: list[str] = []
    original = Reader.read

    def noting(self: Reader, text: str) -> Asked:
        read.append(text)
        return original(self, text)

    monkeypatch.setattr(Reader, "read", noting)
    await store.review(await asked(store, question="What is friction?"), by="teacher")
    await recall.refresh()
    assert read == ["What is friction?"]


async def test_it_watches_by_itself_and_outlives_a_database_that_is_away(
    store: Store, recall: Verified, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    stamp, fails = store.reviews_stamp, [OperationalError("", {}, Exception())] * 3

    async def unsure() -> object:
        if fails:
            raise fails.pop()
        return await stamp()

    monkeypatch.setattr(store, "reviews_stamp", unsure)
    watching = asyncio.create_task(recall.watch())
    await store.review(await asked(store), by="teacher", correction=RIGHT)
    await until(lambda: len(recall) == 1)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert not fails
    assert "trying again" in caplog.text
    assert "vapour" not in caplog.text
    assert await found(recall, class_level=Profile().class_level) == RIGHT
