from __future__ import annotations

from dataclasses import replace

from training.pairs.conversations import build
from training.pairs.data import SELF, UNANSWERABLE, Example
from training.pairs.evidence import borne_out

SOUND = (
    "Sound is a form of energy.",
    "An echo is a sound that comes back from a far wall.",
    "The wall must be at least 17 metres away.",
    "Bats use echoes to find their way.",
)
ECHO = Example("What is an echo?", "An echo is a sound that comes back from a far wall.", SOUND, ("comes back",))


def test_an_answer_that_the_passages_hold_is_learned_as_it_is() -> None:
    assert borne_out(ECHO) == ECHO


def test_an_answer_in_other_words_is_taken_from_the_passages() -> None:
    example = replace(ECHO, answer="Reflected vibrations reach the listener again. They come back.")
    assert borne_out(example) == ECHO


def test_an_answer_in_another_language_than_the_passages_is_taken_from_them() -> None:
    example = replace(
        ECHO,
        question="echo kitni door ki deewar se aata hai",
        answer="Echo ke liye deewar kam se kam 17 metre door honi chahiye.",
        facts=("17 metres | 17 मीटर",),
        asked="hinglish",
    )
    found = borne_out(example)
    assert found is not None
    assert found.answer == "The wall must be at least 17 metres away."


def test_each_fact_is_worth_a_passage_and_words_that_hold_none_are_left_out() -> None:
    example = replace(ECHO, answer="Unki madad se.", facts=("comes back", "bats"))
    found = borne_out(example)
    assert found is not None
    assert found.answer == f"{SOUND[1]} {SOUND[3]}"


def test_of_what_the_passages_do_not_hold_nothing_is_learned() -> None:
    assert borne_out(replace(ECHO, answer="It is a nymph of a Greek story.", facts=("nymph",))) is None


def test_a_teachers_own_answer_without_listed_facts_stays() -> None:
    taught = replace(ECHO, answer="Shout in a big empty hall and listen: that is an echo.", facts=())
    assert borne_out(taught) == taught


def test_what_the_tutor_says_of_itself_stays_and_no_refusal_is_learned() -> None:
    itself = replace(ECHO, kind=SELF, answer="I am a program.", passages=())
    assert borne_out(itself) == itself
    assert borne_out(replace(ECHO, kind=UNANSWERABLE, answer="The book does not tell what bats eat.")) is None


def test_conversations_are_made_with_what_the_passages_hold_where_that_is_asked_for() -> None:
    told = replace(ECHO, answer="Vibrations are reflected.")
    unheld = replace(ECHO, question="Who was Echo?", answer="A nymph.", facts=("nymph",))
    answers = [talk[-1]["content"] for talk in build([told, unheld], lambda _: SOUND, from_passages=True)]
    assert answers == [SOUND[1]]
    assert [talk[-1]["content"] for talk in build([told, unheld], lambda _: SOUND)] == [told.answer, unheld.answer]
