"""Every exception of this package.

RagError
├── TextbookError        one textbook file cannot be used: which line, why, and what to do
├── EmbeddingMismatch    the index was made by another embedding model
├── IndexInUse           another process has the embedded index open
├── IndexUnavailable     the Chroma server does not answer
└── EmbeddingUnavailable the embedding model cannot be loaded
"""

from __future__ import annotations

from pathlib import Path


class RagError(Exception):
    """The root of what `rag` raises on purpose."""


class TextbookError(RagError):
    """A malformed textbook. `line` counts from 1; 0 means the file as a whole."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        place = f"{path}, line {line}" if line else str(path)
        super().__init__(f"{place}: {why}")
        self.path = path
        self.line = line
        self.why = why


class EmbeddingMismatch(RagError):
    """The index holds vectors of another model, so its neighbours would be wrong without an error."""

    def __init__(self, made_by: str, configured: str) -> None:
        super().__init__(
            f"The textbook index was made with the embedding model {made_by}, but {configured} is configured. "
            "Run `sahpathi textbooks reindex`, or set the embedding model back."
        )


class IndexInUse(RagError):
    """Embedded Chroma is not safe across processes; `pid` is the process that holds it, None when unknown."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The textbook index in {path} is in use by {holder}. Stop that process first, or run a Chroma server "
            "and set SAHPATHI_CHROMA_URL for every process."
        )
        self.path = path
        self.pid = pid


class IndexUnavailable(RagError):
    """The Chroma server cannot be reached, or is not one."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"No Chroma server answers at {url}. Start one with `chroma run`, or unset SAHPATHI_CHROMA_URL to keep "
            "the index in this process."
        )


class EmbeddingUnavailable(RagError):
    """The embedding model is missing or broken."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"The embedding model {name} cannot be loaded: {why}. Use all-MiniLM-L6-v2, which comes with the "
            "installation, or give the folder of a downloaded sentence-transformers model."
        )
