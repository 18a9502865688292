"""Which side of a dataset a question stands on: decided once, and never again.

A hash of the question decides, so that two datasets agree without knowing of each other. Three things come before it:
where the question stood in an earlier dataset, the side that its line names, and the side of questions near it, since a
model that was trained on one has seen the other. What was decided is kept in a ledger of hashes, which tells nobody
what was asked.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.files import write_json
from training.errors import BadLine, DatasetError

TRAIN, DEV, TEST = "train", "dev", "test"
HELD_OUT = 0.1  # share of the questions in each of test and dev
ENOUGH = 10  # questions of a subject and language from which none of its sides may be empty

LEDGER = "splits.json"


@dataclass(frozen=True, slots=True)
class Question:
    """A question to be placed. `said` is the side its line names, or ""; `stratum` is its subject and language."""

    key: str  # normalised
    stratum: tuple[str, str]
    said: str = ""


def side(key: str) -> str:
    """Where the hash of a normalised question puts it."""
    place = _place(key)
    return TEST if place < HELD_OUT else DEV if place < 2 * HELD_OUT else TRAIN


def read_ledger(path: Path) -> dict[str, str]:
    """Where questions stand by the hash of their keys; empty where nothing was decided yet. Raises DatasetError."""
    try:
        ledger = json.loads(path.read_text(encoding="utf-8"))
        return {str(hashed): {TRAIN: TRAIN, DEV: DEV, TEST: TEST}[found] for hashed, found in ledger.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        why = f"cannot be read ({error}); restore it: without it, test questions could end up among those trained on"
        raise DatasetError([BadLine(path, 0, why)]) from error


def write_ledger(path: Path, ledger: Mapping[str, str], questions: Sequence[Question], sides: Sequence[str]) -> None:
    """Add where these questions stand."""
    added = {digest(question.key): found for question, found in zip(questions, sides, strict=True)}
    if added.items() - ledger.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**added, **ledger})


def digest(key: str) -> str:
    """What the ledger holds of a question."""
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def assign(questions: Sequence[Question], near: Sequence[tuple[int, int]], ledger: Mapping[str, str]) -> list[str]:
    """The side of each question. `near` are pairs of places that must not be parted.

    What the ledger names stays. What its line puts into train or dev goes to test all the same when a test question is
    near. Others follow what is near them, test before dev before train, else their hash; of questions near each other
    the most held out decides. A subject and language of ENOUGH questions with none in test (or in dev) gives one up.
    """
    sides = [ledger.get(digest(question.key), "") for question in questions]
    recorded = [bool(found) for found in sides]
    beside: dict[int, list[int]] = defaultdict(list)
    for a, b in near:
        beside[a].append(b)
        beside[b].append(a)
    for place, question in enumerate(questions):
        sides[place] = sides[place] or question.said
    tested = {place for place, found in enumerate(sides) if found == TEST}
    for place, question in enumerate(questions):
        if question.said and not recorded[place] and tested.intersection(beside[place]):
            sides[place] = TEST
    open_groups = _groups([place for place, found in enumerate(sides) if not found], beside)
    for group in open_groups:
        around = {sides[other] for place in group for other in beside[place]} - {""}
        found = _most_held_out(around or {side(questions[place].key) for place in group})
        for place in group:
            sides[place] = found
    _fill(questions, open_groups, beside, sides)
    return sides


def _groups(places: Sequence[int], beside: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """The places, together with those that are near, and near to those."""
    left, groups = set(places), []
    for first in places:
        if first not in left:
            continue
        group, waiting = [], [first]
        left.discard(first)
        while waiting:
            place = waiting.pop()
            group.append(place)
            fresh = [other for other in beside.get(place, ()) if other in left]
            left.difference_update(fresh)
            waiting += fresh
        groups.append(sorted(group))
    return groups


def _fill(
    questions: Sequence[Question], groups: Sequence[list[int]], beside: Mapping[int, Sequence[int]], sides: list[str]
) -> None:
    """Move a group that is free to move into each side that a stratum lacks: the one whose hash is nearest to it."""
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        members[question.stratum].append(place)
    free = {
        place: group
        for group in groups
        if all(other in group for place in group for other in beside.get(place, ()))
        for place in group
    }
    for _, places in sorted(members.items()):
        for wanted in (TEST, DEV):
            if len(places) < ENOUGH or any(sides[place] == wanted for place in places):
                continue
            movable = [place for place in places if place in free and sides[place] == TRAIN]
            if movable:
                first = min(movable, key=lambda place: _place(questions[place].key))
                for place in free[first]:
                    sides[place] = wanted


def _most_held_out(sides: set[str]) -> str:
    return next(found for found in (TEST, DEV, TRAIN) if found in sides)


def _place(key: str) -> float:
    """A number from 0 to 1 that only the question decides."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
