"""Puts a trained adapter on the shelf: complete under its id, or not at all, whatever ends the run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inference.adapters import ADAPTER_FILES, AdapterCard, Shelf, model_sha256, write_card


def place(
    root: Path,
    base: Path,
    save: Callable[[Path], None],
    *,
    subject: str,
    language: str,
    dataset_sha256: str,
    recipe: Mapping[str, Any],
    scores: Mapping[str, float],
    examples: int,
) -> AdapterCard:
    """`save` the adapter into a folder of its own, write its card, and move it into `root` in one step."""
    root.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=root, prefix=".unfinished-"))
    try:
        base_sha256 = model_sha256(base)
        save(unfinished)
        _neutralise(unfinished, f"sahpathi-base-{base_sha256[:12]}")
        write_card(
            unfinished,
            subject=subject,
            base_sha256=base_sha256,
            dataset_sha256=dataset_sha256,
            recipe=recipe,
            scores=scores,
            examples=examples,
            language=language,
        )
        return Shelf(root).add(unfinished)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _neutralise(folder: Path, base: str) -> None:
    """Leave the files an adapter consists of, readable by all, with no path of this machine in them."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        if path.name not in {*ADAPTER_FILES, "chat_template.jinja"}:
            path.unlink()  # a README full of placeholders, and training_args.bin, which is a pickle
        else:
            path.chmod(0o644)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])  # a set: its order would change the adapter's hash
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
