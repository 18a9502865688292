"""The folders of training runs: where a new one begins, which unfinished one goes on, and on what machine it runs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.records.record import RECORD, Finished, OnEvent, Record, Started, from_line, read

_OVER = frozenset({"complete", "early"})


def open_run(root: Path, subject: str, fingerprint: str, on_event: OnEvent | None = None) -> Record:
    """The record of the newest unfinished run with this fingerprint, else an empty one in a new folder.

    Raises TrainingError when another process is at it, or no folder can be made.
    """
    found = unfinished(root, fingerprint)
    if found is not None:
        return Record(found, on_event)
    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{began}-{subject}" + (f"-{n}" if n > 1 else "") for n in range(1, 1000))
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = next(folder for name in names if not (folder := root / name).exists())
        return Record(folder, on_event)
    except OSError as error:
        raise TrainingError(f"{root}: no run can be recorded there ({error.strerror}); name another folder") from error


def unfinished(root: Path, fingerprint: str) -> Path | None:
    """The folder of the newest run with this fingerprint that neither is complete nor ended early."""
    for path in sorted(root.glob(f"*/{RECORD}"), reverse=True):
        if _fingerprint(path) == fingerprint:
            ended = [event for event in read(path) if isinstance(event, Finished)]
            if not ended or ended[-1].stopped not in _OVER:
                return path.parent
    return None


def written_since(root: Path, moment: float) -> list[Path]:
    """The folders of runs whose record was written to since then, in seconds since 1970."""
    return sorted(path.parent for path in root.glob(f"*/{RECORD}") if path.stat().st_mtime >= moment)


def _fingerprint(path: Path) -> str | None:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    try:
        event = from_line(first)
    except ValueError:
        return None
    return event.fingerprint if isinstance(event, Started) else None


def fingerprint(arguments: Mapping[str, Any], base_sha256: str, *parts: Iterable[Sequence[int]]) -> str:
    """Identifies a run by its arguments, its base model and the token ids it reads."""
    digest = hashlib.sha256(json.dumps([arguments, base_sha256], sort_keys=True, default=str).encode())
    for part in parts:
        for ids in part:
            digest.update((",".join(map(str, ids)) + "\n").encode())
        digest.update(b"\n")
    return digest.hexdigest()


def hardware(device: str, precision: str, attention: str) -> dict[str, Any]:
    """The machine and the libraries, for the record."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    libraries = {library: version(library) for library in ("torch", "transformers", "peft", "trl")}
    return {
        "device": device,
        "name": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "precision": precision,
        "attention": attention,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **libraries,
    }


def peak_memory(device: str) -> int:
    """In bytes: of the accelerator, else of this process since it began."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
