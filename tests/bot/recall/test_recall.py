"""The tutor with what is at hand: a teacher's answer first, then one given a moment ago, and the book for the rest."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import pytest

from bot.ports import Answer, Inbound, Kind, Profile, Route, Turn
from bot.recall.cache import AnswerCache
from bot.recall.recall import Recall
from bot.recall.verified import Verified
from bot.settings import PROJECT
from bot.store import Store
from bot.tutor import Tutor
from rag.same import Reader, Threshold
from tests.bot.test_tutor import REPLIES, tutor
from tests.memory import ListGenerator

QUESTION = "What is photosynthesis?"
AGAIN = "what is photosynthesis plz"
CORRECTION = "Photosynthesis is how a green plant makes its own food in light."
READER = Reader.load(PROJECT / "data" / "glossary", PROJECT / "data" / "same")
THRESHOLD = Threshold.load(PROJECT / "data" / "same" / "threshold.json")


@dataclass(slots=True)
class School:
    """A tutor whose model can be exchanged, over a real store."""

    store: Store
    tutor: Tutor
    verified: Verified
    cache: AnswerCache

    async def ask(self, question: str, profile: Profile | None = None) -> tuple[str, Answer]:
        """Ask, and log the answer as the worker does. The answer's id and the answer."""
        accepted = await self.store.accept(Inbound("web", uuid.uuid4().hex, uuid.uuid4().hex, Kind.TEXT, question))
        lease = await self.store.lease(accepted.conversation_id, 30)
        work = await self.store.next_message(accepted.conversation_id)
        assert lease is not None
        assert work is not None
        given = profile or Profile(language="en")
        answer = await self.tutor.answer(Turn(str(work.message_id), Kind.TEXT, question, given))
        answer_id = uuid.uuid4().hex
        await self.store.commit_answer(work, accepted.conversation_id, lease, answer_id, answer, [])
        await self.store.release(accepted.conversation_id, lease)
        return answer_id, answer

    def writes(self, *pieces: str) -> None:
        """From now on the model writes this."""
        self.tutor.generator = ListGenerator(list(pieces))


@pytest.fixture
def school(store: Store) -> School:
    verified = Verified(store, READER, THRESHOLD, REPLIES.say)
    cache = AnswerCache(READER, THRESHOLD, lambda subject, conversation: "general-000000000000", store.may_be_repeated)
    made = replace(tutor(ListGenerator(["Plants need sunlight."])), recall=Recall(verified, cache, lambda: "books"))
    return School(store, made, verified, cache)


async def test_a_corrected_answer_is_given_to_whoever_asks_the_same(school: School) -> None:
    answer_id, first = await school.ask(QUESTION)
    assert first.route is not Route.VERIFIED
    await school.store.review(answer_id, by="asha", correction=CORRECTION)
    await school.verified.refresh()
    _, again = await school.ask(AGAIN)
    assert (again.route, again.text) == (Route.VERIFIED, CORRECTION)
    assert again.message().endswith(first.source_line)
    assert "teacher" in again.message()
    assert again.adapter is None
    assert {"recall", "screen", "total"} <= set(again.timings)


async def test_an_answer_is_repeated_without_the_model_until_somebody_is_against_it(school: School) -> None:
    _, first = await school.ask(QUESTION)
    school.writes("Leaves hold chlorophyll.")
    answer_id, again = await school.ask(AGAIN)
    assert (again.text, again.route) == (first.text, first.route)
    assert school.cache.hits == 1
    await school.store.reject(answer_id, by="asha")
    _, afresh = await school.ask(QUESTION)
    assert "chlorophyll" in afresh.text


async def test_another_language_class_or_decoding_is_another_question(school: School) -> None:
    await school.ask(QUESTION)
    await school.ask(QUESTION, Profile(language="hinglish"))
    await school.ask(QUESTION, Profile(language="en", class_level=9))
    school.tutor.decoding = replace(school.tutor.decoding, temperature=0.1)
    await school.ask(QUESTION)
    assert school.cache.hits == 0


async def test_a_quote_is_kept_where_the_model_wrote_what_does_not_stand_and_not_where_it_failed(
    school: School,
) -> None:
    school.tutor.generator = ListGenerator([], dies=True)
    _, quoted = await school.ask(QUESTION)
    assert quoted.route is Route.QUOTED
    school.writes("The moon is made of cheese.")
    _, quoted = await school.ask(QUESTION)
    assert (quoted.route, school.cache.hits) == (Route.QUOTED, 0)
    school.writes("Plants need sunlight.")
    _, again = await school.ask(QUESTION)
    assert (again.route, school.cache.hits) == (Route.QUOTED, 1)


async def test_a_verified_answer_that_may_not_be_said_is_not(school: School) -> None:
    answer_id, _ = await school.ask(QUESTION)
    await school.store.review(answer_id, by="asha", correction="This is forbidden to say.")
    await school.verified.refresh()
    _, again = await school.ask(QUESTION)
    assert again.route is not Route.VERIFIED
