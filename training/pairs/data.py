"""Question-answer pairs from JSON Lines, in the three shapes such data comes in.

    {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}    also with a system line,
                                                                                           and with several such pairs
    {"instruction": ..., "response": ...}
    {"input": ..., "output": ...}

"question" may stand for "instruction" or "input", and "answer" or "output" for "response". Everything else is optional:
title, chapter, page, class, subject, language, kind, asked, distance, facts, split, "also" (further places that answer:
pages of the same book, or {"title": ..., "page": ...} of another), "passages", a list of texts to answer from, and, of
a line whose kind is "draft", "approved": true once a teacher has read it. Empty lines and lines that begin with // say
nothing. A line that cannot be used is an error that names it; nothing is skipped in silence.

A folder may also be a dataset as `dataset.py` makes them: then its files must be those its card was written for.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from inference.files import sha256_of
from training.errors import BadLine, DatasetError

logger = logging.getLogger(__name__)

Place = tuple[str, int]  # a book's title and a page
Turn = tuple[str, str]  # a question and its answer

SPLITS = frozenset({"train", "dev", "test"})
SPLIT_FILES = ("train.jsonl", "dev.jsonl", "test.jsonl")  # of a dataset, in the order in which they are hashed
CARD = "card.json"
UNANSWERABLE = "unanswerable"  # the kind of a question that no book here answers
SELF = "self"  # the kind of a question about the tutor: no book answers it, and none has to
DRAFT = "draft"  # the kind of a pair that a program wrote: it counts once a line says "approved": true
REVIEWED = "reviewed"  # the kind of a pair that a teacher has read and approved
COMMENT = b"//"

_QUESTION = ("instruction", "input", "question")
_ANSWER = ("response", "output", "answer")
_TEXT = ("title", "subject", "language", "split", "kind", "asked", "distance")
_NUMBER = {"chapter": "chapter", "page": "page", "class": "class_level"}
_TEXTS = ("facts", "passages")


@dataclass(frozen=True, slots=True)
class Example:
    """One question with the answer we want. `passages` are to be retrieved where an example carries none of its own.

    `facts` are what any right answer must contain (training.evals.facts). `language` is the book's; `asked` is how the
    question is put: en, hi, sms (as students type) or hinglish. `distance`, of unanswerable questions, is far, near
    (of the topic) or close (in the very words of the book). `earlier` are the turns before in a dialogue, oldest first:
    a question and its answer each.
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
    earlier: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line that can be used, and where it stands. `decided`: it names its split itself."""

    path: Path
    number: int
    example: Example
    decided: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What files hold: the lines that can be used, those that cannot, and how many drafts nobody has approved."""

    lines: tuple[Line, ...]
    bad: tuple[BadLine, ...]
    drafts: int


class _Unapproved(Exception):
    """A draft that no teacher has approved."""


class _Unusable(ValueError):
    """Why a line cannot be used."""


def read(*paths: Path) -> list[Example]:
    """Every example in `paths`: files, datasets, or folders whose *.jsonl are read in order of name.

    Drafts that nobody has approved are left out, and counted in the log. Raises DatasetError that names every line that
    cannot be used, over all files, and every dataset that was altered since it was made.
    """
    found = scan(*paths)
    if found.bad:
        raise DatasetError(found.bad)
    if found.drafts:
        logger.warning('%d drafts left out: a teacher must write "approved": true on their lines first', found.drafts)
    return [line.example for line in found.lines]


def scan(*paths: Path) -> Scan:
    """What `paths` hold, good lines and bad. Raises nothing."""
    lines: list[Line] = []
    bad: list[BadLine] = []
    drafts = 0
    checked: set[Path] = set()
    for path in paths:
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            bad.append(BadLine(path, 0, "there is no *.jsonl in this folder"))
        for file in files:
            if file.parent not in checked and is_dataset(file.parent) and file.name in SPLIT_FILES:
                checked.add(file.parent)
                bad += [BadLine(file.parent, 0, why) for why in _altered(file.parent)]
            drafts += _read_file(file, lines, bad)
    return Scan(tuple(lines), tuple(bad), drafts)


def is_dataset(folder: Path) -> bool:
    """Whether a folder is laid out as a dataset; whether it is whole is for `read` to say."""
    return (folder / CARD).is_file() and any((folder / name).is_file() for name in SPLIT_FILES)


def files_sha256(folder: Path) -> str:
    """The hash of a dataset, as `cat train.jsonl dev.jsonl test.jsonl | sha256sum` gives it. Raises OSError."""
    return sha256_of(folder / name for name in SPLIT_FILES)


def as_row(example: Example) -> dict[str, Any]:
    """An example as a line of a file holds it: what `read` reads back the same."""
    row: dict[str, Any] = {"messages": [{"role": role, "content": text} for role, text in _turns(example)]}
    row |= {name: getattr(example, name) for name in _TEXT if getattr(example, name)}
    row |= {name: getattr(example, ours) for name, ours in _NUMBER.items() if getattr(example, ours) is not None}
    row |= {name: list(getattr(example, name)) for name in _TEXTS if getattr(example, name)}
    if example.also:
        row["also"] = [{"title": title, "page": page} for title, page in example.also]
    return row


def dataset_sha256(examples: Iterable[Example]) -> str:
    """A hash of what the examples say, whatever their order and the shape they were written in."""
    lines = sorted(json.dumps(_hashed(example), sort_keys=True, ensure_ascii=False) for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Split(Protocol):
    """What stands on a side: an example, a preference, a problem."""

    @property
    def split(self) -> str: ...


S = TypeVar("S", bound=Split)


def of_split(examples: Iterable[S], *splits: str) -> list[S]:
    """The examples of the named splits, in order."""
    return [example for example in examples if example.split in splits]


def _hashed(example: Example) -> dict[str, Any]:
    said = asdict(example)
    if not example.earlier:  # so that a hash from before there were dialogues still stands
        del said["earlier"]
    return said


def _turns(example: Example) -> list[tuple[str, str]]:
    pairs = [*example.earlier, (example.question, example.answer)]
    return [(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]


def _altered(folder: Path) -> list[str]:
    """What is wrong with a dataset, at most one thing."""
    try:
        said = json.loads((folder / CARD).read_text(encoding="utf-8"))["sha256"]
        found = files_sha256(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"is no whole dataset ({type(error).__name__}); copy the whole folder again, or build it again"]
    if found == said:
        return []
    return [
        f"has been altered since it was made: sha256 {found[:12]}, its card says {str(said)[:12]}. A dataset is never "
        "changed: restore its files, or build another with `sahpathi data build`"
    ]


def _read_file(path: Path, lines: list[Line], bad: list[BadLine]) -> int:
    """Add what one file holds; how many drafts were left out."""
    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        bad.append(BadLine(path, 0, f"cannot be read: {error.strerror}"))
        return 0
    drafts = 0
    for number, line in enumerate(raw, start=1):
        if not line.strip() or line.lstrip().startswith(COMMENT):
            continue
        try:
            row = json.loads(line.decode("utf-8"))
            lines.append(Line(path, number, _example(row), row.get("split") is not None))
        except _Unapproved:
            drafts += 1
        except _Unusable as error:
            bad.append(BadLine(path, number, str(error)))
        except UnicodeDecodeError:
            bad.append(BadLine(path, number, "is not UTF-8 text"))
        except (ValueError, RecursionError) as error:
            bad.append(BadLine(path, number, f"is not JSON ({error})"))
    return drafts


def _example(row: object) -> Example:
    if not isinstance(row, dict):
        raise _Unusable("must be a JSON object")
    *earlier, (question, answer) = _from_messages(row["messages"]) if "messages" in row else [_from_pair(row)]
    known: dict[str, Any] = {name: _text(row, name) for name in _TEXT if row.get(name) is not None}
    known |= {ours: _number(row, name) for name, ours in _NUMBER.items() if row.get(name) is not None}
    known |= {name: _text_list(row, name) for name in _TEXTS if row.get(name) is not None}
    if row.get("also") is not None:
        known["also"] = tuple(_place(place, str(known.get("title", ""))) for place in _list(row, "also"))
    if known.get("split", "train") not in SPLITS:
        raise _Unusable(f'"split" must be train, dev or test, not {known["split"]!r}')
    if known.get("kind") == DRAFT:
        if type(row.get("approved", False)) is not bool:
            raise _Unusable('"approved" must be true or false')
        if not row.get("approved"):
            raise _Unapproved
        known["kind"] = REVIEWED
    return Example(question=question, answer=answer, earlier=tuple(earlier), **known)


def _from_messages(messages: object) -> list[Turn]:
    """The questions of a conversation, each with its answer; one or more."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _Unusable('"messages" must be a list of objects with a role and a content')
    roles = [message.get("role") for message in messages]
    turns = messages[1:] if roles[:1] == ["system"] else messages
    if not turns or [message.get("role") for message in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise _Unusable(f"the roles must be user, assistant in turn (after a system line or none), not {roles}")
    said = [
        _text(message, "content", f"the {message['role']}'s content" if len(turns) == 2 else f"message {number}")
        for number, message in enumerate(turns, start=1)
    ]
    return list(zip(said[::2], said[1::2], strict=True))


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
