"""Two questions that mean the same are told from two that only look like it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from rag.same import Asked, Differ, Known, Met, Reader, Threshold, compare
from rag.same.lexicon import Tables
from rag.same.quantities import read as quantities

DATA = Path(__file__).resolve().parents[2] / "data"
LEAST = Threshold(0.8)


@cache
def reader() -> Reader:
    return Reader.load(DATA / "glossary", DATA / "same")


@cache
def asked(text: str) -> Asked:
    return reader().read(text)


def compared(one: str, other: str) -> Met | Differ:
    """As the one sees it; the other must see it alike."""
    found, turned = (compare(asked(a), asked(b), reader().apart) for a, b in ((one, other), (other, one)))
    assert isinstance(found, Met) is isinstance(turned, Met)
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is evaporation?", "what is evaporation"),
        ("What is evaporation?", "Define evaporation."),
        ("What is evaporation?", "wat is evaporasion"),
        ("What is evaporation?", "vashpikaran kya hota hai"),
        ("What is evaporation?", "वाष्पीकरण किसे कहते हैं?"),
        ("vaashpikaran kya hai", "वाष्पन क्या होता है?"),
        ("What does evaporation mean?", "evaporation ka matlab batao"),
        ("Which gas is given out in photosynthesis?", "Name the gas released in photosynthesis"),
        ("Why did the First World War begin?", "Reasons for the 1st world war begin"),
        ("What is the capital of India?", "भारत की राजधानी क्या है?"),
        ("Who discovered the cell?", "By whom was the cell discovered?"),
        ("Solve 2x + 3 = 11", "find x if 2x+3=11"),
        ("What is 20% of 150?", "150 ka 20% kitna hota hai"),
        ("Find the HCF of 12 and 18", "hcf of 12 n 18"),
        ("How do we convert metres into kilometres?", "metre ko kilometre me kaise badalte hain"),
        ("What is the difference between a plant cell and an animal cell?", "diff btw animal cell and plant cell"),
        ("Name three transparent objects", "Give 3 examples of transparent objects"),
        ("How many chambers does the heart have?", "heart me kitne chamber hote hain"),
        ("What is overfitting?", "ओवरफिटिंग क्या होती है?"),
        ("What is a rational number?", "rational no kya hota hai"),
    ],
)
def test_the_same_question_is_recognised(one: str, other: str) -> None:
    found = compared(one, other)
    assert isinstance(found, Met), found
    assert found.score >= LEAST.least


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("What is the boiling point of water?", "What is the freezing point of water?", Differ.WORDS),
        ("pani ka boiling point kya hai", "पानी का हिमांक क्या है?", Differ.WORDS),
        ("What is pressure?", "What is atmospheric pressure?", Differ.WORDS),
        ("What is a precipitate?", "What is precipitation?", Differ.WORDS),
        ("What is an organ?", "What is an organism?", Differ.WORDS),
        ("What is a nitrate?", "What is a nitrite?", Differ.WORDS),
        ("What is work?", "What is a function?", Differ.WORDS),
        ("atomic number of In", "atomic number of As", Differ.WORDS),
        ("What is the value of g?", "What is the value of G?", Differ.WORDS),
        ("disease by lack of vitamin A", "disease by lack of vitamin", Differ.WORDS),
        ('When do we use "an" before a word?', 'When do we use "the" before a word?', Differ.WORDS),
        ("उत्तरी गोलार्ध में दिन कब बड़ा होता है?", "दक्षिणी गोलार्ध में दिन कब बड़ा होता है?", Differ.WORDS),
        ("Solve 2x + 3 = 11", "Solve 2x + 3 = 12", Differ.QUANTITY),
        ("Solve 2x + 3 = 11", "Solve 2x - 3 = 11", Differ.QUANTITY),
        ("point (-3, 5) is in which quadrant", "point (3, -5) is in which quadrant", Differ.QUANTITY),
        ("What is the ratio of 15 to 20?", "20 aur 15 ka ratio kya hai", Differ.QUANTITY),
        ("mass of 2 kg in newton", "mass of 2 g in newton", Differ.QUANTITY),
        ("Newton's second law", "Newton's third law", Differ.QUANTITY),
        ("Which gases burn?", "Which gases do not burn?", Differ.DENIAL),
        ("Where was Ashoka born?", "When was Ashoka born?", Differ.WAY),
        ("What is photosynthesis?", "Why is photosynthesis important?", Differ.WAY),
        ("food chain me kitne trophic level hote hain", "food chain me trophic level kya hote hain", Differ.WAY),
        ("Whom did Babur defeat at Panipat?", "Who defeated Babur at Panipat?", Differ.WAY),
        ("How does ice change into water?", "pani barf me kaise badalta hai", Differ.DIRECTION),
        ("Why is iron heavier than water?", "Why is water heavier than iron?", Differ.DIRECTION),
        ("How does heat affect water?", "How does water affect heat?", Differ.DIRECTION),
        ("Is a square a rectangle?", "Is a rectangle a square?", Differ.DIRECTION),
        ("active voice ko passive voice me badlo", "passive voice ko active voice me badlo", Differ.DIRECTION),
        ("Why is it so?", "Why is it so?", Differ.NOT_ALONE),
        ("iska kya karan hai", "iska kya karan hai", Differ.NOT_ALONE),
        ("What about them?", "Explain this", Differ.NOT_ALONE),
    ],
)
def test_what_differs_in_one_thing_is_another_question(one: str, other: str, why: Differ) -> None:
    assert compared(one, other) is why


@pytest.mark.parametrize(
    ("text", "formulas", "numbers"),
    [
        ("x² − 5x + 6 = 0", ("x^2-5x+6=0",), ()),
        ("the 10th term of 2, 5, 8", ("2,5,8",), ("#10",)),
        ("5 m/s और 2 किलोग्राम", (), ("5m/s", "2kg")),
        ("rs. 1,20,000 at 5 percent", (), ("120000rs", "5%")),
        ("sin 30° and १०", (), ("30", "10")),
        ("-5 + -3", ("-5+-3",), ()),
        ("the x-coordinate of a point", (), ()),
        ("√2 and 22/7", ("√2", "22/7"), ()),
    ],
)
def test_quantities_have_one_spelling(text: str, formulas: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    found, _ = quantities(text)
    assert sorted(found.formulas) == sorted(formulas)
    assert found.numbers == numbers


def test_of_many_known_questions_the_one_that_is_meant_is_found() -> None:
    known: Known[str] = Known(reader(), LEAST)
    for text in ("What is pressure?", "What is force?", "What is the SI unit of pressure?", "What is 20% of 150?"):
        known.put(text, asked(text))
    assert [key for key, _ in known.same(asked("wat is presure"))] == ["What is pressure?"]
    assert [key for key, _ in known.same(asked("दाब किसे कहते हैं"))] == ["What is pressure?"]
    assert [key for key, _ in known.same(asked("Find 20 percent of 150"))] == ["What is 20% of 150?"]
    assert known.same(asked("What is power?")) == []
    assert known.same(asked("why?")) == []


def test_a_dropped_question_is_not_found_and_a_replaced_one_only_as_it_is_now() -> None:
    known: Known[int] = Known(reader(), LEAST)
    known.put(1, asked("What is pressure?"))
    known.put(1, asked("What is force?"))
    assert known.same(asked("What is pressure?")) == []
    assert [key for key, _ in known.same(asked("Define force"))] == [1]
    known.drop(1)
    known.drop(1)
    assert known.same(asked("Define force")) == []
    assert len(known) == 0


@pytest.mark.parametrize("text", ["", "?", "।", "    ", "-", "the", "\u0000", "^", "((((", "no", "12", "a" * 5000])
def test_whatever_is_sent_is_read(text: str) -> None:
    compare(asked(text), asked("What is 2 + 2?"), reader().apart)


def test_a_threshold_is_kept_and_a_broken_one_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "threshold.json"
    path.write_text(Threshold(0.85).dumps(), encoding="utf-8")
    assert Threshold.load(path) == Threshold(0.85)
    for broken in ('{"other": 1}', '{"least": 0}', "{"):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(ValueError):  # noqa: PT011  each of the three says it in its own words
            Threshold.load(path)


def test_a_malformed_table_is_named_with_its_line(tmp_path: Path) -> None:
    for name in ("alike.tsv", "apart.tsv", "phrases.tsv"):
        (tmp_path / name).write_text("# none\nfar\tdistant\n", encoding="utf-8")
    assert Tables.load(tmp_path).alike == {"distant": "far"}
    (tmp_path / "apart.tsv").write_text("far\tnear\nalone\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"apart\.tsv, line 2"):
        Tables.load(tmp_path)
