"""Retrieval on questions that nobody here wrote: XQuAD's, to their own paragraph among many of the corpus's prose.

XQuAD (Artetxe, Ruder and Yogatama, 2020) is 240 paragraphs of SQuAD with 1,190 questions, and professional translations
of both. The files are read from where they are; nothing of them is kept.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.embed import Embedder, Vectors
from rag.glossary import Glossary
from rag.index import Index, Progress
from rag.passage import Passage, Retrieval
from rag.question import Question
from rag.retrieve import Retriever, Side
from training.errors import CorpusError
from training.evals.retrieval import Scores
from training.evals.retrieval import measure as ask
from training.pairs.data import Example

BOOK = {"en": "XQuAD, English", "hi": "XQuAD, Hindi"}
SHORTEST, LONGEST = 40, 180  # words of a distractor
SHINGLE = 8  # words in a row that two near-duplicates share
PROSE_EN = (
    "siyavula_natural_sciences_gr7_9", "openstax_core", "wikipedia_en_tier1", "wikipedia_en_tier2",
    "openstax_biology_2014", "wikipedia_en_tier3",
)  # fmt: skip
PROSE_HI = ("stories_hi",)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """`english` and `hindi` are the paragraphs with their distractors, an index each; the rows name their questions."""

    english: tuple[Passage, ...]
    hindi: tuple[Passage, ...]
    english_questions: tuple[Example, ...]
    hindi_questions: tuple[Example, ...]
    across: tuple[Example, ...]  # Hindi questions to the English paragraph


def load(corpus: Path, distractors: int) -> Yardstick:
    """Read XQuAD and the first `distractors` paragraphs of prose. Raises CorpusError when a file is missing."""
    rows = {language: list(_rows(corpus / "qa" / f"xquad_{language}.jsonl.xz")) for language in ("en", "hi")}
    places = {language: _places(held) for language, held in rows.items()}
    english, hindi = (_paragraphs(places[language], language) for language in ("en", "hi"))
    fillers = list(_distractors(corpus, PROSE_EN, "en", distractors, english))
    hindi_fillers = list(_distractors(corpus, PROSE_HI, "hi", distractors, hindi))
    return Yardstick(
        english=(*english, *fillers),
        hindi=(*hindi, *fillers, *hindi_fillers),  # without the English twins, which would answer as well
        english_questions=_questions(rows["en"], places["en"], "en", "en"),
        hindi_questions=_questions(rows["hi"], places["hi"], "hi", "hi"),
        # The two files hold the same questions in the same order.
        across=tuple(
            Example(
                e.question, e.answer, language="en", asked="hi", title=BOOK["en"], page=places["en"][row["context"]]
            )
            for e, row in zip(_questions(rows["hi"], places["hi"], "hi", "hi"), rows["en"], strict=True)
        ),
    )


async def measure(
    yardstick: Yardstick,
    folder: Path,
    *,
    glossary: Path,
    embedding_model: str,
    threads: int,
    progress: Progress = lambda done, total: None,
) -> list[Scores]:
    """The three rows by each search. The indexes are built in `folder`; the second takes over vectors of the first."""
    embedder = Embedder(embedding_model, threads=threads, glossary=glossary)
    index = Index.embedded(folder)
    retriever = Retriever(index, embedder, Glossary.load(glossary))

    asked: dict[str, tuple[Question, Vectors]] = {}

    async def rank(question: str, side: Side) -> Retrieval:
        if question not in asked:
            read = retriever.read(question)
            asked[question] = read, embedder.embed_question(read)
        return Retrieval(retriever.ranked(*asked[question], side=side).passages)

    scores: list[Scores] = []
    try:
        for passages, questions in (
            (yardstick.english, (*yardstick.english_questions, *yardstick.across)),
            (yardstick.hindi, yardstick.hindi_questions),
        ):
            index.build(passages, embedder, progress)
            asked.clear()  # another index, another reading
            report = await ask(questions, rank, progress=progress)
            scores += [score for score in report.scores if score.row not in ("all", "no subject")]
    finally:
        index.close()
    return scores


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read; name the folder that holds qa/ and prose/") from error


def _places(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Each paragraph's number, from 1."""
    return {context: number for number, context in enumerate(dict.fromkeys(row["context"] for row in rows), start=1)}


def _paragraphs(places: dict[str, int], language: str) -> list[Passage]:
    return [_passage(text, BOOK[language], language, number) for text, number in places.items()]


def _questions(
    rows: Sequence[dict[str, Any]], places: dict[str, int], asked: str, language: str
) -> tuple[Example, ...]:
    return tuple(
        Example(
            row["question"], str(row["answer"] or "-"), language=language, asked=asked, title=BOOK[language],
            page=places[row["context"]],
        )
        for row in rows
    )  # fmt: skip


def _passage(text: str, book: str, language: str, number: int) -> Passage:
    digest = hashlib.sha256(f"{book}\x1f{text}".encode()).hexdigest()
    return Passage(
        id=digest[:24], text=" ".join(text.split()), book=book, chapter="", page=number, class_level=1,
        subject="general", language=language,
    )  # fmt: skip


def _distractors(
    corpus: Path, names: Sequence[str], language: str, count: int, avoid: Sequence[Passage]
) -> Iterator[Passage]:
    """Paragraphs of prose, none of them a near-duplicate of another or of one to be found."""
    seen: set[int] = set()
    for passage in avoid:
        seen |= _shingles(passage.text)
    found = 0
    for name in names:
        for row in _rows(corpus / "prose" / f"{name}.jsonl.xz"):
            for text in _pieces(str(row["text"])):
                shingles = _shingles(text)
                if found == count:
                    return
                if not shingles & seen:
                    seen |= shingles
                    found += 1
                    yield _passage(text, f"Prose, {language}", language, found)


def _pieces(text: str) -> Iterator[str]:
    """Paragraphs of SHORTEST to LONGEST words; short ones in a row are put together."""
    held: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        words = paragraph.split()
        if len(held) + len(words) <= LONGEST:
            held += words
        else:
            held = words[:LONGEST]
        if len(held) >= SHORTEST:
            yield " ".join(held)
            held = []


def _shingles(text: str) -> set[int]:
    """A quarter of the runs of SHINGLE words, chosen by what they say, so that a shifted copy gives the same ones."""
    words = re.findall(r"\w+", text.lower())
    runs = (" ".join(words[place : place + SHINGLE]) for place in range(len(words) - SHINGLE + 1))
    return {value for run in runs if (value := zlib.crc32(run.encode())) % 4 == 0}
