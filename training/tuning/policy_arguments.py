"""What every run that goes on from a base model or an adapter is told: DPO and GRPO share it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.adapters import GENERAL, Shelf, adapter_id, model_sha256
from training.errors import RecipeError

_OF_THIS_MACHINE = frozenset({"base", "adapters", "runs"})


@dataclass(frozen=True, slots=True)
class PolicyArguments:
    """Raises RecipeError when the arguments contradict each other.

    base:           folder of the base model
    adapters:       the root folder that receives the adapter under its id
    runs:           the folder of run folders (record, checkpoints); None: `runs` beside `adapters`
    start:          id of the adapter to go on from; "" begins with a fresh one on the base model
    subject, language: what the adapter is for; "general" serves every subject that has none of its own
    rank, alpha:    of a fresh adapter's matrices, their product scaled by alpha / rank; an older one has its own
    learning_rate, warmup, batch: AdamW; warm-up as a share of all steps, then a cosine to zero
    beta:           how strongly the model is held to what it was at the start: the higher, the closer it stays
    evaluate_every: steps from one evaluation on the dev split to the next; 0: at the end of each epoch
    patience:       evaluations in a row without a better dev loss that end the run; 0: never
    measured:       of a held-out split, how many are measured; 0: all of them
    samples:        questions of the dev split that are answered before the run and at each evaluation
    checkpoint_every: steps from which a killed run goes on at most that far back; each evaluation makes one too
    precision:      float32; bfloat16 (autocast); auto: bfloat16 where the processor or accelerator has it
    device:         cpu, cuda or auto
    threads:        processor threads; 0 leaves torch's own choice
    """

    base: Path
    adapters: Path
    runs: Path | None = None
    start: str = ""
    subject: str = GENERAL
    language: str = "en"
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 1e-4
    warmup: float = 0.1
    batch: int = 8
    beta: float = 0.1
    evaluate_every: int = 0
    patience: int = 0
    measured: int = 128
    samples: int = 3
    checkpoint_every: int = 10
    precision: str = "auto"
    device: str = "auto"
    seed: int = 7
    threads: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.alpha, self.batch, self.learning_rate, self.checkpoint_every) <= 0:
            raise RecipeError("rank, alpha, batch, learning_rate and checkpoint_every must be positive")
        if min(self.threads, self.evaluate_every, self.patience, self.measured, self.samples) < 0:
            raise RecipeError("threads, evaluate_every, patience, measured and samples must be 0 or more")
        if not (0 <= self.warmup < 1 and self.beta >= 0):
            raise RecipeError("warmup must lie in 0..1 (1 excluded), and beta must not be negative")
        if self.precision not in {"auto", "float32", "bfloat16"} or self.device not in {"auto", "cpu", "cuda"}:
            raise RecipeError("precision must be auto, float32 or bfloat16; device must be auto, cpu or cuda")
        try:
            adapter_id(self.subject, "0" * 64)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    def recorded(self, method: str) -> dict[str, Any]:
        """What card and record keep of them: no folder of this machine, and no rank that was not used."""
        left_out = _OF_THIS_MACHINE | ({"rank", "alpha"} if self.start else {"start"})
        return {"method": method} | {name: value for name, value in asdict(self).items() if name not in left_out}

    def start_folder(self, shelf: Shelf) -> Path | None:
        """Where the adapter to start from lies, its hash checked; None for a fresh one. Raises AdapterRefused."""
        if not self.start:
            return None
        shelf.verify(shelf.find(self.start), model_sha256(self.base))
        return shelf.folder(self.start)
