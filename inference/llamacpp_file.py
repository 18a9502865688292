"""What a GGUF file says of itself: the few lines of its header that we need, without loading it.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian, version 2 or later.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from inference.errors import ModelMissing

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 28  # bytes of one value; more is a damaged file


@dataclass(frozen=True, slots=True)
class About:
    """`context` is the longest that the model was made for, in tokens. `adapter` is the id of the one merged in."""

    context: int
    adapter: str | None


def about(path: Path) -> About:
    """Read the header. Raises ModelMissing for what is no GGUF file."""
    try:
        with path.open("rb") as file:
            told = _header(file)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from None
    except (struct.error, ValueError, KeyError) as error:
        raise _unusable(path, f"this is no whole GGUF file ({error})") from None
    context = told.get(f"{told.get('general.architecture')}.context_length", 2048)
    return About(int(context), told.get("sahpathi.adapter") or None)  # "" of a base model


def _unusable(path: Path, reason: str) -> ModelMissing:
    return ModelMissing(f"{path}: {reason}. Make one with `sahpathi export gguf` and name it in SAHPATHI_MODEL__GGUF")


def _header(file: BinaryIO) -> dict[str, Any]:
    if _take(file, 4) != _MAGIC:
        raise ValueError("it does not begin as one")
    version, _tensors, count = _numbers(file, "IQQ")
    if version < 2:
        raise ValueError(f"version {version} is too old")
    told = {}
    for _ in range(count):
        key = _string(file)
        told[key] = _value(file, _numbers(file, "I")[0])
    return told


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _numbers(file, _SCALARS[kind])[0]
    kind, count = _numbers(file, "IQ")
    if kind in _SCALARS:
        _take(file, count * struct.calcsize(_SCALARS[kind]))
        return None
    for _ in range(count):  # the vocabulary: passed over
        _value(file, kind)
    return None


def _string(file: BinaryIO) -> str:
    return _take(file, _numbers(file, "Q")[0]).decode("utf-8", "replace")


def _numbers(file: BinaryIO, form: str) -> tuple[Any, ...]:
    form = f"<{form}"
    return struct.unpack(form, _take(file, struct.calcsize(form)))


def _take(file: BinaryIO, size: int) -> bytes:
    if size > _LONGEST:
        raise ValueError("a length in it is absurd")
    taken = file.read(size)
    if len(taken) != size:
        raise ValueError("it ends too early")
    return taken
