from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inference.adapters import AdapterCard, Shelf, adapter_sha256, model_sha256
from inference.engine import Engine
from inference.generation import Decoding
from inference.prompt import END, grounded
from tests.training.sft_child import PASSAGES, retrieve
from tests.training.unheard import Unheard
from training.base.grounded import NOT_IN_PASSAGES
from training.errors import RecipeError, TrainingError
from training.pairs.conversations import build, fit
from training.pairs.data import Example, dataset_sha256, of_split, read
from training.pairs.template import IGNORED, Encoded
from training.records.progress import Progress
from training.records.record import Evaluation, Event, Finished, Note, Started, Step
from training.tuning.judge import Judge
from training.tuning.lora import Trainee, linear_layers
from training.tuning.lora_trainer import LoraTrainer
from training.tuning.sft import SftArguments, sft

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def examples(questions: Path) -> list[Example]:
    return read(questions)


def arguments(base: Path, adapters: Path, **changes: Any) -> SftArguments:
    given: dict[str, Any] = {"rank": 2, "alpha": 4, "epochs": 2, "batch": 2, "device": "cpu", "threads": 1}
    return SftArguments(**{"base": base, "adapters": adapters / "adapters", **given, **changes})


def silent(_: Progress) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def trained(base: Path, examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    root = tmp_path_factory.mktemp("home") / "adapters"
    return root, sft(arguments(base, root.parent), examples, retrieve, on_progress=silent)


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
    assert set(card.scores) == {"held_out_loss", "held_out_loss_base", "best_step"}


def test_no_path_of_this_machine_is_left_in_it(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    for name in ("adapter_config.json", "card.json"):
        text = (root / card.id / name).read_text(encoding="utf-8")
        assert str(base) not in text
        assert str(root) not in text
    config = json.loads((root / card.id / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == f"sahpathi-base-{card.base_sha256[:12]}"


def test_every_linear_layer_is_adapted_and_the_base_is_left_as_it_was(
    trained: tuple[Path, AdapterCard], base: Path
) -> None:
    root, card = trained
    tensors = load_file(root / card.id / "adapter_model.safetensors")
    assert all(value.abs().sum() > 0 for name, value in tensors.items() if "lora_B" in name)  # LoRA starts with B at 0
    assert {name.split(".lora_B")[0].rpartition(".")[2] for name in tensors if "lora_B" in name} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert card.base_sha256 == model_sha256(base)
    Engine(base, Shelf(root), threads=1, dtype="float32", device="cpu").shelf.verify(card, model_sha256(base))


def test_linear_layers_are_found_by_kind_and_not_by_name() -> None:
    block = torch.nn.ModuleDict({"query_key": torch.nn.Linear(2, 2), "norm": torch.nn.LayerNorm(2)})
    model = torch.nn.ModuleDict({"block": block, "lm_head": torch.nn.Linear(2, 2)})
    assert linear_layers(model) == ["query_key"]
    with pytest.raises(TrainingError, match="no linear layers"):
        linear_layers(torch.nn.LayerNorm(2))


def test_what_is_learned_is_the_answer_with_its_end_or_everything(
    base: Path, examples: list[Example], tmp_path: Path
) -> None:
    conversation = build(of_split(examples, "train"), retrieve)[0]
    alone = Trainee(arguments(base, tmp_path)).encode(conversation)
    trainee = Trainee(arguments(base, tmp_path, answer_only=False))
    whole = trainee.encode(conversation)
    learned = [token for token in alone.labels if token != IGNORED]
    assert trainee.tokenizer.decode(learned) == conversation[-1]["content"] + END
    assert whole.labels == whole.ids == alone.ids


@pytest.mark.parametrize("answer_only", [True, False])
def test_the_loss_is_that_of_the_model_itself(
    answer_only: bool, base: Path, examples: list[Example], tmp_path: Path
) -> None:
    trainee = Trainee(arguments(base, tmp_path, answer_only=answer_only, precision="float32"))
    conversations = build(of_split(examples, "train"), retrieve)
    total, count = 0.0, 0
    for one in map(trainee.encode, conversations):
        with torch.no_grad():
            logits = trainee.model(input_ids=torch.tensor([one.ids])).logits[0, :-1]
        wanted = torch.tensor(one.labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum"))
        count += int((wanted != IGNORED).sum())
    assert trainee.loss(conversations) == pytest.approx(total / count, rel=1e-5)


def test_progress_is_told_at_every_step(base: Path, examples: list[Example], tmp_path: Path) -> None:
    told: list[Progress] = []
    sft(arguments(base, tmp_path, unanswerable=0.0), examples, retrieve, on_progress=told.append)
    assert [progress.step for progress in told] == [1, 2, 3, 4]  # four examples, two at a time, twice
    assert {progress.steps for progress in told} == {4}
    assert all(progress.loss > 0 for progress in told)


def test_the_same_seed_gives_the_same_adapter(
    trained: tuple[Path, AdapterCard], base: Path, examples: list[Example], tmp_path: Path
) -> None:
    again = sft(arguments(base, tmp_path), examples, retrieve, on_progress=silent)
    assert again.id == trained[1].id
    other = sft(arguments(base, tmp_path, seed=8), examples, retrieve, on_progress=silent)
    assert other.id != trained[1].id


def test_the_engine_loads_it_and_checks_its_hash(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    engine = Engine(base, Shelf(root), threads=1, dtype="float32", device="cpu")
    decoding = Decoding(temperature=0, max_new_tokens=4)
    generation = engine.generate(
        grounded("What is sound?", ["Sound is energy."]), decoding=decoding, on_text=lambda _: True, adapter=card.id
    )
    assert generation.adapter == card.id


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
        {"accumulation": 9},
        {"batching": "padded"},
        {"quantised": True, "device": "cpu"},
        {"attention": "eager"},
        {"report_to": "mail"},
        {"validation": 1.0},
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
        sft(arguments(tmp_path / "none", tmp_path), [example, example], retrieve)


def test_one_example_is_no_dataset(base: Path, examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one example to train on; at least 2"):
        sft(arguments(base, tmp_path), [examples[0], *of_split(examples, "test")], retrieve)
    assert list(tmp_path.iterdir()) == []


def test_what_this_machine_cannot_do_is_one_clear_line(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for changes, message in (
        ({"device": "cuda"}, "no NVIDIA GPU here; set device to cpu or auto"),
        ({"device": "auto", "quantised": True}, "on a processor set quantised to false"),
        ({"attention": "flash"}, "set attention to sdpa"),
    ):
        with pytest.raises(TrainingError, match=message):
            Trainee(arguments(base, tmp_path, **changes))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="pip install tensorboard"):
        Trainee(arguments(base, tmp_path, report_to="tensorboard"))


class Quiet(Unheard):
    """Follows a trainer and keeps what it is told."""

    def __init__(self, best: int = 0) -> None:
        self.losses: list[float] = []
        self.notes: list[str] = []
        self.rates: list[float] = []

    def step(self, step: int, loss: float, learning_rate: float, tokens: int, seconds: float) -> None:
        self.losses.append(loss)
        self.rates.append(learning_rate)

    def note(self, message: str) -> None:
        self.notes.append(message)


def run(
    base: Path, folder: Path, conversations: Sequence[Any], **changes: Any
) -> tuple[Quiet, dict[str, torch.Tensor], LoraTrainer]:
    """Train without the rest of a run: what the follower was told, and the adapter's weights."""
    args = arguments(base, folder, **{"precision": "float32", "epochs": 2, "batch": 4, **changes})
    trainee, follower = Trainee(args), Quiet()
    trainer = LoraTrainer(trainee, args, [trainee.encode(one) for one in conversations], folder, follower)
    trainer.run()
    return follower, trainee.weights(), trainer


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(value, other[name], atol=2e-5) for name, value in one.items())


@pytest.fixture(scope="module")
def conversations(examples: list[Example]) -> list[list[Any]]:
    return build(examples, retrieve)


@pytest.fixture(scope="module")
def whole(
    base: Path, conversations: list[list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Quiet, dict[str, torch.Tensor]]:
    follower, weights, _ = run(base, tmp_path_factory.mktemp("whole"), conversations)
    return follower, weights


@pytest.mark.parametrize("changes", [{"accumulation": 4}, {"gradient_checkpointing": True}])
def test_reading_a_batch_in_parts_or_twice_learns_the_same(
    changes: dict[str, Any],
    base: Path,
    conversations: list[list[Any]],
    whole: tuple[Quiet, dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    follower, weights, _ = run(base, tmp_path, conversations, **changes)
    assert close(weights, whole[1])
    assert follower.losses == pytest.approx(whole[0].losses, rel=1e-4)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_when_memory_runs_out_less_is_read_at_once_and_a_step_learns_as_much(
    error: Exception,
    base: Path,
    conversations: list[list[Any]],
    whole: tuple[Quiet, dict[str, torch.Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Trainee.summed_loss

    def small(self: Trainee, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
        if len(inputs["input_ids"]) > 2:
            raise error
        return real(self, inputs)

    monkeypatch.setattr(Trainee, "summed_loss", small)
    follower, weights, trainer = run(base, tmp_path, conversations)
    assert close(weights, whole[1])
    assert follower.notes == ["memory ran out: 2 examples are now read at once; a step still learns 4"]
    assert trainer.steps == len(whole[0].losses)


def test_memory_for_less_than_one_example_ends_the_run_with_a_clear_line(
    base: Path, conversations: list[list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Trainee, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(Trainee, "summed_loss", full)
    with pytest.raises(TrainingError, match=r"single example.*gradient_checkpointing") as told:
        run(base, tmp_path, conversations)
    assert "\n" not in str(told.value)


def test_packed_examples_do_not_see_each_other(base: Path, conversations: list[list[Any]], tmp_path: Path) -> None:
    follower, _, trainer = run(base, tmp_path, conversations, batching="packed", batch=5, epochs=1)
    assert len(trainer.lengths) < len(conversations)  # several in a row
    args = arguments(base, tmp_path, precision="float32")
    apart = Trainee(args).loss(conversations)
    assert trainer.steps == 1
    assert follower.losses == pytest.approx([apart], rel=1e-4)


def test_padded_is_the_textbooks_way(base: Path, conversations: list[list[Any]], tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []
    args = arguments(base, tmp_path, batching="padded", length=200, precision="float32")
    trainee = Trainee(args)
    encoded = [trainee.template.encode(one).cut(200) for one in conversations]
    trainer = LoraTrainer(trainee, args, encoded, tmp_path, Quiet())
    real = trainer.data_collator

    def collate(rows: list[dict[str, Any]]) -> Any:
        made = real(rows)
        seen.append(tuple(made["input_ids"].shape))
        return made

    trainer.data_collator = collate
    trainer.run()
    assert {shape[1] for shape in seen} == {200}


def test_the_rate_warms_up_and_falls_as_a_cosine(base: Path, conversations: list[list[Any]], tmp_path: Path) -> None:
    follower, _, _ = run(base, tmp_path, conversations, epochs=4, batch=1, warmup=5, learning_rate=1e-3)
    rates = follower.rates
    assert len(rates) == 20
    assert all(before < after for before, after in pairwise(rates[:6]))
    assert max(rates) == rates[5] == pytest.approx(1e-3)
    assert all(before > after for before, after in pairwise(rates[5:]))


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_ends_the_run_before_it_is_learned(
    where: str,
    base: Path,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = Trainee.summed_loss, 0

    def explode(self: Trainee, inputs: dict[str, Any]) -> tuple[torch.Tensor, int]:
        nonlocal calls
        loss, learned = real(self, inputs)
        calls += self.model.training
        if calls == 3 and self.model.training:
            loss = loss * float("nan") if where == "loss" else torch.sqrt(loss * 0) + loss  # a root's slope at 0
        return loss, learned

    monkeypatch.setattr(Trainee, "summed_loss", explode)
    events: list[Event] = []
    with pytest.raises(TrainingError, match=f"the {where} is not a number at step 3.*lower learning_rate") as told:
        sft(
            arguments(base, tmp_path, checkpoint_every=1),
            examples,
            retrieve,
            on_progress=silent,
            on_event=events.append,
        )
    assert "\n" not in str(told.value)
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert (ended.stopped, ended.adapter) == ("failed", None)
    assert not (tmp_path / "adapters").exists()
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "checkpoint-2").is_dir()


@pytest.fixture(scope="module")
def followed(
    base: Path, examples: list[Example], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Event], AdapterCard]:
    events: list[Event] = []
    args = arguments(base, tmp_path_factory.mktemp("followed"), epochs=3, batch=1, samples=1, patience=0)
    dev = [Example("What is amplitude?", "Amplitude is the size of a vibration.", split="dev", subject="science")]
    return events, sft(args, [*examples, *dev], retrieve, on_progress=silent, on_event=events.append)


def test_a_run_tells_all_about_itself(followed: tuple[list[Event], AdapterCard], examples: list[Example]) -> None:
    events, card = followed
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)
    assert (started.steps, started.data["examples"], started.data["dev"]) == (12, 4, 1)
    assert started.data["learned_tokens"] < started.data["tokens"]
    assert started.hardware["device"] == "cpu"
    assert isinstance(ended, Finished)
    assert (ended.stopped, ended.adapter, ended.scores) == ("complete", card.id, card.scores)
    assert ended.peak_memory > 1e8  # bytes: torch alone takes more
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, 13))
    assert all(step.tokens_per_second > 0 for step in steps)
    assert steps[-1].seconds_left == 0


def test_the_same_questions_are_answered_before_and_at_each_evaluation(
    followed: tuple[list[Event], AdapterCard],
) -> None:
    evaluations = [event for event in followed[0] if isinstance(event, Evaluation)]
    assert [event.step for event in evaluations] == [0, 4, 8, 12]
    assert {event.samples[0].question for event in evaluations} == {"What is amplitude?"}
    assert all(event.samples[0].wanted == "Amplitude is the size of a vibration." for event in evaluations)
    assert all(event.perplexity == pytest.approx(torch.e**event.dev_loss) for event in evaluations)
    assert evaluations[0].train_loss is None


def test_the_adapter_has_the_weights_of_the_best_evaluation(
    base: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = [Example("What is amplitude?", "Amplitude is the size of a vibration.", split="dev")]
    losses = iter([3.0, 2.0, 2.5, 2.6, 9.0])  # before, then at each epoch's end

    def loss_of(self: Trainee, encoded: Sequence[Encoded]) -> float:
        return next(losses)

    after_one = sft(
        arguments(base, tmp_path / "one", epochs=4, evaluate_every=0, patience=0), examples, retrieve, silent
    )
    monkeypatch.setattr(Trainee, "loss_of", loss_of)
    monkeypatch.setattr(Trainee, "loss", lambda self, conversations: 1.0)
    events: list[Event] = []
    args = arguments(base, tmp_path / "early", epochs=4, patience=2)
    card = sft(args, [*examples, *dev], retrieve, silent, events.append)
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert ended.stopped == "early"
    assert (ended.best_step, card.scores["best_step"], card.scores["dev_loss"]) == (2, 2.0, 2.0)
    assert [event.best for event in events if isinstance(event, Evaluation)] == [False, True, False, False]
    assert card.id != after_one.id


def test_rising_dev_loss_with_falling_training_loss_is_overfitting() -> None:
    judge = Judge(patience=3)
    flags = []
    for train, dev in ((2.0, 2.0), (1.5, 1.8), (1.0, 1.9), (1.2, 2.1)):
        judge.learned(train)
        flags.append(judge.judge(1, dev))
    assert flags == [(True, False), (True, False), (False, True), (False, False)]
    assert not judge.stops
    judge.judge(1, 3.0)
    assert judge.stops


def test_without_a_dev_split_a_share_is_held_out_always_the_same(
    base: Path, examples: list[Example], tmp_path: Path
) -> None:
    told: list[list[Event]] = [[], []]
    for events in told:
        sft(arguments(base, tmp_path / str(len(told[0])), validation=0.25), examples, retrieve, silent, events.append)
    first, second = told
    assert isinstance(first[0], Started)
    assert (first[0].data["examples"], first[0].data["dev"]) == (3, 1)
    asked = [[e.samples[0].question for e in events if isinstance(e, Evaluation)] for events in (first, second)]
    assert asked[0]
    assert asked[0] == asked[1]


def test_nothing_to_judge_by_is_said(base: Path, examples: list[Example], tmp_path: Path) -> None:
    events: list[Event] = []
    sft(arguments(base, tmp_path, validation=0.0), examples, retrieve, silent, events.append)
    assert next(event.message for event in events if isinstance(event, Note)).startswith("there is nothing to judge")
    assert not [event for event in events if isinstance(event, Evaluation)]


def test_dora_is_served_merged_and_its_card_says_so(base: Path, examples: list[Example], tmp_path: Path) -> None:
    events: list[Event] = []
    card = sft(arguments(base, tmp_path, dora=True), examples, retrieve, silent, events.append)
    assert card.recipe["dora"] is True
    assert any(isinstance(event, Note) and "merged" in event.message for event in events)
    engine = Engine(base, Shelf(tmp_path / "adapters"), threads=1, dtype="float32", device="cpu")
    generation = engine.generate(
        grounded("What is sound?", ["Sound is energy."]),
        decoding=Decoding(temperature=0, max_new_tokens=4),
        on_text=lambda _: True,
        adapter=card.id,
    )
    assert generation.adapter == card.id


def test_rslora_scales_by_the_root_of_the_rank(base: Path, tmp_path: Path) -> None:
    plain, root = (
        Trainee(arguments(base, tmp_path, rank=4, alpha=8, rslora=rslora)).model.base_model.model.model.layers[0]
        for rslora in (False, True)
    )
    assert plain.self_attn.q_proj.scaling["default"] == 2
    assert root.self_attn.q_proj.scaling["default"] == 4
