"""The arguments of a fine-tuning run. Imports no torch, so that a recipe can be read quickly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.adapters import GENERAL, adapter_id
from training.errors import RecipeError

_CHOICES = {
    "precision": ("auto", "float32", "bfloat16"),
    "device": ("auto", "cpu", "cuda"),
    "attention": ("auto", "sdpa", "flash"),
    "batching": ("grouped", "packed", "padded"),
    "report_to": ("", "tensorboard", "wandb"),
}


@dataclass(frozen=True, slots=True)
class SftArguments:
    """One fine-tuning run. Raises RecipeError when the arguments contradict each other.

    base:           folder of the base model
    adapters:       the root folder that receives the adapter under its id
    runs:           the folder of run folders (record, checkpoints); None: `runs` beside `adapters`
    subject, language: what the adapter is for; "general" serves every subject that has none of its own
    rank, alpha, dropout: of the LoRA matrices; their product is scaled by alpha / rank
    rslora:         scale by alpha / sqrt(rank) instead (Kalajdzievski 2023): for high ranks
    dora:           learn each weight's magnitude apart (Liu et al. 2024); an adapter to be served merged, as ours are
    quantised:      keep the base model in 4 bits (QLoRA, Dettmers et al. 2023); needs an NVIDIA GPU
    learning_rate, weight_decay: AdamW; a warm-up, then a cosine to zero
    warmup:         below 1 a share of all steps, else that many steps
    epochs, batch:  how often every example is learned, and how many a step
    accumulation:   in how many parts a step's batch is read, one after the other, so that it takes less memory;
                    doubled by itself when memory runs out
    length:         longest prompt and answer in tokens; 0: what the base model can read
    batching:       grouped: examples of like length together, padded to the longest of their part; packed: several one
                    after the other in a row of `length`, none sees another; padded: each cut or padded to `length`
    answer_only:    learn the answer; false: the prompt too
    gradient_checkpointing: compute activations twice instead of keeping them: less memory, a third slower
    attention:      sdpa (torch's own, with its flash kernel on a GPU); flash: the package flash-attn; auto: sdpa
    evaluate_every: steps from one evaluation on the dev split to the next; 0: at the end of each epoch
    patience:       evaluations in a row without a better dev loss that end the run; 0: never
    validation:     share of the train split that is held out where the data has no dev split; 0: none
    measured:       conversations of a held-out split that the loss is measured on; 0: all of them
    samples:        held-out questions that are answered before the run and at each evaluation
    checkpoint_every: steps from which a killed run goes on at most that far back; each evaluation makes one too
    report_to:      "tensorboard" or "wandb" as well as the record; "": the record alone
    unanswerable:   share of extra examples whose passages belong to another question; the answer is that line which
                    says so
    from_passages:  learn of an answer only what the passages hold, and take it from them where they do not hold it:
                    for small models, which learn to make things up otherwise
    precision:      float32; bfloat16 (weights of the base and arithmetic; the adapter and its optimiser stay in
                    float32); auto: bfloat16 where the processor or accelerator has it
    device:         cpu, cuda or auto
    threads:        processor threads; 0 leaves torch's own choice
    """

    base: Path
    adapters: Path
    runs: Path | None = None
    subject: str = GENERAL
    language: str = "en"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rslora: bool = False
    dora: bool = False
    quantised: bool = False
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    epochs: int = 6
    batch: int = 8
    accumulation: int = 1
    length: int = 0
    batching: str = "grouped"
    answer_only: bool = True
    gradient_checkpointing: bool = False
    attention: str = "auto"
    evaluate_every: int = 0
    patience: int = 2
    validation: float = 0.1
    measured: int = 128
    samples: int = 3
    checkpoint_every: int = 50
    report_to: str = ""
    unanswerable: float = 0.1
    from_passages: bool = False
    precision: str = "auto"
    device: str = "auto"
    seed: int = 7
    threads: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.alpha, self.epochs, self.batch, self.accumulation, self.checkpoint_every) < 1:
            raise RecipeError("rank, alpha, epochs, batch, accumulation and checkpoint_every must be 1 or more")
        if self.learning_rate <= 0 or min(self.warmup, self.weight_decay) < 0:
            raise RecipeError("learning_rate must be positive, warmup and weight_decay 0 or more")
        if min(self.threads, self.length, self.evaluate_every, self.patience, self.measured, self.samples) < 0:
            raise RecipeError("threads, length, evaluate_every, patience, measured and samples must be 0 or more")
        if not (0 <= self.dropout < 1 and 0 <= self.unanswerable <= 1 and 0 <= self.validation < 1):
            raise RecipeError("dropout and validation must lie in 0..1 (1 excluded), unanswerable in 0..1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                said = ", ".join(choice or '""' for choice in choices)
                raise RecipeError(f"{name} must be one of {said}, not {getattr(self, name)!r}")
        self._agree()

    def _agree(self) -> None:
        """Raise RecipeError for arguments that are right alone and wrong together."""
        if self.accumulation > self.batch:
            raise RecipeError(f"a batch of {self.batch} cannot be read in {self.accumulation} parts")
        if self.batching == "padded" and not self.length:
            raise RecipeError('batching "padded" needs a length to pad to')
        if self.quantised and self.device == "cpu":
            raise RecipeError("quantised (4 bits) needs an NVIDIA GPU: set device to cuda, or quantised to false")
        try:
            adapter_id(self.subject, "0" * 64)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    def recorded(self) -> dict[str, Any]:
        """What the card keeps of them: everything but where this machine has its folders."""
        return {name: value for name, value in asdict(self).items() if name not in {"base", "adapters", "runs"}}

    def warmup_steps(self, steps: int) -> int:
        return round(self.warmup * steps) if self.warmup < 1 else round(self.warmup)
