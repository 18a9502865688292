"""The decode loop beside `generate` of transformers and llama.cpp, on the same prompts, in turns, in one process.

    python -m tests.bench.inference [--model shipped|28m] [--only single,batch,first,soak] [--prompts 16] [--soak 200]
                                    [--threads 2] [--dtype auto] [--busy] [--json]

Prompts are questions of the test split with three passages of their chapter, the one that holds the answer among them.
`shipped` is data/models/base with the promoted adapter; `28m` is a Llama model of that many parameters with the shipped
tokenizer, which has learned nothing but can copy (training/base/initial.py). Answers are greedy, without penalties, of
at most 60 tokens. `generate` is transformers' as its documentation shows it, on the merged model, in the same
precision. llama.cpp is the package xllamacpp with the f16 file that `sahpathi export gguf` writes. Each prompt goes to
all of them before the next; figures are medians over the prompts. On a machine that does other work too, --busy counts
processor seconds, with one thread: then "a second" is a second of work, not of waiting. Nothing here is asserted: a
noisy machine must not fail a test.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from inference.adapters import Shelf
from inference.decoding import Batch
from inference.engine import Engine
from inference.errors import InferenceError
from inference.generation import Decoding, Generation, Message, Request
from inference.prompt import grounded
from inference.weights import Models
from tests.bench.figures import Figure, tell
from training.base.corpus import passages
from training.base.initial import lay_circuit
from training.base.model import save_model
from training.export import gguf_file
from training.pairs.data import UNANSWERABLE, Example, of_split, read

DATA = Path(__file__).parents[2] / "data"
TOKENS = 60  # of an answer, at most
LONG = 400  # tokens of the prompts for the time to the first token
GREEDY = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=TOKENS)
ONE = Decoding(temperature=0, max_new_tokens=1)
TOGETHER = 16

Prompt = list[Message]
Clock = Callable[[], float]


@dataclass(slots=True)
class Pace:
    """What writing some answers took."""

    tokens: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.tokens / self.seconds


class Ours:
    """Our engine, with or without drafts."""

    def __init__(self, engine: Engine, now: Clock, *, drafts: bool = True) -> None:
        self.engine, self.now, self._drafts = engine, now, drafts

    @property
    def batch(self) -> Batch:
        return list(self.engine._models.kept.values())[-1]

    def write(self, *prompts: Prompt, decoding: Decoding = GREEDY, again: bool = False) -> Pace:
        """All at once. Of what was read before only the system line is known, unless asked `again`."""
        rows = self.batch._rows
        if not again:
            rows._held = [held[: self._system(held)] for held in rows._held]
        heard, began = _Heard(), self.now()
        for number, messages in enumerate(prompts):
            self.engine.add(Request(number, messages, decoding), heard)
        while self.engine.under_way:
            for batch in self.engine._models.kept.values():
                batch.drafts = self._drafts
            self.engine.step()
        return Pace(heard.tokens, self.now() - began)

    def _system(self, held: list[int]) -> int:
        """Where the second turn begins: at the second token that is the first one again."""
        return held.index(held[0], 1) if held.count(held[0] if held else -1) > 1 else len(held)


class _Heard:
    def __init__(self) -> None:
        self.tokens = 0

    def text(self, number: int, piece: str) -> None:
        pass

    def done(self, number: int, generation: Generation) -> None:
        self.tokens += generation.tokens

    def failed(self, number: int, error: InferenceError) -> None:
        raise error


class Transformers:
    """`model.generate`, as commonly used."""

    def __init__(self, model: Any, tokenizer: Any, now: Clock) -> None:
        self._model, self._tokenizer, self._now = model, tokenizer, now

    @torch.no_grad()
    def write(self, messages: Prompt, tokens: int = TOKENS) -> Pace:
        began = self._now()
        inputs = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = self._model.generate(**inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        written = output.shape[1] - inputs["input_ids"].shape[1]
        self._tokenizer.decode(output[0, -written:], skip_special_tokens=True)
        return Pace(written, self._now() - began)


class LlamaCpp:
    """llama.cpp's server in this process, asked over its loopback address."""

    def __init__(self, path: Path, tokenizer: Any, now: Clock, threads: int, context: int) -> None:
        xllamacpp = import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.verbosity = context, 1, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        self._running = xllamacpp.Server(params)
        self._client = httpx.Client(base_url=self._running.listening_address, timeout=120)
        self._tokenizer, self._now = tokenizer, now

    def write(self, messages: Prompt, tokens: int = TOKENS) -> Pace:
        began = self._now()
        prompt = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        asked = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "top_k": 1, "repeat_penalty": 1.0}
        told = self._client.post("/completion", json=asked).json()
        return Pace(told["tokens_predicted"], self._now() - began)


def prompts(count: int, *, long: Callable[[Prompt], int] | None = None) -> list[Prompt]:
    """Grounded prompts; with `long`, which counts their tokens, as many passages as make LONG of them."""
    pairs = [e for e in of_split(read(DATA / "qa"), "test") if e.kind != UNANSWERABLE and e.asked == "en" and e.facts]
    texts = passages(DATA / "textbooks")
    chosen = []
    for example in random.Random(5).sample(pairs, len(pairs)):
        page = [p for p in texts if (p.book, p.page) == (example.title, example.page)]
        own = [p.text for p in texts if page and (p.book, p.chapter) == (example.title, page[0].chapter)]
        gold = _holding([p.text for p in page], example)
        others = [text for text in own if text != gold]
        if gold and len(others) > 1:
            made = grounded(example.question, [*others[:1], gold, *others[1:2]])
            for n in range(2, len(others)):
                if not long or long(made) >= LONG:
                    break
                made = grounded(example.question, [*others[:1], gold, *others[1:n]])
            if not long or LONG <= long(made) < 1.2 * LONG:
                chosen.append(made)
        if len(chosen) == count:
            break
    return chosen


def _holding(texts: Sequence[str], example: Example) -> str | None:
    return next((text for text in texts if all(fact.lower() in text.lower() for fact in example.facts)), None)


def make_28m(folder: Path) -> None:
    """A model of 28 million parameters that can copy, in bfloat16."""
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "base")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=12,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    lay_circuit(model, tokenizer, 1)
    save_model(model, tokenizer, folder)


@dataclass(slots=True)
class Contest:
    """What is compared: one model, loaded for each."""

    ours: Ours
    undrafted: Ours
    generate: Transformers
    cpp: LlamaCpp | None
    figures: list[Figure]

    def add(self, name: str, value: str, goal: str = "") -> None:
        self.figures.append(Figure(name, value, goal))
        print(f"  {name}: {value}  ({goal})", flush=True)

    def single(self, asked: Sequence[Prompt]) -> None:
        """One student: the same prompt to each of them in turn."""
        rivals: dict[str, Callable[[Prompt], Pace]] = {
            "ours": self.ours.write,
            "ours without drafts": self.undrafted.write,
            "generate": self.generate.write,
        }
        if self.cpp:
            rivals["llama.cpp f16"] = self.cpp.write
        paces: dict[str, list[Pace]] = {name: [] for name in rivals}
        before = self.ours.batch.drafted, self.ours.batch.accepted
        for messages in asked:
            for name, write in rivals.items():
                paces[name].append(write(messages))
        drafted, accepted = self.ours.batch.drafted - before[0], self.ours.batch.accepted - before[1]
        for name, found in paces.items():
            self.add(f"one student, {name}: tokens/s with the prompt", _median(p.per_second for p in found))
        for name in list(rivals)[1:]:
            goal = {"generate": "3", "llama.cpp f16": "1.2"}.get(name, "")
            pairs = zip(paces["ours"], paces[name], strict=True)
            self.add(f"one student, ours / {name}", _median(a.per_second / b.per_second for a, b in pairs), goal)
        share = accepted / drafted if drafted else 0.0
        steps = sum(p.tokens for p in paces["ours"]) - accepted
        self.add("drafted tokens that were right", f"{share:.0%}")
        self.add("tokens a step, with drafts", f"{(steps + accepted) / steps:.2f}")

    def decode(self) -> None:
        """A step alone: 64 tokens after a short prompt, without drafts, and what is read from memory for each."""
        hello = [Message(role="user", content="Hello")]
        free = Decoding(temperature=0, repetition_penalty=1, no_repeat_ngram=1, max_new_tokens=64)
        found = [self.undrafted.write(hello, decoding=free) for _ in range(8)]
        best = max(p.per_second for p in found)
        size = _weight_bytes(self.ours.engine)
        bandwidth = _bandwidth(self.ours.now)
        self.add("short prompt, without drafts: tokens/s", f"{best:.0f}")
        self.add(
            "weights read a second / memory bandwidth",
            f"{size * best / 1e9:.1f} of {bandwidth / 1e9:.1f} GB/s ({size / 1e6:.0f} MB a token)",
        )

    def batch(self, asked: Sequence[Prompt]) -> None:
        """Sixteen at once against one after another."""
        together, single, generate = [], [], []
        for start in range(0, len(asked) - TOGETHER + 1, TOGETHER):
            part = asked[start : start + TOGETHER]
            together.append(self.ours.write(*part))
            single.append(_sum([self.ours.write(messages) for messages in part]))
            generate.append(_sum([self.generate.write(messages) for messages in part]))
        self.add("sixteen at once, tokens/s", _median(p.per_second for p in together))
        for name, other, goal in (("generate in sequence", generate, "4.5"), ("ours in sequence", single, "1.5")):
            pairs = zip(together, other, strict=True)
            self.add(f"sixteen at once / {name}", _median(a.per_second / b.per_second for a, b in pairs), goal)
        queue = self.ours.write(*asked)  # the slots are filled again as they become free
        ratio = queue.per_second / _sum(single).per_second
        self.add(f"{len(asked)} students through sixteen slots / ours in sequence", f"{ratio:.2f}", "1.5")
        self.add("grounded answers an hour", f"{3600 * len(asked) / queue.seconds:,.0f}")

    def first(self, asked: Sequence[Prompt]) -> None:
        """The time to the first token, and what of it the system line saves."""
        found = [self.ours.write(messages, decoding=ONE).seconds * 1e3 for messages in asked]
        self.add(f"first token after {LONG} tokens, ms", _median(found), "< 150")
        alike = []
        for messages in asked:
            self.ours.write(messages, decoding=ONE)
            alike.append(self.ours.write(messages, decoding=ONE, again=True).seconds * 1e3)
        self.add("first token, same prompt again, ms", _median(alike))
        if self.cpp:
            self.add(
                f"prompt of {LONG} tokens in llama.cpp, ms", _median(self.cpp.write(m, 1).seconds * 1e3 for m in asked)
            )

    def soak(self, asked: Sequence[Prompt], answers: int) -> None:
        """Memory over many answers, sixteen at a time."""
        self.ours.write(*asked[:TOGETHER])
        before, began, done = _resident(), self.ours.now(), 0
        while done < answers:
            self.ours.write(*(asked[(done + n) % len(asked)] for n in range(TOGETHER)))
            done += TOGETHER
        grown = _resident() - before
        self.add(f"memory gained over {done} answers, MB", f"{grown / 1e6:.1f} of {before / 1e6:.0f}")
        self.add("answers an hour meanwhile", f"{3600 * done / (self.ours.now() - began):,.0f}")


def _median(values: Any) -> str:
    return f"{statistics.median(values):.2f}"


def _sum(paces: Sequence[Pace]) -> Pace:
    return Pace(sum(p.tokens for p in paces), sum(p.seconds for p in paces))


def _weight_bytes(engine: Engine) -> int:
    return engine.parameters * int(getattr(torch, engine.dtype).itemsize)


def _bandwidth(now: Clock) -> float:
    """Bytes a second that all threads read together, from more memory than caches hold."""
    block, best = torch.ones(64 << 20), 0.0
    for _ in range(5):
        began = now()
        block.sum()
        best = max(best, block.numel() * 4 / (now() - began))
    return best


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096


def contest(name: str, folder: Path, threads: int, dtype: str, now: Clock) -> Contest:
    """Load a model for all who are compared."""
    base, shelf = DATA / "models" / "base", Shelf(folder / "own", DATA / "adapters")
    if name == "28m":
        base, shelf = folder / "base", Shelf(folder / "own")
        make_28m(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    engine = Engine(base, shelf, threads=threads, dtype=dtype, slots=TOGETHER)
    card = shelf.current(base_sha256=engine.base_sha256)
    models: Models[Any] = Models(base, shelf, dtype=engine.dtype, device="cpu", limit=1, make=lambda model: model)
    generate = Transformers(models.get(card), tokenizer, now)
    cpp = None
    if find_spec("xllamacpp"):
        full: Models[Any] = Models(base, shelf, dtype="float32", device="cpu", limit=1, make=lambda model: model)
        about = dict.fromkeys(("adapter", "adapter_sha256", "base_sha256", "dataset_sha256", "licence"), "")
        gguf_file.write(full.get(card), tokenizer, folder / "model.gguf", "f16", {"name": name, **about}, ["Why?"])
        cpp = LlamaCpp(folder / "model.gguf", tokenizer, now, threads, engine.context)
    else:
        print("llama.cpp is left out: install it with `pip install xllamacpp`")
    print(f"{name}: {engine.parameters / 1e6:.1f} million parameters, {engine.dtype}", flush=True)
    return Contest(Ours(engine, now), Ours(engine, now, drafts=False), generate, cpp, [])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="shipped", choices=["shipped", "28m"])
    parser.add_argument("--only", default="single,decode,batch,first,soak", help="parts, with commas")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--soak", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = options.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        now = time.process_time if options.busy else time.perf_counter
        threads = 1 if options.busy else options.threads
        match = contest(options.model, Path(folder), threads, options.dtype, now)
        asked = prompts(max(options.prompts, TOGETHER))
        match.ours.write(asked[0])
        match.generate.write(asked[0])  # nobody is measured cold
        if "single" in parts:
            match.single(asked[: options.prompts])
        if "decode" in parts:
            match.decode()
        if "batch" in parts:
            match.batch(asked)
        if "first" in parts:
            match.first(prompts(options.prompts, long=match.ours.engine.count_tokens))
        if "soak" in parts:
            match.soak(asked, options.soak)
    tell(match.figures, as_json=options.json)


if __name__ == "__main__":
    main()
