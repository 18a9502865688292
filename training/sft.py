"""Fine-tunes a LoRA adapter on question-answer pairs with TRL and PEFT, on prompts built exactly as at serving time."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.adapters import GENERAL, AdapterCard, Shelf, adapter_id, model_sha256, write_card
from training.conversations import Retrieve, build
from training.data import Example, dataset_sha256, of_split
from training.errors import RecipeError, TrainingError
from training.progress import OnProgress, reporting

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SftArguments:
    """One fine-tuning run. Raises RecipeError when the arguments contradict each other.

    base:           folder of the base model
    adapters:       the root folder that receives the adapter under its id
    subject, language: what the adapter is for; "general" serves every subject that has none of its own
    rank, alpha, dropout: of the LoRA matrices; their product is scaled by alpha / rank
    rslora:         scale by alpha / sqrt(rank) instead (Kalajdzievski 2023): for high ranks
    learning_rate, warmup, weight_decay, epochs, batch: AdamW; warm-up as a share of all steps, then a cosine to zero
    unanswerable:   share of extra examples whose passages belong to another question; the answer is that line which
                    says so
    precision:      float32; bfloat16 (autocast); auto: bfloat16 where the processor or accelerator has it
    device:         cpu, cuda or auto
    threads:        processor threads; 0 leaves torch's own choice
    """

    base: Path
    adapters: Path
    subject: str = GENERAL
    language: str = "en"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rslora: bool = False
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    epochs: int = 6
    batch: int = 8
    unanswerable: float = 0.1
    precision: str = "auto"
    device: str = "auto"
    seed: int = 7
    threads: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.alpha, self.epochs, self.batch, self.learning_rate) <= 0 or self.threads < 0:
            raise RecipeError("rank, alpha, epochs, batch and learning_rate must be positive, threads 0 or more")
        if not (0 <= self.dropout < 1 and 0 <= self.warmup < 1 and 0 <= self.unanswerable <= 1):
            raise RecipeError("dropout and warmup must lie in 0..1 (1 excluded), unanswerable in 0..1")
        if self.precision not in {"auto", "float32", "bfloat16"} or self.device not in {"auto", "cpu", "cuda"}:
            raise RecipeError("precision must be auto, float32 or bfloat16; device must be auto, cpu or cuda")
        try:
            adapter_id(self.subject, "0" * 64)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    def recorded(self) -> dict[str, Any]:
        """What the card keeps of them: everything but where this machine has its folders."""
        return {name: value for name, value in asdict(self).items() if not isinstance(value, Path)}


def sft(
    args: SftArguments, examples: Sequence[Example], retrieve: Retrieve, on_progress: OnProgress | None = None
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    Its card's scores are the loss on the held-out answers (test split, else dev) without and with the adapter, where
    there are such. Examples for which nothing is retrieved are left out and counted in the log: the tutor would not ask
    the model. Without `on_progress` a progress bar is drawn. Raises TrainingError.
    """
    from training.lora import Trainee

    learned = of_split(examples, "train")
    conversations = build(learned, retrieve, unanswerable=args.unanswerable, seed=args.seed)
    if not conversations:
        raise TrainingError("there is nothing to train on: no example of the train split has passages to answer from")
    held_out = build(of_split(examples, "test") or of_split(examples, "dev"), retrieve)
    trainee = Trainee(args)
    scores = {"held_out_loss_base": trainee.loss(held_out)} if held_out else {}
    began = time.perf_counter()
    with reporting("Fine-tuning", trainee.steps(len(conversations)), on_progress) as report:
        trainee.train(conversations, report)
    logger.info("trained on %d conversations in %.0f s", len(conversations), time.perf_counter() - began)
    if held_out:
        scores["held_out_loss"] = trainee.loss(held_out)
    return _place(args, trainee, scores, learned)


def _place(args: SftArguments, trainee: Any, scores: dict[str, float], learned: Sequence[Example]) -> AdapterCard:
    """Save, write the card, and move the finished folder into the root in one step."""
    args.adapters.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=args.adapters, prefix=".unfinished-"))
    try:
        base_sha256 = model_sha256(args.base)
        trainee.save(unfinished)
        _neutralise(unfinished, f"sahpathi-base-{base_sha256[:12]}")
        write_card(
            unfinished,
            subject=args.subject,
            base_sha256=base_sha256,
            dataset_sha256=dataset_sha256(learned),
            recipe=args.recorded(),
            scores=scores,
            examples=len(learned),
            language=args.language,
        )
        return Shelf(args.adapters).add(unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _neutralise(folder: Path, base: str) -> None:
    """Leave the two files an adapter consists of, readable by all, with no path of this machine in them."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        if path.name not in {"adapter_config.json", "adapter_model.safetensors"}:
            path.unlink()  # a README full of placeholders, and training_args.bin, which is a pickle
        else:
            path.chmod(0o644)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])  # a set: its order would change the adapter's hash
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
