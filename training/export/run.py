"""An export from the adapter's id to the checked folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from inference.adapters import Shelf
from inference.files import sha256_of, write_json
from inference.generation import Decoding, Message
from training.errors import ExportError
from training.export import gguf_file, merged, ollama, onnx_graph
from training.export.check import Answered, answers, compare
from training.export.place import placed
from training.export.prompts import prompts
from training.export.source import CURRENT, Loaded, Source, find, load, merge
from training.pairs.data import Example

PRECISIONS = tuple(gguf_file.TOLERANCE)
MANIFEST = "export.json"
TEXTS = 2000  # with which tokenizers are compared

Step = Callable[[int, int, str], None]  # done, total, what is being done


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """What to export and where to. Raises ExportError.

    format:    merged, gguf, onnx or ollama
    base:      folder of the base model, or its name on the hub
    exports:   folder for an export that is not given a place of its own
    output:    folder that receives it, new or empty; None: `exports`/<name>-<format>
    adapter:   an adapter's id, "current" (the promoted general one) or "base" (none)
    precision: of gguf and ollama: f16, bf16, q8_0 or q4_0
    decoding:  what goes into the Modelfile
    threads:   processor threads
    """

    format: str
    base: Path | str
    exports: Path
    output: Path | None = None
    adapter: str = CURRENT
    precision: str = "f16"
    decoding: Decoding = field(default_factory=Decoding)
    threads: int = 2

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise ExportError(f"the format must be one of {', '.join(_FORMATS)}, got {self.format!r}")
        if self.precision not in PRECISIONS:
            raise ExportError(f"--quantise must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")


@dataclass(frozen=True, slots=True)
class Report:
    """A finished export. `check` is what its check found; `files` are names with their sizes in bytes."""

    folder: Path
    format: str
    precision: str
    about: Mapping[str, str]
    check: Mapping[str, float]
    files: Mapping[str, int]

    def named(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def export(args: ExportArguments, shelf: Shelf, examples: Sequence[Example], step: Step = lambda *_: None) -> Report:
    """Write, check, and only then put in place. `examples` are the questions that it is checked with.

    Raises ModuleNotFoundError for a package that the format needs, ModelMissing, AdapterRefused and ExportError.
    """
    write, needed = _FORMATS[args.format]
    for package in needed:
        import_module(package)
    torch.set_num_threads(args.threads)
    source = find(args.base, shelf, args.adapter)
    output = args.output or args.exports / "-".join([source.name, args.format, *_quantised(args)])
    asked = prompts(examples)
    with placed(output) as folder:
        step(0, 4, "reading")
        loaded = load(source)
        step(1, 4, "asking the model")
        expected = answers(loaded.model, loaded.tokenizer, asked)
        step(2, 4, "writing")
        job = _Job(args, source, loaded, expected, asked, examples, folder, lambda: step(3, 4, "checking"))
        precision, check = write(job)
        files = sorted(folder.iterdir())
        sums = {path.name: sha256_of([path]) for path in files}
        made = {"format": args.format, "precision": precision, "check": check, "sha256": sums}
        write_json(folder / MANIFEST, source.about() | made)
        sizes = {path.name: path.stat().st_size for path in files}
    step(4, 4, "done")
    return Report(output, args.format, precision, source.about(), check, sizes)


@dataclass(frozen=True, slots=True)
class _Job:
    """One export under way. `checking` is called between writing and reading back."""

    args: ExportArguments
    source: Source
    loaded: Loaded
    expected: Sequence[Answered]
    asked: Sequence[Sequence[Message]]
    examples: Sequence[Example]
    folder: Path
    checking: Callable[[], None]


_Written = tuple[str, dict[str, float]]  # the weights' precision, and what the check found


def _merged(job: _Job) -> _Written:
    dtype = job.loaded.dtype if job.loaded.dtype in merged.TOLERANCE else "float32"
    merged.write(merge(job.loaded.model), job.loaded.tokenizer, job.folder, dtype)
    job.checking()
    found = compare(job.expected, merged.read(job.folder), merged.TOLERANCE[dtype], "the merged model")
    return dtype, found.named()


def _gguf(job: _Job) -> _Written:
    tokenizer, precision = job.loaded.tokenizer, job.args.precision
    texts = _texts(job)
    path = job.folder / _gguf_name(job)
    gguf_file.refuse_unmapped(job.loaded.model)
    gguf_file.write(merge(job.loaded.model), tokenizer, path, precision, job.source.about(), texts)
    job.checking()
    alike = gguf_file.texts_alike(path, tokenizer, texts)
    found = compare(job.expected, gguf_file.read(path), gguf_file.TOLERANCE[precision], f"the {precision} GGUF file")
    return precision, {**found.named(), "texts_alike": alike}


def _ollama(job: _Job) -> _Written:
    ollama.refuse_other_format(job.loaded.tokenizer, job.asked)
    written = _gguf(job)
    context = int(job.loaded.model.config.max_position_embeddings)
    text = ollama.modelfile(_gguf_name(job), job.source.licence, job.args.decoding, context)
    (job.folder / "Modelfile").write_text(text, encoding="utf-8")
    return written


def _onnx(job: _Job) -> _Written:
    onnx_graph.write(merge(job.loaded.model), job.loaded.tokenizer, job.folder)
    job.checking()
    logits = onnx_graph.read(job.folder, job.args.threads)
    return "float32", compare(job.expected, logits, onnx_graph.TOLERANCE, "the ONNX graph").named()


def _gguf_name(job: _Job) -> str:
    return f"{job.source.name}-{job.args.precision}.gguf"


def _texts(job: _Job) -> list[str]:
    """What the tokenizers are compared on: whole prompts with their special tokens, and questions and answers."""
    template = job.loaded.tokenizer.apply_chat_template
    whole = [template(list(messages), add_generation_prompt=True, tokenize=False) for messages in job.asked]
    pairs = [text for example in job.examples for text in (example.question, example.answer)]
    return [*whole, *pairs[:: 1 + len(pairs) // TEXTS]]


def _quantised(args: ExportArguments) -> list[str]:
    return [args.precision] if _FORMATS[args.format][0] in {_gguf, _ollama} else []


# A format: what writes and checks it, and the packages that takes.
_FORMATS: Mapping[str, tuple[Callable[[_Job], _Written], tuple[str, ...]]] = {
    "merged": (_merged, ()),
    "gguf": (_gguf, ("gguf", "accelerate")),
    "ollama": (_ollama, ("gguf", "accelerate")),
    "onnx": (_onnx, ("onnxscript", "onnxruntime")),
}
