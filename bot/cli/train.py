"""`sahpathi train`: tokenizer, base model, adapters."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Make the tokenizer, the base model and adapters.")


@app.command()
def sft() -> None:
    """x"""


@app.command()
def pretrain() -> None:
    """x"""


def evaluate() -> None:
    """x"""
