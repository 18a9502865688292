"""A figure, and the table that all parts of the bench print: in Markdown, or as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, the value, and what the project aims at."""

    name: str
    value: str
    goal: str


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def machine() -> str:
    """The processor and what runs on it."""
    names = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = next((line.partition(": ")[2] for line in names.splitlines() if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores {name or platform.processor()}, Python {platform.python_version()}"


def tell(figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print a table, or JSON."""
    if as_json:
        print(json.dumps({"machine": machine(), "figures": [vars(figure) for figure in figures]}, ensure_ascii=False))
        return
    print(f"Machine: {machine()}\n\n| figure | measured | goal |\n|---|---|---|")
    for figure in figures:
        print(f"| {figure.name} | {figure.value} | {figure.goal} |")
