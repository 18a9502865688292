"""What `sahpathi adapters` prints: a card, what the gate said, who did what, answers side by side, ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from bot.cli.common import errors, out, show

if TYPE_CHECKING:
    from inference.adapters import AdapterCard
    from inference.history import Deed
    from training.promotion.registry import Gate


def show_card(card: AdapterCard) -> None:
    """Where an adapter came from, and its scores beside the base model's."""
    lines = {
        "Subject": card.subject, "Language": card.language, "Made": card.created, "Examples": card.examples,
        "sha256": card.sha256, "Base model": card.base_sha256, "Dataset": card.dataset_sha256,
        "Recipe": ", ".join(f"{name} {value}" for name, value in sorted(card.recipe.items())),
    }  # fmt: skip
    for name, value in lines.items():
        out.print(f"[bold]{name:<11}[/bold] {escape(str(value))}")
    names = [name for name in card.scores if not name.startswith("base_")]
    rows = [
        {"name": name, "base": _number(card.scores.get(f"base_{name}")), "adapter": _number(card.scores[name])}
        for name in names
    ]
    columns = {"name": "Score", "base": "Base model", "adapter": "This one"}
    show(rows, columns, as_json=False, empty="It has no scores: no example was held out.")


def show_gate(adapter: str, gate: Gate) -> None:
    """Each measure with the adapter in use and with this one, and what to do."""
    columns = {
        "name": f"Beside {gate.compared_with}", "n": "n", "before": "In use", "after": "This one", "lost": "Lost",
        "gained": "Gained", "difference": "Difference", "verdict": "",
    }  # fmt: skip
    rows = [
        {
            **row,
            "before": _number(row["before"]),
            "after": _number(row["after"]),
            "difference": _difference(row),
            "verdict": "" if row["passed"] else "no",
        }
        for row in gate.rows
    ]
    show(rows, columns, as_json=False, empty="")
    if gate.passed:
        out.print(f"The gate lets it through. To use it: sahpathi adapters promote {adapter} --by NAME")
    else:
        errors.print(f"[yellow]The gate does not let {adapter} through: it is no better, or worse in a row.[/yellow]")


def show_history(deeds: Sequence[Deed]) -> None:
    rows = [
        {"at": deed.at, "did": deed.did, "by": escape(deed.by), "gate": deed.gate, "reason": escape(deed.reason)}
        for deed in deeds
    ]
    columns = {"at": "When", "did": "What", "by": "By", "gate": "Gate", "reason": "Reason"}
    show(rows, columns, as_json=False, empty="Nothing was done with it yet.")


def show_answers(rows: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> None:
    """Answers side by side, a column each."""
    table = Table(pad_edge=False, header_style="bold", expand=True)
    for row in rows:
        table.add_column(f"{roles[row['adapter']]}\n{row['adapter']}", ratio=1)
    table.add_row(*(escape(row["text"]) or "[dim]nothing[/dim]" for row in rows))
    table.add_section()
    table.add_row(*(_figures(row) for row in rows))
    out.print(table)


def _figures(row: Mapping[str, Any]) -> str:
    sure = "" if row["confidence"] is None else f"confidence {row['confidence']:.2f}, "
    return f"[dim]{sure}{row['supported']} of {row['sentences']} sentences supported, {row['words']} words[/dim]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _difference(row: Mapping[str, Any]) -> str:
    if row.get("difference") is None:
        return ""
    return f"{row['difference']:+.3f} \\[{row['low']:+.3f}, {row['high']:+.3f}]"
