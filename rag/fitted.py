"""The two scores that are fitted on questions: whether the books answer at all, and whether a quote does.

They belong to the books and the embedding model they were fitted with, so they are stored with the index; the shipped
ones stand in `data/retrieval`. `sahpathi evaluate retrieval --split dev --fit` makes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rag.answerable import UNFITTED as UNFITTED_ANSWERABLE
from rag.answerable import Answerable
from rag.certainty import Certainty


@dataclass(frozen=True, slots=True)
class Fitted:
    """What tells an absent answer, and what says how sure a quote is."""

    answerable: Answerable
    certainty: Certainty

    def dumps(self) -> str:
        return json.dumps({"answerable": self.answerable.as_named(), "certainty": self.certainty.as_named()}, indent=1)

    @classmethod
    def loads(cls, text: str) -> Fitted:
        """Raises ValueError for what was fitted by another version."""
        values = json.loads(text)
        try:
            return cls(Answerable.named(values["answerable"]), Certainty.named(values["certainty"]))
        except (TypeError, KeyError) as error:
            raise ValueError("no fitted scores") from error

    @classmethod
    def load(cls, path: Path) -> Fitted:
        """Raises OSError, ValueError."""
        return cls.loads(path.read_text(encoding="utf-8"))


UNFITTED = Fitted(UNFITTED_ANSWERABLE, Certainty.unfitted())
