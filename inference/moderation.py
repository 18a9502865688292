"""What kind of message a text is: by what it means, and by the letters it is written with.

Meaning is read by a small encoder with a LoRA adapter and a linear layer on top; it knows English, and is given Hindi
word by word in English. Letters are read by a linear model (`inference.ngrams`), as they were written. The two are
added: where a word is in no dictionary, the letters still know it, and where a spelling is new, the meaning does.

The encoder is the embedding model's; its weights stay in their package. A folder holds what was learned beyond them:
`adapter.safetensors` (the LoRA matrices by layer, and the layer on top), `ngrams.safetensors`, and `moderation.json`
(labels and lengths). None of them can execute code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModerationRefused
from inference.ngrams import NGRAMS, NgramModel

if TYPE_CHECKING:
    import torch

WEIGHTS, CARD = "adapter.safetensors", "moderation.json"
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"

Scores = NDArray[np.float32]


class Worded(NamedTuple):
    """A text as the encoder reads it, in English, and as it was spelled, in Latin letters."""

    english: str
    spelled: str


@dataclass(frozen=True, slots=True)
class ModerationCard:
    """What is needed to use the weights. `scale` multiplies each LoRA product; lengths are in tokens.

    `spelling` is how much the letters count beside the meaning.
    """

    encoder: str
    labels: tuple[str, ...]
    scale: float
    window: int = 128
    windows: int = 4
    spelling: float = 0.5

    @property
    def groups(self) -> tuple[str, ...]:
        """What is before the dot of the labels, each once, in their order."""
        return tuple(dict.fromkeys(label.partition(".")[0] for label in self.labels))

    @classmethod
    def load(cls, path: Path) -> ModerationCard:
        """Raises ModerationRefused when the file is missing or malformed."""
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**raw, "labels": tuple(raw["labels"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModerationRefused(f"{path}: no card of a moderation model ({error})") from error

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


class Moderator:
    """Scores texts. Not thread-safe: one thread calls it."""

    def __init__(
        self, card: ModerationCard, encoder: Any, tokenizer: Any, head: torch.nn.Linear, letters: NgramModel
    ) -> None:
        self.card = card
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._head = head
        self._letters = letters
        self._group = [card.groups.index(label.partition(".")[0]) for label in card.labels]

    @classmethod
    def load(cls, folder: Path, encoder: Path, *, threads: int = 1) -> Moderator:
        """The encoder of `encoder` with what `folder` adds to it. Raises ModerationRefused."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(threads)
        card = ModerationCard.load(folder / CARD)
        letters = NgramModel.load(folder / NGRAMS)
        if len(letters.bias) != len(card.groups):
            raise ModerationRefused(f"{folder}: {NGRAMS} and {CARD} are not of one model")
        try:
            learned = load_file(folder / WEIGHTS)
            tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
            model = AutoModel.from_pretrained(encoder, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError, SafetensorError) as error:
            raise ModerationRefused(f"{folder}: the moderation model cannot be loaded ({error})") from error
        head = torch.nn.Linear(learned[HEAD_WEIGHT].shape[1], len(card.labels))
        with torch.no_grad():
            head.weight.copy_(learned.pop(HEAD_WEIGHT))
            head.bias.copy_(learned.pop(HEAD_BIAS))
            _merge(model, learned, card.scale, folder)
        if multiplies_bfloat16():
            model = model.bfloat16()
        return cls(card, model.eval(), tokenizer, head.eval(), letters)

    def scores(self, texts: Sequence[Worded]) -> Scores:
        """The probability of each label for each text: shape (n, labels), rows add up to 1.

        Of a long text the encoder reads windows, and its most alarming one counts: the one least like the first label.
        """
        import torch

        if not texts:
            return np.zeros((0, len(self.card.labels)), dtype=np.float32)
        meant = self._meant([text.english for text in texts])
        spelled = self._letters.logits([text.spelled for text in texts])[:, self._group]
        found: Scores = torch.softmax(torch.from_numpy(meant + self.card.spelling * spelled), dim=-1).numpy()
        return found

    def _meant(self, texts: Sequence[str]) -> Scores:
        """The encoder's logits for each text, of its most alarming window."""
        import torch

        owners, windows = [], []
        for owner, text in enumerate(texts):
            for ids in self.windows(text):
                owners.append(owner)
                windows.append(ids)
        batch = self._tokenizer.pad({"input_ids": windows}, return_tensors="pt")
        with torch.inference_mode():
            logits = self._head(pooled(self._encoder, batch).float())
            found, harmless = logits.numpy(), torch.softmax(logits, dim=-1)[:, 0].tolist()
        most: dict[int, int] = {}
        for place, owner in enumerate(owners):
            if owner not in most or harmless[place] < harmless[most[owner]]:
                most[owner] = place
        chosen: Scores = found[[most[owner] for owner in range(len(texts))]]
        return chosen

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    def knows(self, word: str) -> bool:
        """Whether the encoder has a piece of its own for a word, as it has for common English ones."""
        return len(self._tokenizer.tokenize(word)) == 1

    def windows(self, text: str) -> list[list[int]]:
        return windows(self._tokenizer, text, self.card.window, self.card.windows)


def windows(tokenizer: Any, text: str, length: int, most: int) -> list[list[int]]:
    """The text's tokens in windows of at most `length`, with the marks of a beginning and an end: the first ones and
    the last, at most `most`. What stands between is skipped: an instruction is put at an end to be obeyed."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    inner = length - 2
    pieces = [ids[start : start + inner] for start in range(0, max(len(ids), 1), inner)]
    if len(pieces) > most:
        pieces = [*pieces[: most - 1], ids[-inner:]]
    return [[tokenizer.cls_token_id, *piece, tokenizer.sep_token_id] for piece in pieces]


def pooled(encoder: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The mean of the last layer over each text's tokens: shape (n, hidden)."""
    states = encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    kept = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
    mean: torch.Tensor = (states * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1.0)
    return mean


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; others emulate it, slowly."""
    import torch

    known = torch.cpu.get_capabilities()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16"))


def _merge(model: Any, learned: Mapping[str, torch.Tensor], scale: float, folder: Path) -> None:
    """Add each product of LoRA's two matrices to the weight it belongs to: W + scale · B A (Hu and others, 2021)."""
    modules = dict(model.named_modules())
    for name in sorted({key.rpartition(".lora_")[0] for key in learned}):
        try:
            weight = modules[name].weight
            weight += scale * (learned[f"{name}.lora_B"].float() @ learned[f"{name}.lora_A"].float())
        except (KeyError, AttributeError, RuntimeError) as error:
            raise ModerationRefused(f"{folder}: {name} does not fit the encoder ({error})") from error
