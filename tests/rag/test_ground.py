from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rag.embed import Embedder, Vectors
from rag.ground import Grounding
from rag.passage import Passage, Quote
from rag.question import plain
from rag.sentences import split

MakePassage = Callable[..., Passage]

PLANTS = (
    "Photosynthesis is the process by which green plants make food from carbon dioxide and water, using sunlight. "
    "Photosynthesis takes place mainly in the leaves.\n"
    "Photosynthesis stops at night because there is no sunlight. Plants respire all the time."
)
GLASS = (
    "Window panes are made of clear glass. Clear glass is transparent. Wood, metal and a steel tiffin box are opaque."
)


@pytest.fixture
def grounding(embedder: Embedder) -> Grounding:
    return Grounding(embedder)


@pytest.fixture
def held(make_passage: MakePassage) -> list[Passage]:
    return [make_passage(GLASS, page=13), make_passage(PLANTS, page=1)]


def test_each_sentence_is_judged_in_order(grounding: Grounding, held: list[Passage]) -> None:
    answer = (
        "Green plants make food from carbon dioxide and water. The moon is made of cheese. Plants respire all the time."
    )
    supports = grounding.check(answer, held, "How do plants live?")
    assert [support.sentence for support in supports] == [
        "Green plants make food from carbon dioxide and water.",
        "The moon is made of cheese.",
        "Plants respire all the time.",
    ]
    assert [support.passage for support in supports] == [held[1], None, held[1]]
    assert supports[0].evidence == PLANTS.split(". ")[0] + "."
    assert supports[1].evidence == ""
    assert all(0.0 <= support.score <= 1.0 for support in supports)
    assert min(supports[0].score, supports[2].score) > supports[1].score


def test_clauses_may_stand_on_two_sentences_of_one_passage(grounding: Grounding, held: list[Passage]) -> None:
    (support,) = grounding.check("Clear glass is transparent, and a steel tiffin box is opaque.", held, "")
    assert support.passage == held[0]
    assert support.evidence == "Clear glass is transparent. Wood, metal and a steel tiffin box are opaque."


def test_clauses_may_not_stand_on_two_passages(grounding: Grounding, held: list[Passage]) -> None:
    (support,) = grounding.check("Clear glass is transparent, and plants respire all the time.", held, "")
    assert support.passage is None


def test_what_the_student_asserts_is_no_evidence(grounding: Grounding, held: list[Passage]) -> None:
    (support,) = grounding.check("Photosynthesis takes place in the roots.", held, "Does it take place in the roots?")
    assert support.passage is None


def test_words_in_the_right_order_are_not_enough(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [make_passage("A verb is a word that shows an action or a state of being.")]
    (support,) = grounding.check("And, but, or and because are shows.", held, "What are conjunctions?")
    assert support.passage is None


def test_nothing_is_supported_by_nothing(grounding: Grounding, held: list[Passage]) -> None:
    assert grounding.check("", held, "") == []
    (support,) = grounding.check("Plants respire all the time.", [], "")
    assert (support.passage, support.score) == (None, 0.0)


@pytest.mark.parametrize(
    ("question", "sentence", "quote", "answers"),
    [
        ("What is a comet?", "A comet is a body of ice and dust.", "A comet is a body of ice.", True),
        ("What is a comet?", "The Moon is a natural satellite.", "A comet grows a glowing tail near the Sun.", False),
        ("Why is the sky dark?", "Leaves look green.", "The sky of the Moon is dark because it has no air.", False),
        ("What do leaves hold?", "Leaves hold chlorophyll.", "Leaves hold chlorophyll.", True),
    ],
)
def test_what_is_beside_the_point_does_not_answer(
    grounding: Grounding, make_passage: MakePassage, question: str, sentence: str, quote: str, answers: bool
) -> None:
    assert grounding.answers(plain(question), sentence, Quote(quote, make_passage(quote)), says=0.5) is answers


@pytest.mark.parametrize(
    ("text", "says", "answers"),
    [
        ("A trophic level is a step of a food chain. Only a tenth of the energy reaches the next level.", 0.8, True),
        ("A trophic level is a step of a food chain.", 0.4, True),
        ("A trophic level is a step of a food chain.", 0.8, False),
        ("A trophic level in the next.", 0.4, False),  # what a small model made of the passage
    ],
)
def test_what_leaves_out_most_of_what_the_book_says_does_not_answer(
    grounding: Grounding, make_passage: MakePassage, text: str, says: float, answers: bool
) -> None:
    best = "A trophic level is each step of a food chain."
    quote = Quote(f"{best} Only a tenth of the energy reaches the next level.", make_passage(best))
    assert grounding.answers(plain("What is a trophic level?"), text, quote, says=says) is answers


def test_vectors_of_the_index_are_used_where_there_are_some(embedder: Embedder, held: list[Passage]) -> None:
    asked = list[Passage]()

    def indexed(passage: Passage) -> Vectors | None:
        asked.append(passage)
        return embedder.embed(split(passage.text)) if passage is held[1] else None

    answer = "Green plants make food from carbon dioxide and water. Clear glass is transparent."
    once = Grounding(embedder, indexed=indexed).check(answer, held, "How do plants live?")
    assert once == Grounding(embedder).check(answer, held, "How do plants live?")
    assert asked == held


def test_what_words_tell_to_be_no_answer_is_not_read(
    embedder: Embedder, make_passage: MakePassage, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Embedder(embedder.name)
    asked = embedder.embed(["What do leaves hold?"])[0]

    def reading(texts: Sequence[str]) -> Vectors:
        raise AssertionError(texts)

    monkeypatch.setattr(counted, "embed", reading)
    quote = Quote("Leaves hold chlorophyll. Stomata let air in.", make_passage("Leaves hold chlorophyll."))
    for text in ("Leaves hold chlorophyll.", "Glass is transparent."):
        assert not Grounding(counted).answers(plain("What do leaves hold?"), text, quote, asked, says=0.8)


def test_a_sentence_and_the_quote_are_read_once(
    embedder: Embedder, held: list[Passage], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    def counting(texts: Sequence[str]) -> Vectors:
        read.extend(texts)
        return embedder.embed(texts)

    counted = Embedder(embedder.name)
    monkeypatch.setattr(counted, "embed", counting)
    grounding = Grounding(counted)
    asked = embedder.embed(["How do plants live?"])[0]
    quote = "Photosynthesis takes place mainly in the leaves. It stops at night."
    for sentence in ("Green plants make food from carbon dioxide and water.", "Clear glass is transparent."):
        grounding.check(sentence, held, "How do plants live?")
        for asking in ("What is it?", "How is it?"):
            grounding.answers(plain(asking), sentence, Quote(quote, held[0]), asked, says=0.0)
    assert read.count(quote) == 1
    assert read.count("Clear glass is transparent.") <= 2  # as a claim, and as a sentence of the book
