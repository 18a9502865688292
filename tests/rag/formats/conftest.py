"""PDFs that several tests read, each made once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.formats import ocr
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, Typeset, lines, scanned
from tests.servers import CHROMIUM_FLAGS, chromium, program

FONT = "Noto Sans Devanagari"
PRINTED = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Science, Class 7</title>
<style>
  @page {{ size: A4; margin: 20mm }}
  body {{ font: 12pt "{FONT}", sans-serif }}
  h1 {{ break-before: page }}
  .hidden {{ display: none }}
</style></head><body>
<h1>Chapter 1: Heat</h1>
<p>{" ".join(FACTS_OF_HEAT[:4])}</p>
<p class="hidden">Nobody sees this.</p>
<p>Water is H<sub>2</sub>O and a square is x<sup>2</sup>.</p>
<table border="1" cellpadding="14"><tr><th>Material<th>Conductor<tr><td>Copper<td>Yes<tr><td>Wood<td>No</table>
<h2>Units of heat</h2>
<p>{" ".join(FACTS_OF_HEAT[4:])}</p>
<p style="break-before: page">An efficient office finds five flutes. {FACTS_OF_HEAT[0]}</p>
<h1>अध्याय 2: प्रकाश</h1>
{"".join(f"<p>{text}</p>" for text in HINDI)}
</body></html>"""


def has_font(name: str) -> bool:
    """Whether fontconfig knows a font."""
    found = subprocess.run([program("fc-list"), name], capture_output=True, text=True, check=True, timeout=30)
    return bool(found.stdout.strip())


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def printed(made: Path) -> Path:
    """A PDF of two chapters with an outline, printed by Chromium with a running header and the page's number."""
    assert has_font(FONT), f"{FONT} is not installed: `make setup` says how"
    from playwright.sync_api import sync_playwright

    path = made / "printed.pdf"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*CHROMIUM_FLAGS])
        page = browser.new_page()
        page.set_content(PRINTED)
        page.pdf(
            path=path,
            outline=True,
            tagged=True,
            prefer_css_page_size=True,
            display_header_footer=True,
            header_template='<span style="font-size: 8px; margin-left: 20px">Printed for our school</span>',
            footer_template='<span style="font-size: 8px; margin-left: 200px" class="pageNumber"></span>',
        )
        browser.close()
    return path


@pytest.fixture(scope="session")
def paper(made: Path) -> Path:
    """A small page of English."""
    book = Typeset.at(made / "paper.pdf", (300, 130))
    book.page(
        *lines(["Heat always flows from a hot body", "to a cold body until both are", "equally warm."], 95, 30, 14)
    )
    return book.saved()


@pytest.fixture(scope="session")
def scan(made: Path, paper: Path) -> Path:
    """A scanned page of English."""
    return scanned(paper, made / "scan.pdf")


@pytest.fixture
def tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    """OCR with both languages, one core a page."""
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    program("tesseract")
    assert set(ocr.languages()) == set(ocr.WANTED), "Tesseract lacks eng or hin: `make setup` says how"


@pytest.fixture
def without_tesseract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine on which no program is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    ocr.languages.cache_clear()
    yield
    ocr.languages.cache_clear()


@pytest.fixture
def english_alone(tesseract: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A Tesseract that was installed without Hindi."""
    listed = subprocess.run([program("tesseract"), "--list-langs"], capture_output=True, text=True, check=True)
    place = re.search(r'"(.+)"', listed.stdout)  # List of available languages in "/usr/share/..." (3):
    assert place is not None
    (tmp_path / "eng.traineddata").symlink_to(Path(place[1]) / "eng.traineddata")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    ocr.languages.cache_clear()
    assert ocr.languages() == ("eng",)
    yield
    ocr.languages.cache_clear()
