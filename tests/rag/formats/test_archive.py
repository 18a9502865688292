from __future__ import annotations

import contextlib
import stat
import zipfile
from pathlib import Path

import pytest

from rag.formats.archive import content, files, opened
from rag.formats.document import LIMITS, Limits, Unreadable
from tests.rag.formats.made import zipped


def unpacked(path: Path, limits: Limits = LIMITS) -> list[bytes]:
    with opened(path, limits) as packed:
        return [content(packed, entry, limits) for entry in packed.infolist()]


def refused(path: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(Unreadable) as caught:
        unpacked(path, limits)
    return str(caught.value)


def test_the_files_of_a_zip_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["b/ch10.txt", "b/ch2.txt", "a.txt", "__MACOSX/a.txt", ".DS_Store", "b/.hidden/c.txt"]
    path = zipped(tmp_path / "a.zip", {name: name for name in names})
    with opened(path, LIMITS) as packed:
        found = files(packed)
        assert [entry.filename for entry in found] == ["a.txt", "b/ch2.txt", "b/ch10.txt"]
        assert content(packed, found[1], LIMITS) == b"b/ch2.txt"


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/cron.d/x",
        "/etc/passwd",
        "a/../../b.txt",
        "..\\..\\b.txt",
        "C:\\Windows\\b.txt",
        "C:b.txt",
        "\\\\host\\b.txt",
    ],
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    assert "path leads out of it" in refused(zipped(tmp_path / "a.zip", {"fine.txt": "x", name: "x"}))


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        entry = zipfile.ZipInfo("chapter.txt")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    assert "holds a link" in refused(path)


def test_a_bomb_is_recognised_by_its_ratio(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": bytes(20_000_000)})
    assert path.stat().st_size < 50_000
    assert "may be a zip bomb" in refused(path)


def test_a_bomb_is_recognised_by_its_whole(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {f"{n}.txt": bytes(900_000) for n in range(20)})
    assert "unpacks to more than 10 MB; it may be a zip bomb" in refused(path, Limits(unpacked_bytes=10_000_000))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    assert refused(zipped(tmp_path / "a.zip", dict.fromkeys(map(str, range(2_001)), ""))).startswith(
        "holds 2,001 files"
    )


def test_a_file_that_lies_about_its_size_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": "warm " * 1_000})
    raw = path.read_bytes()
    path.write_bytes(raw.replace((5_000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    assert "damaged" in refused(path)
    assert "more than 0 MB" in refused(zipped(tmp_path / "b.zip", {"b.txt": "x" * 90}), Limits(file_bytes=50))


def test_a_locked_file_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": "warm"})
    raw = bytearray(path.read_bytes())
    for start, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(start) + place] |= 1
    path.write_bytes(raw)
    assert "locked with a password" in refused(path)


def test_every_cut_and_every_flipped_byte_is_one_clear_line_or_harmless(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"पाठ.txt": "warm " * 30, "b.txt": "cold"})
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        for raw in (whole[:place], bytes(flipped)):
            path.write_bytes(raw)
            with contextlib.suppress(Unreadable):
                unpacked(path)
