"""A base model with a LoRA adapter in training: the part of fine-tuning that needs torch, PEFT and TRL."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar
from trl import SFTConfig, SFTTrainer

from inference.generation import Message
from inference.prompt import CHAT_TEMPLATE
from training.conversations import fit
from training.errors import TrainingError
from training.progress import OnProgress, Progress

if TYPE_CHECKING:
    from training.sft import SftArguments


class Trainee:
    """The model in float32 with fresh LoRA matrices on every linear layer of attention and MLP."""

    def __init__(self, args: SftArguments) -> None:
        self._args = args
        if args.threads:
            torch.set_num_threads(args.threads)
        disable_progress_bar()
        disable_progress_bars()
        self.device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(args.base, local_files_only=True)
            base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{args.base}: no base model there ({error}); make it with `sahpathi train`") from error
        self.tokenizer.chat_template = CHAT_TEMPLATE  # it marks the assistant's words; few models' own templates do
        self.context = int(base.config.max_position_embeddings)
        torch.manual_seed(args.seed)
        config = LoraConfig(
            r=args.rank,
            lora_alpha=args.alpha,
            lora_dropout=args.dropout,
            use_rslora=args.rslora,
            target_modules=linear_layers(base),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)  # PEFT's use
            self.model = get_peft_model(base, config).to(self.device)

    def train(self, conversations: Sequence[Sequence[Message]], report: OnProgress) -> None:
        """Train on the assistant's words alone. `report` is called at every step."""
        fitted = [self._fit(conversation) for conversation in conversations]
        with tempfile.TemporaryDirectory(prefix="sahpathi-sft-") as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's own use of transformers
            trainer = SFTTrainer(
                model=self.model,
                args=self._config(Path(scratch), len(fitted)),
                train_dataset=Dataset.from_list([{"messages": conversation} for conversation in fitted]),
                processing_class=self.tokenizer,
                callbacks=[_Reporter(report, self.steps(len(fitted)))],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        self.model.eval()

    def steps(self, conversations: int) -> int:
        """Optimiser steps of a run."""
        return math.ceil(conversations / self._args.batch) * self._args.epochs

    @torch.no_grad()
    def loss(self, conversations: Sequence[Sequence[Message]]) -> float:
        """Mean loss in nats over all tokens of the answers, with the adapter as it stands."""
        self.model.eval()
        total, count = 0.0, 0
        for conversation in conversations:
            ids, learned = self._encode(self._fit(conversation))
            logits = self.model(input_ids=ids.unsqueeze(0)).logits[0, :-1]
            chosen = learned[1:]
            total += float(torch.nn.functional.cross_entropy(logits[chosen], ids[1:][chosen], reduction="sum"))
            count += int(chosen.sum())
        return total / count

    def save(self, folder: Path) -> None:
        """Write the adapter as safetensors."""
        self.model.save_pretrained(str(folder), safe_serialization=True)

    def _fit(self, conversation: Sequence[Message]) -> list[Message]:
        return fit(conversation, lambda messages: len(self._encode(messages)[0]), self.context)

    def _encode(self, conversation: Sequence[Message]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids, and which of them the assistant wrote. Both of shape (length,)."""
        encoded = self.tokenizer.apply_chat_template(
            list(conversation),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"verbose": False},
        )
        ids = torch.tensor(encoded["input_ids"], device=self.device)
        return ids, torch.tensor(encoded["assistant_masks"], device=self.device).bool()

    def _config(self, scratch: Path, conversations: int) -> SFTConfig:
        args = self._args
        return SFTConfig(
            output_dir=str(scratch),
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch,
            learning_rate=args.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=round(args.warmup * self.steps(conversations)),
            weight_decay=args.weight_decay,
            max_grad_norm=1.0,
            seed=args.seed,
            data_seed=args.seed,
            max_length=self.context,
            assistant_only_loss=True,
            gradient_checkpointing=False,  # TRL's default trades speed for memory that a small model does not need
            bf16=args.precision == "bfloat16" or (args.precision == "auto" and has_bfloat16(self.device)),
            use_cpu=self.device == "cpu",
            dataloader_pin_memory=self.device != "cpu",
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
        )


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is untyped to mypy
    """Turns the trainer's log lines into Progress."""

    def __init__(self, report: OnProgress, steps: int) -> None:
        self._report = report
        self._steps = steps
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            tokens = float(logs.get("num_tokens", 0.0))
            speed = tokens / (time.perf_counter() - self._began)
            self._report(Progress(int(state.global_step), self._steps, float(logs["loss"]), speed))


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is fast on this device: processors without the instructions emulate it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def linear_layers(model: Any) -> list[str]:
    """The names of the linear layers of attention and MLP, whatever the architecture calls them."""
    found = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    layers = sorted(found - {"lm_head", "embed_out", "score"})
    if not layers:
        raise TrainingError(f"{type(model).__name__} has no linear layers to put an adapter on")
    return layers
