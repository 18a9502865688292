"""Fine-tuning: our recipe beside the textbook one (training/recipes/classic.yaml) on the very same conversations.

    python -m tests.bench.sft [--subject science] [--examples 400] [--closed-book] [--threads 2] [--busy] [--json]

Each recipe runs in a process of its own. What is compared: examples a second, the seconds until the loss of the answers
of the dev split is as low as the textbook recipe ever gets it, peak memory, and the size of the adapter. The clock
stands still during evaluations. Conversations have as many passages as fit into 256 tokens, the textbook's length;
--closed-book takes the passages away, as textbooks do. On a machine that does other work too, --busy counts processor
seconds, with one thread. Nothing here is asserted: a noisy machine must not fail a test.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.generation import Message
from inference.prompt import grounded
from tests.training.unheard import Unheard
from training.errors import TrainingError
from training.pairs.data import Example, of_split, read
from training.recipe import recipe
from training.tuning.sft_arguments import SftArguments

DATA = Path(__file__).parents[2] / "data"
LENGTH = 256
DEV = 64  # conversations the loss is measured on
MEASURES = 4  # evaluations an epoch
RECIPES = ("classic", "adapter-cpu")

Conversation = list[Message]


@dataclass(slots=True)
class Outcome:
    """How one recipe did. `curve` has (examples learned, seconds of learning, dev loss)."""

    recipe: str
    examples: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    peak_memory: int = 0
    adapter_bytes: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.examples / self.seconds

    @property
    def best(self) -> float:
        return min(loss for _, _, loss in self.curve)

    def reached(self, loss: float) -> tuple[int, float] | None:
        """The examples and the seconds it took to be that low; None where it never was."""
        return next(((examples, seconds) for examples, seconds, found in self.curve if found <= loss), None)


class _Clock(Unheard):
    """Follows a trainer: the loss of the answers, whatever the recipe learns, and the time without measuring it."""

    def __init__(self, trainee: Any, dev: Sequence[Any], batch: int, total: int, epochs: int, busy: bool) -> None:
        self.outcome = Outcome("")
        self._now = time.process_time if busy else time.perf_counter
        self._since = 0.0
        self._trainee, self._dev, self._batch = trainee, dev, batch
        self._total, self._epochs, self._tokens = total, epochs, 0

    def start(self) -> None:
        self._since = self._now()

    def step(self, step: int, loss: float, learning_rate: float, tokens: int, seconds: float) -> None:
        now = self._now()
        self.outcome.seconds += now - self._since
        self._since = now
        self._tokens += tokens
        self.outcome.tokens_per_second = self._tokens / self.outcome.seconds
        self.outcome.examples = min(step * self._batch, self._total * self._epochs)

    def evaluate(self, step: int) -> tuple[dict[str, float], bool]:
        loss = self._trainee.loss_of(self._dev)
        self.outcome.curve.append((self.outcome.examples, self.outcome.seconds, loss))
        self.start()
        return {}, False

    def note(self, message: str) -> None:
        print(message)


def train(
    name: str, args: SftArguments, learned: Sequence[Conversation], dev: Sequence[Conversation], folder: str, busy: bool
) -> Outcome:
    """One recipe, in this process."""
    from training.pairs.template import Template
    from training.records.runs import peak_memory
    from training.tuning.lora import Trainee
    from training.tuning.lora_trainer import LoraTrainer

    yardstick = Template(args.base)
    every = max(1, len(learned) // (args.batch * MEASURES))
    args = replace(args, length=LENGTH, evaluate_every=every, checkpoint_every=1_000_000)
    trainee = Trainee(args)
    measured = [yardstick.encode(conversation) for conversation in dev]
    clock = _Clock(trainee, measured, args.batch, len(learned), args.epochs, busy)
    trainer = LoraTrainer(trainee, args, [trainee.template.encode(one) for one in learned], Path(folder) / name, clock)
    before = trainee.loss_of(measured)
    clock.start()
    trainer.run()
    saved = Path(folder) / f"{name}-adapter"
    trainee.save(saved)
    outcome = clock.outcome
    outcome.recipe = name
    outcome.curve.insert(0, (0, 0.0, before))
    outcome.peak_memory = peak_memory(trainee.device)
    outcome.adapter_bytes = sum(path.stat().st_size for path in saved.glob("adapter_*"))
    return outcome


def conversations(examples: Sequence[Example], passages: dict[str, list[str]], base: Path) -> list[Conversation]:
    """As both recipes read them: with the passages that fit, the best at least; what does not fit is left out."""
    from training.pairs.conversations import fit
    from training.pairs.template import Template

    template = Template(base)
    made: list[Conversation] = []
    for example in examples:
        asked = grounded(example.question, passages.get(example.question, []))
        whole = [*asked, Message(role="assistant", content=example.answer)]
        try:
            made.append(fit(whole, lambda turns: len(template.encode(turns).ids), LENGTH))
        except TrainingError:
            continue
    return made


def retrieved(questions: Sequence[str]) -> dict[str, list[str]]:
    """What the shipped books hold on each question, as the tutor finds it."""
    from bot.cli.common import load_settings
    from bot.cli.workbench import retrieved as found

    return asyncio.run(found(load_settings(), questions))


def pace(name: str, threads: int) -> SftArguments:
    made = recipe(name, threads=threads, device="cpu").sft
    assert made is not None  # both recipes have the section
    return made


def table(classic: Outcome, ours: Outcome) -> str:
    """In Markdown."""
    rows = [
        (
            "examples a second",
            *(f"{one.per_second:.1f}" for one in (classic, ours)),
            ours.per_second / classic.per_second,
        ),
        ("tokens a second", *(f"{one.tokens_per_second:,.0f}" for one in (classic, ours)), None),
        ("lowest dev loss, nats a token", *(f"{one.best:.3f}" for one in (classic, ours)), None),
    ]
    goal = classic.best
    slow, fast = classic.reached(goal), ours.reached(goal)
    if slow and fast:
        rows.append((f"examples to a dev loss of {goal:.3f}", f"{slow[0]}", f"{fast[0]}", slow[0] / fast[0]))
        rows.append((f"seconds to a dev loss of {goal:.3f}", f"{slow[1]:.0f}", f"{fast[1]:.0f}", slow[1] / fast[1]))
    rows.append(("peak memory, MB", *(f"{one.peak_memory / 1e6:.0f}" for one in (classic, ours)), None))
    rows.append(("adapter, MB", *(f"{one.adapter_bytes / 1e6:.2f}" for one in (classic, ours)), None))
    lines = [f"| | {classic.recipe} | {ours.recipe} | times |", "|---|---|---|---|"]
    lines += [f"| {name} | {old} | {new} | {f'{times:.1f}' if times else ''} |" for name, old, new, times in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--subject", default="science")
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--closed-book", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    threads = 1 if asked.busy else asked.threads
    pairs = [example for example in read(DATA / "qa") if not asked.subject or example.subject == asked.subject]
    rng = random.Random(7)
    learned = of_split(pairs, "train")
    learned = rng.sample(learned, min(asked.examples, len(learned)))
    dev = of_split(pairs, "dev")
    dev = rng.sample(dev, min(DEV, len(dev)))
    passages = {} if asked.closed_book else retrieved([example.question for example in [*learned, *dev]])
    base = pace("adapter-cpu", threads).base
    train_set, dev_set = conversations(learned, passages, base), conversations(dev, passages, base)
    print(f"{len(train_set)} conversations to learn, {len(dev_set)} to measure", flush=True)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for name in RECIPES:
            began = time.perf_counter()
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # peak memory is a process's own
                outcomes.append(pool.apply(train, (name, pace(name, threads), train_set, dev_set, folder, asked.busy)))
            print(f"{name}: {time.perf_counter() - began:.0f} s in all", flush=True)
    if asked.json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(outcome) for outcome in outcomes]))
    else:
        print(table(*outcomes))
        for outcome in outcomes:
            print(outcome.recipe, " ".join(f"{examples}:{loss:.3f}" for examples, _, loss in outcome.curve))


if __name__ == "__main__":
    main()
