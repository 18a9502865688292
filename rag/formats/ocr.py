"""Pictures of pages into text with Tesseract, where it is installed."""

from __future__ import annotations

import re
import shutil
from functools import cache
from typing import TYPE_CHECKING

from rag.formats.characters import language, mended

if TYPE_CHECKING:
    from PIL.Image import Image

DPI = 300
SECONDS_A_PAGE = 120
WANTED = ("eng", "hin")
HOW_TO_INSTALL = "install tesseract-ocr with the languages eng and hin to read them"


@cache
def languages() -> tuple[str, ...]:
    """The languages of WANTED that this machine's Tesseract has; () when there is none."""
    if shutil.which("tesseract") is None:
        return ()
    import pytesseract

    try:
        installed = set(pytesseract.get_languages(config=""))
    except (pytesseract.TesseractError, OSError):
        return ()
    return tuple(name for name in WANTED if name in installed)


def read(picture: Image) -> str:
    """The text of a page's picture as paragraphs, "" when there is none; needs `languages()`.

    With both languages at once Tesseract takes some Hindi words for English ones, so a page that turns out to be in
    Hindi is read again as that.
    """
    text = _read(picture, "+".join(languages()))
    if "hin" in languages() and language(text) == "hi":
        text = _read(picture, "hin")
    paragraphs = re.split(r"\n\s*\n", text.replace("\x0c", ""))
    joined = (re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", paragraph) for paragraph in paragraphs)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in joined if paragraph.strip())


def _read(picture: Image, lang: str) -> str:
    import pytesseract

    try:
        text: str = pytesseract.image_to_string(picture, lang=lang, timeout=SECONDS_A_PAGE)
    except (pytesseract.TesseractError, RuntimeError, OSError):
        return ""
    return mended(text)
