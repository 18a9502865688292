"""Vectors of the shipped textbooks, computed ahead, so that a first start does not have to wait for them.

A vector is found by the text it was made of, as the model was given it: what has changed since, in a chapter or in the
glossary that puts Hindi into English, is simply not found. Each is kept as signed bytes with one scale, at a cosine of
0.9999 to what the model gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.errors import EmbeddingUnavailable

if TYPE_CHECKING:
    from rag.embed import Vectors

KEYS, CODES, SCALES = "keys", "codes", "scales"
MODEL = "model"
LARGEST = 127.0

Keys = NDArray[np.uint64]


class Prepared:
    """Vectors by text. `keys` are sorted; `codes` has a row for each, and `scales` what a row is multiplied by."""

    def __init__(self, keys: Keys, codes: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        self._keys = keys
        self._codes = codes
        self._scales = scales

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def load(cls, path: Path, model: str) -> Prepared | None:
        """The file's vectors; None where they are another model's. Raises EmbeddingUnavailable for no such file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                if (file.metadata() or {}).get(MODEL) != model:
                    return None
                return cls(*(file.get_tensor(name) for name in (KEYS, CODES, SCALES)))
        except (OSError, SafetensorError) as error:
            raise EmbeddingUnavailable(model, f"{path} holds no prepared vectors ({error})") from error

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Vectors) -> Prepared:
        """From texts, as the model was given them, and their vectors, shape (n, dimension)."""
        keys, first = np.unique(_keys(texts), return_index=True)
        kept = vectors[first]
        scales = np.abs(kept).max(axis=1, initial=1e-12).astype(np.float32) / LARGEST
        return cls(keys, np.rint(kept / scales[:, np.newaxis]).astype(np.int8), scales)

    def save(self, path: Path, model: str) -> None:
        from safetensors.numpy import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({KEYS: self._keys, CODES: self._codes, SCALES: self._scales}, path, metadata={MODEL: model})
        path.chmod(0o644)  # safetensors writes 0600; the service may run under another account

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Vectors]:
        """Which of the texts are held, shape (n,), and the vectors of those, of length 1: shape (held, dimension)."""
        wanted = _keys(texts)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        held: NDArray[np.bool_] = self._keys[places] == wanted
        rows = places[held]
        vectors = self._codes[rows] * self._scales[rows, np.newaxis]
        return held, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _keys(texts: Sequence[str]) -> Keys:
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
