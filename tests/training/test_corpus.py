from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from training.base.corpus import chapters, documents, prose
from training.errors import CorpusError, DatasetError


def test_chapters_are_read_without_markup_and_apparatus(textbooks: Path) -> None:
    first, second = chapters(textbooks)
    assert (first.book, first.name, second.name) == ("Science, Class 7", "photosynthesis", "sound")
    assert not any(mark in first.text for mark in ("#", "**", "<!--", "---"))
    assert [section.heading for section in first.sections] == ["How plants make food", "Stomata"]
    assert first.sections[1].sentences[0] == "Stomata are tiny pores on the surface of leaves."


def test_no_textbooks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no textbook chapters"):
        chapters(tmp_path)


def test_a_malformed_textbook_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text("# No front matter\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"bad\.md"):
        chapters(tmp_path)


def test_prose_is_read_plain_and_compressed(tmp_path: Path) -> None:
    folder = tmp_path / "prose"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps({"text": "one"}) + "\n", encoding="utf-8")
    with lzma.open(folder / "b.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": "दो"}, ensure_ascii=False) + "\n")
    assert list(prose(tmp_path)) == ["one", "दो"]


@pytest.mark.parametrize("line", ["{", '{"title": "x"}', '{"text": 3}', "[]"])
def test_a_malformed_line_of_prose_is_named(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "prose"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "one"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"a\.jsonl:2: "):
        list(prose(tmp_path))


def test_no_prose_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="prose"):
        list(prose(tmp_path))


def test_a_file_cut_short_is_named_with_the_line_it_ends_at(tmp_path: Path) -> None:
    whole = lzma.compress(b"".join(json.dumps({"text": f"line {n}" * 50}).encode() + b"\n" for n in range(3)))
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(whole[:-20])
    with pytest.raises(CorpusError, match=r"a\.jsonl\.xz: cannot be unpacked after line 3 .*fetch it again"):
        list(documents(path))
    path.write_bytes(whole)
    found = list(documents(path))
    assert len(found) == 3
    assert found[-1][1] == len(whole)
