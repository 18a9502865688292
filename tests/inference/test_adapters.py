from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inference.adapters import AdapterCard, Shelf, adapter_sha256, model_sha256, read_card, write_card
from inference.errors import AdapterRefused, ModelMissing

BASE = "b" * 64


def make(root: Path, subject: str = "science", *, weights: bytes = b"weights", base: str = BASE) -> AdapterCard:
    """An adapter whose files are plain bytes: nothing here reads them."""
    folder = root / "new"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(weights)
    write_card(
        folder,
        subject=subject,
        base_sha256=base,
        dataset_sha256="d" * 64,
        recipe={"rank": 4, "modules": ["q_proj"]},
        scores={"loss": 1.25},
        examples=7,
        language="hi",
    )
    return Shelf(root).add(folder)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return tmp_path / "shipped"


def test_a_card_survives_being_written_and_read(own: Path) -> None:
    card = make(own)
    digest = hashlib.sha256(b'{"r": 4}' + b"weights").hexdigest()
    assert card.sha256 == digest
    assert card.id == f"science-{digest[:12]}"
    assert (own / card.id / "card.json").is_file()
    assert read_card(own / card.id) == card
    assert (card.recipe, card.scores, card.examples, card.language) == (
        {"rank": 4, "modules": ["q_proj"]},
        {"loss": 1.25},
        7,
        "hi",
    )


def test_the_hash_of_a_model_covers_configuration_tokenizer_and_all_shards_in_order(tmp_path: Path) -> None:
    contents = {"config.json": b"c", "tokenizer.json": b"t", "model-2.safetensors": b"2", "model-1.safetensors": b"1"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert model_sha256(tmp_path) == hashlib.sha256(b"ct12").hexdigest()
    (tmp_path / "README.md").write_text("not part of it")
    assert model_sha256(tmp_path) == hashlib.sha256(b"ct12").hexdigest()


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_model_is_missing(tmp_path: Path, missing: str) -> None:
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelMissing, match="sahpathi train pretrain"):
        model_sha256(tmp_path)


def test_promotion_is_seen_by_a_shelf_that_is_already_open(own: Path) -> None:
    first, second = make(own, weights=b"1"), make(own, weights=b"2")
    shelf, elsewhere = Shelf(own), Shelf(own)
    assert shelf.current("science") is None
    elsewhere.promote(first)
    assert shelf.current("science") == first
    elsewhere.promote(second)
    assert shelf.current("science") == second
    elsewhere.promote(first)  # roll back
    assert shelf.current("science") == first


def test_promoting_one_subject_leaves_the_others(own: Path) -> None:
    science, general = make(own), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(science)
    shelf.promote(general)
    assert json.loads((own / "current.json").read_text()) == {"general": general.id, "science": science.id}
    assert [path.name for path in own.glob(".*")] == []  # nothing half written is left


def test_the_general_adapter_serves_subjects_without_their_own(own: Path) -> None:
    science, general = make(own), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(science)
    shelf.promote(general)
    assert shelf.current("history") == shelf.current(None) == shelf.current() == general
    assert shelf.current("science") == science


def test_the_operators_promotion_goes_before_the_shipped_one(own: Path, shipped: Path) -> None:
    theirs, ours = make(shipped, weights=b"1"), make(own, weights=b"2")
    Shelf(shipped).promote(theirs)
    shelf = Shelf(own, shipped)
    assert shelf.current("science") == theirs
    shelf.promote(ours)
    assert shelf.current("science") == ours
    shelf.promote(theirs)  # a shipped adapter may be promoted; the shipped folder is not written to
    assert shelf.current("science") == theirs
    assert json.loads((own / "current.json").read_text()) == {"science": theirs.id}


def test_a_shipped_subject_goes_before_the_operators_general_adapter(own: Path, shipped: Path) -> None:
    science, general = make(shipped), make(own, "general")
    Shelf(shipped).promote(science)
    shelf = Shelf(own, shipped)
    shelf.promote(general)
    assert shelf.current("science") == science


def test_adapters_for_another_base_model_are_passed_over(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign, general = make(own, base="f" * 64), make(own, "general")
    shelf = Shelf(own)
    shelf.promote(foreign)
    shelf.promote(general)
    assert shelf.current("science", base_sha256=BASE) == general
    assert shelf.current("science", base_sha256=BASE) == general
    assert shelf.current("science", base_sha256="e" * 64) is None
    assert sum(foreign.id in record.message for record in caplog.records) == 1  # said once, not at each question


@pytest.mark.parametrize("content", ["{", "[1]", "7"])
def test_an_unreadable_promotion_falls_back_and_can_be_replaced(own: Path, shipped: Path, content: str) -> None:
    theirs, ours = make(shipped, weights=b"1"), make(own, weights=b"2")
    Shelf(shipped).promote(theirs)
    (own / "current.json").write_text(content)
    shelf = Shelf(own, shipped)
    assert shelf.current("science") == theirs
    shelf.promote(ours)
    assert shelf.current("science") == ours


def test_a_promoted_adapter_that_is_gone_is_passed_over(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    general = make(own, "general")
    shelf = Shelf(own)
    shelf.promote(general)
    (own / "current.json").write_text(json.dumps({"science": "science-000000000000", "general": general.id}))
    with caplog.at_level(logging.WARNING):
        assert shelf.current("science") == general
    assert "science-000000000000" in caplog.text


def test_only_what_exists_can_be_promoted(own: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere")
    with pytest.raises(AdapterRefused, match=elsewhere.id):
        Shelf(own).promote(elsewhere)


@pytest.mark.parametrize("name", ["../elsewhere", "science", "", "/etc", "science-0123456789ab/../x", "current"])
def test_an_id_cannot_lead_out_of_the_shelf(own: Path, name: str) -> None:
    make(own)
    with pytest.raises(AdapterRefused, match="adapters list"):
        Shelf(own).find(name)


def test_an_altered_adapter_is_refused(own: Path) -> None:
    card = make(own)
    Shelf(own).verify(card, BASE)
    (own / card.id / "adapter_model.safetensors").write_bytes(b"weightz")
    with pytest.raises(AdapterRefused, match="altered"):
        Shelf(own).verify(card, BASE)


def test_an_adapter_for_another_base_model_is_refused(own: Path) -> None:
    with pytest.raises(AdapterRefused, match="trained on base model bbbbbbbbbbbb"):
        Shelf(own).verify(make(own), "c" * 64)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_incomplete_adapter_is_refused(own: Path, name: str) -> None:
    card = make(own)
    (own / card.id / name).unlink()
    with pytest.raises(AdapterRefused, match=f"{name} missing"):
        Shelf(own).verify(card, BASE)
    with pytest.raises(AdapterRefused, match=f"{name} missing"):
        adapter_sha256(own / card.id)


def _spoil(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(b"\xff"),
        _spoil(lambda raw: raw.pop("language")),
        _spoil(lambda raw: raw.update(sha256="0" * 64)),
        _spoil(lambda raw: raw.update(subject="../x")),
    ],
)
def test_an_unreadable_card_is_refused_and_left_out_of_the_list(own: Path, spoil: Callable[[Path], None]) -> None:
    good, bad = make(own, "general"), make(own)
    spoil(own / bad.id / "card.json")
    shelf = Shelf(own)
    with pytest.raises(AdapterRefused, match=r"card\.json"):
        shelf.find(bad.id)
    assert shelf.list() == [good]


def test_a_card_must_stand_in_the_folder_of_its_name(own: Path) -> None:
    card = make(own)
    other = f"science-{'0' * 12}"
    (own / card.id).rename(own / other)
    with pytest.raises(AdapterRefused, match=card.id):
        Shelf(own).find(other)


def test_the_list_has_each_adapter_once_newest_first(own: Path, shipped: Path) -> None:
    old = make(shipped, weights=b"1")
    new = make(own, weights=b"2")
    make(own, weights=b"1")  # the same adapter in both roots
    path = own / new.id / "card.json"
    newer = replace(new, created="2999-01-01T00:00:00+00:00")
    path.write_text(path.read_text().replace(new.created, newer.created))
    assert [card.id for card in Shelf(own, shipped).list()] == [new.id, old.id]


def test_adding_the_same_adapter_again_keeps_the_first(own: Path) -> None:
    first = make(own)
    assert make(own).sha256 == first.sha256
    assert Shelf(own).find(first.id) == first


@pytest.mark.parametrize("subject", ["Science", "a b", "../x", "", "-x", "विज्ञान"])
def test_a_subject_that_cannot_name_a_folder_is_refused(own: Path, subject: str) -> None:
    with pytest.raises(ValueError, match="a subject is"):
        make(own, subject)
