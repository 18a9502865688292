"""Preferences: two answers to a question, one of which is better. DPO learns from them.

They come from the log, where a teacher corrected what the model said or students rated two answers to a question
differently; from blind votes; and from files:

    {"question": ..., "chosen": ..., "rejected": ...}          "prompt" may stand for "question"
    {"question": ..., "a": ..., "b": ..., "vote": "a"}         or "b", or "tie", which says nothing and is counted

Optional in both: passages (a list of texts), subject, language and split. Personal data is masked wherever it comes
from. A question is on the same side of the split as in a dataset (training.pairs.splits), always.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from inference.adapters import GENERAL
from inference.prompt import SPECIAL_TOKENS
from training.errors import BadLine, DatasetError
from training.pairs.conversations import Retrieve
from training.pairs.curate import masked
from training.pairs.data import SPLITS, Example
from training.pairs.sameness import Asked, normalised
from training.pairs.splits import side

logger = logging.getLogger(__name__)

CORRECTION, RATING, VOTE, FILE = "correction", "rating", "vote", "file"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Preference:
    """`chosen` is a better answer to the question than `rejected`. Passages are to be retrieved where there are none.

    `source` is correction, rating, vote or file.
    """

    question: str
    chosen: str
    rejected: str
    passages: tuple[str, ...] = ()
    split: str = "train"
    subject: str = GENERAL
    language: str = "en"
    source: str = FILE


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer of the log that the model wrote. `passages` are those it was shown; rating is +1, -1 or 0 (none)."""

    question: str
    passages: tuple[str, ...]
    text: str
    subject: str
    language: str
    correction: str | None = None
    approved: bool = False
    rating: int = 0


@dataclass(frozen=True, slots=True)
class Votes:
    """The preferences that votes make, and how many were a tie."""

    preferences: list[Preference]
    ties: int


class _Unusable(ValueError):
    """Why a preference cannot be used."""


def from_corrections(rows: Iterable[Logged]) -> list[Preference]:
    """What a teacher wrote is preferred over what the model said; rows without a correction are passed over.

    Raises DatasetError that names the corrections that cannot be used.
    """
    found: list[Preference] = []
    bad: list[BadLine] = []
    for number, row in enumerate(rows, start=1):
        if row.correction is not None:
            try:
                found.append(_of_log(row, row.correction, row.text, CORRECTION))
            except _Unusable as error:
                bad.append(BadLine("the corrections in the log", number, str(error)))
    if bad:
        raise DatasetError(bad)
    return list(dict.fromkeys(found))  # the same slip, corrected in the same words, once


def from_ratings(rows: Iterable[Logged]) -> list[Preference]:
    """Answers rated up are preferred over those rated down to the same question with the same passages.

    Two questions count as the same when they ask for the same in the same words but for those that say nothing (see
    training.pairs.sameness): "what is soil" and "Please explain soil!". Several thumbs on the same words are added up.
    A teacher's word outweighs thumbs: a corrected answer is nobody's example, and an approved one is not rejected.
    """
    thumbs: defaultdict[tuple[Asked | str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)
    first: dict[tuple[Asked | str, tuple[str, ...], str], Logged] = {}
    approved: set[tuple[Asked | str, tuple[str, ...], str]] = set()
    for row in rows:
        asked = (_asked(row.question), row.passages)
        text = " ".join(row.text.split())
        first.setdefault((*asked, text), row)
        if row.approved:
            approved.add((*asked, text))
        if row.correction is None:
            thumbs[asked][text] += row.rating
    found = []
    for asked, rated in thumbs.items():
        ups = [text for text, sum_ in rated.items() if sum_ > 0]
        downs = [text for text, sum_ in rated.items() if sum_ < 0 and (*asked, text) not in approved]
        for up in ups:
            for down in downs:
                row = first[(*asked, up)]
                found.append(_of_log(row, row.text, first[(*asked, down)].text, RATING))
    return found


def read(*paths: Path) -> list[Preference]:
    """Every preference in files of JSON Lines. Raises DatasetError that names every line that cannot be used."""
    return _read(paths, _from_row)


def read_votes(*paths: Path) -> Votes:
    """Every vote in files of JSON Lines. Raises DatasetError that names every line that cannot be used."""
    votes = _read(paths, _from_vote)
    kept = [vote for vote in votes if vote is not None]
    return Votes(kept, len(votes) - len(kept))


def with_passages(preferences: Iterable[Preference], retrieve: Retrieve) -> list[Preference]:
    """Each with its own passages or those retrieved. What has none is left out and counted in the log."""
    given = list(preferences)
    held = [replace(one, passages=one.passages or tuple(retrieve(one.question))) for one in given]
    usable = [one for one in held if one.passages]
    if left_out := len(given) - len(usable):
        logger.warning("%d of %d preferences left out: nothing is retrieved for them", left_out, len(given))
    return usable


def preferences_sha256(preferences: Iterable[Preference]) -> str:
    """A hash of what the preferences say, whatever their order."""
    lines = sorted(json.dumps(asdict(one), sort_keys=True, ensure_ascii=False) for one in preferences)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _of_log(row: Logged, chosen: str, rejected: str, source: str) -> Preference:
    return _checked(Preference(row.question, chosen, rejected, row.passages, "", row.subject, row.language, source))


def _checked(one: Preference) -> Preference:
    """With personal data masked and its split, where it names none. Raises _Unusable."""
    asked = " ".join(one.question.split())
    better, worse = (masked(Example(asked, answer.strip()), Counter()) for answer in (one.chosen, one.rejected))
    if not asked:
        raise _Unusable("the question is empty")
    for name, text in (("chosen", better.answer), ("rejected", worse.answer)):
        if not text:
            raise _Unusable(f"the {name} answer is empty")
        if token := next((token for token in SPECIAL_TOKENS if token in text), None):
            raise _Unusable(f"the {name} answer holds {token}, which ends an answer: remove it")
    if better.answer.split() == worse.answer.split():
        raise _Unusable("the chosen answer is the rejected one")
    split = one.split or side(normalised(asked))  # as in a dataset, of the question before anything is masked
    return replace(one, question=better.question, chosen=better.answer, rejected=worse.answer, split=split)


def _asked(question: str) -> Asked | str:
    """What two questions share that are the same: see training.pairs.sameness."""
    said = Asked.of(question)
    return said if said.stems else normalised(question)


def _read(paths: Iterable[Path], make: Callable[[Mapping[str, object]], T]) -> list[T]:
    made: list[T] = []
    bad: list[BadLine] = []
    for path in paths:
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            bad.append(BadLine(path, 0, f"cannot be read: {error.strerror}"))
            continue
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    made.append(make(_object(line.decode("utf-8-sig" if number == 1 else "utf-8"))))
                except _Unusable as error:
                    bad.append(BadLine(path, number, str(error)))
                except UnicodeDecodeError:
                    bad.append(BadLine(path, number, "is not UTF-8 text"))
                except (ValueError, RecursionError) as error:
                    bad.append(BadLine(path, number, f"is not JSON ({error})"))
    if bad:
        raise DatasetError(bad)
    return made


def _object(line: str) -> Mapping[str, object]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise _Unusable("must be a JSON object")
    return row


def _from_row(row: Mapping[str, object], *, source: str = FILE) -> Preference:
    asked = [name for name in ("question", "prompt") if name in row]
    if len(asked) != 1:
        raise _Unusable(f'must have either "question" or "prompt"; it has {" and ".join(asked) or "neither"}')
    split = row.get("split") or ""
    if split and split not in SPLITS:
        raise _Unusable(f'"split" must be train, dev or test, not {split!r}')
    passages = row.get("passages") or []
    if not isinstance(passages, list) or not all(isinstance(text, str) and text.strip() for text in passages):
        raise _Unusable('"passages" must be a list of texts, none of them empty')
    return _checked(
        Preference(
            question=_text(row, asked[0]),
            chosen=_text(row, "chosen"),
            rejected=_text(row, "rejected"),
            passages=tuple(text.strip() for text in passages),
            split=str(split),
            subject=_text(row, "subject") if row.get("subject") is not None else GENERAL,
            language=_text(row, "language") if row.get("language") is not None else "en",
            source=source,
        )
    )


def _from_vote(row: Mapping[str, object]) -> Preference | None:
    vote = row.get("vote")
    if vote not in ("a", "b", "tie"):
        raise _Unusable(f'"vote" must be "a", "b" or "tie", not {vote!r}')
    a, b = _text(row, "a"), _text(row, "b")
    if vote == "tie":
        return None
    chosen, rejected = (a, b) if vote == "a" else (b, a)
    return _from_row({**row, "chosen": chosen, "rejected": rejected}, source=VOTE)


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise _Unusable(f"{name!r} must be text, not {type(value).__name__}" if name in row else f"{name!r} is missing")
    return value
