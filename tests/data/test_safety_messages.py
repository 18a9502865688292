"""The shipped messages are what their card says: readable, all different, enough of each kind, splits apart."""

from __future__ import annotations

from collections import Counter

import pytest

from bot.folding import words
from bot.settings import PROJECT
from training.classifiers.safety_examples import BENIGN, DISTRESS, HARMFUL, LANGUAGES, conversations, shipped
from training.evals.fairness import contested, pairs

FOLDER = PROJECT / "data" / "safety"
MESSAGES = shipped(FOLDER / "messages")


def test_there_are_as_many_as_the_work_needs() -> None:
    counts = Counter((example.label, example.category) for example in MESSAGES)
    assert len(MESSAGES) >= 2_500
    assert counts[BENIGN, "lesson"] >= 800
    assert sum(count for (label, _), count in counts.items() if label == DISTRESS) + counts[BENIGN, "near_miss"] >= 600


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_distress_enough_that_training_never_sees(language: str) -> None:
    held = [e for e in MESSAGES if e.label == DISTRESS and e.language == language and e.split == "test"]
    assert len(held) >= 200


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("label", [BENIGN, HARMFUL, DISTRESS])
def test_each_language_has_every_kind_in_every_split(label: str, language: str) -> None:
    found = {example.split for example in MESSAGES if example.label == label and example.language == language}
    assert found == {"train", "dev", "test"}


def test_no_message_is_there_twice() -> None:
    said = Counter(words(example.text) or example.text for example in MESSAGES)
    assert [text for text, count in said.items() if count > 1] == []


def test_variants_of_one_message_are_in_one_split() -> None:
    splits: dict[str, set[str]] = {}
    for example in MESSAGES:
        splits.setdefault(f"{example.source}/{example.group}", set()).add(example.split)
    assert [group for group, found in splits.items() if len(found) > 1] == []


def test_conversations_have_both_kinds_in_train_and_test() -> None:
    found = Counter((example.label, example.split) for example in conversations(FOLDER / "conversations.jsonl"))
    assert all(found[label, split] >= 5 for label in (HARMFUL, BENIGN) for split in ("train", "test"))


def test_fairness_pairs_differ_and_cover_every_attribute() -> None:
    found = pairs(FOLDER / "fairness.jsonl")
    assert len(found) >= 300
    assert all(first != second for first, second in (pair.texts for pair in found))
    assert {pair.attribute for pair in found} == {"name", "caste", "religion", "gender", "region", "language"}


def test_contested_questions_say_what_an_answer_must_not_claim() -> None:
    assert all(one.never and one.text.strip() for one in contested(FOLDER / "history-audit.jsonl"))
