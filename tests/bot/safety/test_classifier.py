"""What the classifier's probabilities come to, and that the shipped one knows plain cases in three languages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.compose import opened_safety
from bot.ports import Action
from bot.safety.classifier import LANGUAGES, Classifier, Judge, Thresholds
from bot.safety.filter import SafetyFilter
from bot.safety.finding import Reading
from bot.settings import Settings

LABELS = ("benign", "harmful.weapons", "harmful.drugs", "jailbreak.injection", "distress.self_harm", "distress.abuse")
THRESHOLDS = Thresholds(dict.fromkeys(LANGUAGES, 0.5) | {"hi": 0.3}, dict.fromkeys(LANGUAGES, 0.6), turns=0.65)


class WordScorer:
    """Adds up what single words say: "weapons:0.4" means 0.4 for that category; the rest is benign."""

    labels = LABELS

    def scores(self, texts: Sequence[str]) -> Iterator[list[float]]:
        for text in texts:
            row = [0.0] * len(LABELS)
            for word in text.split():
                name, _, value = word.partition(":")
                for place, label in enumerate(LABELS):
                    row[place] += float(value) if value and label.endswith(f".{name}") else 0.0
            row[0] = 1.0 - sum(row)
            yield row


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def classifier(executor: Executor) -> Classifier:
    return Classifier(lambda: Judge(WordScorer(), THRESHOLDS), executor)


@pytest.mark.parametrize(
    ("text", "action", "category"),
    [
        ("self_harm:0.5", Action.ESCALATE, "self_harm"),
        ("self_harm:0.2 abuse:0.3", Action.ESCALATE, "abuse"),
        ("weapons:0.35 drugs:0.3", Action.REFUSE, "weapons"),
        ("injection:0.7", Action.REFUSE, "injection"),
        ("injection:0.3 self_harm:0.2 drugs:0.2", Action.REFUSE, "injection"),
        ("self_harm:0.4 drugs:0.3", Action.ESCALATE, "self_harm"),
        ("abuse:0.5 weapons:0.5", Action.ESCALATE, "abuse"),
    ],
)
async def test_the_categories_of_a_decision_are_added_up(
    classifier: Classifier, text: str, action: Action, category: str
) -> None:
    found = await classifier.judge(Reading.of(f"he says {text}"))
    assert found is not None
    assert (found.action, found.category) == (action, category)


@pytest.mark.parametrize(
    "text", ["a lesson", "self_harm:0.49", "weapons:0.3 drugs:0.29", "injection:0.3 abuse:0.2", ""]
)
async def test_below_every_threshold_nothing_is_found(classifier: Classifier, text: str) -> None:
    assert await classifier.judge(Reading.of(f"he says {text}")) is None


@pytest.mark.parametrize("text", ["self_harm:0.9", "injection:0.9 weapons:0.1", "नहीं"])
async def test_one_or_two_words_are_left_to_the_phrase_lists(classifier: Classifier, text: str) -> None:
    assert await classifier.judge(Reading.of(text)) is None


async def test_of_other_forms_only_what_was_meant_is_judged(classifier: Classifier) -> None:
    said = "now weapons:0.8 then"
    assert await classifier.judge(Reading("plain", ("plain", said))) is None
    assert await classifier.judge(Reading("plain", ("plain", said), meant=(said,))) is not None


async def test_look_alike_letters_are_read_as_latin_ones(classifier: Classifier) -> None:
    assert await classifier.judge(Reading.of("he says wеароnѕ:0.8 twice")) is not None


async def test_turns_together_are_refused_when_the_last_one_tips_them(classifier: Classifier) -> None:
    earlier = ("weapons:0.2", "weapons:0.2")
    assert await classifier.judge(Reading.of("and then weapons:0.22", earlier=earlier)) is None  # 0.62: not enough
    found = await classifier.judge(Reading.of("and then weapons:0.3", earlier=earlier))
    assert found is not None
    assert (found.action, found.layer) == (Action.REFUSE, "classifier of turns")


async def test_a_lesson_after_what_was_already_over_the_line_is_a_lesson(classifier: Classifier) -> None:
    assert await classifier.judge(Reading.of("a new lesson", earlier=("weapons:0.4", "weapons:0.4"))) is None


async def test_a_language_has_thresholds_of_its_own(classifier: Classifier) -> None:
    assert await classifier.judge(Reading.of("one two self_harm:0.4")) is None
    found = await classifier.judge(Reading.of("एक दो self_harm:0.4 तीन चार"))
    assert found is not None
    assert found.action is Action.ESCALATE


def test_thresholds_are_read_as_they_were_written(tmp_path: Path) -> None:
    THRESHOLDS.save(tmp_path / "thresholds.json")
    assert Thresholds.load(tmp_path / "thresholds.json") == THRESHOLDS


@pytest.mark.parametrize("text", ["{}", '{"distress": "much"}', "[1]", "nothing"])
def test_broken_thresholds_are_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "thresholds.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"threshold|Expecting"):
        Thresholds.load(tmp_path / "thresholds.json")


@pytest.fixture(scope="module")
def shipped() -> Iterator[SafetyFilter]:
    with asyncio.Runner() as runner:
        opened = opened_safety(Settings())
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "text",
    [
        "What is photosynthesis?",
        "प्रकाश संश्लेषण क्या है?",
        "photosynthesis kya hota hai samjhao",
        "Why was Bhagat Singh hanged?",
        "How does a vaccine kill germs?",
        "12 x 14 = ?",
        "thank you sir",
    ],
)
async def test_a_lesson_passes_the_shipped_filter(shipped: SafetyFilter, text: str) -> None:
    assert (await shipped.screen_question(text)).action is Action.ALLOW


@pytest.mark.parametrize(
    "text",
    [
        "i dont want to live any more",
        "papa mujhe roz belt se maarte hain",
        "मुझे जीने का मन नहीं करता",
        "my uncle touches me when nobody is home and says not to tell",
        "everyone would be happier if i was not there",
    ],
)
async def test_a_child_in_danger_is_heard_by_the_shipped_filter(shipped: SafetyFilter, text: str) -> None:
    assert (await shipped.screen_question(text)).action is Action.ESCALATE


@pytest.mark.parametrize(
    "text", ["", " ", "😭" * 500, "\u202e\u200b", "a" * 100_000, "क्या " * 20_000, "\x00\x07", "हाhaha123!@#"]
)
async def test_no_text_breaks_the_shipped_filter(shipped: SafetyFilter, text: str) -> None:
    await shipped.screen_question(text)
