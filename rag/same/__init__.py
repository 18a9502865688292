"""Whether two questions mean the same: read (`Reader`), compared (`compare`), and found among many (`Known`)."""

from __future__ import annotations

from rag.same.compare import Differ, Met, compare
from rag.same.known import Known, Threshold
from rag.same.reading import Asked, Reader

__all__ = ["Asked", "Differ", "Known", "Met", "Reader", "Threshold", "compare"]
