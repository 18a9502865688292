"""Fine-tunes a LoRA adapter on question-answer pairs with TRL and PEFT, on prompts built exactly as at serving time.

A run has a folder with its record (training.records.record) and its checkpoints. A run that was stopped, by whatever,
goes on when it is started again with the same arguments and data, and ends with the same adapter as one that was not.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inference.adapters import AdapterCard, model_sha256
from inference.generation import Message
from training.errors import TrainingError
from training.pairs.conversations import Retrieve, build
from training.pairs.data import Example, dataset_sha256, of_split
from training.promotion.placing import place
from training.records.progress import OnProgress, reporting
from training.records.record import OnEvent, Record, Started, now, read
from training.records.runs import fingerprint, hardware, open_run
from training.tuning.judge import Judge
from training.tuning.sft_arguments import SftArguments

if TYPE_CHECKING:
    from training.pairs.template import Encoded
    from training.tuning.lora import Trainee
    from training.tuning.sft_run import SftRun

__all__ = ["SftArguments", "sft"]

logger = logging.getLogger(__name__)

_FEWEST = 2  # examples: of one alone nothing general can be learned

Conversation = list[Message]


@dataclass(frozen=True, slots=True)
class _Material:
    """What a run learns from and is measured on."""

    learned: Sequence[Example]
    train: Sequence[Conversation]
    dev: Sequence[Conversation]
    held_out: Sequence[Conversation]  # the test split; the dev split where there is none


def sft(
    args: SftArguments,
    examples: Sequence[Example],
    retrieve: Retrieve,
    on_progress: OnProgress | None = None,
    on_event: OnEvent | None = None,
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    The dev split (a share of the train split where there is none) chooses the best weights and ends the run when it no
    longer gains. The card's scores, as far as there are such splits: dev_loss and dev_loss_base, held_out_loss and
    held_out_loss_base (of the answers of the test split, else dev), best_step. Examples for which nothing is retrieved,
    or that the model cannot read even with one passage, are left out and counted in the log: the tutor would not ask
    the model. Without `on_progress` a progress bar is
    drawn; `on_event` gets every event of the record. Raises TrainingError.
    """
    material = _gather(args, examples, retrieve)
    from training.tuning.lora import Trainee

    trainee = Trainee(args)
    material = _that_fits(args, trainee, material)
    train = _encoded(args, trainee, material.train)
    dev = [trainee.encode(conversation) for conversation in material.dev]
    mark = fingerprint(
        args.recorded(),
        model_sha256(args.base),
        *([row for one in part for row in (one.ids, one.labels)] for part in (train, dev)),
    )
    with open_run(args.runs or args.adapters.parent / "runs", args.subject, mark, on_event) as record:
        return _recorded(args, material, trainee, train, dev, mark, record, on_progress)


def _gather(args: SftArguments, examples: Sequence[Example], retrieve: Retrieve) -> _Material:
    learned, dev = of_split(examples, "train"), of_split(examples, "dev")
    if len(learned) == 1:
        raise TrainingError(f"there is one example to train on; at least {_FEWEST} are needed, and 50 to gain much")
    if not dev:
        learned, dev = _split(learned, args.validation, args.seed)
    train = build(learned, retrieve, unanswerable=args.unanswerable, from_passages=args.from_passages, seed=args.seed)
    if not train:
        raise TrainingError("there is nothing to train on: no example of the train split has passages to answer from")
    held_out = of_split(examples, "test") or dev
    few = random.Random(args.seed)
    return _Material(
        learned,
        train,
        build(_some(few, dev, args.measured), retrieve, from_passages=args.from_passages),
        build(_some(few, held_out, args.measured), retrieve, from_passages=args.from_passages),
    )


def _split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Hold out a share, none where it does not come to one example."""
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    held = set(order[: int(share * len(examples))])
    return (
        [example for index, example in enumerate(examples) if index not in held],
        [example for index, example in enumerate(examples) if index in held],
    )


def _some(rng: random.Random, examples: Sequence[Example], most: int) -> Sequence[Example]:
    return rng.sample(examples, most) if 0 < most < len(examples) else examples


def _that_fits(args: SftArguments, trainee: Trainee, material: _Material) -> _Material:
    """What the model can read. Raises TrainingError where that is nothing of the train split."""
    train = material.train if args.batching == "padded" else _fitting(trainee, material.train)  # "padded" cuts
    if not train:
        raise TrainingError(f"there is nothing to train on: no example fits into {trainee.length} tokens")
    return replace(
        material, train=train, dev=_fitting(trainee, material.dev), held_out=_fitting(trainee, material.held_out)
    )


def _fitting(trainee: Trainee, conversations: Sequence[Conversation]) -> list[Conversation]:
    kept = []
    for conversation in conversations:
        with contextlib.suppress(TrainingError):
            trainee.encode(conversation)
            kept.append(conversation)
    if left_out := len(conversations) - len(kept):
        logger.warning("%d of %d left out: too long for the model even with one passage", left_out, len(conversations))
    return kept


def _encoded(args: SftArguments, trainee: Trainee, conversations: Sequence[Conversation]) -> list[Encoded]:
    if args.batching == "padded":  # the textbook cuts what is too long; the tutor gives the model fewer passages
        return [trainee.template.encode(conversation).cut(trainee.length) for conversation in conversations]
    return [trainee.encode(conversation) for conversation in conversations]


def _recorded(
    args: SftArguments,
    material: _Material,
    trainee: Trainee,
    train: Sequence[Encoded],
    dev: Sequence[Encoded],
    mark: str,
    record: Record,
    on_progress: OnProgress | None,
) -> AdapterCard:
    """The run, with an end in its record whatever ends it but a kill."""
    from training.tuning.lora_trainer import LoraTrainer
    from training.tuning.sft_run import SftRun

    before = read(record.folder)
    run = SftRun(trainee, record, Judge(args.patience), dev, material.dev[: args.samples], before)
    with run.ending():
        trainer = LoraTrainer(trainee, args, train, record.folder, run)
        if run.begin(lambda: _started(args, material, trainee, train, trainer.steps, mark)):
            _warn(args, material, run)
        with reporting("Fine-tuning", trainer.steps, on_progress) as report:
            run.start(trainer.steps, trainer.evaluated, report)
            trainer.run()
        return _placed(args, material, trainee, run, record)


def _warn(args: SftArguments, material: _Material, run: SftRun) -> None:
    if not material.dev:
        run.note("there is nothing to judge the run by: no dev split, and too few examples to hold some out")
    if args.dora:
        run.note("a DoRA adapter must be served merged, as `sahpathi` does; other servers may refuse it")


def _placed(
    args: SftArguments,
    material: _Material,
    trainee: Trainee,
    run: SftRun,
    record: Record,
) -> AdapterCard:
    """Choose the best weights, measure them on what is held out, and put the adapter on the shelf."""
    best_step = run.choose_best()
    scores = _scores(material, trainee, run, best_step)
    card = place(
        args.adapters,
        args.base,
        trainee.save,
        subject=args.subject,
        language=args.language,
        dataset_sha256=dataset_sha256(material.learned),
        recipe={**args.recorded(), "run": record.folder.name},
        scores=scores,
        examples=len(material.learned),
    )
    why = run.end(scores, best_step, card.id)
    logger.info("trained on %d conversations in %.0f s: %s", len(material.train), run.seconds, why)
    return card


def _scores(material: _Material, trainee: Trainee, run: SftRun, best_step: int) -> dict[str, float]:
    scores = {"best_step": float(best_step)}
    if run.base_loss is not None:
        scores |= {"dev_loss_base": run.base_loss, "dev_loss": run.judge.best_loss}
    if material.held_out:
        with trainee.model.disable_adapter():
            scores["held_out_loss_base"] = trainee.loss(material.held_out)
        scores["held_out_loss"] = trainee.loss(material.held_out)
    return scores


def _started(
    args: SftArguments, material: _Material, trainee: Trainee, train: Sequence[Encoded], steps: int, mark: str
) -> Started:
    learned = material.learned
    data = {
        "dataset_sha256": dataset_sha256(learned),
        "examples": len(learned),
        "conversations": len(material.train),
        "tokens": sum(len(one.ids) for one in train),
        "learned_tokens": sum(one.learned for one in train),
        "longest": max(len(one.ids) for one in train),
        "dev": len(material.dev),
        "test": len(material.held_out),
        "subjects": _counts(example.subject for example in learned),
        "languages": _counts(example.language for example in learned),
        "kinds": _counts(example.kind for example in learned),
    }
    machine = hardware(trainee.device, trainee.precision, trainee.attention)
    return Started(now(), "sft", args.subject, args.recorded(), machine, data, steps, mark)


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(value or "none" for value in values))
