"""A cross-encoder, by name: it reads question and passage together, which orders better and costs more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.errors import EmbeddingUnavailable
from rag.passage import Passage

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

READ = 12  # passages: beyond them the order stays


class Reranker:
    """Loads its model on first use. Not thread-safe: it shares the retriever's thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._model: CrossEncoder | None = None

    def order(self, question: str, passages: Sequence[Passage]) -> list[Passage]:
        """The first READ passages by what the model makes of them, best first, then the others as they were.

        Their `score` stays the relevance. Raises EmbeddingUnavailable.
        """
        read, rest = list(passages[:READ]), list(passages[READ:])
        if len(read) < 2:
            return [*read, *rest]
        marks = self._loaded().predict([(question, passage.text) for passage in read], show_progress_bar=False)
        order = sorted(range(len(read)), key=lambda place: -float(marks[place]))
        return [*(read[place] for place in order), *rest]

    def _loaded(self) -> CrossEncoder:
        if self._model is None:
            from sentence_transformers import CrossEncoder

            try:
                self._model = CrossEncoder(self.name, device="cpu", num_labels=1)
            except (OSError, ValueError, KeyError) as error:
                raise EmbeddingUnavailable(self.name, str(error).strip().partition("\n")[0]) from error
        return self._model
