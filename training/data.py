"""Question-answer pairs from JSON Lines, in the three shapes such data comes in.

    {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}    also with a system line
    {"instruction": ..., "response": ...}
    {"input": ..., "output": ...}

"question" may stand for "instruction" or "input", and "answer" or "output" for "response". Everything else is optional:
title, chapter, page, class, subject, language, kind, asked, distance, facts, split, "also" (further places that answer:
pages of the same book, or {"title": ..., "page": ...} of another),
and "passages", a list of texts to answer from. A line that cannot be used is an error that names it; nothing is skipped
in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import BadLine, DatasetError

Place = tuple[str, int]  # a book's title and a page

SPLITS = frozenset({"train", "dev", "test"})
UNANSWERABLE = "unanswerable"  # the kind of a question that no book here answers

_QUESTION = ("instruction", "input", "question")
_ANSWER = ("response", "output", "answer")
_TEXT = ("title", "subject", "language", "split", "kind", "asked", "distance")
_NUMBER = {"chapter": "chapter", "page": "page", "class": "class_level"}
_TEXTS = ("facts", "passages")


@dataclass(frozen=True, slots=True)
class Example:
    """One question with the answer we want. `passages` are to be retrieved where an example carries none of its own.

    `facts` are what any right answer must contain, compared without case. `language` is the book's; `asked` is how the
    question is put: en, hi, sms (as students type) or hinglish. `distance`, of unanswerable questions, is far, near
    (of the topic) or close (in the very words of the book).
    """

    question: str
    answer: str
    passages: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    split: str = "train"
    language: str = "en"
    subject: str = ""
    kind: str = ""
    title: str = ""
    chapter: int | None = None
    page: int | None = None
    class_level: int | None = None
    asked: str = "en"
    distance: str = ""
    also: tuple[Place, ...] = ()


class _Unusable(ValueError):
    """Why a line cannot be used."""


def read(*paths: Path) -> list[Example]:
    """Every example in `paths`: files, or folders whose *.jsonl are read in order of name. Empty lines are allowed.

    Raises DatasetError that names every line that cannot be used, over all files.
    """
    examples: list[Example] = []
    bad: list[BadLine] = []
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            bad.append(BadLine(path, 0, "there is no *.jsonl in this folder"))
        for file in files:
            _read_file(file, examples, bad)
    if bad:
        raise DatasetError(bad)
    return examples


def dataset_sha256(examples: Iterable[Example]) -> str:
    """A hash of what the examples say, whatever their order and the shape they were written in."""
    lines = sorted(json.dumps(asdict(example), sort_keys=True, ensure_ascii=False) for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def of_split(examples: Iterable[Example], *splits: str) -> list[Example]:
    """The examples of the named splits, in order."""
    return [example for example in examples if example.split in splits]


def _read_file(path: Path, examples: list[Example], bad: list[BadLine]) -> None:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        bad.append(BadLine(path, 0, f"cannot be read: {error.strerror}"))
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                examples.append(_example(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))))
            except _Unusable as error:
                bad.append(BadLine(path, number, str(error)))
            except UnicodeDecodeError:
                bad.append(BadLine(path, number, "is not UTF-8 text"))
            except (ValueError, RecursionError) as error:
                bad.append(BadLine(path, number, f"is not JSON ({error})"))


def _example(row: object) -> Example:
    if not isinstance(row, dict):
        raise _Unusable("must be a JSON object")
    question, answer = _from_messages(row["messages"]) if "messages" in row else _from_pair(row)
    known: dict[str, Any] = {name: _text(row, name) for name in _TEXT if row.get(name) is not None}
    known |= {ours: _number(row, name) for name, ours in _NUMBER.items() if row.get(name) is not None}
    known |= {name: _text_list(row, name) for name in _TEXTS if row.get(name) is not None}
    if row.get("also") is not None:
        known["also"] = tuple(_place(place, str(known.get("title", ""))) for place in _list(row, "also"))
    if known.get("split", "train") not in SPLITS:
        raise _Unusable(f'"split" must be train, dev or test, not {known["split"]!r}')
    return Example(question=question, answer=answer, **known)


def _from_messages(messages: object) -> tuple[str, str]:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _Unusable('"messages" must be a list of objects with a role and a content')
    roles = [message.get("role") for message in messages]
    turns = messages[1:] if roles[:1] == ["system"] else messages
    if [message.get("role") for message in turns] != ["user", "assistant"]:
        raise _Unusable(f"the roles must be user, assistant (after a system line or none), not {roles}")
    return _text(turns[0], "content", "the user's content"), _text(turns[1], "content", "the assistant's content")


def _from_pair(row: Mapping[str, object]) -> tuple[str, str]:
    asked = [name for name in _QUESTION if name in row]
    if not asked:
        raise _Unusable('has no question: give "messages", or one of ' + ", ".join(_QUESTION))
    answered = [name for name in _ANSWER if name in row]
    if len(answered) != 1:
        raise _Unusable(f"must have exactly one of {', '.join(_ANSWER)}; it has {', '.join(answered) or 'none'}")
    question = _text(row, asked[0])
    if asked[:2] == ["instruction", "input"] and row["input"] != "":  # what the instruction is about, as in Alpaca
        question = f"{question}\n{_text(row, 'input')}"
    return question, _text(row, answered[0])


def _text(row: Mapping[str, object], name: str, called: str = "") -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise _Unusable(f"{called or repr(name)} must be text, not {type(value).__name__}")
    if not value.strip():
        raise _Unusable(f"{called or repr(name)} is empty")
    return value.strip()


def _number(row: Mapping[str, object], name: str) -> int:
    value = row[name]
    if type(value) is not int:
        raise _Unusable(f"{name!r} must be a whole number, not {value!r}")
    return value


def _place(value: object, title: str) -> Place:
    if type(value) is int:
        return title, value
    if isinstance(value, dict) and isinstance(value.get("title"), str) and type(value.get("page")) is int:
        return value["title"], value["page"]
    raise _Unusable('"also" must be a list of page numbers, or of objects with a title and a page')


def _list(row: Mapping[str, object], name: str) -> list[object]:
    value = row[name]
    if not isinstance(value, list):
        raise _Unusable(f"{name!r} must be a list")
    return value


def _text_list(row: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise _Unusable(f"{name!r} must be a list of texts, none of them empty")
    return tuple(text.strip() for text in value)
