"""How good answers are, question by question: key facts, groundedness, abstention, confidence, reading, and time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from inference.errors import PromptTooLong
from inference.generation import Decoding
from inference.prompt import grounded
from rag.passage import Passage
from rag.sentences import split
from training.base.grounded import REFUSALS
from training.evals.calibration import Calibration, calibration
from training.evals.facts import key_facts
from training.evals.reading import abstains, grade
from training.pairs.conversations import Retrieve
from training.pairs.data import SELF, UNANSWERABLE, Example

if TYPE_CHECKING:
    from inference.engine import Engine
    from rag.ground import Grounding

GREEDY = Decoding(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as it was written. `confidence` is 0..1; it and the seconds are None where the answerer has none."""

    text: str
    confidence: float | None = None
    seconds: float | None = None


Answerer = Callable[[str, Sequence[str]], Written]  # question, passages -> answer
Check = Callable[[str, Sequence[str], str], Sequence[bool]]  # answer, passages, question -> is each sentence supported?
OnAnswer = Callable[[int, int], None]  # how many are answered, of how many


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with the answer to it, and what that is worth. All shares lie in 0..1.

    key:       a hash of question and passages: rows of two adapters with the same key may be compared
    absent:    the passages do not hold the answer, so that to say so is what is wanted; key_facts and grounded say
               nothing then
    key_facts, grounded, shown, shown_key_facts: see Scores
    abstained: the answer says that the books do not hold it; `refused`: in exactly the line of training
    grade:     the school grade of its language; None where that is not English
    seconds:   that it took; None where that is not known
    """

    key: str
    question: str
    text: str
    absent: bool
    key_facts: float
    grounded: float
    shown: bool
    shown_key_facts: float
    abstained: bool
    refused: bool
    words: int
    grade: float | None
    confidence: float | None
    seconds: float | None = None

    @property
    def right(self) -> bool:
        """Every key fact and nothing unsupported; or, where the answer is absent, saying so."""
        return self.abstained if self.absent else self.key_facts == 1.0 and self.grounded == 1.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over questions, all from 0 to 1 but the counts, words and grade.

    key_facts:       share of an example's facts that its answer holds
    grounded:        share of an answer's sentences that its passages support; an empty answer counts 0
    shown:           share of answers whose first sentence is supported: these the tutor shows, for others it quotes
    shown_key_facts: key facts in what is shown of the shown answers: their leading supported sentences
    refused:         share of answerable questions that are answered by saying that the books do not hold it
    absent:          questions whose passages do not hold the answer: another chapter's, or on what no book here holds
    refused_rightly: share of these that are answered by saying so
    words, grade:    length of an answer, and the school grade of its language (Flesch-Kincaid; English only)
    ece:             expected calibration error of the confidences
    """

    questions: int
    key_facts: float
    grounded: float
    shown: float
    shown_key_facts: float
    refused: float
    absent: int
    refused_rightly: float
    words: float
    grade: float | None
    ece: float | None

    def named(self, prefix: str = "") -> dict[str, float]:
        """The scores as an adapter's card keeps them; without those that there are none of."""
        held = {name: value for name, value in asdict(self).items() if value is not None}
        return {f"{prefix}{name}": round(float(value), 4) for name, value in held.items()}


def evaluate(
    examples: Sequence[Example],
    retrieve: Retrieve,
    answer: Answerer,
    check: Check,
    *,
    unanswerable: int = 20,
    seed: int = 0,
) -> Scores:
    """The scores of what `answered` gives. Raises ValueError when there are no examples."""
    return summary(answered(examples, retrieve, answer, check, unanswerable=unanswerable, seed=seed))


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its passages, as it is put. `absent`: they do not hold the answer."""

    example: Example
    absent: bool

    @property
    def key(self) -> str:
        text = "\x1f".join((self.example.question, *self.example.passages, *self.example.facts, str(self.absent)))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def asked(examples: Sequence[Example], retrieve: Retrieve, *, unanswerable: int = 20, seed: int = 0) -> list[Asked]:
    """Each example with its passages, and up to `unanswerable` of them again with those of another chapter's question.

    An example that no book answers is asked where passages are retrieved for it; the tutor asks no model else. Left out
    are those about the tutor itself, which no passage supports, and those that go on from an earlier turn.
    Raises ValueError when there are no examples.
    """
    if not examples:
        raise ValueError("there are no examples to evaluate on")
    single = [example for example in examples if example.kind != SELF and not example.earlier]
    held = [replace(example, passages=example.passages or tuple(retrieve(example.question))) for example in single]
    present = [example for example in held if example.kind != UNANSWERABLE]
    made = [Asked(example, absent=False) for example in present]
    made += [Asked(example, absent=True) for example in held if example.kind == UNANSWERABLE and example.passages]
    rng = random.Random(seed)
    for example in rng.sample(present, min(unanswerable, len(present))):
        chapter = (example.title, example.chapter)
        elsewhere = [other for other in present if other.passages and (other.title, other.chapter) != chapter]
        if elsewhere:
            made.append(Asked(replace(example, passages=rng.choice(elsewhere).passages), absent=True))
    return made


def answered(
    examples: Sequence[Example],
    retrieve: Retrieve,
    answer: Answerer,
    check: Check,
    *,
    unanswerable: int = 20,
    seed: int = 0,
    progress: OnAnswer | None = None,
) -> list[Answered]:
    """Answer each example from what is retrieved for it: a row a question.

    An example for which nothing is retrieved, or that is too long for the model, scores 0 throughout. Raises ValueError
    when there are no examples.
    """
    questions = asked(examples, retrieve, unanswerable=unanswerable, seed=seed)
    rows = []
    for done, one in enumerate(questions, start=1):
        rows.append(row(one, answer, check))
        if progress is not None:
            progress(done, len(questions))
    return rows


def row(one: Asked, answer: Answerer, check: Check) -> Answered:
    """Ask one question, and say what the answer is worth."""
    example = one.example
    written = answer(example.question, example.passages) if example.passages else Written("")
    text = written.text
    supported = list(check(text, example.passages, example.question)) if text else []
    leading = supported.index(False) if False in supported else len(supported)
    visible = " ".join(split(text)[:leading])
    return Answered(
        key=one.key,
        question=example.question,
        text=text,
        absent=one.absent,
        key_facts=key_facts(text, example.facts) if text else 0.0,
        grounded=_mean(supported),
        shown=leading > 0,
        shown_key_facts=key_facts(visible, example.facts) if text else 0.0,
        abstained=abstains(text),
        refused=text.strip() in REFUSALS,
        words=len(text.split()),
        grade=grade(text),
        confidence=written.confidence,
        seconds=written.seconds,
    )


def summary(rows: Sequence[Answered]) -> Scores:
    """The means of the rows."""
    present, absent = of_kind(rows, absent=False), of_kind(rows, absent=True)
    shown = [one for one in present if one.shown]
    sure = reliability(rows)
    return Scores(
        questions=len(present),
        key_facts=_mean([one.key_facts for one in present]),
        grounded=_mean([one.grounded for one in present]),
        shown=len(shown) / len(present) if present else 0.0,
        shown_key_facts=_mean([one.shown_key_facts for one in shown]),
        refused=_mean([one.abstained for one in present]),
        absent=len(absent),
        refused_rightly=_mean([one.abstained for one in absent]),
        words=_mean([one.words for one in present]),
        grade=_mean(grades) if (grades := [one.grade for one in present if one.grade is not None]) else None,
        ece=sure.ece if sure is not None else None,
    )


def of_kind(rows: Iterable[Answered], *, absent: bool) -> list[Answered]:
    """The rows whose passages hold the answer, or those whose passages do not."""
    return [one for one in rows if one.absent == absent]


def reliability(rows: Iterable[Answered]) -> Calibration | None:
    """How well confidence tells right from wrong; None where no answer has one."""
    sure = [one for one in rows if one.confidence is not None]
    if not sure:
        return None
    return calibration([one.confidence or 0.0 for one in sure], [one.right for one in sure])


def by_engine(engine: Engine, adapter: str, decoding: Decoding = GREEDY) -> Answerer:
    """Answers of the product's own engine. `adapter` is "base", "current" or an adapter's id.

    To what is too long for the model even with one passage there is none, "": there the tutor quotes the book.
    """

    def answer(question: str, passages: Sequence[str]) -> Written:
        messages = grounded(question, passages)
        try:
            made = engine.generate(messages, decoding=decoding, on_text=lambda _: True, adapter=adapter)
        except PromptTooLong:
            return Written("")
        return Written(made.text, made.confidence, made.seconds)

    return answer


def by_grounding(grounding: Grounding) -> Check:
    """The product's own check of an answer against its passages."""

    def check(answer: str, passages: Sequence[str], question: str) -> list[bool]:
        held = [_passage(text) for text in passages]
        return [support.passage is not None for support in grounding.check(answer, held, question)]

    return check


def _passage(text: str) -> Passage:
    identity = hashlib.sha256(text.encode()).hexdigest()
    return Passage(identity, text, book="", chapter="", page=0, class_level=0, subject="", language="")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
