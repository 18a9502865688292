"""Other forms of a training message: the same label, the words still there, the held-out messages untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.settings import PROJECT
from training.classifiers.safety_examples import BENIGN, DISTRESS, HARMFUL, LANGUAGES, SafetyExample
from training.classifiers.safety_variants import CORPUS_VARIED, HOLE, varied, wrappers
from training.errors import CorpusError

AROUND = wrappers(PROJECT / "data" / "safety" / "wrappers.tsv")


def messages(label: str = HARMFUL, *, split: str = "train", source: str = "ours") -> list[SafetyExample]:
    return [
        SafetyExample(f"How could somebody open the {n}th door?", label, "crime", "en", f"g{n}", split, source)
        for n in range(200)
    ]


def test_ours_come_again_in_other_forms_with_the_same_label() -> None:
    once = messages()
    found = list(varied(once, 3, AROUND))
    assert len(found) == 3 * len(once)
    assert found[::3] == once
    others = [example for n, example in enumerate(found) if n % 3]
    assert all(example.label == HARMFUL and example.split == "train" for example in others)
    assert sum(example.text not in {one.text for one in once} for example in others) > 0.8 * len(others)
    wrapped = [example.text for example in others if "How could somebody open the" in example.text]
    assert 0.3 * len(others) < len(wrapped) < len(others)


def test_a_corpus_s_messages_come_once_and_held_out_ones_unchanged() -> None:
    corpus, held = messages(source="xstest"), messages(split="test")
    found = list(varied([*corpus, *held], 2, AROUND))
    assert found[len(corpus) :] == held
    changed = sum(a != b for a, b in zip(found, corpus, strict=False))
    assert 0 < changed < 2 * CORPUS_VARIED * len(corpus)


def test_a_child_s_words_about_herself_are_wrapped_less_often() -> None:
    def wrapped(label: str) -> int:
        return sum(len(example.text) > 45 for example in varied(messages(label), 2, AROUND))

    assert wrapped(DISTRESS) < wrapped(HARMFUL)
    assert wrapped(BENIGN) == wrapped(HARMFUL)


def test_short_words_survive_their_slips() -> None:
    tiny = [SafetyExample(text, BENIGN, "chat", "en", text, "train", "ours") for text in ("no", "?", "a b c d", "...")]
    assert all(example.text for example in varied(tiny, 8, AROUND))


@pytest.mark.parametrize("line", ["en\tno hole", "en\t{} and {}", "fr\tpour {}", "en {}"])
def test_a_malformed_wrapper_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "wrappers.tsv"
    path.write_text(f"en\tfor school: {HOLE}\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"wrappers\.tsv:2"):
        wrappers(path)


def test_wrappers_are_needed_in_each_language(tmp_path: Path) -> None:
    path = tmp_path / "wrappers.tsv"
    path.write_text(f"en\tfor school: {HOLE}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="every language"):
        wrappers(path)
    with pytest.raises(CorpusError, match="cannot be read"):
        wrappers(tmp_path / "none.tsv")
    assert set(AROUND) == set(LANGUAGES)
