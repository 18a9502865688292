from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.chunk import chunk
from rag.claims import bare, bears_out, clauses, figures, numbers, telling
from rag.ingest import Textbook
from rag.sentences import split

QA = Path(__file__).resolve().parents[2] / "data" / "qa"


@pytest.mark.parametrize(
    ("evidence", "claim"),
    [
        ("Stomata are tiny pores on the surface of leaves.", "Stomata are tiny pores on leaves."),
        ("So the sun is the source of energy.", "The sun is the source of energy."),
        (
            "The Sun is about 150 million kilometres from the Earth.",
            "The Sun is 150 million kilometres from the Earth.",
        ),
        ("India became free on 15 August 1947.", "India became free in August 1947."),
        ("Sound cannot travel through a vacuum.", "Yes, sound cannot travel through a vacuum."),
        ("Pressure = 20 N ÷ 0.02 m² = 1,000 Pa.", "Pressure = 20 N ÷ 0.02 m² = 1,000 Pa."),
        ("Green plants make food from carbon dioxide and water.", "Plants make food from carbon dioxide and water."),
        ("जड़ें मिट्टी से पानी लेती हैं।", "जड़ें पानी लेती हैं।"),
        ("Plants' leaves don't need soil.", "Leaves don’t need soil."),
    ],
)
def test_a_sentence_bears_out_its_shorter_form(evidence: str, claim: str) -> None:
    assert bears_out(evidence, bare(claim))


@pytest.mark.parametrize(
    ("evidence", "claim"),
    [
        # a number
        ("India became free on 15 August 1947.", "India became free on 15 August 1950."),
        ("The speed of sound is about 340 metres per second.", "The speed of sound is about 3,400 metres per second."),
        ("So x = −5.", "So x = 5."),
        ("The numbers are 23, 24 and 25.", "The numbers are 23, 24 and 24."),
        ("The solar system has eight planets.", "The solar system has nine planets."),
        # a negation put in, taken out, or hidden in a prefix
        ("Stomata are tiny pores.", "Stomata are not tiny pores."),
        ("Sound cannot travel through a vacuum.", "Sound can travel through a vacuum."),
        ("Plants don't eat soil.", "Plants eat soil."),
        ("A non-luminous object does not give out light.", "A luminous object does not give out light."),
        # an opposite, or a name, in place of a word
        ("A larger amplitude gives a louder sound.", "A smaller amplitude gives a louder sound."),
        ("The Earth rotates from west to east.", "The Earth rotates from east to west."),
        ("Venus is the hottest planet.", "Mercury is the hottest planet."),
        ("Plants take in carbon dioxide and give out oxygen.", "Plants take in oxygen and give out carbon dioxide."),
        ("A smaller area gives a larger pressure.", "A larger area gives a larger pressure."),
        # who does what
        ("The cat chases the dog.", "The dog chases the cat."),
        ("The numerator is 3 and the denominator is 8.", "The numerator is 8."),
        ("Snow is made of ice, but rain is liquid.", "Snow is liquid."),
        # a sign
        ("Force = pressure × area.", "Force = pressure ÷ area."),
        # a stronger claim
        ("Leaves contain chlorophyll.", "Only leaves contain chlorophyll."),
        ("Sound travels in air.", "Sound travels very well in air and water."),
        # the verb left out
        ("Only a tenth of the energy of a trophic level reaches the next.", "A trophic level in the next."),
        ("Two scientists described an artificial neuron in a paper in 1943.", "An artificial neuron in 1943."),
        ("The surface area of a cube of edge a is 6a².", "The surface area of a cube of edge."),
        ("The surface area of a cube of edge a = 6a².", "The surface area of a cube of edge."),
        # nothing is claimed
        ("It is so.", "It is so."),
    ],
)
def test_a_sentence_does_not_bear_out_what_it_does_not_say(evidence: str, claim: str) -> None:
    assert not bears_out(evidence, claim)


def test_numbers_are_read_plainly() -> None:
    assert numbers("1,020 m, two, 3.5 and −7 but 9 − 4") == {"1020", "2", "3.5", "-7", "9", "4"}
    assert numbers("Rs 12,50,000 at the point (3,2), then 7,14") == {"1250000", "3", "2", "7", "14"}


def test_the_figures_of_a_sum_have_no_signs_and_one_script() -> None:
    assert figures("2 trains at −7.5 km, १५० km and two more, 1,020 in all, x2 and CO2") == {"2", "7.5", "150", "1020"}


def test_clauses_are_only_those_that_say_enough() -> None:
    sentence = "Clear glass is transparent, and a steel tiffin box is opaque."
    assert clauses(sentence) == ["Clear glass is transparent", "a steel tiffin box is opaque."]
    assert clauses("It shines, and it is hot.") == []
    assert clauses("Glass is transparent.") == []


class Gold:
    """A sentence of a shipped answer and the sentences of the pages that it was written from."""

    def __init__(self, sentence: str, pages: list[list[str]]) -> None:
        self.sentence = sentence
        self.pages = pages

    def accepted(self, claim: str) -> bool:
        return any(bears_out(text, claim) for page in self.pages for text in page)


@pytest.fixture(scope="module")
def gold(shipped: list[Textbook]) -> list[Gold]:
    return list(_gold(shipped))


def _gold(shipped: list[Textbook]) -> Iterator[Gold]:
    pages: dict[tuple[str, int], list[list[str]]] = {}
    for book in shipped:
        for passage in chunk(book):
            pages.setdefault((passage.book, passage.page), []).append(split(passage.text))
    for path in sorted(QA.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            if "page" not in pair or pair["asked"] not in ("en", "sms") or pair["kind"] == "premise":
                continue
            near = [pages.get((pair["title"], pair["page"] + step), []) for step in (-1, 0, 1)]
            for sentence in split(pair["messages"][-1]["content"]):
                yield Gold(sentence, [texts for found in near for texts in found])


def test_most_shipped_answers_are_borne_out(gold: list[Gold]) -> None:
    """Measured: 0.76 of 3,625 sentences by one sentence of their pages alone; others join two, or bring an example."""
    assert len(gold) >= 240
    assert sum(item.accepted(item.sentence) for item in gold) / len(gold) >= 0.7


def test_no_shipped_answer_survives_another_number(gold: list[Gold]) -> None:
    changed = [(item, re.sub(r"\d+", lambda m: str(int(m[0]) + 7), item.sentence)) for item in gold]
    tried = [(item, claim) for item, claim in changed if claim != item.sentence]
    assert len(tried) >= 30
    assert [claim for item, claim in tried if item.accepted(claim)] == []


def test_no_shipped_answer_survives_a_negation(gold: list[Gold]) -> None:
    changed = [
        (item, re.sub(r"\b(is|are|was|were|can|has|have)\b", r"\1 not", item.sentence, count=1)) for item in gold
    ]
    tried = [(item, claim) for item, claim in changed if claim != item.sentence]
    assert len(tried) >= 100
    assert [claim for item, claim in tried if item.accepted(claim)] == []


def test_hardly_any_shipped_answer_survives_two_words_exchanged(gold: list[Gold]) -> None:
    """Measured: 3 of 754 random exchanges, all of them nearly the same sentence."""
    tried = [(item, claim) for item in gold if (claim := _exchanged(item.sentence)) is not None]
    assert len(tried) >= 150
    assert sum(item.accepted(claim) for item, claim in tried) / len(tried) <= 0.02


def test_hardly_any_shipped_answer_is_borne_out_by_another_chapter(gold: list[Gold]) -> None:
    """Measured: 1 of 3,625, by a chapter on the same matter ("So we use do, does or did.")."""
    far = zip(gold, gold[len(gold) // 2 :] + gold[: len(gold) // 2], strict=True)
    assert sum(other.accepted(item.sentence) for item, other in far) <= 0.001 * len(gold)


def _exchanged(sentence: str) -> str | None:
    """`sentence` with its first and last long telling words in each other's place."""
    long = [match for match in re.finditer(r"[A-Za-z]{4,}", sentence) if telling(match[0])]
    if len(long) < 3 or telling(long[0][0]) == telling(long[-1][0]):
        return None
    first, last = long[0], long[-1]
    between = sentence[first.end() : last.start()]
    return sentence[: first.start()] + last[0] + between + first[0] + sentence[last.end() :]
