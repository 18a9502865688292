"""The same message as other students might have put it: with slips, without its marks, or inside another request.

Training sees ours several times; each time but the first in another form, so that the classifier learns what is asked
and not how. A wrapper ("for my project: ...") is put around lessons and around harm alike: it says nothing by itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from training.classifiers.safety_examples import BENIGN, CORPUS, DISTRESS, LANGUAGES, SafetyExample
from training.errors import CorpusError

HOLE = "{}"
CORPUS_VARIED = 0.35  # of a corpus's messages, which are seen once: the share that is seen in another form
LONGEST_WRAPPED = 400  # characters: what is put into a wrapper is a request, not a page
# Whatever a story or a friend is made to say, a child's words about herself are hers: wrapped less often.
WRAPPED, WRAPPED_STATEMENT = 0.45, 0.15
SLIPPED = 0.6  # of those that are not wrapped; the rest lose their marks and capitals
SLIP = 0.2  # of the words of a message that is typed in haste

Wrappers = Mapping[str, Sequence[str]]


def wrappers(path: Path) -> Wrappers:
    """By language, texts with one HOLE for a request. Raises CorpusError naming a malformed line."""
    found: dict[str, list[str]] = {language: [] for language in LANGUAGES}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        language, _, text = line.partition("\t")
        if language not in found or text.count(HOLE) != 1:
            raise CorpusError(f"{path}:{number}: expected a language, a tab, and a text with one {HOLE}")
        found[language].append(text)
    if not all(found.values()):
        raise CorpusError(f"{path}: every language needs a wrapper ({', '.join(LANGUAGES)})")
    return found


def varied(examples: Sequence[SafetyExample], repeat: int, around: Wrappers, seed: int = 7) -> Iterator[SafetyExample]:
    """The training messages `repeat` times, in other forms after the first, and the held-out ones as they are.

    A corpus's messages come once, some of them in another form.
    """
    dice = random.Random(seed)
    for example in examples:
        if example.split != "train":
            yield example
        elif example.source in CORPUS:
            yield _variant(example, around, dice) if dice.random() < CORPUS_VARIED else example
        else:
            yield example
            for _ in range(repeat - 1):
                yield _variant(example, around, dice)


def _variant(example: SafetyExample, around: Wrappers, dice: random.Random) -> SafetyExample:
    statement = example.label == DISTRESS or (example.label == BENIGN and example.category == "chat")
    share = WRAPPED_STATEMENT if statement else WRAPPED
    if not example.earlier and len(example.text) <= LONGEST_WRAPPED and dice.random() < share:
        return replace(example, text=dice.choice(around[example.language]).replace(HOLE, example.text))
    return replace(example, text=_slips(example.text, dice) if dice.random() < SLIPPED else _plain(example.text))


def _slips(text: str, dice: random.Random) -> str:
    return " ".join(_slip(word, dice) if len(word) > 3 and dice.random() < SLIP else word for word in text.split())


def _slip(word: str, dice: random.Random) -> str:
    """One letter left out, typed twice, or changed with its neighbour; the first one stays."""
    place = dice.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    return dice.choice((before + after, before + letter + letter + after, before + after[0] + letter + after[1:]))


def _plain(text: str) -> str:
    return " ".join("".join(c for c in text.lower() if c not in ".,!?;:'\"।").split()) or text
