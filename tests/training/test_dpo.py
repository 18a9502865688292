from __future__ import annotations

import json
import math
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.adapters import AdapterCard, Shelf, adapter_sha256
from inference.engine import Engine
from inference.errors import AdapterRefused
from inference.generation import Decoding
from inference.prompt import END, grounded
from training.dpo import DpoArguments, dpo, make_trainer, margins
from training.errors import RecipeError, TrainingError
from training.policy import Policy
from training.preferences import Preference, preferences_sha256
from training.progress import Progress
from training.recipe import recipe

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated:FutureWarning")

PASSAGE = "Sound is a form of energy that we hear."
PREFERENCES = [
    Preference("What is sound?", "Sound is a form of energy.", "Sound is a plant.", (PASSAGE,)),
    Preference("What do we hear?", "We hear sound.", "We hear the leaves of a mango tree.", (PASSAGE, "Leaves.")),
    Preference("Is sound energy?", "Yes, sound is energy that we hear.", "No.", (PASSAGE,)),
    Preference("What is hearing?", "We hear sound with our ears.", "It is a plant.", (PASSAGE,), split="test"),
]
LEARNED = PREFERENCES[:3]


def nothing(_: str) -> Sequence[str]:
    return []


def quiet(_: Progress) -> None:
    return None


def arguments(base: Path, adapters: Path, **changes: Any) -> DpoArguments:
    given: dict[str, Any] = {
        "rank": 2, "alpha": 4, "epochs": 8, "batch": 3, "learning_rate": 1e-2, "precision": "float32",
        "device": "cpu", "threads": 1,
    }  # fmt: skip
    return DpoArguments(base=base, adapters=adapters, **{**given, **changes})


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    root = tmp_path_factory.mktemp("adapters")
    return root, dpo(arguments(base, root), PREFERENCES, nothing, quiet)


def log_probability(base: Path, model: Any, one: Preference, answer: str) -> torch.Tensor:
    """Of an answer by the chain rule, token by token: no code of ours but the prompt."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    messages: Any = grounded(one.question, one.passages)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    said = tokenizer(answer + END, add_special_tokens=False)["input_ids"]
    chances = torch.log_softmax(model(torch.tensor([asked + said])).logits[0], dim=-1)
    total = torch.tensor(0.0)
    for place, token in enumerate(said, start=len(asked)):
        total = total + chances[place - 1, token]
    return total


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_the_loss_is_the_one_computed_by_hand(base: Path, tmp_path: Path, loss_type: str) -> None:
    args = arguments(base, tmp_path, beta=0.3, loss_type=loss_type)
    policy = Policy(args)
    trainer = make_trainer(args, policy, LEARNED, tmp_path / "scratch")
    torch.manual_seed(1)
    for name, weight in policy.model.named_parameters():  # as after some training: the policy is not its reference
        if "lora_B.default" in name:
            weight.data.normal_(std=0.2)
    reference = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    by_hand = []
    with torch.no_grad():
        for one in LEARNED:
            ratio = {
                answer: log_probability(base, policy.model, one, answer) - log_probability(base, reference, one, answer)
                for answer in (one.chosen, one.rejected)
            }
            if loss_type == "sigmoid":
                difference = ratio[one.chosen] - ratio[one.rejected]
                by_hand.append(-torch.log(torch.sigmoid(0.3 * difference)))
            else:
                length = {answer: len(tokenizer(answer + END)["input_ids"]) for answer in ratio}
                difference = ratio[one.chosen] / length[one.chosen] - ratio[one.rejected] / length[one.rejected]
                by_hand.append((difference - 1 / (2 * 0.3)) ** 2)
        batch = next(iter(trainer.get_train_dataloader()))
        trainers = trainer.compute_loss(trainer.model.eval(), batch)
    assert batch["input_ids"].shape[0] == 2 * len(LEARNED)
    expected = float(torch.stack(by_hand).mean())
    assert float(trainers) == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(math.log(2), rel=1e-3)  # which is what no difference at all would give


def test_prompts_are_those_of_serving_and_answers_end_as_the_model_ends_them(base: Path, tmp_path: Path) -> None:
    policy = Policy(arguments(base, tmp_path))
    rows = make_trainer(arguments(base, tmp_path), policy, LEARNED, tmp_path / "scratch").train_dataset
    tokenizer = AutoTokenizer.from_pretrained(base)
    for row, one in zip(rows, LEARNED, strict=True):
        messages: Any = grounded(one.question, one.passages)
        served = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
        assert row["prompt_ids"] == served["input_ids"]
        assert tokenizer.decode(row["chosen_ids"]) == one.chosen + END
        assert tokenizer.decode(row["rejected_ids"]) == one.rejected + END


def test_chosen_answers_become_likelier_than_they_were_beside_the_rejected(
    trained: tuple[Path, AdapterCard], base: Path
) -> None:
    root, card = trained
    before = margins(Policy(arguments(base, root)), LEARNED)
    after = margins(Policy(arguments(base, root), root / card.id), LEARNED)
    assert all(new > old + 1 for old, new in zip(before, after, strict=True))  # nats


def test_the_adapter_is_complete_and_its_card_says_what_made_it(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    assert [path.name for path in root.iterdir()] == [card.id]
    assert sorted(path.name for path in (root / card.id).iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.json",
    ]
    assert adapter_sha256(root / card.id) == card.sha256
    assert card.dataset_sha256 == preferences_sha256(LEARNED)
    assert card.examples == len(LEARNED)
    assert card.recipe["method"] == "dpo"
    assert card.recipe["beta"] == 0.1
    assert str(base) not in json.dumps(dict(card.recipe)) + (root / card.id / "adapter_config.json").read_text()


def test_its_scores_are_those_of_the_held_out_preferences(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    held_out = PREFERENCES[3:]
    [before] = margins(Policy(arguments(base, root)), held_out)
    [after] = margins(Policy(arguments(base, root), root / card.id), held_out)
    assert card.scores == {
        "preference_accuracy_before": float(before > 0),
        "preference_accuracy": float(after > 0),
        "preference_margin_before": pytest.approx(before, rel=1e-4),
        "preference_margin": pytest.approx(after, rel=1e-4),
        "preference_gained": float(after > before),
    }
    assert before != pytest.approx(after)


def test_a_run_goes_on_from_an_adapter_and_stays_near_it(
    trained: tuple[Path, AdapterCard], base: Path, tmp_path: Path
) -> None:
    root, card = trained
    args = arguments(base, tmp_path, start=card.id, epochs=1, rank=16)
    folder = args.start_folder(Shelf(tmp_path, root))
    policy = Policy(args, folder)
    expected = margins(Policy(arguments(base, root), root / card.id), LEARNED)
    trainer = make_trainer(args, policy, LEARNED, tmp_path / "scratch")
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model.eval(), next(iter(trainer.get_train_dataloader())))
    assert float(loss) == pytest.approx(math.log(2), rel=1e-5)  # the reference is the adapter, not the bare base
    assert margins(policy, LEARNED) == pytest.approx(expected, rel=1e-4)
    further = dpo(args, PREFERENCES, nothing, quiet, Shelf(tmp_path, root))
    assert further.id != card.id
    assert further.recipe["start"] == card.id
    assert "rank" not in further.recipe
    config = json.loads((tmp_path / further.id / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 2


def test_an_adapter_that_was_altered_or_is_unknown_is_no_start(
    trained: tuple[Path, AdapterCard], base: Path, tmp_path: Path
) -> None:
    root, card = trained
    copy = tmp_path / card.id
    copy.mkdir()
    for path in (root / card.id).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "adapter_config.json").write_text("{}", encoding="utf-8")
    for start, why in ((card.id, "altered"), ("general-000000000000", "there is no adapter")):
        with pytest.raises(AdapterRefused, match=why):
            dpo(arguments(base, tmp_path, start=start), PREFERENCES, nothing, quiet)


def test_the_engine_serves_it(trained: tuple[Path, AdapterCard], base: Path) -> None:
    root, card = trained
    engine = Engine(base, Shelf(root), threads=1, dtype="float32", device="cpu")
    decoding = Decoding(temperature=0, max_new_tokens=4)
    generation = engine.generate(
        grounded("What is sound?", [PASSAGE]), decoding=decoding, on_text=lambda _: True, adapter=card.id
    )
    assert generation.adapter == card.id


def test_progress_is_told_at_every_step(base: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    dpo(arguments(base, tmp_path, epochs=2, batch=2), PREFERENCES, nothing, told.append)
    assert [(progress.step, progress.steps) for progress in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[0].loss == pytest.approx(math.log(2), rel=1e-3)  # before the first step there is no difference


@pytest.mark.parametrize("when", ["training", "saving"])
def test_an_interrupt_leaves_no_half_adapter(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def interrupt(progress: Progress) -> None:
        if when == "training" and progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    def half(self: Policy, folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Policy, "save", half)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            dpo(arguments(base, tmp_path, epochs=2), PREFERENCES, nothing, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []
    assert Shelf(tmp_path).list() == []


def test_nothing_to_learn_from_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to learn from"):
        dpo(arguments(base, tmp_path), PREFERENCES[3:], nothing, quiet)


@pytest.mark.parametrize(
    "changes",
    [
        {"beta": 0.0},
        {"loss_type": "hinge"},
        {"epochs": 0},
        {"batch": 0},
        {"rank": 0},
        {"warmup": 1.0},
        {"learning_rate": -1.0},
        {"precision": "float16"},
        {"device": "tpu"},
        {"subject": "../up"},
    ],
)
def test_bad_arguments_are_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        DpoArguments(Path("base"), Path("adapters"), **changes)


def test_the_shipped_recipe_loads() -> None:
    found = recipe("dpo-cpu", start="general-000000000000").dpo
    assert found is not None
    assert found.start == "general-000000000000"
    assert found.loss_type == "sigmoid"
