"""The shelf of classifiers: what screens, what is refused, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.classifiers import CARD, CURRENT, FILES, SHIPPED, ClassifierCard, ClassifierShelf
from inference.errors import ModerationRefused


def written(folder: Path, words: str) -> Path:
    """A folder with the files of a classifier; the shelf looks at their bytes only."""
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"{name}: {words}", encoding="utf-8")
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> ClassifierShelf:
    return ClassifierShelf(tmp_path / "classifiers", written(tmp_path / "shipped", "as shipped"))


def added(shelf: ClassifierShelf, words: str, *, passed: bool = True) -> ClassifierCard:
    made = written(shelf.root / f".making-{words}", words)
    return shelf.add(made, messages=9, reviewed=1, corpus=False, compared_with=SHIPPED, passed=passed, sets=[])


def test_without_a_promotion_the_shipped_one_screens(shelf: ClassifierShelf, tmp_path: Path) -> None:
    assert shelf.current == SHIPPED
    assert shelf.folder(shelf.current) == tmp_path / "shipped"
    assert shelf.list() == []


def test_what_is_promoted_screens_also_for_whoever_looked_before(shelf: ClassifierShelf, tmp_path: Path) -> None:
    another = ClassifierShelf(shelf.root, tmp_path / "shipped")  # another process
    assert another.current == SHIPPED
    card = added(shelf, "better")
    shelf.promote(card.id, by="Asha")
    assert another.current == card.id
    assert another.folder(card.id) == shelf.root / card.id
    assert [entry.by for entry in another.history()] == ["Asha"]


def test_the_way_back_leads_through_every_promotion(shelf: ClassifierShelf) -> None:
    first, second = added(shelf, "first"), added(shelf, "second")
    for card in (first, second):
        shelf.promote(card.id, by="Asha")
    assert shelf.rollback() == first.id == shelf.current
    assert shelf.rollback() == SHIPPED == shelf.current
    with pytest.raises(ModerationRefused, match="shipped"):
        shelf.rollback()


def test_one_may_go_back_to_the_shipped_one_by_name(shelf: ClassifierShelf) -> None:
    shelf.promote(added(shelf, "first").id, by="Asha")
    shelf.promote(SHIPPED, by="Asha")
    assert shelf.current == SHIPPED


def test_one_whose_files_were_altered_is_refused(shelf: ClassifierShelf) -> None:
    card = added(shelf, "first")
    (shelf.root / card.id / FILES[0]).write_text("altered", encoding="utf-8")
    with pytest.raises(ModerationRefused, match="altered"):
        shelf.promote(card.id, by="Asha")
    assert shelf.current == SHIPPED


@pytest.mark.parametrize("name", ["0123456789ab", "..", "../shipped", ""])
def test_what_is_not_there_is_refused(shelf: ClassifierShelf, name: str) -> None:
    with pytest.raises(ModerationRefused, match="no classifier"):
        shelf.promote(name, by="Asha")


def test_a_history_that_cannot_be_read_is_no_reason_to_use_another(shelf: ClassifierShelf) -> None:
    shelf.promote(added(shelf, "first").id, by="Asha")
    (shelf.root / CURRENT).write_text("[{", encoding="utf-8")
    with pytest.raises(ModerationRefused, match=CURRENT):
        _ = shelf.current


def test_a_card_that_cannot_be_read_hides_only_its_own(shelf: ClassifierShelf) -> None:
    good, bad = added(shelf, "good"), added(shelf, "bad")
    (shelf.root / bad.id / CARD).write_text(json.dumps({"id": bad.id}), encoding="utf-8")
    assert [card.id for card in shelf.list()] == [good.id]


def test_a_folder_without_all_its_files_is_not_added(shelf: ClassifierShelf, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    with pytest.raises(ModerationRefused, match="missing"):
        shelf.add(tmp_path / "half", messages=1)
