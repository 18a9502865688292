"""What is exported: a base model and one of its adapters, both verified, and the two as one model."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf, model_sha256
from inference.prompt import PLAIN_TEMPLATE
from inference.weights import load_base, local_folder
from training.errors import ExportError

if TYPE_CHECKING:
    from peft import PeftModel

CURRENT = "current"  # the promoted general adapter
BASE = "base"  # none: the base model as it is

# As model hubs want it in a README, and as ours say it.
_LICENCE = re.compile(r"^(?:license: *|\*\*Licence\.\*\* *)(.+?)(?:, |\. |\.?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A base model's folder and the adapter to merge into it. `licence` is "" where the base's README names none."""

    base: Path
    base_sha256: str
    card: AdapterCard | None
    adapter: Path | None
    licence: str

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"sahpathi-{self.card.id if self.card else self.base_sha256[:12]}"

    def about(self) -> dict[str, str]:
        """Where it comes from, as every export tells."""
        return {
            "name": self.name,
            "adapter": self.card.id if self.card else "",
            "adapter_sha256": self.card.sha256 if self.card else "",
            "base_sha256": self.base_sha256,
            "dataset_sha256": self.card.dataset_sha256 if self.card else "",
            "licence": self.licence,
        }


def find(base: Path | str, shelf: Shelf, adapter: str = CURRENT) -> Source:
    """Look up and verify a base model and an adapter: its id, "current" or "base".

    Raises ModelMissing, AdapterRefused for an unknown or altered adapter or one of another base model, and ExportError
    when none is promoted.
    """
    folder = local_folder(base)
    sha256 = model_sha256(folder)
    card = None
    if adapter == CURRENT:
        card = shelf.current()
        if card is None:
            raise ExportError("no general adapter is promoted: name one with --adapter, or export --adapter base")
    elif adapter != BASE:
        card = shelf.find(adapter)
    if card is not None:
        shelf.verify(card, sha256)
    return Source(folder, sha256, card, shelf.folder(card.id) if card else None, _licence(folder))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The base model in float32 with its adapter beside it, not yet merged, and the tokenizer."""

    model: Any
    tokenizer: Any
    dtype: str  # what the base model's files are stored in, such as "bfloat16"


def load(source: Source) -> Loaded:
    """Read the weights. Raises ModelMissing, and ExportError for an adapter that PEFT cannot read."""
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    stored = AutoConfig.from_pretrained(source.base, local_files_only=True).dtype
    model, _ = load_base(source.base, "float32", "cpu")
    tokenizer = AutoTokenizer.from_pretrained(source.base, local_files_only=True)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE  # as the engine does
    if source.adapter is not None:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings(
                    "ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning
                )  # PEFT's use
                model = PeftModel.from_pretrained(model, str(source.adapter), torch_device="cpu").eval()
        except (RuntimeError, ValueError, KeyError) as error:
            raise ExportError(f"{source.adapter} does not fit the base model ({error}); train it anew") from error
    return Loaded(model, tokenizer, str(stored).removeprefix("torch.") if stored else "float32")


def merge(model: PeftModel | Any) -> Any:
    """One model of base and adapter, float32: the sum is rounded once, when it is written. `model` is used up."""
    return model.merge_and_unload(safe_merge=True).eval() if hasattr(model, "merge_and_unload") else model


def _licence(folder: Path) -> str:
    readme = folder / "README.md"
    found = _LICENCE.search(readme.read_text(encoding="utf-8")) if readme.is_file() else None
    return found.group(1).strip() if found else ""
