"""What a corpus holds beside plain text to learn reading from: questions on passages (`qa/`), prose (`prose/`).

Only files whose licence lets weights be shared are named here, and no row of a split named "test" is read. Of prose a
sample is kept, the same one each time: some thousand stretches of a file, whatever its size.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from inference.files import sha256_of
from rag.phonetic import in_devanagari
from rag.sentences import split
from rag.words import content as stems
from training.base.corpus import documents, lines
from training.base.drafts import Asked, Material, Run
from training.base.words import roots
from training.errors import BadLine, DatasetError

SETS = ("fairytaleqa", "qed_nq_dev", "openstax_glossary")  # of qa/
PROSE = (
    "openstax_biology_2014",
    "openstax_core",
    "siyavula_grade10_12_maths_physical_science",
    "siyavula_natural_sciences_gr7_9",
    "stories_en",
    "stories_hi",
)  # of prose/: schoolbooks and children's stories
SAMPLE = 2500  # stretches kept of a file of prose

_STRETCH = 110  # words
_LONGEST, _SHORTEST = 45, 3  # words of a sentence
_FORMS = (
    "What {be} {term}?", "What is meant by {term}?", "Define {term}.", "What do you mean by {term}?",
    "What is the meaning of {term}?",
)  # fmt: skip
_BRACKETED = re.compile(r" *\([^)]*\)")
_TERMS = 8  # definitions of a book's glossary that stand together
_NO_PROSE = re.compile(
    r"[|ⓐ\\_{}=<>•]|https?:|shortcode|\dpt0ex|\[formula\]|\bin this[.,)]"
    r"|OpenStax|Siyavula|\bcredit\b|\((?:video|figure)\)"
)
_NO_LETTER = re.compile(r"[^a-zA-Z\u00c0-\u024f\u0900-\u0965 ,.'’-]")
_PARAGRAPH_ENDS = (".", "?", "!", "।", "”", '"', "’", "'", ")")


@dataclass(frozen=True, slots=True)
class Reading:
    """`runs` and the questions that each set asks on them; sections of prose by language ("en", "hi").

    `sha256` identifies the files.
    """

    runs: tuple[Run, ...] = ()
    asked: tuple[tuple[Asked, ...], ...] = ()
    prose: Mapping[str, tuple[Material, ...]] | None = None
    sha256: str = ""


def reading(corpus: Path, sample: int = SAMPLE) -> Reading:
    """What is there of SETS and PROSE; nothing of it is an empty one. Raises CorpusError, DatasetError."""
    sets = [path for name in SETS for path in _found(corpus / "qa", name)]
    prose = [path for name in PROSE for path in _found(corpus / "prose", name)]
    runs: list[Run] = []
    asked = []
    for path in sets:
        of_set: list[Asked] = []
        _READERS[_stem(path)](path, runs, of_set)
        asked += [tuple(of_set)] if of_set else []
    sections: dict[str, list[Material]] = {"en": [], "hi": []}
    for path in prose:
        for section in _sampled(path, sample):
            sections["hi" if in_devanagari(section.run[0]) else "en"].append(section)
    return Reading(
        tuple(runs),
        tuple(asked),
        {language: tuple(found) for language, found in sections.items()},
        sha256_of([*sets, *prose]) if sets or prose else "",
    )


def _found(folder: Path, name: str) -> list[Path]:
    """The file, packed or not."""
    return [path for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.xz") if path.is_file()][:1]


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a set that may be learned from."""
    for number, line, _ in lines(path):
        try:
            row = json.loads(line)
            usable = row["split"] != "test" and not row["unanswerable"]
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError([BadLine(path, number, f"is no row of a reading set ({error!r})")]) from error
        if usable:
            yield row


def _fairytales(path: Path, runs: list[Run], asked: list[Asked]) -> None:
    """Questions of the train split whose answer stands in the story; the answer here is the sentence that holds it."""
    places: dict[str, int] = {}
    for row in _rows(path):
        if row["split"] != "train" or not row.get("explicit"):
            continue
        context = row["context"]
        if context not in places:
            places[context] = len(runs)
            runs.append(tuple(split(context)))
        run = runs[places[context]]
        found = _holding(run, row["question"], row["answers"])
        if found is not None:
            asked.append(Asked(_asked(row["question"]), places[context], *found))


def _holding(run: Run, question: str, answers: list[str]) -> tuple[int, int] | None:
    """The one sentence, or two in a row, that holds all the words of an answer and most of the question's."""
    held = [frozenset(stems(sentence)) for sentence in run]
    about = frozenset(stems(question))
    wanted = [told for answer in answers if (told := frozenset(stems(answer)))]
    for length in (1, 2):
        spans = [(at, at + length) for at in range(len(run) - length + 1)]
        scored: list[tuple[int, int, int]] = [
            (len(about & union), -start, stop)
            for start, stop in spans
            if (union := frozenset().union(*held[start:stop])) and any(told <= union for told in wanted)
        ]
        if scored and max(scored)[0] > 0:
            _, first, stop = max(scored)
            words = sum(len(sentence.split()) for sentence in run[-first:stop])
            return (-first, stop) if words <= _LONGEST else None
    return None


def _naturally(path: Path, runs: list[Run], asked: list[Asked]) -> None:
    """Questions typed into a search engine, with the sentence of an encyclopaedia that supports the answer."""
    for row in _rows(path):
        run = tuple(split(row["context"]))
        sentence = " ".join(row["sentence"].split())
        if sentence in run and len(sentence.split()) <= _LONGEST:
            asked.append(Asked(_asked(row["question"]), len(runs), run.index(sentence), run.index(sentence) + 1))
            runs.append(run)


def _glossary(path: Path, runs: list[Run], asked: list[Asked]) -> None:
    """What is meant by a term, among the terms that stand beside it in the book."""
    for _, of_book in groupby(_rows(path), key=lambda row: row["book"]):
        rows = [row for row in of_book if len(row["answer"].split()) <= _LONGEST and "?" not in row["answer"]]
        for first in range(0, len(rows) - _TERMS // 2, _TERMS):
            group = rows[first : first + _TERMS]
            for place, row in enumerate(group):
                about = roots(_BRACKETED.sub("", row["term"]))
                if about:
                    asked.append(Asked(_about_term(row["term"], place), len(runs), place, place + 1, about))
            runs.append(tuple(_defined(row["term"], row["answer"]) for row in group))


def _about_term(term: str, place: int) -> str:
    """Forms take turns."""
    be = "are" if term.endswith("s") and not term.endswith(("ss", "us", "is", "ics")) else "is"
    return _FORMS[place % len(_FORMS)].format(be=be, term=_BRACKETED.sub("", term))


def _defined(term: str, definition: str) -> str:
    text = " ".join(definition.split()).rstrip(".;, ")
    return f"{term[:1].upper()}{term[1:]}: {text}."


def _asked(question: str) -> str:
    return " ".join(question.split())


_READERS: dict[str, Callable[[Path, list[Run], list[Asked]], None]] = {
    "fairytaleqa": _fairytales,
    "qed_nq_dev": _naturally,
    "openstax_glossary": _glossary,
}


def _sampled(path: Path, sample: int) -> list[Material]:
    """At most `sample` stretches of running text, each as likely as another; always the same ones of the same file."""
    rng = random.Random(f"prose/{_stem(path)}")
    kept: list[tuple[int, str, str]] = []
    for number, (heading, text) in enumerate(_stretches(path)):
        if len(kept) < sample:
            kept.append((number, heading, text))
        elif (at := rng.randrange(number + 1)) < sample:
            kept[at] = number, heading, text
    sections = []
    stories = _stem(path).startswith("stories")
    for _, heading, text in sorted(kept):
        run = tuple(split(unicodedata.normalize("NFC", text)))
        if len(run) > 1 and all(_SHORTEST <= len(sentence.split()) <= _LONGEST for sentence in run):
            sections.append(Material("", run, defines=False) if stories else Material(heading, run))
    return sections


def _stretches(path: Path) -> Iterator[tuple[str, str]]:
    """A heading, where one stands right above, and the paragraphs that follow each other, to about _STRETCH words."""
    for document, _ in documents(path):
        heading = ""
        held: list[str] = []
        for block in (*document.split("\n\n"), ""):
            line = block.strip()
            if _is_prose(line):
                held.append(line)
                if sum(len(one.split()) for one in held) < _STRETCH:
                    continue
            if held:
                yield heading, "\n".join(held)
                heading, held = "", []
            if not _is_prose(line):
                heading = line if _is_heading(line) else ""


def _is_heading(line: str) -> bool:
    return (
        bool(line) and len(line.split()) <= 9 and line[-1] not in ".,:;!)।" and line[0].isalpha() and "\n" not in line
    )


def _is_prose(line: str) -> bool:
    if "\n" in line or not line.endswith(_PARAGRAPH_ENDS) or not (line[:1].isalpha() or line[:1] in "“\"'‘"):
        return False
    return len(_NO_LETTER.findall(line)) <= 0.06 * len(line) and not _NO_PROSE.search(line)
