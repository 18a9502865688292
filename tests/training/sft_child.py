"""A fine-tuning run in a process of its own, which a test kills or starves of disk."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

PASSAGES = {
    "What is photosynthesis?": ["Photosynthesis is the process by which green plants make food."],
    "What are stomata?": ["Stomata are tiny pores on the surface of leaves.", "Oxygen leaves the leaf."],
    "What is sound?": ["Sound is a form of energy that we hear."],
    "What is frequency?": ["The hertz is a unit.", "Frequency is the number of vibrations in one second."],
    "What is amplitude?": ["Amplitude is the size of a vibration."],
}


def retrieve(question: str) -> list[str]:
    return PASSAGES.get(question, [])


def run(given: dict[str, Any], questions: Path, killed_at: str = "", file_limit: int = 0) -> None:
    """Train; die by SIGKILL at a point: "step N", "evaluation N", "mid-save N" (its N-th file on disk)."""
    from training.pairs.data import read
    from training.records.record import Evaluation, Event, Step
    from training.tuning.sft import SftArguments, sft

    what, _, number = killed_at.partition(" ")

    def die(event: Event) -> None:
        hit = (what == "step" and isinstance(event, Step) and event.step == int(number)) or (
            what == "evaluation" and isinstance(event, Evaluation) and event.step == int(number)
        )
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)

    if what == "mid-save":
        _die_in_save(int(number))
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sft(SftArguments(**given), read(questions), retrieve, on_progress=lambda _: None, on_event=die)


def _die_in_save(number: int) -> None:
    """Half of the N-th file of checkpoints is written when the process is killed."""
    from training.tuning import lora_checkpoint

    real, written = lora_checkpoint._write, 0

    def half(path: Path, content: bytes) -> None:
        nonlocal written
        written += 1
        if written == number:
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        real(path, content)

    lora_checkpoint._write = half
