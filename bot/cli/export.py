"""`sahpathi export`: what was trained, in the formats of other programs. Each export is checked before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, load_settings, log_to_stderr, out, progress, show, show_json
from bot.cli.workbench import SHIPPED, pairs
from bot.errors import SetupError

if TYPE_CHECKING:
    from training.export.run import Report

app = typer.Typer(
    no_args_is_help=True, help="Write the model with its adapter for llama.cpp, Ollama, onnxruntime, vLLM."
)


class Precision(StrEnum):
    """How the weights of a GGUF file are stored."""

    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


Adapter = Annotated[str, typer.Option(help='An adapter\'s id, "current" (the promoted general one) or "base" (none).')]
Output = Annotated[
    Path | None, typer.Option(help="Folder that receives it, new or empty. Default: exports/ in SAHPATHI_HOME.")
]
Quantise = Annotated[Precision, typer.Option("--quantise", help="16 bits a weight, or quantised to 8 or 4.")]

_FIGURES = {
    "prompts": "Prompts asked",
    "tokens": "Tokens compared",
    "equal_tokens": "Equal greedy tokens",
    "max_logit_difference": "Largest logit difference",
    "relative_difference": "Logit difference, in standard deviations",
    "texts_alike": "Texts that llama.cpp reads alike",
}


@app.command()
def merged(adapter: Adapter = "current", output: Output = None, json: Json = False) -> None:
    """One model in the format of transformers, for vLLM, text-generation-inference and converters."""
    report = _export("merged", adapter, output)
    _show(report, f"vllm serve {report.folder}", as_json=json)


@app.command()
def gguf(
    adapter: Adapter = "current", output: Output = None, quantise: Quantise = Precision.F16, json: Json = False
) -> None:
    """One GGUF file, for llama.cpp and what is built on it."""
    report = _export("gguf", adapter, output, quantise)
    file = next(name for name in report.files if name.endswith(".gguf"))
    _show(report, f"llama-server -m {report.folder / file}", as_json=json)


@app.command()
def onnx(adapter: Adapter = "current", output: Output = None, json: Json = False) -> None:
    """An ONNX graph with key-value cache, for onnxruntime."""
    report = _export("onnx", adapter, output)
    _show(report, "docs/export.md lists its inputs and outputs", as_json=json)


@app.command()
def ollama(
    adapter: Adapter = "current", output: Output = None, quantise: Quantise = Precision.F16, json: Json = False
) -> None:
    """A GGUF file with a Modelfile: our prompt's format, stop words and decoding."""
    report = _export("ollama", adapter, output, quantise)
    _show(report, f"ollama create sahpathi -f {report.folder / 'Modelfile'}", as_json=json)


def _export(kind: str, adapter: str, output: Path | None, precision: Precision = Precision.F16) -> Report:
    settings = load_settings()
    with exporting(), progress("Exporting") as bar:
        from bot.compose import shelf
        from inference.generation import Decoding
        from training.export.run import ExportArguments, export

        arguments = ExportArguments(
            format=kind,
            base=settings.model.base,
            exports=settings.home / "exports",
            output=output,
            adapter=adapter,
            precision=precision.value,
            decoding=Decoding(**settings.decoding.model_dump()),
            threads=settings.model.threads,
        )
        return export(arguments, shelf(settings), pairs([SHIPPED]), bar)


@contextmanager
def exporting() -> Iterator[None]:
    """Every error of an export as one clear line."""
    log_to_stderr("WARNING")
    try:
        from inference.errors import InferenceError
        from training.errors import TrainingError

        try:
            yield
        except (TrainingError, InferenceError) as error:
            raise SetupError(str(error)) from error
    except ModuleNotFoundError as error:
        raise SetupError(f"{error.name} is not installed: exporting needs `pip install 'sahpathi[export]'`.") from None


def _show(report: Report, use: str, *, as_json: bool) -> None:
    if as_json:
        show_json(report.named())
        return
    rows = [{"figure": _FIGURES[name], "value": _figure(name, value)} for name, value in report.check.items()]
    rows.append({"figure": "Size", "value": f"{sum(report.files.values()) / 1e6:.1f} MB, {report.precision}"})
    show(rows, {"figure": "Check", "value": report.about["name"]}, as_json=False, empty="")
    out.print(f"It is in {report.folder}. To use it: {use}", soft_wrap=True)


def _figure(name: str, value: float) -> str:
    if name in {"equal_tokens", "texts_alike"}:
        return f"{value:.1%}"
    return str(value) if isinstance(value, int) else f"{value:.2g}"
