"""Where things are: books, adapters, classifiers, and the secret of this installation."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bot.settings import PROJECT, Settings
from inference.adapters import Shelf
from inference.classifiers import ClassifierShelf

PREPARED = PROJECT / "data" / "retrieval" / "vectors.safetensors"  # of the shipped textbooks


def shelves(settings: Settings) -> list[Path]:
    """Where books are: the shipped ones, or the folder named instead, and what was added here."""
    added = added_books(settings)
    return [settings.textbooks, *([added] if added.is_dir() else [])]


def added_books(settings: Settings) -> Path:
    """The folder of what `sahpathi textbooks add` was given."""
    return settings.home / "textbooks"


def shelf(settings: Settings) -> Shelf:
    """Adapters: the ones trained here first, then the shipped ones."""
    return Shelf(settings.home / "adapters", settings.adapters)


def classifiers(settings: Settings) -> ClassifierShelf:
    """Safety classifiers: those trained here, and the shipped one."""
    return ClassifierShelf(settings.home / "classifiers", PROJECT / "data" / "safety" / "classifier")


def secret(settings: Settings) -> str:
    """The installation's secret: given, or made once and kept readable by its owner only."""
    if settings.secret is not None and settings.secret.get_secret_value():
        return settings.secret.get_secret_value()
    path = settings.home / "secret"
    if not path.exists():
        made = secrets.token_urlsafe(32)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(made, encoding="utf-8")
        temporary.chmod(0o600)
        try:
            os.link(temporary, path)  # of two processes starting together, the first one's secret stays
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text(encoding="utf-8").strip()
