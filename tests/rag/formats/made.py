"""Files of every format, made by real producers."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from rag.formats.document import LIMITS, Document, Limits, Unreadable
from rag.formats.read import read_here

FACTS_OF_HEAT = (
    "Heat always flows from a hot body to a cold body until both are equally warm.",
    "Copper and iron let heat pass quickly, so they are called good conductors of heat.",
    "Wood and plastic are poor conductors, which is why the handle of a pan is made of them.",
    "Air that is held between the fibres of wool keeps us warm in the winter.",
    "Liquids are heated by convection, for the warm part rises and the cold part sinks.",
    "The heat of the sun reaches the earth by radiation, which needs no matter on its way.",
    "A dark surface takes in more of this heat than a bright one does.",
    "Land warms faster than water, and so a breeze blows from the sea in the day.",
)
HINDI = (
    "प्रकाश संश्लेषण वह क्रिया है जिसमें हरे पौधे सूर्य के प्रकाश में भोजन बनाते हैं।",
    "विद्युत, शक्ति, क्षेत्र, ज्ञान, श्रम और स्त्री शब्दों में संयुक्त अक्षर हैं; इन्हें ध्यान से पढ़ो!",
    "राष्ट्रीय ऊर्जा, कृष्ण, दृष्टि, ऋषि, त्रिज्या, द्वितीय, उच्छ्वास, चिह्न, ब्राह्मण, उज्ज्वल, अर्थात् पश्चात्।",
    "कार्य = बल × दूरी। 25 °C पर जल का घनत्व 1 होता है।",
    "बच्चों ने पूछा: “क्या पृथ्वी सूर्य की परिक्रमा करती है?” गुरुजी बोले, ‘हाँ’।",
    "मूर्ति, पूर्ति, कीर्ति, वर्षों, निर्माण, गर्मियाँ, सूर्यास्त, धर्म, कर्मचारियों, दुःख, प्रायः।",
    "हिंदी-अंग्रेज़ी शब्दकोश, फ़िल्म, ख़बर, डॉक्टर, कॉलेज, ऑक्सीजन, १२३४५ और ६७८९०।",
)
KRUTI_DEV = (
    "fgUnh esa fyf[kk gqvk ikB gSA ;g ,d dgkuh gS tks cPpksa dks cgqr ilan vkrh gSA ,d xk¡o esa ,d fdlku jgrk FkkA",
    "mlds ikl nks cSy FksA og jkst [ksr esa dke djrk Fkk vkSj 'kke dks ?kj ykSVrk FkkA",
)

Text = tuple[float, float, str, float, str]  # left, bottom, font, size, words


@dataclass(frozen=True)
class Typeset:
    """A PDF by reportlab in the making, in points from the lower left corner."""

    canvas: Canvas
    path: Path

    @classmethod
    def at(cls, path: Path, size: tuple[float, float] = (420, 595), **options: Any) -> Typeset:
        return cls(Canvas(str(path), pagesize=size, **options), path)

    def page(self, *texts: Text) -> None:
        for text in texts:
            self.write(*text)
        self.canvas.showPage()

    def write(self, left: float, bottom: float, font: str, size: float, words: str) -> None:
        self.canvas.setFont(font, size)
        self.canvas.drawString(left, bottom, words)

    def saved(self) -> Path:
        self.canvas.save()
        return self.path


def lines(
    texts: Sequence[str], top: float = 500, left: float = 50, size: float = 11, font: str = "Helvetica"
) -> list[Text]:
    """Lines of text one under the other."""
    return [(left, top - 1.3 * size * n, font, size, text) for n, text in enumerate(texts)]


def wrapped(text: str, width: int = 60) -> list[str]:
    """Text in lines of at most `width` characters."""
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=False)


def scanned(source: Path, path: Path, dpi: int = 200) -> Path:
    """A PDF of the pictures of another one's pages, as a scanner makes it."""
    import pypdfium2

    book = pypdfium2.PdfDocument(source)
    pictures = [book[place].render(scale=dpi / 72, grayscale=True).to_pil() for place in range(len(book))]
    book.close()
    pictures[0].save(path, "PDF", resolution=dpi, save_all=True, append_images=pictures[1:])
    return path


def picture(width: int, height: int) -> io.BytesIO:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (40, 120, 60)).save(file, "PNG")
    file.seek(0)
    return file


def raw_pdf(path: Path, objects: Sequence[str]) -> Path:
    """A PDF of hand-written objects, of which the first is the catalogue and the last the document's facts."""
    body, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    end += (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    )
    path.write_bytes(body + end.encode())
    return path


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
    "</container>"
)


def epub(
    path: Path,
    parts: Mapping[str, str],
    *,
    spine: Sequence[str] | None = None,
    title: str = "Science",
    **more: str | bytes,
) -> Path:
    """An EPUB whose parts are the bodies of XHTML files, in the order of `spine`; `more` are further files."""
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"'
        f"{' properties=' + chr(34) + 'nav' + chr(34) if name == 'nav' else ''}/>"
        for name in parts
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in (parts if spine is None else spine))
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    bodies = {
        f"OEBPS/{name}.xhtml": f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" '
        f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>{name}</title></head><body>{body}</body></html>'
        for name, body in parts.items()
    }
    files = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package}
    return zipped(path, {**files, **bodies, **more})


def read(path: Path, limits: Limits = LIMITS) -> Document:
    return read_here(path, limits)


def attempt(path: Path, limits: Limits = LIMITS) -> str:
    """The text of a file that may be refused, or "refused: " and why."""
    try:
        return whole(read(path, limits))
    except Unreadable as error:
        return f"refused: {error}"


def texts(document: Document) -> list[tuple[int, str]]:
    """The pages of all chapters, with their numbers."""
    return [(page.number, page.text) for chapter in document.chapters for page in chapter.pages]


def whole(document: Document) -> str:
    """The text of a document."""
    return "\n\n".join(text for _, text in texts(document))


def dies(pipe: Connection) -> None:
    """A reader that a file kills after its first page."""
    pipe.send(("page", (1, 9)))
    os._exit(9)


def fuzz(folder: Path) -> None:
    """Read every file of a folder and print what came of each, for a test that runs this in a process of its own."""
    for path in sorted(folder.iterdir()):
        try:
            document = read(path, Limits(pages=50, file_bytes=10**7, unpacked_bytes=10**7))
        except Unreadable as error:
            outcome = f"refused {error}"
        except Exception as error:  # noqa: BLE001  that is what is looked for
            outcome = f"leaked {type(error).__name__} {error}"
        else:
            outcome = f"read {len(document.chapters)}"
        print(path.name, " ".join(outcome.split()), flush=True)
