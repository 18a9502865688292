from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import training.pairs.dataset
from rag.ingest import Page, Textbook
from training.errors import DatasetError, TrainingError
from training.pairs.conversations import build
from training.pairs.data import DRAFT, Example, read
from training.pairs.dataset import Difference, Made, Source, cards, diff, find, read_card, stats, warning_if_few, write
from training.pairs.drafts import as_draft, drafts
from training.tuning.lengths import Tokens, Words, too_long

EXAMPLES = [
    Example("What is rain?", "Water.", subject="science", kind="define"),
    Example("Why?", "Because.", split="dev", asked="hinglish"),
    Example("How?", "So.", ("passage",), split="test", earlier=(("Is it?", "Yes."),)),
]


def made(root: Path, *examples: Example, **more: Any) -> Path:
    return write(root, lambda _: list(examples), Made(**more))[1]


def test_a_dataset_is_named_by_the_hash_of_its_files_and_reads_back(tmp_path: Path) -> None:
    source = Source("pairs.jsonl", "0" * 64, 3)
    folder = made(
        tmp_path, *EXAMPLES, name="first", sources=[source], filters={"exact duplicates": 2}, masks={"phone": 1}
    )
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "dev.jsonl", "test.jsonl", "train.jsonl"]
    contents = b"".join((folder / f"{split}.jsonl").read_bytes() for split in ("train", "dev", "test"))
    card = read_card(folder)
    assert card.sha256 == hashlib.sha256(contents).hexdigest()
    assert folder.name == card.id == card.sha256[:12]
    assert sorted(read(folder), key=lambda e: e.question) == sorted(EXAMPLES, key=lambda e: e.question)
    assert (card.name, card.examples, card.parent) == ("first", 3, "")
    assert card.counts["split"] == {"train": 1, "dev": 1, "test": 1}
    assert card.counts["subject"] == {"none": 2, "science": 1}
    assert card.sources == [{"name": "pairs.jsonl", "sha256": "0" * 64, "examples": 3}]
    assert (card.filters, card.masks) == ({"exact duplicates": 2}, {"phone": 1})


def test_the_same_examples_are_the_same_dataset_in_any_order(tmp_path: Path) -> None:
    folder = made(tmp_path, *EXAMPLES)
    before = (folder / "card.json").read_bytes()
    assert made(tmp_path, *EXAMPLES[::-1], name="again") == folder
    assert (folder / "card.json").read_bytes() == before
    other = made(tmp_path, *EXAMPLES[:2])
    assert other != folder
    assert read_card(other).parent == folder.name
    assert [card.id for card in cards(tmp_path)] == [other.name, folder.name]


@pytest.mark.parametrize("name", ["train.jsonl", "dev.jsonl", "test.jsonl"])
def test_a_dataset_that_was_altered_is_not_read(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path, *EXAMPLES)
    file = folder / name
    file.chmod(0o644)
    file.write_text(file.read_text(encoding="utf-8").replace(".", "!"), encoding="utf-8")
    for place in (folder, file):
        with pytest.raises(DatasetError, match="altered since it was made"):
            read(place)
    with pytest.raises(DatasetError, match="altered"):
        made(tmp_path, *EXAMPLES)


def test_a_dataset_that_lacks_a_file_or_has_no_usable_card_is_not_read(tmp_path: Path) -> None:
    folder = made(tmp_path, *EXAMPLES)
    (folder / "dev.jsonl").unlink()
    with pytest.raises(DatasetError, match="no whole dataset"):
        read(folder)
    (folder / "card.json").chmod(0o644)
    (folder / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(DatasetError, match="no whole dataset"):
        read(folder / "train.jsonl")
    with pytest.raises(TrainingError, match="card"):
        read_card(folder)


def test_files_of_a_dataset_are_read_only(tmp_path: Path) -> None:
    assert {path.stat().st_mode & 0o222 for path in made(tmp_path, *EXAMPLES).iterdir()} == {0}


def test_what_dies_half_way_leaves_nothing_but_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training.pairs.dataset, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        made(tmp_path, *EXAMPLES)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".lock")] == ["splits.json"]
    monkeypatch.undo()
    assert len(read(made(tmp_path, *EXAMPLES))) == 3


def test_an_empty_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to put"):
        made(tmp_path)


def test_the_ledger_is_shown_to_the_next_dataset_and_only_grows(tmp_path: Path) -> None:
    made(tmp_path, *EXAMPLES)
    shown: list[Mapping[str, str]] = []
    elsewhere = tmp_path / "elsewhere"

    def place(ledger: Mapping[str, str]) -> list[Example]:
        shown.append(ledger)
        return [replace(EXAMPLES[0], split="test"), Example("New?", "n")]

    write(elsewhere, place, Made(), ledger=tmp_path / "splits.json")
    assert sorted(shown[0].values()) == ["dev", "test", "train"]
    ledger = json.loads((tmp_path / "splits.json").read_text(encoding="utf-8"))
    assert sorted(ledger.values()) == ["dev", "test", "train", "train"]  # what was decided first stays
    assert "what is" not in (tmp_path / "splits.json").read_text(encoding="utf-8")
    assert not (elsewhere / "splits.json").exists()


def test_a_ledger_that_cannot_be_read_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('{"a": "practice"}', encoding="utf-8")
    with pytest.raises(DatasetError, match=r"splits\.json: cannot be read"):
        made(tmp_path, *EXAMPLES)


def _build(root: Path, number: int) -> None:
    made(root, Example(f"Question {number}?", "Answer."))


def test_builds_at_one_time_lose_nothing_of_the_ledger(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    builders = [context.Process(target=_build, args=(tmp_path, number)) for number in range(6)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0] * 6
    assert len(json.loads((tmp_path / "splits.json").read_text(encoding="utf-8"))) == 6
    assert len(cards(tmp_path)) == 6


def test_datasets_are_found_by_id_by_its_beginning_and_by_path(tmp_path: Path) -> None:
    folder = made(tmp_path, *EXAMPLES)
    assert find(tmp_path, folder.name) == find(tmp_path, folder.name[:5]) == find(tmp_path, str(folder)) == folder
    for wrong in ("", "zzz"):
        with pytest.raises(TrainingError, match="dataset"):
            find(tmp_path, wrong)


def test_differences_are_told_by_question(tmp_path: Path) -> None:
    after = [
        Example("what is RAIN", "Water!", subject="science", kind="define"),
        replace(EXAMPLES[1], split="train"),
        Example("New?", "n"),
    ]
    found = diff(EXAMPLES, after)
    assert found.added == ("New?",)
    assert found.removed == ("Is it?\nHow?",)
    assert found.changed == ("what is RAIN",)
    assert found.moved == (("Why?", "dev", "train"),)
    assert diff(EXAMPLES, EXAMPLES[::-1]) == Difference((), (), (), ())


def test_statistics_count_lengths_duplicates_and_kinds() -> None:
    examples = [Example("What is rain?", " ".join(["drop"] * n)) for n in range(1, 101)]
    found = stats([*examples, Example("Define rain", "Water."), EXAMPLES[2]], Words())
    assert found.lengths["answer"] == (49, 95, 100)
    assert (found.repeated, found.reworded, found.dialogues, found.without_passages) == (99, 1, 1, 101)
    assert found.counts["split"] == {"train": 101, "test": 1}
    assert stats([], Words()).lengths["whole"] == (0, 0, 0)


def test_tokens_are_counted_as_training_counts_them(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    counter = Tokens(base)
    for example in EXAMPLES[2], Example("प्रकाश क्या है?", "ऊर्जा।", ("एक", "दो")):
        (conversation,) = build([example], lambda _: ())
        encoded = tokenizer.apply_chat_template(conversation, tokenize=True, return_dict=True)
        assert counter.whole(example) == len(encoded["input_ids"])
    assert counter.context == 512
    with pytest.raises(TrainingError, match="no base model there"):
        Tokens(base / "absent")


def test_too_long_is_what_training_could_not_shorten(base: Path) -> None:
    counter = Tokens(base)
    long = "water " * 600
    assert too_long(Example("q", "a", ("short", long)), counter) == ""
    assert too_long(Example("q", "a", ("short",), earlier=((long, "a"),)), counter) == ""
    assert "too long" in too_long(Example("q", long, ("short",)), counter)
    assert "tokens" in too_long(Example("q", "a", (long,)), counter)
    assert "words" in too_long(Example("q", long), Words())
    assert too_long(EXAMPLES[0], Words()) == ""


def test_few_examples_earn_a_warning_that_says_why() -> None:
    assert "hardly move" in warning_if_few(49)
    assert warning_if_few(50) == ""


BOOK = """\
# Plants

Photosynthesis is the process by which green plants make food. It is a slow process in the shade of trees.
Joseph Priestley discovered oxygen in the air of a jar. The Botanical Garden was founded in Calcutta in 1787.
Mangroves are found along the coast of Bengal. In 1905 the Agricultural Institute was established at Pusa.

## Key terms

- **Stomata**: tiny pores on the surface of leaves.
"""
HINDI = "# जल\n\nजल के वाष्प में बदलने की क्रिया को वाष्पीकरण कहते हैं।"


def textbook(text: str, language: str = "en") -> Textbook:
    return Textbook("Science", 2, "Plants", 7, "science", language, (Page(12, text),), "0" * 64)


def test_drafts_are_the_books_own_sentences_with_their_page() -> None:
    found = {example.question: example for example in drafts(textbook(BOOK))}
    assert set(found) == {
        "What is photosynthesis?",
        "Who discovered oxygen in the air of a jar?",
        "When was the Botanical Garden founded in Calcutta?",
        "Where are mangroves found?",
        "When was the Agricultural Institute established at Pusa?",
        "What is meant by stomata?",
    }
    for example in found.values():
        assert example.answer in example.passages[0]
        assert (example.title, example.chapter, example.page, example.class_level) == ("Science", 2, 12, 7)
        assert example.kind == DRAFT
    (hindi,) = drafts(textbook(HINDI, "hi"))
    assert (hindi.question, hindi.asked) == ("वाष्पीकरण किसे कहते हैं?", "hi")


def test_drafts_are_not_read_before_somebody_approves_them(tmp_path: Path) -> None:
    rows = [as_draft(example) for example in drafts(textbook(BOOK))]
    assert all("split" not in row for row in rows)
    file = tmp_path / "drafts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read(file) == []
    rows[0]["approved"] = True
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (approved,) = read(file)
    assert approved.kind == "reviewed"
