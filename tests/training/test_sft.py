from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inference.adapters import AdapterCard, Shelf, adapter_sha256, model_sha256
from inference.engine import Engine
from inference.generation import Decoding
from inference.prompt import END, grounded
from training.conversations import build, fit
from training.data import Example, dataset_sha256, of_split, read
from training.errors import RecipeError, TrainingError
from training.grounded import NOT_IN_PASSAGES
from training.lora import Trainee, linear_layers
from training.progress import Progress
from training.sft import SftArguments, sft

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PASSAGES = {
    "What is photosynthesis?": ["Photosynthesis is the process by which green plants make food."],
    "What are stomata?": ["Stomata are tiny pores on the surface of leaves.", "Oxygen leaves the leaf."],
    "What is sound?": ["Sound is a form of energy that we hear."],
    "What is frequency?": ["The hertz is a unit.", "Frequency is the number of vibrations in one second."],
    "What is amplitude?": ["Amplitude is the size of a vibration."],
}


def retrieve(question: str) -> Sequence[str]:
    return PASSAGES.get(question, [])


@pytest.fixture(scope="module")
def examples(questions: Path) -> list[Example]:
    return read(questions)


def arguments(base: Path, adapters: Path, **changes: Any) -> SftArguments:
    given: dict[str, Any] = {"rank": 2, "alpha": 4, "epochs": 2, "batch": 2, "device": "cpu", "threads": 1}
    return SftArguments(base=base, adapters=adapters, **{**given, **changes})


@pytest.fixture(scope="module")
def trained(base: Path, examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    root = tmp_path_factory.mktemp("adapters")
    return root, sft(arguments(base, root), examples, retrieve, on_progress=lambda _: None)


def test_the_adapter_is_complete_under_its_id_and_nothing_else_is_left(
    trained: tuple[Path, AdapterCard], base: Path, examples: list[Example]
) -> None:
    root, card = trained
    assert [path.name for path in root.iterdir()] == [card.id]
    assert sorted(path.name for path in (root / card.id).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.json",
    ]
    assert adapter_sha256(root / card.id) == card.sha256
    assert card.base_sha256 == model_sha256(base)
    assert card.dataset_sha256 == dataset_sha256(of_split(examples, "train"))
    assert card.examples == 4
    assert set(card.scores) == {"held_out_loss", "held_out_loss_base"}


def test_no_path_of_this_machine_is_left_in_it(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    for name in ("adapter_config.json", "card.json"):
        text = (root / card.id / name).read_text(encoding="utf-8")
        assert str(base) not in text
        assert str(root) not in text
    config = json.loads((root / card.id / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == f"sahpathi-base-{card.base_sha256[:12]}"


def test_every_linear_layer_is_adapted_and_only_the_adapter_is_trained(
    base: Path, examples: list[Example], tmp_path: Path
) -> None:
    before = model_sha256(base)
    trainee = Trainee(arguments(base, tmp_path))
    frozen = {name: value.clone() for name, value in trainee.model.state_dict().items() if "lora_" not in name}
    trainee.train(build(of_split(examples, "train"), retrieve), lambda _: None)
    after = trainee.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in frozen.items())
    assert all(after[name].abs().sum() > 0 for name in after if "lora_B" in name)  # LoRA starts with B at zero
    assert {name.split(".lora_B")[0].rpartition(".")[2] for name in after if "lora_B" in name} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert model_sha256(base) == before


def test_linear_layers_are_found_by_kind_and_not_by_name() -> None:
    block = torch.nn.ModuleDict({"query_key": torch.nn.Linear(2, 2), "norm": torch.nn.LayerNorm(2)})
    model = torch.nn.ModuleDict({"block": block, "lm_head": torch.nn.Linear(2, 2)})
    assert linear_layers(model) == ["query_key"]
    with pytest.raises(TrainingError, match="no linear layers"):
        linear_layers(torch.nn.LayerNorm(2))


def test_the_loss_is_on_the_assistants_words_alone(base: Path, examples: list[Example], tmp_path: Path) -> None:
    trainee = Trainee(arguments(base, tmp_path))
    seen: list[dict[str, torch.Tensor]] = []
    real = trainee.model.forward

    def spy(*args: Any, **inputs: Any) -> Any:
        seen.append(inputs)
        return real(*args, **inputs)

    trainee.model.forward = spy
    conversations = build(of_split(examples, "train"), retrieve)
    trainee.train(conversations, lambda _: None)
    learned = {
        trainee.tokenizer.decode(row[row != -100]) for inputs in seen for row in inputs["labels"]
    }  # one string an example
    assert learned == {conversation[-1]["content"] + END for conversation in conversations}


def test_progress_is_told_at_every_step(base: Path, examples: list[Example], tmp_path: Path) -> None:
    told: list[Progress] = []
    sft(arguments(base, tmp_path, unanswerable=0.0), examples, retrieve, on_progress=told.append)
    assert [progress.step for progress in told] == [1, 2, 3, 4]  # four examples, two at a time, twice
    assert {progress.steps for progress in told} == {4}
    assert all(progress.loss > 0 for progress in told)


def test_the_same_seed_gives_the_same_adapter(
    trained: tuple[Path, AdapterCard], base: Path, examples: list[Example], tmp_path: Path
) -> None:
    again = sft(arguments(base, tmp_path), examples, retrieve, on_progress=lambda _: None)
    assert again.id == trained[1].id
    other = sft(arguments(base, tmp_path, seed=8), examples, retrieve, on_progress=lambda _: None)
    assert other.id != trained[1].id


def test_the_engine_loads_it_and_checks_its_hash(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    engine = Engine(base, Shelf(root), threads=1, dtype="float32", device="cpu")
    decoding = Decoding(temperature=0, max_new_tokens=4)
    generation = engine.generate(
        grounded("What is sound?", ["Sound is energy."]), decoding=decoding, on_text=lambda _: True, adapter=card.id
    )
    assert generation.adapter == card.id


def test_a_run_that_dies_leaves_nothing(
    base: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(self: Trainee, folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Trainee, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        sft(arguments(base, tmp_path), examples, retrieve, on_progress=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_safetensors_of_lora_alone(trained: tuple[Path, AdapterCard]) -> None:
    root, card = trained
    tensors = load_file(root / card.id / "adapter_model.safetensors")
    assert tensors
    assert all("lora_" in name for name in tensors)


def test_prompts_hold_what_is_retrieved_in_its_order(examples: list[Example]) -> None:
    frequency = next(example for example in examples if example.question == "What is frequency?")
    conversation = build([frequency], retrieve)[0]
    assert conversation[:-1] == grounded(frequency.question, PASSAGES[frequency.question])
    assert conversation[-1] == {"role": "assistant", "content": frequency.answer}


def test_passages_of_its_own_come_before_retrieval() -> None:
    conversation = build([Example("q", "a", passages=("mine",))], lambda _: ["theirs"])[0]
    assert "mine" in conversation[1]["content"]
    assert "theirs" not in conversation[1]["content"]


def test_unanswerable_examples_have_another_chapters_passages_and_the_refusal(examples: list[Example]) -> None:
    train = of_split(examples, "train")
    refused = [c for c in build(train, retrieve, unanswerable=1.0, seed=1) if c[-1]["content"] == NOT_IN_PASSAGES]
    assert len(refused) == len(train)
    for example, conversation in ((e, c) for e in train for c in refused if c[1]["content"].endswith(e.question)):
        assert not any(passage in conversation[1]["content"] for passage in PASSAGES[example.question])


def test_examples_without_passages_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    assert build([Example("unknown", "a")], retrieve) == []
    assert "1 of 1 examples left out" in caplog.text


def test_nothing_to_train_on_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        sft(arguments(base, tmp_path), [Example("q", "a", split="test")], retrieve)


def test_a_prompt_that_does_not_fit_loses_passages_from_the_end() -> None:
    conversation = build([Example("q", "a", passages=("best", "second", "third"))], retrieve)[0]

    def length(messages: Sequence[Any]) -> int:
        return sum(len(message["content"]) for message in messages)

    fitted = fit(conversation, length, length(conversation) - 1)
    assert "second" in fitted[1]["content"]
    assert "third" not in fitted[1]["content"]
    with pytest.raises(TrainingError, match="does not fit"):
        fit(conversation, length, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": 0},
        {"epochs": 0},
        {"dropout": 1.0},
        {"unanswerable": 1.5},
        {"precision": "float16"},
        {"device": "tpu"},
        {"subject": "../up"},
        {"learning_rate": -1.0},
    ],
)
def test_bad_arguments_are_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        SftArguments(Path("base"), Path("adapters"), **changes)


def test_a_missing_base_model_is_an_error(tmp_path: Path) -> None:
    example = Example("q", "a", passages=("p",))
    with pytest.raises(TrainingError, match="no base model"):
        sft(arguments(tmp_path / "none", tmp_path / "adapters"), [example], retrieve)
