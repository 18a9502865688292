"""`sahpathi adapters`: which LoRA adapters there are, how they compare, and which one answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, load_settings, out, show, show_json
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from inference.adapters import AdapterCard, Shelf

app = typer.Typer(no_args_is_help=True, help="LoRA adapters: list and compare them, choose the one that answers.")

Adapter = Annotated[str, typer.Argument(help="The adapter's id, from `adapters list`.")]
By = Annotated[str, typer.Option(help="Who you are; it is kept in the history.")]
Reason = Annotated[str, typer.Option(help="Why, where the gate said no or is not to be asked; it is kept too.")]
Subject = Annotated[str, typer.Option(help="The subject whose adapter is meant.")]
Questions = Annotated[int, typer.Option(min=1, help="How many held-out questions the gate asks at most.")]


@app.command("list")
def list_adapters(json: Json = False) -> None:
    """List every adapter with its scores; a star marks the one that answers, a percentage a canary."""
    with opened() as (_, found):
        canaries = {canary.id: f"{canary.share:.0%}" for canary in found.canaries().values()}
        rows = []
        for card in found.list():
            current = found.current(card.subject)
            rows.append(
                {
                    "current": "*" if current is not None and current.id == card.id else canaries.get(card.id, ""),
                    "id": card.id,
                    "subject": card.subject,
                    "examples": card.examples,
                    "created": card.created if json else card.created[:10],
                    "gate": _gate_said(found, card.id),
                    "scores": card.scores if json else _in_short(card.scores),
                }
            )
    headings = ("", "Adapter", "Subject", "Examples", "Made", "Gate", "Key facts (base)")
    keys = ("current", "id", "subject", "examples", "created", "gate", "scores")
    columns = dict(zip(keys, headings, strict=True))
    show(rows, columns, as_json=json, empty="There is no adapter yet: sahpathi train sft")


@app.command("show")
def show_adapter(adapter: Adapter, json: Json = False) -> None:
    """Show where one came from, how it did at the gate, and who did what with it."""
    from bot.cli.adapter_tables import show_card, show_gate, show_history
    from training.promotion.registry import read_gate

    with opened() as (_, found):
        card, gate, deeds = found.find(adapter), read_gate(found, adapter), found.history(adapter)
    if json:
        history = [asdict(deed) for deed in deeds]
        show_json({"card": asdict(card), "gate": asdict(gate) if gate is not None else None, "history": history})
        return
    show_card(card)
    if gate is not None:
        show_gate(adapter, gate)
    else:
        out.print("The gate was not asked yet; `adapters promote` asks it.")
    show_history(deeds)


@app.command()
def compare(
    question: Annotated[str, typer.Argument(help="What a student might ask.")],
    candidate: Annotated[str, typer.Option(help="The adapter to try; default: the newest one not in use.")] = "",
    subject: Subject = "general",
    passage: Annotated[
        list[str] | None, typer.Option(help="A text to answer from, in place of the books; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Answer a question with the base model, the adapter in use and a candidate, side by side."""
    from bot.cli.adapter_bench import answering, side_by_side
    from bot.cli.adapter_tables import show_answers

    with opened() as (settings, found):
        current = answering(settings, found, subject)
        tried = found.find(candidate).id if candidate else _newest(found, subject, current)
        roles = {"base": "Base model", current: "In use", tried: "Candidate"}
        if current == "base":
            roles["base"] = "Base model, in use"
        adapters = [name for name in dict.fromkeys(("base", current, tried)) if name]
        passages, rows = side_by_side(settings, found, question, passage or [], adapters)
    if json:
        show_json({"question": question, "passages": passages, "answers": rows})
        return
    if not passages:
        out.print("The books hold nothing on this: the tutor would ask no model. Here is what they say without them.")
    show_answers(rows, roles)


@app.command()
def promote(adapter: Adapter, by: By, reason: Reason = "", questions: Questions = 200) -> None:
    """Let this adapter answer its subject, if the gate lets it. A running service uses it from the next question on."""
    with opened() as (settings, found):
        card = found.find(adapter)
        gate, why = past_gate(settings, found, card, reason, questions)
        found.promote(card, by=by, reason=why, gate=gate)
    out.print(f"{card.id} now answers {card.subject} questions. To take that back: sahpathi adapters rollback")


@app.command()
def rollback(subject: Subject = "general", by: By = "") -> None:
    """Take back the last promotion. A running service follows at the next question."""
    with opened() as (_, found):
        taken = found.current(subject)
        now = found.rollback(subject, by=by)
    answers = now.id if now is not None else "the base model"
    out.print(f"{taken.id if taken is not None else 'It'} is taken back; {answers} answers {subject} questions again.")


@app.command()
def remove(adapter: Adapter, by: By = "") -> None:
    """Delete an adapter that is not in use."""
    with opened() as (_, found):
        found.remove(adapter, by=by)
    out.print(f"{adapter} is removed.")


@app.command()
def canary(
    adapter: Annotated[str, typer.Argument(help="The adapter to try; none shows how the canary is rated.")] = "",
    share: Annotated[float, typer.Option(help="The share of conversations it answers, such as 0.1.")] = 0.1,
    end: Annotated[bool, typer.Option("--end", help="End the subject's canary.")] = False,
    subject: Subject = "general",
    by: By = "",
    reason: Reason = "",
    questions: Questions = 200,
    json: Json = False,
) -> None:
    """Let an adapter answer a share of the conversations, and compare what students think of both."""
    from bot.cli.adapter_canary import show_ratings

    with opened() as (settings, found):
        if end:
            ended = found.end_canary(subject, by=by)
            out.print(f"The canary {ended.id} has ended; every conversation gets the adapter in use.")
        elif adapter:
            if not by.strip():
                raise SetupError("Say who begins the canary: --by NAME.")
            card = found.find(adapter)
            gate, why = past_gate(settings, found, card, reason, questions)
            try:
                found.start_canary(card, share, by=by, reason=why, gate=gate)
            except ValueError as error:
                raise SetupError(f"{error}.") from None
            out.print(f"{card.id} answers {share:.0%} of the conversations. How it is rated: sahpathi adapters canary")
        else:
            show_ratings(settings, found, json=json)


def past_gate(settings: Settings, found: Shelf, card: AdapterCard, reason: str, questions: int) -> tuple[str, str]:
    """What the gate says, "passed", "failed" or "" where it was not asked, and the reason that overrules it.

    Raises SetupError where it says no and there is no reason.
    """
    from bot.cli.adapter_bench import answering, ask_gate
    from bot.cli.adapter_tables import show_gate
    from inference.adapters import model_sha256
    from training.promotion.registry import read_gate

    base, why = Path(settings.model.base), reason.strip()
    found.verify(card, model_sha256(base) if base.is_dir() else card.base_sha256)
    current = answering(settings, found, card.subject)
    if current == card.id:
        raise SetupError(f"{card.id} answers {card.subject} questions already.")
    gate = read_gate(found, card.id)
    if gate is None or gate.compared_with != current:
        if why:
            return "", why
        gate = ask_gate(settings, found, card, questions)
    if gate.passed:
        return "passed", ""
    if not why:
        show_gate(card.id, gate)
        raise SetupError(f"{card.id} did no better than the one in use. To use it all the same, say why: --reason TEXT")
    return "failed", why


@contextmanager
def opened() -> Iterator[tuple[Settings, Shelf]]:
    """Raises SetupError for what the shelf or the measuring refuses."""
    from bot.cli.workbench import training
    from bot.compose import shelf

    settings = load_settings()
    with training():
        yield settings, shelf(settings)


def _in_short(scores: Mapping[str, float]) -> str:
    """The one that matters most, beside the base model's; `adapters show` has them all."""
    if "key_facts" not in scores:
        return ""
    base = scores.get("base_key_facts")
    return f"{scores['key_facts']:.2f}" + (f" ({base:.2f})" if base is not None else "")


def _newest(found: Shelf, subject: str, current: str) -> str:
    return next((card.id for card in found.list() if card.subject == subject and card.id != current), "")


def _gate_said(found: Shelf, adapter: str) -> str:
    from training.promotion.registry import read_gate

    gate = read_gate(found, adapter)
    return "" if gate is None else "passed" if gate.passed else "failed"
