"""A base model with the LoRA adapter that preference training moves: the part that needs torch and PEFT.

Its reference, what it must not stray too far from, is the same model with the adapter as it was: TRL keeps a copy of
the adapter, named "ref", and switches to it. There is never a second copy of the base model in memory.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import disable_progress_bars
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from inference.adapters import AdapterCard, model_sha256
from inference.generation import Message
from training.errors import TrainingError
from training.pairs.conversations import fit
from training.pairs.template import IGNORED, Template
from training.promotion.placing import place
from training.records.progress import OnProgress, reporting
from training.records.record import OnEvent, Record, Started, now, read
from training.records.runs import fingerprint, hardware, open_run
from training.tuning.judge import Judge
from training.tuning.lora import has_bfloat16, linear_layers
from training.tuning.policy_arguments import PolicyArguments
from training.tuning.sft_run import SftRun
from training.tuning.surviving import Surviving

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRAINED = "default"  # PEFT's name of the adapter that is trained
ANSWER = 64  # tokens of a sample answer at most


@dataclass(frozen=True, slots=True)
class Practice:
    """What one way of training does with a policy.

    method, title: its name in the record, and of the progress bar
    parts:     lists of token ids that tell this run's data from any other's
    data:      the data card, with dataset_sha256 and examples
    make:      the trainer, given the folder for its checkpoints and its follower
    dev:       what judges the run, as the policy's `loss_of` takes it; empty: nothing does
    in_nats:   whether that loss is one
    asked:     conversations of the dev split, whose questions are answered at each evaluation
    scores:    of the adapter's card, once the best weights are in place
    """

    method: str
    title: str
    parts: Sequence[Sequence[Sequence[int]]]
    data: Mapping[str, Any]
    make: Callable[[Path, SftRun], Surviving]
    dev: Sequence[Any]
    in_nats: bool
    asked: Sequence[Sequence[Message]]
    scores: Callable[[], Mapping[str, float]]


class Policy:
    """The base model in float32 with a fresh adapter on every linear layer, or with the one in the folder `start`.

    `loss_of` is what its run is judged by; a way of training sets it.
    """

    loss_of: Callable[[Sequence[Any]], float]

    def __init__(self, args: PolicyArguments, start: Path | None = None) -> None:
        self._args = args
        if args.threads:
            torch.set_num_threads(args.threads)
        disable_progress_bar()
        disable_progress_bars()
        self.device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        half = args.precision == "bfloat16" or (args.precision == "auto" and has_bfloat16(self.device))
        self.precision = "bfloat16" if half else "float32"
        self.template = Template(args.base)
        try:
            base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{args.base}: no base model there ({error}); make it with `sahpathi train`") from error
        self.context = int(base.config.get_text_config().max_position_embeddings)
        torch.manual_seed(args.seed)
        with quiet():
            adapted = _fresh(base, args) if start is None else _from(base, args.base, start)
        self.model = adapted.to(self.device).eval()

    def settings(self, steps: int) -> dict[str, Any]:
        """What DPOConfig and GRPOConfig have in common, for a run of so many optimiser steps."""
        args = self._args
        return {
            "num_train_epochs": 1,  # of the planned batches, which are all of ours
            "learning_rate": args.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": round(args.warmup * steps),
            "max_grad_norm": 1.0,
            "beta": args.beta,
            "seed": args.seed,
            "data_seed": args.seed,
            "gradient_checkpointing": False,  # TRL's default trades speed for memory that a small model does not need
            "bf16": self.precision == "bfloat16",
            "use_cpu": self.device == "cpu",
            "dataloader_pin_memory": False,
            "disable_dropout": True,
            "save_strategy": "no",  # training.tuning.surviving says when, and how
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "report_to": [],
            "disable_tqdm": True,
        }

    def fit(self, prompt: Sequence[Message], *answers: str, room: int = 0) -> list[Message]:
        """The prompt with as many passages as leave place for each answer and `room` more tokens, as at serving time.

        Raises TrainingError when it does not fit even with one.
        """
        longest = max(answers, key=lambda answer: len(self.answer_ids(prompt, answer)), default="")
        conversation = [*prompt, Message(role="assistant", content=longest)]
        return fit(conversation, lambda messages: len(self.template.encode(messages).ids), self.context - room)[:-1]

    def answer_ids(self, prompt: Sequence[Message], answer: str) -> list[int]:
        """The tokens of an answer to the prompt, with those that end it and not those that a next turn would bring."""
        encoded = self.template.encode([*prompt, Message(role="assistant", content=answer)])
        return [token for token in encoded.labels if token != IGNORED]

    @torch.no_grad()
    def log_probability(self, prompt: Sequence[Message], answer: str) -> float:
        """Of the whole answer with its end, in nats, with the adapter as it stands."""
        self.model.eval()
        asked, answered = self.template.prompt(prompt), self.answer_ids(prompt, answer)
        ids = torch.tensor([asked + answered], device=self.device)
        logits = self.model(input_ids=ids).logits[0, len(asked) - 1 : -1]
        return -float(torch.nn.functional.cross_entropy(logits.float(), ids[0, len(asked) :], reduction="sum"))

    @torch.no_grad()
    def answer(self, prompt: Sequence[Message], longest: int = ANSWER) -> str:
        """What the model says, greedily, in at most `longest` tokens."""
        self.model.eval()
        ids = torch.tensor([self.template.prompt(prompt)], device=self.device)
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=self.template.tokenizer.pad_token_id,
        )
        return self.template.decode(written[0, ids.shape[1] :].tolist())

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the trained adapter, in the processor's memory."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self._trained()}

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put back what `weights` gave."""
        for name, value in self._trained():
            value.copy_(weights[name])

    def save(self, folder: Path) -> None:
        """Write the trained adapter, not the copy that was its reference, and the template of a base without one."""
        self.model.save_pretrained(str(folder), safe_serialization=True, selected_adapters=[TRAINED])
        if self.template.stored is not None:
            (folder / "chat_template.jinja").write_text(self.template.stored, encoding="utf-8")

    def carry_out(self, practice: Practice, on_progress: OnProgress | None, on_event: OnEvent | None) -> AdapterCard:
        """Train, with a record; go on where the same run was stopped before. Raises TrainingError."""
        args = self._args
        mark = fingerprint(args.recorded(practice.method), model_sha256(args.base), *practice.parts)
        with open_run(args.runs or args.adapters.parent / "runs", args.subject, mark, on_event) as record:
            before = read(record.folder)
            run = SftRun(
                self, record, Judge(args.patience), practice.dev, practice.asked, before, in_nats=practice.in_nats
            )
            with run.ending():
                with quiet():
                    trainer = practice.make(record.folder, run)
                run.begin(lambda: self._started(practice, trainer.steps, mark))
                with reporting(practice.title, trainer.steps, on_progress) as report:
                    run.start(trainer.steps, trainer.evaluated, report)
                    trainer.run()
                return self._placed(practice, run, record)

    def _placed(self, practice: Practice, run: SftRun, record: Record) -> AdapterCard:
        """Choose the best weights, measure them on what is held out, and put the adapter on the shelf."""
        args = self._args
        best_step = run.choose_best()
        scores = practice.scores()
        card = place(
            args.adapters,
            args.base,
            self.save,
            subject=args.subject,
            language=args.language,
            dataset_sha256=practice.data["dataset_sha256"],
            recipe={**args.recorded(practice.method), "run": record.folder.name},
            scores=scores,
            examples=practice.data["examples"],
        )
        run.end(scores, best_step, card.id)
        return card

    def _started(self, practice: Practice, steps: int, mark: str) -> Started:
        args = self._args
        machine = hardware(self.device, self.precision, "sdpa")
        return Started(
            now(), practice.method, args.subject, args.recorded(practice.method), machine, practice.data, steps, mark
        )

    def _trained(self) -> list[tuple[str, torch.nn.Parameter]]:
        return [(name, value) for name, value in self.model.named_parameters() if f".{TRAINED}." in name]


def that_fit(material: Sequence[T], prompt: Callable[[T], object]) -> list[T]:
    """What the model can read: `prompt` raises TrainingError for what it cannot. The rest is counted in the log."""
    kept: list[T] = []
    for one in material:
        with contextlib.suppress(TrainingError):
            prompt(one)
            kept.append(one)
    if left_out := len(material) - len(kept):
        logger.warning("%d of %d left out: too long for the model even with one passage", left_out, len(material))
    return kept


def _fresh(base: Any, args: PolicyArguments) -> Any:
    layers = linear_layers(base)
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules=layers, task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def _from(base: Any, place: Path, folder: Path) -> Any:
    model = PeftModel.from_pretrained(base, str(folder), adapter_name=TRAINED, is_trainable=True)
    # Its file names the base by a hash. PEFT would look for that name on the hub when the adapter is saved.
    model.peft_config[TRAINED].base_model_name_or_path = str(place)
    return model


class quiet(warnings.catch_warnings):  # noqa: N801  # used as a function
    """Without the FutureWarnings of PEFT's and TRL's own use of transformers."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore", FutureWarning)
        return entered
