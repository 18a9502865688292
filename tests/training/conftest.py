"""A textbook of two chapters, questions on it, and the tiny base model that the real recipe makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.base.pretrain import PretrainArguments, pretrain
from training.base.tokenizer import TokenizerArguments, train_tokenizer

CHAPTERS = {
    "photosynthesis": """\
# How plants make food

Photosynthesis is the process by which green plants make food from carbon dioxide and water. A mango tree makes
its food in its leaves. The food is a sugar called glucose.

## Stomata

Stomata are tiny pores on the surface of leaves. Carbon dioxide enters the leaf through the stomata. Oxygen leaves
the leaf through the same pores. In 1779 a scientist saw bubbles of oxygen rise from leaves in sunlight.

<!-- page: 2 -->
## Key terms

- **Photosynthesis**: the process by which plants make food.
- **Stomata**: tiny pores on leaves.
""",
    "sound": """\
# Sound

Sound is a form of energy that we hear. A vibration is a quick movement to and fro. The string of a sitar makes sound
when the string vibrates. Sound travels through air, water and steel.

## Loudness and pitch

Amplitude is the size of a vibration. A larger amplitude makes a louder sound. Frequency is the number of vibrations
in one second. The unit of frequency is the hertz. A higher frequency gives a higher pitch.
""",
}

QUESTIONS = [
    ("What is photosynthesis?", "Photosynthesis is the process by which green plants make food.", 1, 1, "train"),
    ("What are stomata?", "Stomata are tiny pores on the surface of leaves.", 1, 1, "train"),
    ("What is sound?", "Sound is a form of energy that we hear.", 2, 1, "train"),
    ("What is frequency?", "Frequency is the number of vibrations in one second.", 2, 1, "train"),
    ("What is amplitude?", "Amplitude is the size of a vibration.", 2, 1, "test"),
]

MakeArguments = Callable[..., PretrainArguments]


def _front_matter(chapter: int, name: str) -> str:
    return (
        f"---\ntitle: Science, Class 7\nchapter: {chapter}\nchapter_title: {name}\nclass: 7\nsubject: science\n"
        "language: en\nboard: national\nlicence: CC BY-SA 4.0\n---\n<!-- page: 1 -->\n"
    )


@pytest.fixture(scope="session")
def textbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("textbooks")
    for number, (name, body) in enumerate(CHAPTERS.items(), start=1):
        text = body.replace("\nits food", " its food").replace("\nthe leaf", " the leaf").replace("\nwhen", " when")
        (folder / f"{number:02}-{name}.md").write_text(
            _front_matter(number, name) + text.replace("vibrations\nin", "vibrations in"), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qa")
    rows: list[dict[str, Any]] = [
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "title": "Science, Class 7",
            "chapter": chapter,
            "page": page,
            "class": 7,
            "subject": "science",
            "language": "en",
            "kind": "define",
            "facts": [answer.split()[0].lower()],
            "split": split,
        }
        for question, answer, chapter, page, split in QUESTIONS
    ]
    (folder / "science.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pretraining(textbooks: Path, questions: Path) -> MakeArguments:
    """Arguments of a run of a second: a model of 14 thousand parameters."""

    def make(output: Path, **changes: Any) -> PretrainArguments:
        if not (output / "tokenizer.json").exists():
            train_tokenizer(TokenizerArguments(textbooks, output, vocabulary=500, context=512))
        given: dict[str, Any] = {
            "hidden": 16,
            "layers": 2,
            "heads": 2,
            "kv_heads": 1,
            "feed_forward": 32,
            "context": 512,
            "short": 256,
            "batch_tokens": 512,
            "steps": 6,
            "short_steps": 4,
            "warmup": 2,
            "checkpoint_every": 2,
            "evaluate_every": 3,
            "precision": "float32",
            "device": "cpu",
            "threads": 1,
        }
        return PretrainArguments(
            textbooks=textbooks, questions=questions, output=output, work=output / "work", **{**given, **changes}
        )

    return make


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, pretraining: MakeArguments) -> Path:
    """The folder of a base model as the recipe makes it."""
    folder = tmp_path_factory.mktemp("models") / "base"
    pretrain(pretraining(folder), on_progress=lambda _: None)
    return folder
