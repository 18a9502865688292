"""From what teachers and files say to examples worth learning: masked, each question once, nothing that contradicts.

Personal data is masked with what the service itself masks with. Of a question that comes more than once the latest
review counts, as long as the answers agree; where they do not, all of them are left out and reported, since a model
learns neither from two truths. Passages that do not hold the answer stand beside the one that does, so that the model
learns to choose.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.safety.personal_data import find
from rag.passage import Passage
from training.base.grounded import refusal_of
from training.pairs.data import SELF, UNANSWERABLE, Example
from training.pairs.sameness import Embeds, Questions, asked, close_to, disagreement, key, normalised, stems_of
from training.pairs.splits import Question, assign, digest

OnProgress = Callable[[int, int], None]

HOLDS = 0.6  # share of an answer's words from which a passage is taken to hold it
EXACT, NEARLY, CONTRADICTORY = "exact duplicates", "near duplicates", "contradictory answers"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An example on its way into a dataset. `source` is the log or a file's name.

    `decided`: its line names its split. `when` it was reviewed, ISO 8601 in UTC; "" for what nobody dated.
    """

    example: Example
    source: str
    decided: bool = False
    when: str = ""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Answers to one question that cannot both be right: (question, answer, source) of each, and why."""

    said: tuple[tuple[str, str, str], ...]
    why: str


@dataclass(slots=True)
class Curated:
    """What is left, and what was done: examples removed by filter, texts masked by kind."""

    candidates: list[Candidate]
    removed: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    contradictions: list[Contradiction] = field(default_factory=list)


def curate(
    candidates: Iterable[Candidate],
    embedder: Embeds,
    *,
    keep_contradictions: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> Curated:
    """Mask, make refusals alike, merge duplicates, find contradictions. The order is that of the latest of each."""
    masks: Counter[str] = Counter()
    cleaned = [replace(one, example=_refusal(masked(one.example, masks))) for one in candidates]
    # The latest last; of those without a date the order in which they came.
    cleaned.sort(key=lambda one: one.when)
    found = Curated([], masks=masks)
    questions = Questions([asked(one.example) for one in cleaned], embedder, on_progress)
    kept: list[int] = []
    for group in _joined(len(cleaned), questions.same()):
        kept += _settled([(place, cleaned[place]) for place in group], embedder, found, keep_contradictions)
    found.candidates = [cleaned[place] for place in sorted(kept)]
    return found


def placed(
    candidates: Sequence[Candidate],
    embedder: Embeds,
    ledger: Mapping[str, str],
    held_out: Sequence[Example] = (),
    on_progress: OnProgress = lambda *_: None,
) -> list[Example]:
    """The examples with their splits: see `splits.py`. `held_out` are questions that are tested on elsewhere."""
    tested = {key(example): example.split for example in held_out}
    outside = close_to([one.example for one in candidates], held_out)
    inside = [
        _question(one.example, tested.get(key(one.example)) or (one.example.split if one.decided else ""))
        for one in candidates
    ]
    everything = [*inside, *(_question(example, example.split) for example in outside)]
    texts = [asked(example) for example in (*(one.example for one in candidates), *outside)]
    near = Questions(texts, embedder, on_progress).near()
    sides = assign(everything, near, ledger)
    return [replace(one.example, split=found) for one, found in zip(candidates, sides, strict=False)]


def questions_of(examples: Iterable[Example]) -> list[Question]:
    """What the ledger records of examples that have their splits."""
    return [_question(example, example.split) for example in examples]


def masked(example: Example, masks: Counter[str]) -> Example:
    """The example with [phone], [address] and so on in place of what is personal, in every turn; counted by kind."""
    return replace(
        example,
        question=_masked(example.question, masks, alone=True),
        answer=_masked(example.answer, masks, alone=False),
        earlier=tuple(
            (_masked(question, masks, alone=True), _masked(answer, masks, alone=False))
            for question, answer in example.earlier
        ),
    )


def wants_passages(example: Example, count: int) -> bool:
    """Whether passages would be added to an example: its own are too few, and it is known what answers it."""
    if example.kind == SELF or len(example.passages) >= count:
        return False
    return bool(example.passages) or example.page is not None or example.kind == UNANSWERABLE


def with_passages(example: Example, ranked: Sequence[Passage], count: int) -> Example:
    """The example with up to `count` passages: its own, or the one of its page that answers, and hard negatives.

    Those are the best of `ranked` that do not hold the answer. The order is theirs where the page's passage is among
    them; else the question's hash says where the own passages stand, so that no place is the right one. An example
    whose page is not among `ranked` stays as it is: passages are then retrieved when it is trained on.
    """
    if not wants_passages(example, count):
        return example
    order = [" ".join(passage.text.split()) for passage in ranked]
    golden = (
        list(example.passages)
        or [text for text, passage in zip(order, ranked, strict=True) if _answers(example, passage)][:1]
    )
    if not golden and example.kind != UNANSWERABLE:
        return example
    seen = {normalised(text) for text in golden}
    hard = [text for text in dict.fromkeys(order) if normalised(text) not in seen and not holds(text, example)]
    chosen = [*golden, *hard[: count - len(golden)]]
    if example.passages:
        turn = int(digest(key(example)), 16) % len(chosen)
        return replace(example, passages=(*chosen[turn:], *chosen[:turn]))
    return replace(example, passages=tuple(sorted(chosen, key=order.index)))


def holds(passage: str, example: Example) -> bool:
    """Whether a passage seems to hold the answer: all of its facts, or most of its words where none are named."""
    if example.kind == UNANSWERABLE:
        return False
    if example.facts:
        return all(fact.lower() in passage.lower() for fact in example.facts)
    said = stems_of(example.answer)
    return len(said & stems_of(passage)) >= HOLDS * len(said)


def _answers(example: Example, passage: Passage) -> bool:
    places = {(example.title, example.page), *example.also}
    return example.kind != UNANSWERABLE and (passage.book, passage.page) in places and holds(passage.text, example)


def _masked(text: str, masks: Counter[str], *, alone: bool) -> str:
    """`alone`: a number that is all that is said is a telephone's; in an answer it is a result."""
    pieces, end = [], 0
    for found in find(text, alone=alone):
        masks[found.kind] += 1
        pieces += [text[end : found.start], f"[{found.kind}]"]
        end = found.end
    return "".join([*pieces, text[end:]])


def _refusal(example: Example) -> Example:
    """Of a question that no book answers: the one line that says so, as everywhere else in training."""
    return replace(example, answer=refusal_of(example.question), facts=()) if example.kind == UNANSWERABLE else example


def _question(example: Example, said: str) -> Question:
    return Question(key(example), (example.subject, example.asked), said)


def _joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Places by the group that their pairs join them to, each group and all groups in order."""
    leader = list(range(count))

    def lead(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for a, b in pairs:
        first, second = sorted((lead(a), lead(b)))
        leader[second] = first
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(count):
        groups[lead(place)].append(place)
    return list(groups.values())


def _settled(
    group: Sequence[tuple[int, Candidate]], embedder: Embeds, found: Curated, keep_contradictions: bool
) -> list[int]:
    """The places that stay of those that ask the same: the latest, or none where answers contradict each other."""
    if len(group) == 1:
        return [group[0][0]]
    vectors = embedder.embed([one.example.answer for _, one in group])
    leading: list[int] = []  # numbers within the group, the latest first: one for each answer that is different
    agreeing: dict[int, list[int]] = {}
    whys: list[str] = []
    for number in range(len(group) - 1, -1, -1):
        why = ""
        for latest in leading:
            why = _disagreement(group[number][1].example, group[latest][1].example, vectors[number] @ vectors[latest])
            if not why:
                agreeing[latest].append(number)
                break
        else:
            whys += [why] * bool(leading)
            leading.append(number)
            agreeing[number] = []
    for latest, others in agreeing.items():
        for number in others:
            one, other = group[latest][1].example, group[number][1].example
            found.removed[EXACT if _text(one) == _text(other) else NEARLY] += 1
    if len(leading) > 1:
        said = ((group[number][1].example, group[number][1].source) for number in leading)
        found.contradictions.append(Contradiction(tuple((asked(e), e.answer, source) for e, source in said), whys[0]))
        if not keep_contradictions:
            found.removed[CONTRADICTORY] += len(leading)
            return []
    return [group[number][0] for number in leading]


def _disagreement(one: Example, other: Example, similar: float) -> str:
    if (one.kind == UNANSWERABLE) != (other.kind == UNANSWERABLE):
        return "one says that the books do not hold it"
    return "" if _text(one) == _text(other) else disagreement(one.answer, other.answer, float(similar))


def _text(example: Example) -> tuple[str, str]:
    return key(example), normalised(example.answer)
