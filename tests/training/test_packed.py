from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from inference.prompt import END_OF_TEXT
from training.base.corpus import chapters, prose
from training.base.packed import CARD, Packed, pack
from training.base.packing import How, Part, write_shards
from training.base.tokenizer import TokenizerArguments, train_tokenizer
from training.base.tokens import Stretch, Tokens
from training.errors import DatasetError, TrainingError

VALIDATION = 0.1

Pack = Callable[..., Packed]


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    prose_folder = tmp_path / "corpus" / "prose"
    prose_folder.mkdir(parents=True)
    write(prose_folder / "a.jsonl", [f"Rain falls on field {n}." for n in range(12)])
    write(prose_folder / "b.jsonl", ["एक बीज पौधा बनता है।", "", "Sound travels through steel."])
    return tmp_path / "corpus"


def write(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


@pytest.fixture
def packs(base: Path, textbooks: Path, corpus: Path, tmp_path: Path) -> Pack:
    """Pack the textbooks and the corpus into the folder "packed", a shard for about two lines."""

    def run(**changes: Any) -> Packed:
        given = {"corpus": corpus, "validation": VALIDATION, "processes": 1, "part": 40, **changes}
        return pack(base, tmp_path / "packed", textbooks, **given)

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def modified(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tokens")}


def test_packed_text_is_what_the_tokenizer_makes_of_each_document(
    packs: Pack, base: Path, textbooks: Path, corpus: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    learned, kept_back = list[int](), list[int]()
    for text in [*(book.text for book in chapters(textbooks)), *prose(corpus)]:
        tokens = [*tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], end]
        cut = len(tokens) - max(1, round(len(tokens) * VALIDATION))
        learned += tokens[:cut]
        kept_back += tokens[cut:]
    packed = packs()
    assert list(packed.learned) == learned
    assert list(packed.kept_back) == kept_back
    assert [(source.name, source.documents) for source in packed.sources] == [
        ("textbooks", 2),
        ("a.jsonl", 12),
        ("b.jsonl", 3),
    ]
    assert sum(source.learned for source in packed.sources) == len(learned)


def test_several_processes_pack_the_same_as_one(packs: Pack, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    several = packs(processes=2, on_packed=lambda *at: seen.append(at))
    shards = modified(tmp_path / "packed")
    for path in (tmp_path / "packed").iterdir():
        path.unlink()
    one = packs()
    assert one.sha256 == several.sha256
    assert modified(tmp_path / "packed").keys() == shards.keys()
    done = [at[0] for at in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1]
    assert {at[2] for at in seen} == {"textbooks", "a.jsonl", "b.jsonl"}


def test_what_is_packed_is_not_packed_again(packs: Pack, tmp_path: Path, corpus: Path) -> None:
    first = packs()
    before = modified(tmp_path / "packed")
    card = (tmp_path / "packed" / CARD).stat().st_mtime_ns
    again = packs()
    assert again.sha256 == first.sha256
    assert modified(tmp_path / "packed") == before
    assert (tmp_path / "packed" / CARD).stat().st_mtime_ns == card


def test_a_kill_leaves_the_finished_shards(packs: Pack, tmp_path: Path) -> None:
    def kill(done: int, total: int, source: str) -> None:
        if source == "a.jsonl":
            raise Killed

    with pytest.raises(Killed):
        packs(on_packed=kill)
    kept = modified(tmp_path / "packed")
    assert kept
    assert CARD not in names(tmp_path / "packed")
    (tmp_path / "packed" / "half.part").write_bytes(b"half of a shard")
    resumed = packs()
    after = modified(tmp_path / "packed")
    assert {name: after[name] for name in kept} == kept
    assert len(after) > len(kept)
    assert "half.part" not in names(tmp_path / "packed")
    whole = packs(part=10**6)
    assert list(whole.learned) == list(resumed.learned)


def test_a_changed_source_is_said_and_the_others_stay(
    packs: Pack, tmp_path: Path, corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = packs()
    before = modified(tmp_path / "packed")
    write(corpus / "prose" / "b.jsonl", ["Another text altogether."])
    write(corpus / "prose" / "c.jsonl", ["A third file."])
    with caplog.at_level(logging.WARNING):
        second = packs()
    assert "new: c.jsonl" in caplog.text
    assert "changed: b.jsonl" in caplog.text
    assert "a.jsonl" not in caplog.text
    assert second.sha256 != first.sha256
    after = modified(tmp_path / "packed")
    unchanged = {name for name in before if name.startswith(("a-", "textbooks-"))}
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert not {name for name in before if name.startswith("b-")} & after.keys()
    (corpus / "prose" / "c.jsonl").unlink()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        packs()
    assert "gone: c.jsonl" in caplog.text


def test_a_changed_tokenizer_is_said_and_everything_is_packed_anew(
    packs: Pack, textbooks: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    packs()
    before = names(tmp_path / "packed")
    train_tokenizer(TokenizerArguments(textbooks, tmp_path / "other", vocabulary=400, context=64))
    with caplog.at_level(logging.WARNING):
        pack(tmp_path / "other", tmp_path / "packed", textbooks, corpus, validation=VALIDATION, processes=1)
    assert "the tokenizer or `validation` is another one" in caplog.text
    assert before & names(tmp_path / "packed") == {CARD, ".lock"}


def test_a_tokenizer_that_is_saved_again_is_the_same_one(
    packs: Pack, base: Path, textbooks: Path, corpus: Path, tmp_path: Path
) -> None:
    first = packs()
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=7)
    tokenizer.save_pretrained(tmp_path / "again")
    before = modified(tmp_path / "packed")
    given: dict[str, Any] = {"validation": VALIDATION, "processes": 1, "part": 40}
    assert pack(tmp_path / "again", tmp_path / "packed", textbooks, corpus, **given).sha256 == first.sha256
    assert modified(tmp_path / "packed") == before


def test_a_shard_cut_short_is_packed_again_and_one_that_was_altered_is_refused(packs: Pack, tmp_path: Path) -> None:
    whole = packs()
    shard = min((tmp_path / "packed").glob("a-*.tokens"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-2])
    assert packs().sha256 == whole.sha256
    assert shard.read_bytes() == content
    shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(TrainingError, match=rf"{shard.name}: is not what was written"):
        packs()


def test_a_malformed_line_is_named_and_what_was_packed_stays(packs: Pack, corpus: Path, tmp_path: Path) -> None:
    with (corpus / "prose" / "b.jsonl").open("a", encoding="utf-8") as file:
        file.write("{\n")
    for processes in (1, 2):
        with pytest.raises(DatasetError, match=r"b\.jsonl:4"):
            packs(processes=processes)
    assert [name for name in names(tmp_path / "packed") if name.startswith("a-")]


def test_no_tokenizer_is_an_error(tmp_path: Path, textbooks: Path) -> None:
    with pytest.raises(TrainingError, match="sahpathi train tokenizer"):
        pack(tmp_path, tmp_path / "packed", textbooks, validation=VALIDATION)


def test_a_full_disk_is_one_clear_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def parts() -> Iterator[Part]:
        yield Part("a", "a-00000", ["text"], 4, True)

    monkeypatch.setattr("training.base.packing.os.fsync", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*make room"):
        write_shards(parts(), tmp_path, How(base / "tokenizer.json", "uint16", VALIDATION), 1, lambda _: None)
    assert not list(tmp_path.glob("*.tokens"))


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_tokens_of_several_files_are_one_run(tmp_path: Path, dtype: str) -> None:
    values = list(range(40_000, 40_020))
    for name, part in (("a", values[:7]), ("b", values[7:])):
        np.array([0, 0, *part], np.dtype(dtype).newbyteorder("<")).tofile(tmp_path / name)
    tokens = Tokens(
        [
            Stretch(tmp_path / "a", dtype, 2, 7),
            Stretch(tmp_path / "a", dtype, 2, 0),
            Stretch(tmp_path / "b", dtype, 2, 13),
        ]
    )
    assert list(tokens) == values
    assert len(tokens) == 20
    for start in range(-2, 22):
        for stop in range(-2, 24):
            assert tokens[start:stop] == values[start:stop]
    assert tokens[::-3] == values[::-3]
    assert tokens[3:17:4] == values[3:17:4]
    assert tokens[-1] == values[-1]
    with pytest.raises(IndexError):
        tokens[20]
    kind, of = tokens.__reduce__()  # what a process that makes batches is sent
    assert list(kind(*of)) == values
    assert list(Tokens([])) == []
