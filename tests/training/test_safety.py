"""The safety classifier is trained, stored and read again, on an encoder so small that it takes a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from inference.errors import ModerationRefused
from inference.moderation import CARD, WEIGHTS, Moderator, Worded, windows
from rag.embed import packaged
from training.classifiers.safety import train
from training.classifiers.safety_arguments import SafetyArguments
from training.classifiers.safety_examples import BENIGN, DISTRESS, HARMFUL, LABELS, SafetyExample, apart, shipped
from training.classifiers.safety_thresholds import HIGHEST, LOWEST, MAY_HOLD, MAY_HOLD_TURNS, fit
from training.errors import CorpusError, DatasetError


def message(text: str, label: str, category: str, split: str = "train", source: str = "ours") -> SafetyExample:
    return SafetyExample(text, label, category, "en", text, split, source)


def read(text: str) -> Worded:
    return Worded(text.lower(), text.lower())


THINGS = "light heat sound force water iron salt bread milk wood"
PEOPLE = "he she dad mum uncle aunt brother sir they someone"
BENIGN_TEXTS = [f"what is {thing} and why" for thing in THINGS.split()]
SAD_TEXTS = [f"i cannot go on, {who} hurts me" for who in PEOPLE.split()]
MESSAGES = [
    message(text, label, category, split)
    for texts, label, category in ((BENIGN_TEXTS, BENIGN, "lesson"), (SAD_TEXTS, DISTRESS, "abuse"))
    for text, split in zip(texts, ["train"] * 7 + ["dev"] * 3, strict=True)
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer, with the tokenizer of the real one."""
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = AutoTokenizer.from_pretrained(packaged(), local_files_only=True)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    torch.manual_seed(1)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    args = SafetyArguments(
        folder, "tiny", rank=4, alpha=8, epochs=30, batch=7, learning_rate=0.02, window=16, windows=3
    )
    run = train(args, encoder, MESSAGES, read, on_progress=lambda _: None)
    assert run.losses[-1] < run.losses[0]
    return folder


def test_what_was_learned_is_there_when_it_is_read_again(trained: Path, encoder: Path) -> None:
    scores = Moderator.load(trained, encoder).scores(
        [read("what is sugar and why"), read("i cannot go on, teacher hurts me")]
    )
    assert scores.shape == (2, len(LABELS))
    assert np.allclose(scores.sum(axis=1), 1.0, atol=1e-2)
    assert LABELS[int(scores[0].argmax())] == BENIGN
    assert LABELS[int(scores[1].argmax())] == "distress.abuse"


def test_a_text_is_judged_by_its_most_alarming_window(trained: Path, encoder: Path) -> None:
    moderator = Moderator.load(trained, encoder)
    long = "what is light and why " * 4 + "i cannot go on, he hurts me"
    alone, hidden = moderator.scores([read("what is light and why " * 4), read(long)])
    assert hidden[0] < alone[0]


def test_no_text_is_no_row(trained: Path, encoder: Path) -> None:
    assert Moderator.load(trained, encoder).scores([]).shape == (0, len(LABELS))


@pytest.mark.parametrize("text", ["", " ", "\u200b", "😀" * 3000, "x" * 100_000, "क" * 10_000])
def test_any_text_is_scored(trained: Path, encoder: Path, text: str) -> None:
    assert np.isfinite(Moderator.load(trained, encoder).scores([read(text)])).all()


def test_a_long_text_is_read_at_its_beginning_and_its_end(encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    found = windows(tokenizer, " ".join(f"w{number}" for number in range(500)), 20, 3)
    assert len(found) == 3
    assert all(len(window) <= 20 for window in found)
    assert tokenizer.decode(found[-1]).split()[-2].endswith("499")


@pytest.mark.parametrize("damage", [CARD, WEIGHTS])
def test_what_is_damaged_is_refused_with_its_name(trained: Path, encoder: Path, tmp_path: Path, damage: str) -> None:
    for name in (CARD, WEIGHTS):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / damage).write_bytes(b"{}")
    with pytest.raises(ModerationRefused, match=str(tmp_path)):
        Moderator.load(tmp_path, encoder)


def test_weights_of_another_encoder_are_refused(trained: Path) -> None:
    with pytest.raises(ModerationRefused):
        Moderator.load(trained, packaged())


def test_without_a_dev_split_nothing_is_trained(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="dev"):
        train(SafetyArguments(tmp_path, "tiny"), encoder, [MESSAGES[0]], read)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"text": "a"}\nnot json\n', encoding="utf-8")
    with pytest.raises(DatasetError) as raised:
        shipped(tmp_path)
    assert [line.line for line in raised.value.bad] == [1, 2]


def test_training_messages_near_a_held_out_one_are_left_out() -> None:
    held = message("make a bomb", HARMFUL, "weapons", "test")
    near, far = message("make a bomb now", HARMFUL, "weapons"), message("what is salt", BENIGN, "lesson")

    def likeness(texts: Sequence[str], others: Sequence[str]) -> list[float]:
        return [1.0 if any(other in text for other in others) else 0.0 for text in texts]

    assert apart([held, near, far], 0.9, likeness) == [far, held]


def test_what_a_category_is_unknown_of_may_be_any_of_its_label() -> None:
    allowed = message("x", HARMFUL, "").allowed
    assert {LABELS[place].partition(".")[0] for place in allowed} == {HARMFUL}
    assert len(allowed) == 9


def test_thresholds_let_the_allowed_share_of_harmless_messages_through() -> None:
    harmless = [(message(f"q{n}", BENIGN, "lesson", "dev"), _row(n / 1000)) for n in range(500)]
    found = fit(harmless)
    held = sum(row[LABELS.index("harmful.crime")] >= found.held["en"] for _, row in harmless)
    assert 0 < held <= MAY_HOLD["held"]["lesson"] * 500 + 1
    assert LOWEST <= found.distress["en"] <= HIGHEST


def test_each_language_has_a_threshold_of_its_own() -> None:
    harmless = [
        (replace(message(f"q{n}", BENIGN, "lesson", "dev"), language=language), _row(n / size))
        for language, size in (("en", 1000), ("hi", 600))
        for n in range(500)
    ]
    found = fit(harmless).held
    assert found["en"] < found["hi"]
    assert set(found) == {"en", "hi", "hinglish"}


def test_several_turns_have_a_threshold_of_their_own() -> None:
    single = [(message("q", BENIGN, "lesson", "dev"), _row(0.1))]
    talks = [(replace(message(f"q{n}", BENIGN, "lesson", "dev"), earlier=("a", "b")), _row(n / 100)) for n in range(60)]
    found = fit([*single, *talks])
    assert sum(row[LABELS.index("harmful.crime")] >= found.turns for _, row in talks) == 60 * MAY_HOLD_TURNS
    assert found.held["en"] < found.turns


def test_thresholds_need_harmless_messages() -> None:
    with pytest.raises(CorpusError):
        fit([])


def _row(harm: float) -> list[float]:
    row = [0.0] * len(LABELS)
    row[0], row[LABELS.index("harmful.crime")] = 1.0 - harm, harm
    return row
