"""Question-answer pairs drafted from a book by program, for a teacher to approve: the sentence is the book's own.

Only sentences whose question can be put without knowing their grammar are taken: "X is a ...", "X: ..." among the key
terms, "A discovered B", "X was founded in 1885", "X is found in ...", "... को X कहते हैं".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rag.chunk import chunk
from rag.ingest import Textbook
from rag.markdown import ITEM, TERM, plain
from rag.passage import Passage
from rag.sentences import split
from rag.words import FUNCTION_WORDS, lexicon
from training.pairs.data import DRAFT, Example, as_row
from training.pairs.sameness import key

SHORTEST, LONGEST = 5, 45  # words of a sentence worth asking about

_TERM = re.compile(r"(?P<term>[^:]{2,50}?)(?: \([^()]*\))?: (?P<rest>.+)")
_NAME = r"(?:(?:An?|The) )?(?P<name>[\w'’-]+(?: [\w'’-]+){0,3})"
_MADE = (
    "born|founded|built|established|discovered|invented|written|formed|opened|started|held|launched|signed|introduced|"
    "completed|adopted|created"
)
_DEFINES = re.compile(rf"{_NAME} (?P<be>is|are) (?:an? |the |any |tiny |a set of )\S.*")
_WHO = re.compile(
    r"(?P<name>[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){1,3}) (?P<did>discovered|invented|wrote|founded|built|proposed|led|"
    r"introduced|composed|designed|established|created|launched) (?P<what>[^,;]+)\."
)
_WHEN = re.compile(
    rf"(?P<name>(?:The |An? )?\S+(?: \S+){{0,6}}) (?P<be>was|were) (?P<made>{_MADE})(?P<rest>(?: (?!in \d)\S+){{0,6}}) "
    r"in (?P<year>\d{3,4})\b.*"
)
_IN_YEAR = re.compile(
    rf"In (?P<year>\d{{3,4}}),? (?P<name>(?:the |an? )?\S+(?: \S+){{0,6}}) (?P<be>was|were) (?P<made>{_MADE})"
    r"(?P<rest>[^,;]*)\."
)
_WHERE = re.compile(
    r"(?P<name>(?:The |An? )?\S+(?: \S+){0,4}) (?P<be>is|are|was|were) (?:mainly |mostly )?"
    r"(?P<made>found|located|situated|grown) (?:in|at|on|near|along) (?!\d)\S.*"
)
_CALLED = re.compile(r".{6,160} को (?P<term>\S+(?: \S+){0,2}) (?P<be>कहते हैं|कहा जाता है)[।.]")
_OPENERS = lexicon("It This That These Those They He She We You There Here Such Every Each All Some Many Most Both")


def drafts(book: Textbook) -> list[Example]:
    """The pairs of one chapter, each with its passage and page; each question once."""
    found: dict[str, Example] = {}
    terms = frozenset(term for page in book.pages for term in _terms(page.text))
    for passage in chunk(book):
        for question, answer in _pairs(passage, terms):
            example = Example(
                question=question,
                answer=answer,
                passages=(" ".join(passage.text.split()),),
                language=book.language,
                subject=book.subject,
                kind=DRAFT,
                title=book.title,
                chapter=book.chapter,
                page=passage.page or None,
                class_level=book.class_level,
                asked="hi" if book.language == "hi" else "en",
            )
            found.setdefault(key(example), example)
    return list(found.values())


def as_draft(example: Example) -> dict[str, Any]:
    """A draft as a line of a file: on no side of a split yet, and not approved."""
    row = as_row(example)
    del row["split"]
    return {**row, "approved": False}


def _terms(markdown: str) -> Iterator[str]:
    """The terms of a page's lists, such as "Key terms": "- **Stomata**: tiny pores"."""
    for line in markdown.splitlines():
        item = ITEM.fullmatch(line)
        if item and (defined := TERM.fullmatch(item[1])):
            yield plain(defined["term"])


def _pairs(passage: Passage, terms: frozenset[str]) -> Iterator[tuple[str, str]]:
    for sentence in split(passage.text):
        if SHORTEST <= len(sentence.split()) <= LONGEST:
            question = _of_term(sentence, terms, passage.language) or _of_sentence(sentence, passage.language)
            if question:
                yield question, sentence


def _of_term(sentence: str, terms: frozenset[str], language: str) -> str:
    found = _TERM.fullmatch(sentence)
    if not found or found["term"] not in terms:
        return ""
    return f"{found['term']} क्या है?" if language == "hi" else f"What is meant by {_lower_first(found['term'])}?"


def _of_sentence(sentence: str, language: str) -> str:
    if language == "hi":
        called = _CALLED.fullmatch(sentence)
        return f"{called['term']} किसे {called['be']}?" if called else ""
    if language != "en":
        return ""
    if (found := _WHO.fullmatch(sentence)) and not _vague(found["name"]):
        return f"Who {found['did']} {found['what']}?"
    if found := _IN_YEAR.fullmatch(sentence) or _WHEN.fullmatch(sentence):
        return "" if _vague(found["name"]) else _passive("When", found)
    if (found := _WHERE.fullmatch(sentence)) and not _vague(found["name"]):
        return f"Where {found['be']} {_lower_first(found['name'])} {found['made']}?"
    if (found := _DEFINES.fullmatch(sentence)) and not _vague(found["name"]):
        return f"What {found['be']} {_lower_first(found['name'])}?"
    return ""


def _passive(asking: str, found: re.Match[str]) -> str:
    return f"{asking} {found['be']} {_lower_first(found['name'])} {found['made']}{found['rest'].rstrip()}?"


def _vague(name: str) -> bool:
    """Whether a subject says nothing by itself: "It", "These", "the other"."""
    said = name.split()
    return said[0] in _OPENERS or said[-1].lower() in FUNCTION_WORDS or "," in name


def _lower_first(text: str) -> str:
    """A subject inside a question: an article or a common noun loses its capital, a name or an acronym keeps it."""
    first, _, rest = text.partition(" ")
    is_name = first not in {"The", "A", "An"} and (
        first[:2].isupper() or any(word[:1].isupper() for word in rest.split())
    )
    return text if is_name else first[:1].lower() + text[1:]
