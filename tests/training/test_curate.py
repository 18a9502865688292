from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rag.embed import Embedder
from rag.passage import Passage
from training.base.grounded import NOT_IN_PASSAGES
from training.pairs.curate import Candidate, Curated, curate, holds, masked, placed, wants_passages, with_passages
from training.pairs.data import SELF, UNANSWERABLE, Example
from training.pairs.from_log import AskedOften, asked_often
from training.pairs.sameness import Asked, Questions, Remembering, asked, disagreement, key, normalised
from training.pairs.splits import ENOUGH, Question, assign, digest, side


@pytest.fixture(scope="module")
def embedder() -> Remembering:
    return Remembering(Embedder(threads=1))


def of(question: str, answer: str, when: str = "", source: str = "file", **more: Any) -> Candidate:
    return Candidate(Example(question, answer, **more), source, when=when)


def run(embedder: Remembering, *candidates: Candidate, **options: Any) -> Curated:
    return curate(candidates, embedder, **options)


def answers(found: Curated) -> list[str]:
    return [one.example.answer for one in found.candidates]


def test_personal_data_is_masked_in_every_turn_and_counted(embedder: Remembering) -> None:
    said = of(
        "My phone number is 9876543210. What is rain?", "Ask ravi@school.in about rain.",
        earlier=(("mera number 9876543210 hai", "Write to me@home.in"),),
    )  # fmt: skip
    found = run(embedder, said)
    (one,) = found.candidates
    everything = "\n".join([one.example.question, one.example.answer, *one.example.earlier[0]])
    assert "98765" not in everything
    assert "@" not in everything
    assert found.masks == {"phone": 2, "email": 2}


def test_a_result_of_ten_digits_is_no_telephone_number() -> None:
    masks: Counter[str] = Counter()
    assert masked(Example("What is 98765 x 98765?", "9754525225"), masks).answer == "9754525225"
    assert not masks


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is photosynthesis?", "what is  PHOTOSYNTHESIS"),
        ("What is photosynthesis?", "Define photosynthesis."),
        ("What is an acid?", "Please explain: what is the acid?"),
        ("How many planets are there in the solar system?", "how many planets are in our solar system"),
        ("प्रकाश संश्लेषण क्या है?", "प्रकाश संश्लेषण किसे कहते हैं"),
        ("photosynthesis kya hai", "photosynthesis kya hota hai?"),
    ],
)
def test_one_question_in_other_words_is_one(embedder: Remembering, one: str, other: str) -> None:
    assert Questions([one, other], embedder).same() == [(0, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Why do leaves fall?", "How do leaves fall?"),
        ("What is the boiling point of water?", "What is the freezing point of water?"),
        ("Does sound travel in vacuum?", "Does sound not travel in vacuum?"),
        ("What is 12 x 7?", "What is 12 x 8?"),
        ("Convert km into m", "Convert m into km"),
        ("What are acids?", "Give examples of acids"),
        ("What is a nitrate?", "What is a nitrite?"),
        ("What is precipitation?", "What is a precipitate?"),
        ("प्रकाश संश्लेषण क्या है?", "प्रकाश संश्लेषण क्यों होता है?"),
        ("यह क्या है?", "वह क्या है?"),
    ],
)
def test_questions_that_ask_another_thing_are_two(embedder: Remembering, one: str, other: str) -> None:
    assert Questions([one, other], embedder).same() == []


def test_a_slip_of_the_pen_is_near_and_a_topic_is_not(embedder: Remembering) -> None:
    near = Questions(
        ["Why do the leaves fall in autumn?", "why do leaves fall in autum", "Why is grass green?"], embedder
    )
    assert near.near() == [(0, 1)]
    assert Questions(["What is 12 percent of 300?", "What is 15 percent of 300?"], embedder).near() == []
    hindi = ["प्रकाश संश्लेषण कहाँ होता है?", "प्रकाश संश्लेषण कहा होता है", "वाष्पीकरण कहाँ होता है?"]
    assert Questions(hindi, embedder).near() == [(0, 1)]


def test_more_questions_than_fit_a_block_are_all_compared(embedder: Remembering) -> None:
    texts = ["What is rain?", *(f"What is {n} + {n}?" for n in range(600)), "Define rain"]
    told: list[tuple[int, int]] = []
    questions = Questions(texts, embedder, lambda done, total: told.append((done, total)))
    assert (0, 601) in questions.same()
    assert told == [(512, 602), (602, 602)]


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Water boils at 100 °C.", "Water boils at 90 °C.", "different numbers"),
        ("Yes, it can.", "No, it can not.", "yes and no"),
        ("हाँ, होता है।", "नहीं, ऐसा नहीं होता।", "yes and no"),
        ("Sound can travel in vacuum.", "Sound cannot travel in vacuum.", "one denies what the other says"),
        ("Plants make food in leaves.", "The king died of fever.", "they say different things"),
        ("There are 8 planets.", "8", ""),
        ("It boils at १०० degrees.", "It boils at 100 degrees.", ""),
        ("One of the gases is oxygen: 21%.", "Oxygen is a gas: 21%.", ""),
    ],
)
def test_answers_that_disagree_say_in_what(embedder: Remembering, one: str, other: str, why: str) -> None:
    first, second = embedder.embed([one, other])
    assert disagreement(one, other, float(first @ second)) == why
    assert disagreement(other, one, float(first @ second)) == why


def test_the_latest_review_of_a_question_wins_whatever_came_first(embedder: Remembering) -> None:
    older, newer = "Rain is water that falls from clouds.", "Rain is water which falls down from the clouds."
    found = run(
        embedder,
        of("What is rain?", newer, "2026-03-02T10:00:00+00:00"),
        of("what is rain", older, "2026-03-01T10:00:00+00:00"),
        of("Define rain.", older),
    )
    assert answers(found) == [newer]
    assert found.removed == {"near duplicates": 2}
    assert not found.contradictions


def test_exact_duplicates_are_counted_apart(embedder: Remembering) -> None:
    found = run(embedder, *[of("What is rain?", "Water from clouds.")] * 3)
    assert (len(found.candidates), found.removed) == (1, {"exact duplicates": 2})


CONTRADICTORY = (
    of("How many planets are there?", "There are 9 planets.", "2026-01-01", "log"),
    of("how many planets are there", "There are 8 planets.", "2026-02-01", "new.jsonl"),
    of("How many planets are there", "8 planets.", "2026-01-15", "log"),
    of("What is rain?", "Water from clouds."),
)


def test_contradictory_answers_are_reported_and_left_out(embedder: Remembering) -> None:
    found = run(embedder, *CONTRADICTORY)
    assert answers(found) == ["Water from clouds."]
    (reported,) = found.contradictions
    assert reported.why == "different numbers"
    assert {(answer, source) for _, answer, source in reported.said} == {
        ("There are 9 planets.", "log"),
        ("There are 8 planets.", "new.jsonl"),
    }
    assert found.removed == {"contradictory answers": 2, "near duplicates": 1}


def test_contradictory_answers_are_kept_when_asked_for(embedder: Remembering) -> None:
    found = run(embedder, *CONTRADICTORY, keep_contradictions=True)
    assert sorted(answers(found)) == ["There are 8 planets.", "There are 9 planets.", "Water from clouds."]
    assert len(found.contradictions) == 1


def test_a_refusal_is_the_one_line_and_contradicts_an_answer(embedder: Remembering) -> None:
    refusal = of("What is a quark?", "Our book does not tell.", kind=UNANSWERABLE, facts=("quark",))
    (alone,) = run(embedder, refusal).candidates
    assert (alone.example.answer, alone.example.facts) == (NOT_IN_PASSAGES, ())
    found = run(embedder, refusal, of("What is a quark?", "A quark is a particle."))
    assert not found.candidates
    assert "do not hold it" in found.contradictions[0].why


def test_the_same_last_question_of_two_dialogues_is_two(embedder: Remembering) -> None:
    one = of("Why?", "It is hot.", earlier=(("Does ice melt?", "Yes."),))
    other = of("Why?", "They need light.", earlier=(("Do leaves turn?", "Yes."),))
    assert len(run(embedder, one, other).candidates) == 2


# Splits


def test_the_hash_alone_decides_and_holds_a_tenth_out_for_each() -> None:
    sides = Counter(side(f"question {n}") for n in range(2000))
    assert 150 < sides["test"] < 250
    assert 150 < sides["dev"] < 250
    assert side("question 7") == side("question 7")


def question(name: str, said: str = "", stratum: str = "science") -> Question:
    return Question(name, (stratum, "en"), said)


def named(wanted: str, start: int = 0) -> str:
    """A key that the hash puts on this side."""
    return next(f"key {n}" for n in range(start, start + 1000) if side(f"key {n}") == wanted)


def test_the_ledger_comes_before_the_line_and_the_line_before_the_hash() -> None:
    trained, tested = named("train"), named("test")
    ledger = {digest(trained): "test"}
    assert assign([question(trained, "train")], [], ledger) == ["test"]
    assert assign([question(tested, "train")], [], {}) == ["train"]
    assert assign([question(tested)], [], {}) == ["test"]


def test_what_is_near_a_test_question_is_tested_too() -> None:
    trained, other = named("train"), named("train", 1000)
    pairs = [(0, 1)]
    assert assign([question(trained, "test"), question(other)], pairs, {}) == ["test", "test"]
    assert assign([question(trained, "test"), question(other, "train")], pairs, {}) == ["test", "test"]
    assert assign([question(named("test")), question(other)], pairs, {}) == ["test", "test"]


def test_what_was_trained_on_before_never_moves_and_draws_its_neighbours() -> None:
    tested, other = named("test"), named("test", 1000)
    ledger = {digest(tested): "train"}
    assert assign([question(tested), question(other)], [(0, 1)], ledger) == ["train", "train"]
    assert assign([question(tested), question(other, "test")], [(0, 1)], ledger) == ["train", "test"]


def test_every_large_enough_stratum_is_held_out_from() -> None:
    keys = [key for n in range(2000) if side(key := f"key {n}") == "train"]
    small = [question(key, stratum="history") for key in keys[: ENOUGH - 1]]
    large = [question(key, stratum="civics") for key in keys[100 : 100 + ENOUGH]]
    sides = assign([*small, *large], [], {})
    assert set(sides[: len(small)]) == {"train"}
    assert Counter(sides[len(small) :]) == {"train": ENOUGH - 2, "test": 1, "dev": 1}


def test_no_question_that_is_decided_is_given_up_to_fill_a_side() -> None:
    keys = [key for n in range(2000) if side(key := f"key {n}") == "train"][:ENOUGH]
    ledger = {digest(key): "train" for key in keys}
    assert set(assign([question(key) for key in keys], [], ledger)) == {"train"}
    assert set(assign([question(key, "train") for key in keys], [], {})) == {"train"}


def test_what_is_tested_on_elsewhere_is_never_trained_on(embedder: Remembering) -> None:
    shipped = [Example("What is the water cycle?", "It goes round.", split="test")]
    given = [
        Candidate(Example("what is the water cycle", "Round."), "log"),
        Candidate(Example("what is the watercycle?", "Round."), "file", decided=True),
        Candidate(Example("Who wrote Godaan?", "Premchand."), "file", decided=True),
    ]
    assert [example.split for example in placed(given, embedder, {}, shipped)] == ["test", "test", "train"]


# Passages


def passage(text: str, page: int = 1, book: str = "Science") -> Passage:
    return Passage(f"{book}-{page}-{text[:8]}", text, book, "Plants", page, 7, "science", "en")


HOLDS = passage("Stomata are tiny pores on the surface of leaves.", 4)
AGAIN = passage("Leaves have tiny pores on their surface, the stomata.", 9)
HARD = [passage(f"Roots take up water, part {n}.", n) for n in range(5)]
STOMATA = Example("What are stomata?", "Stomata are tiny pores on the surface of leaves.", title="Science", page=4)


def texts(passages: Sequence[Passage]) -> tuple[str, ...]:
    return tuple(one.text for one in passages)


def test_the_passage_of_the_page_stands_among_those_that_do_not_answer() -> None:
    example = with_passages(STOMATA, [HARD[0], AGAIN, HOLDS, HARD[1], HARD[2]], 3)
    assert example.passages == texts([HARD[0], HOLDS, HARD[1]])


def test_an_examples_own_passage_is_kept_and_its_place_says_nothing() -> None:
    places = set()
    for number in range(40):
        own = replace(STOMATA, question=f"What are stomata {number}?", passages=(HOLDS.text,))
        example = with_passages(own, [HOLDS, AGAIN, *HARD], 3)
        assert sorted(example.passages) == sorted(texts([HOLDS, *HARD[:2]]))
        places.add(example.passages.index(HOLDS.text))
        assert with_passages(own, [HOLDS, AGAIN, *HARD], 3) == example
    assert places == {0, 1, 2}


def test_a_page_that_is_not_found_is_left_to_training() -> None:
    assert with_passages(STOMATA, HARD, 3) == STOMATA
    assert with_passages(replace(STOMATA, page=None), [HOLDS, *HARD], 3) == replace(STOMATA, page=None)


def test_refusals_get_the_passages_that_come_nearest_and_self_gets_none() -> None:
    refusal = Example("What is a quark?", NOT_IN_PASSAGES, kind=UNANSWERABLE)
    assert with_passages(refusal, HARD, 2).passages == texts(HARD[:2])
    about_itself = Example("Who are you?", "Sahpathi.", kind=SELF)
    assert not wants_passages(about_itself, 3)
    assert with_passages(about_itself, HARD, 2) == about_itself


def test_facts_tell_which_passage_holds_an_answer() -> None:
    assert holds("It has Tiny Pores.", replace(STOMATA, facts=("tiny pores",)))
    assert not holds("Stomata are on the surface of leaves.", replace(STOMATA, facts=("tiny pores",)))


# The log


def test_questions_asked_again_and_again_are_listed_masked() -> None:
    asked_of = {"What is rain?": 3, "what is rain": 2, "Once": 1, "my phone number is 9876543210 why": 4}
    assert asked_often(asked_of, [Example("What is RAIN", "Water.")]) == [
        AskedOften("What is rain?", 5, taught=True),
        AskedOften("my phone number is [phone] why", 4, taught=False),
    ]


def test_a_key_knows_no_case_no_punctuation_and_the_turns_before() -> None:
    assert normalised("What's  3.5 + 2,000?") == "whats 3.5 + 2,000"
    assert normalised("क्या है।") == normalised("क्या है?")
    assert normalised("2 + 2") != normalised("2 - 2")
    dialogue = Example("Why?", "a", earlier=(("Is it?", "Yes."),))
    assert key(dialogue) == "is it why"
    assert asked(dialogue) == "Is it?\nWhy?"
    assert Asked.of("").stems == ()
