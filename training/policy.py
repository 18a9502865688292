"""A base model with the LoRA adapter that preference training moves: the part that needs torch and PEFT.

Its reference, what it must not stray too far from, is the same model with the adapter as it was: TRL keeps a copy of
the adapter, named "ref", and switches to it. There is never a second copy of the base model in memory.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar

from inference.generation import Message
from training.conversations import fit
from training.errors import TrainingError
from training.lora import has_bfloat16, linear_layers
from training.policy_arguments import PolicyArguments
from training.progress import OnProgress, Progress
from training.template import IGNORED, Template

TRAINED = "default"  # PEFT's name of the adapter that is trained


class Policy:
    """The base model in float32 with a fresh adapter on every linear layer, or with the one in the folder `start`."""

    def __init__(self, args: PolicyArguments, start: Path | None = None) -> None:
        self._args = args
        if args.threads:
            torch.set_num_threads(args.threads)
        disable_progress_bar()
        disable_progress_bars()
        self.device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.template = Template(args.base)
        try:
            base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{args.base}: no base model there ({error}); make it with `sahpathi train`") from error
        self.context = int(base.config.get_text_config().max_position_embeddings)
        torch.manual_seed(args.seed)
        with _quiet():
            adapted = _fresh(base, args) if start is None else _from(base, args.base, start)
        self.model = adapted.to(self.device).eval()

    def settings(self, steps: int) -> dict[str, Any]:
        """What DPOConfig and GRPOConfig have in common, for a run of so many optimiser steps."""
        args = self._args
        return {
            "learning_rate": args.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": round(args.warmup * steps),
            "max_grad_norm": 1.0,
            "beta": args.beta,
            "seed": args.seed,
            "data_seed": args.seed,
            "gradient_checkpointing": False,  # TRL's default trades speed for memory that a small model does not need
            "bf16": args.precision == "bfloat16" or (args.precision == "auto" and has_bfloat16(self.device)),
            "use_cpu": self.device == "cpu",
            "dataloader_pin_memory": self.device != "cpu",
            "disable_dropout": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": [],
            "disable_tqdm": True,
        }

    def train(self, make: Callable[[Path], Any], steps: int, report: OnProgress) -> None:
        """Run the trainer that `make` builds around this model, given a folder for what it writes."""
        with tempfile.TemporaryDirectory(prefix="sahpathi-policy-") as scratch, _quiet():
            trainer = make(Path(scratch))
            trainer.add_callback(_Reporter(report, steps))
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        self.model.eval()

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
        asked, answered = self.template.prompt(prompt), self.answer_ids(prompt, answer)
        ids = torch.tensor([asked + answered], device=self.device)
        logits = self.model(input_ids=ids).logits[0, len(asked) - 1 : -1]
        return -float(torch.nn.functional.cross_entropy(logits.float(), ids[0, len(asked) :], reduction="sum"))

    @torch.no_grad()
    def answer(self, prompt: Sequence[Message], longest: int) -> str:
        """What the model says, greedily, in at most `longest` tokens."""
        ids = torch.tensor([self.template.prompt(prompt)], device=self.device)
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=self.template.tokenizer.pad_token_id,
        )
        return self.template.decode(written[0, ids.shape[1] :].tolist())

    def save(self, folder: Path) -> None:
        """Write the trained adapter, not the copy that was its reference, and the template of a base without one."""
        self.model.save_pretrained(str(folder), safe_serialization=True, selected_adapters=[TRAINED])
        if self.template.stored is not None:
            (folder / "chat_template.jinja").write_text(self.template.stored, encoding="utf-8")


def _fresh(base: Any, args: PolicyArguments) -> Any:
    layers = linear_layers(base)
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules=layers, task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def _from(base: Any, place: Path, folder: Path) -> Any:
    model = PeftModel.from_pretrained(base, str(folder), adapter_name=TRAINED, is_trainable=True)
    # Its file names the base by a hash. PEFT would look for that name on the hub when the adapter is saved.
    model.peft_config[TRAINED].base_model_name_or_path = str(place)
    return model


class _quiet(warnings.catch_warnings):  # noqa: N801  # used as a function
    """Without the FutureWarnings of PEFT's and TRL's own use of transformers."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.simplefilter("ignore", FutureWarning)
        return entered


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is untyped to mypy
    """Turns the trainer's log lines into Progress. Where there are rewards, the loss is what they fall short of 1."""

    def __init__(self, report: OnProgress, steps: int) -> None:
        self._report = report
        self._steps = steps
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            loss = 1 - float(logs["reward"]) if "reward" in logs else float(logs["loss"])
            speed = float(logs.get("num_tokens", 0.0)) / (time.perf_counter() - self._began)
            self._report(Progress(int(state.global_step), self._steps, loss, speed))
