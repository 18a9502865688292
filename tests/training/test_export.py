"""Exports: each format says what base model and adapter say, and one that does not is not kept."""

from __future__ import annotations

import json
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
import torch
import xllamacpp
from jinja2.sandbox import ImmutableSandboxedEnvironment
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from inference.adapters import AdapterCard, Shelf, model_sha256
from inference.errors import AdapterRefused
from inference.generation import Decoding, Message
from inference.prompt import CHAT_TEMPLATE, STOP_MARKERS, SYSTEM, grounded
from tests.training.exportable import EXAMPLES, make_adapter, make_base
from training.errors import ExportError, TrainingError
from training.export import check, gguf_file, onnx_graph, pretokenizer
from training.export.ollama import TEMPLATE
from training.export.prompts import prompts
from training.export.run import MANIFEST, ExportArguments, Report, export

# PEFT 0.21 reads a property that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


MESSAGES = grounded("जल चक्र क्या है, don't you know?", [example.answer for example in EXAMPLES])


@pytest.fixture(scope="module", autouse=True)
def _short_answers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "ANSWER", 16)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def shelf(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A shelf whose only adapter is promoted."""
    made = Shelf(tmp_path_factory.mktemp("adapters"))
    made.promote(make_adapter(base, made))
    return made


@pytest.fixture(scope="module")
def card(shelf: Shelf) -> AdapterCard:
    return shelf.list()[0]


class Unmerged:
    """What every export must say: the base model in float32 with the adapter beside it, as PEFT runs it."""

    def __init__(self, base: Path, adapter: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self.model = PeftModel.from_pretrained(model, str(adapter)).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.ids: list[int] = self.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]

    def logits(self) -> torch.Tensor:
        return logits(self.model, self.ids)

    def greedy(self, tokens: int) -> list[int]:
        return greedy(self.model, self.ids, tokens)


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return found


def greedy(model: Any, ids: list[int], tokens: int) -> list[int]:
    with torch.no_grad():
        made = model.generate(
            input_ids=torch.tensor([ids]), max_new_tokens=tokens, do_sample=False, eos_token_id=2, pad_token_id=0
        )
    return [int(token) for token in made[0, len(ids) :]]


@pytest.fixture(scope="module")
def unmerged(base: Path, shelf: Shelf, card: AdapterCard) -> Unmerged:
    return Unmerged(base, shelf.folder(card.id))


def run(kind: str, base: Path, shelf: Shelf, home: Path, **given: Any) -> Report:
    return export(ExportArguments(kind, base, home / "exports", threads=1, **given), shelf, EXAMPLES)


def left(home: Path) -> list[str]:
    """What is in the folder of exports, half-made ones among them."""
    folder = home / "exports"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_merged_model_is_base_and_adapter(
    base: Path, shelf: Shelf, card: AdapterCard, unmerged: Unmerged, tmp_path: Path
) -> None:
    report = run("merged", base, shelf, tmp_path)
    assert report.folder == tmp_path / "exports" / f"sahpathi-{card.id}-merged"
    model = AutoModelForCausalLM.from_pretrained(report.folder)
    assert model.dtype == torch.float32
    torch.testing.assert_close(logits(model, unmerged.ids), unmerged.logits(), rtol=1e-4, atol=1e-4)
    assert AutoTokenizer.from_pretrained(report.folder).apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=False
    ) == unmerged.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    assert report.check["equal_tokens"] == 1.0
    assert 0.0 < report.check["max_logit_difference"] < 1e-3
    plain = AutoModelForCausalLM.from_pretrained(base)
    assert (logits(plain, unmerged.ids) - unmerged.logits()).abs().max() > 0.5, "the adapter changes nothing to test"


def test_an_export_tells_where_it_comes_from(base: Path, shelf: Shelf, card: AdapterCard, tmp_path: Path) -> None:
    report = run("merged", base, shelf, tmp_path, adapter=card.id, output=tmp_path / "here")
    told = json.loads((tmp_path / "here" / MANIFEST).read_text(encoding="utf-8"))
    assert told["adapter"] == card.id
    assert told["base_sha256"] == model_sha256(base)
    assert told["licence"] == "CC BY-SA 4.0"
    assert told["check"] == report.check
    assert set(told["sha256"]) == set(report.files) >= {"config.json", "tokenizer.json", "model.safetensors"}
    for path in report.folder.glob("*.json"):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
        assert str(base) not in path.read_text(encoding="utf-8")
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_base_of_16_bits_is_merged_to_16_bits(shelf: Shelf, tmp_path: Path) -> None:
    half = make_base(tmp_path / "half", dtype=torch.bfloat16)
    adapter = make_adapter(half, Shelf(tmp_path / "adapters"))
    report = run("merged", half, Shelf(tmp_path / "adapters"), tmp_path, adapter=adapter.id)
    assert report.precision == "bfloat16"
    assert AutoConfig.from_pretrained(report.folder).dtype == torch.bfloat16
    expected = Unmerged(half, tmp_path / "adapters" / adapter.id)
    model = AutoModelForCausalLM.from_pretrained(report.folder, dtype=torch.float32)
    apart = logits(model, expected.ids) - expected.logits()
    assert apart.std() < 0.05 * expected.logits().std()


@pytest.fixture(scope="module")
def file(base: Path, shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """An export as one GGUF file of 16 bits."""
    return run("gguf", base, shelf, tmp_path_factory.mktemp("gguf"))


def test_the_gguf_file_says_what_the_model_says(file: Report, card: AdapterCard, unmerged: Unmerged) -> None:
    name = f"sahpathi-{card.id}-f16.gguf"
    assert list(file.files) == [name]
    model = AutoModelForCausalLM.from_pretrained(file.folder, gguf_file=name, dtype=torch.float32)
    torch.testing.assert_close(logits(model, unmerged.ids), unmerged.logits(), rtol=0, atol=0.1)
    assert greedy(model, unmerged.ids, 24) == unmerged.greedy(24)
    assert file.check["equal_tokens"] > 0.99
    assert file.check["texts_alike"] == 1.0


def test_the_gguf_file_carries_tokenizer_template_and_origin(
    file: Report, base: Path, card: AdapterCard, unmerged: Unmerged
) -> None:
    reader = gguf.GGUFReader(file.folder / next(iter(file.files)))
    told = {key: field.contents() for key, field in reader.fields.items()}
    tokenizer = unmerged.tokenizer
    assert told["general.architecture"] == "llama"
    assert told["general.name"] == f"sahpathi-{card.id}"
    assert told["general.license"] == "CC BY-SA 4.0"
    assert (told["sahpathi.adapter"], told["sahpathi.base_sha256"]) == (card.id, model_sha256(base))
    assert (told["llama.context_length"], told["llama.rope.freq_base"]) == (512, 1e6)
    assert told["llama.attention.head_count_kv"] == 2
    assert told["tokenizer.ggml.eos_token_id"] == told["tokenizer.ggml.eot_token_id"] == 2
    assert not told["tokenizer.ggml.add_bos_token"]
    tokens = told["tokenizer.ggml.tokens"]
    assert tokens[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert len(tokens) == len(tokenizer) + 5
    kinds = told["tokenizer.ggml.token_type"]
    assert [n for n, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL] == [0, 1, 2]
    plain = ImmutableSandboxedEnvironment().from_string(told["tokenizer.chat_template"])
    assert plain.render(messages=MESSAGES, add_generation_prompt=True) == tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=False
    )


@pytest.mark.parametrize(
    ("precision", "kind", "embedding", "bits", "equal"),
    [("bf16", "BF16", "BF16", 17, 0.95), ("q8_0", "Q8_0", "Q8_0", 9.5, 0.95), ("q4_0", "Q4_0", "Q8_0", 8, 0.75)],
)
def test_quantised_variants_are_smaller_and_close(
    precision: str, kind: str, embedding: str, bits: float, equal: float, base: Path, shelf: Shelf, tmp_path: Path
) -> None:
    report = run("gguf", base, shelf, tmp_path, precision=precision)
    reader = gguf.GGUFReader(report.folder / next(iter(report.files)))
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.1.ffn_down.weight"] == kinds["blk.0.attn_q.weight"] == kind
    assert kinds["token_embd.weight"] == embedding
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert "output.weight" not in kinds
    assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType[f"MOSTLY_{kind}"]
    weights = sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert sum(int(tensor.n_bytes) for tensor in reader.tensors) * 8 / weights < bits
    assert equal <= report.check["equal_tokens"] <= 1.0


def test_rows_that_do_not_fill_a_block_stay_in_16_bits(shelf: Shelf, tmp_path: Path) -> None:
    narrow = make_base(tmp_path / "narrow", hidden_size=48, num_attention_heads=2, num_key_value_heads=1)
    report = run("gguf", narrow, shelf, tmp_path, adapter="base", precision="q8_0")
    reader = gguf.GGUFReader(report.folder / next(iter(report.files)))
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.ffn_up.weight"] == "F16"  # rows of 48
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # rows of 128
    assert report.about["adapter"] == ""


def test_a_model_with_an_output_layer_of_its_own(shelf: Shelf, tmp_path: Path) -> None:
    untied = make_base(tmp_path / "untied", tie_word_embeddings=False)
    report = run("gguf", untied, shelf, tmp_path, adapter="base")
    assert report.check["equal_tokens"] > 0.98
    reader = gguf.GGUFReader(report.folder / next(iter(report.files)))
    assert "output.weight" in {tensor.name for tensor in reader.tensors}


def test_a_pattern_of_llama_cpp_that_cuts_hindi_apart_is_not_taken(unmerged: Unmerged) -> None:
    words = pretokenizer.vocabulary(unmerged.tokenizer)
    texts = [text for example in EXAMPLES for text in (example.question, example.answer)]
    shares = {
        name: pretokenizer.equal_share(unmerged.tokenizer, pretokenizer.as_llama_cpp(words, name), texts)
        for name in pretokenizer.PATTERNS
    }
    chosen = pretokenizer.best(unmerged.tokenizer, words, texts)
    assert shares[chosen] == max(shares.values()) == 1.0
    assert shares["gpt-2"] < 0.8  # its words end before every vowel sign


def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_not_kept(
    base: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretokenizer, "PATTERNS", {"gpt-2": pretokenizer.PATTERNS["gpt-2"]})
    with pytest.raises(ExportError, match="knows no pre-tokenizer"):
        run("gguf", base, shelf, tmp_path)
    assert left(tmp_path) == []


def test_llama_cpp_gives_the_same_answer(file: Report, unmerged: Unmerged) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = str(file.folder / next(iter(file.files)))
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 512, 1, 1
    running = xllamacpp.Server(params)  # until the last reference is gone
    with httpx.Client(base_url=running.listening_address, timeout=60) as server:
        _compare_with(server, unmerged)
    del running


def _compare_with(server: httpx.Client, unmerged: Unmerged) -> None:
    texts = [text for example in EXAMPLES for text in (example.question, example.answer)]
    for text in texts:
        read = server.post("/tokenize", json={"content": text, "add_special": True}).json()["tokens"]
        assert read == unmerged.tokenizer(text)["input_ids"]
    greedily = {"temperature": 0, "top_k": 1, "repeat_penalty": 1.0, "cache_prompt": False}
    prompt = unmerged.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)
    asked = {"prompt": prompt, "n_predict": 24, "return_tokens": True, **greedily}
    told = server.post("/completion", json=asked).json()
    expected = unmerged.greedy(24)
    assert told["tokens_evaluated"] == len(unmerged.ids)
    assert [token for token in told["tokens"] if token != 2] == [token for token in expected if token != 2]
    # And through the file's own chat template.
    chat = server.post("/v1/chat/completions", json={"messages": MESSAGES, "max_tokens": 24, **greedily}).json()
    assert chat["usage"]["prompt_tokens"] == len(unmerged.ids)
    assert chat["choices"][0]["message"]["content"] == unmerged.tokenizer.decode(expected, skip_special_tokens=True)


@pytest.fixture(scope="module")
def graph(base: Path, shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run("onnx", base, shelf, tmp_path_factory.mktemp("onnx"))


def test_onnxruntime_says_what_the_model_says(graph: Report, unmerged: Unmerged) -> None:
    assert graph.check["equal_tokens"] == 1.0
    found = onnx_graph.read(graph.folder, threads=1)(unmerged.ids, 5)  # five at once, the others one by one
    torch.testing.assert_close(found, unmerged.logits()[4:-1], rtol=1e-3, atol=1e-3)


def test_the_graph_takes_prompts_of_different_lengths_at_once(graph: Report, unmerged: Unmerged) -> None:
    from onnxruntime import InferenceSession

    session = InferenceSession(graph.folder / onnx_graph.FILE, providers=["CPUExecutionProvider"])
    long, short = unmerged.ids[:9], unmerged.ids[:6]
    empty = np.zeros((2, 2, 0, 16), np.float32)
    past = {entry.name: empty for entry in session.get_inputs() if entry.name.startswith("past_key_values")}
    assert len(past) == 4
    given = {
        "input_ids": np.array([long, [0, 0, 0, *short]], np.int64),
        "attention_mask": np.array([[1] * 9, [0] * 3 + [1] * 6], np.int64),
    }
    made = session.run(["logits"], given | past)[0]
    for row, ids in enumerate((long, short)):
        torch.testing.assert_close(
            torch.from_numpy(made[row, -1]), logits(unmerged.model, ids)[-1], rtol=1e-3, atol=1e-3
        )


def test_the_modelfile_asks_as_the_tutor_asks(base: Path, shelf: Shelf, unmerged: Unmerged, tmp_path: Path) -> None:
    decoding = Decoding(temperature=0.3, top_k=20, max_new_tokens=99)
    report = run("ollama", base, shelf, tmp_path, precision="q8_0", decoding=decoding)
    file = next(name for name in report.files if name.endswith(".gguf"))
    commands = parsed((report.folder / "Modelfile").read_text(encoding="utf-8"))
    assert commands["FROM"] == [f"./{file}"]
    assert commands["SYSTEM"] == [SYSTEM]
    assert commands["LICENSE"] == ["CC BY-SA 4.0"]
    assert commands["PARAMETER stop"] == list(STOP_MARKERS)
    assert commands["PARAMETER temperature"] == ["0.3"]
    assert commands["PARAMETER top_k"] == ["20"]
    assert commands["PARAMETER num_ctx"] == ["512"]
    assert commands["PARAMETER num_predict"] == ["99"]
    turns = [*MESSAGES, Message(role="assistant", content="It rains."), Message(role="user", content="Why?\n\nSay.")]
    (template,) = commands["TEMPLATE"]
    assert template == TEMPLATE
    assert go(template, turns) == unmerged.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=False
    )


def parsed(modelfile: str) -> dict[str, list[str]]:
    """A Modelfile by Ollama's rules: a value ends with its line, or where its three quotes are closed."""
    commands: dict[str, list[str]] = {}
    for name, quoted, plain in re.findall(
        r'^([A-Z]+(?: [a-z_]+(?= ))?) (?:"""(.*?)"""|([^\n]*))$', modelfile, re.DOTALL | re.MULTILINE
    ):
        commands.setdefault(name, []).append(quoted or plain.strip())
    return commands


def go(template: str, messages: list[Message]) -> str:
    """What Go's text/template makes of `{{ range .Messages }}` with `.Role` and `.Content`, written as Jinja."""
    turned = template.replace("{{ range .Messages }}", "{% for m in messages %}").replace("{{ end }}", "{% endfor %}")
    turned = turned.replace("{{ .Role }}", "{{ m.role }}").replace("{{ .Content }}", "{{ m.content }}")
    environment = ImmutableSandboxedEnvironment(keep_trailing_newline=True)
    return environment.from_string(turned).render(messages=messages)


def test_a_base_with_another_format_gets_no_modelfile(shelf: Shelf, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other")
    (other / "chat_template.jinja").write_text("{% for m in messages %}### {{ m.content }}\n{% endfor %}###")
    with pytest.raises(ExportError, match="not the ChatML"):
        run("ollama", other, shelf, tmp_path, adapter="base")
    assert left(tmp_path) == []


def wrong(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The rows as transformers has them: what a writer does that forgets llama.cpp's order."""
    return weight


def test_an_export_that_fails_its_check_is_not_kept(
    base: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_file, "_interleaved", wrong)
    for precision in ("f16", "q4_0"):
        with pytest.raises(ExportError, match="does not answer as the model does"):
            run("gguf", base, shelf, tmp_path, precision=precision)
    assert left(tmp_path) == []


def test_what_is_there_already_stays(base: Path, shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "homework.txt").write_text("keep")
    with pytest.raises(ExportError, match="is there already"):
        run("merged", base, shelf, tmp_path, output=tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["homework.txt"]
    (tmp_path / "empty").mkdir()
    assert run("merged", base, shelf, tmp_path, output=tmp_path / "empty").files


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 KB: writing fails half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["merged", "gguf"])
@pytest.mark.usefixtures("small_files")
def test_a_disk_that_takes_no_more_is_one_line(kind: str, base: Path, shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot be written .*free some space") as caught:
        run(kind, base, shelf, tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_only_an_adapter_of_this_base_is_merged(base: Path, shelf: Shelf, card: AdapterCard, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match="there is no adapter 'general-000000000000'"):
        run("merged", base, shelf, tmp_path, adapter="general-000000000000")
    other = make_base(tmp_path / "other", seed=2)
    for adapter in ("current", card.id):
        with pytest.raises(AdapterRefused, match="was trained on base model"):
            run("merged", other, shelf, tmp_path, adapter=adapter)
    with pytest.raises(ExportError, match="no general adapter is promoted"):
        run("merged", base, Shelf(tmp_path / "nothing"), tmp_path)
    altered = Shelf(tmp_path / "altered")
    shutil.copytree(shelf.folder(card.id), tmp_path / "altered" / card.id)
    with (tmp_path / "altered" / card.id / "adapter_model.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(AdapterRefused, match="altered since it was made"):
        run("merged", base, altered, tmp_path, adapter=card.id)
    assert left(tmp_path) == []


def qwen(folder: Path, base: Path) -> Path:
    shutil.copytree(base, folder)
    config = Qwen2Config(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, bos_token_id=None, eos_token_id=2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_model_that_gguf_is_not_written_for_is_refused(base: Path, shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the architecture qwen2 is not written"):
        run("gguf", qwen(tmp_path / "qwen", base), shelf, tmp_path, adapter="base")
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    stretched = make_base(tmp_path / "stretched", rope_parameters=scaled, attention_bias=True)
    with pytest.raises(ExportError, match="rope type linear and attention biases"):
        run("gguf", stretched, shelf, tmp_path, adapter="base")
    assert left(tmp_path) == []


@pytest.mark.parametrize(("kind", "package"), [("gguf", "gguf"), ("ollama", "gguf"), ("onnx", "onnxscript")])
def test_a_missing_package_is_named_before_the_work(
    kind: str, package: str, base: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=package):
        run(kind, base, shelf, tmp_path)
    assert left(tmp_path) == []


def test_arguments_that_cannot_be_run(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"format": "pickle"}, {"format": "gguf", "precision": "q2_k"}]
    for given in wrong:
        with pytest.raises(TrainingError, match="must be one of"):
            ExportArguments(base=tmp_path, exports=tmp_path, **given)


@pytest.mark.parametrize("dash", ["", "-"])
def test_the_template_without_our_marks_says_the_same(dash: str) -> None:
    marked = CHAT_TEMPLATE.replace("{% generation %}", f"{{%{dash} generation {dash}%}} ")
    plain = gguf_file.plain_template(marked)
    assert "generation %" not in plain
    turns = [*MESSAGES, {"role": "assistant", "content": "It rains."}]
    made = ImmutableSandboxedEnvironment().from_string(plain).render(messages=turns, add_generation_prompt=True)
    expected = "" if dash else " "
    assert made.endswith(f"<|im_start|>assistant\n{expected}It rains.<|im_end|>\n<|im_start|>assistant\n")


def test_prompts_are_spread_over_the_ways_of_asking() -> None:
    asked = prompts(EXAMPLES, 3)
    contents = [messages[-1]["content"] for messages in asked]
    assert [("जल" in text or "पौधे" in text.split("Question:")[1]) for text in contents].count(True) >= 1
    assert len(contents) == len(set(contents)) == 3
    assert all(text.startswith("Passages:\n[1] ") and "\n[3] " in text for text in contents)
    assert len(prompts(EXAMPLES, 100)) == len(EXAMPLES)
