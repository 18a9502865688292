"""Where an export goes: a folder that is there whole, after its check, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from inference.files import flush
from training.errors import ExportError


@contextmanager
def placed(output: Path) -> Iterator[Path]:
    """A new folder beside `output` that is renamed to it when the body ends without an error, and removed otherwise.

    Raises ExportError when something else is at `output`, or when it cannot be written: a full disk, no permission.
    """
    if output.exists() and not _empty(output):
        raise ExportError(f"{output} is there already and not empty: name another folder with --output")
    beside: Path | None = None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
        yield beside
        _settle(beside)
        beside.replace(output)
        flush(output.parent)
    except (OSError, SafetensorError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExportError(f"{output} cannot be written ({why}); free some space or name another --output") from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _settle(folder: Path) -> None:
    """Readable by another account, and on the disk, so that a power cut after the rename leaves no empty files."""
    folder.chmod(0o755)  # mkdtemp gives 0700
    for path in folder.iterdir():
        path.chmod(0o644)
        flush(path)
    flush(folder)
