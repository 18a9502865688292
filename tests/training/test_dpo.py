from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bot.cli import app
from inference.adapters import AdapterCard, Shelf, adapter_sha256
from inference.engine import Engine
from inference.errors import AdapterRefused
from inference.generation import Decoding
from inference.prompt import END, grounded
from tests.training.unheard import Unheard
from training.errors import RecipeError, TrainingError
from training.recipe import recipe
from training.records.progress import Progress
from training.records.record import Evaluation, Event, Finished, Note, Resumed, Started, Step, from_line
from training.records.record import read as events_of
from training.report import write
from training.tuning import lora_checkpoint
from training.tuning.dpo import DpoArguments, dpo, make_trainer, margins, row
from training.tuning.policy import Policy
from training.tuning.preferences import Preference, preferences_sha256

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
    return DpoArguments(base=base, adapters=adapters / "adapters", **{**given, **changes})


def trainer_of(args: DpoArguments, policy: Policy, folder: Path) -> Any:
    return make_trainer(args, policy, [row(policy, one) for one in LEARNED], folder, Unheard())


def whole_batch(trainer: Any) -> Any:
    return trainer.data_collator([trainer.train_dataset[place] for place in range(len(LEARNED))])


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    args = arguments(base, tmp_path_factory.mktemp("trained"))
    return args.adapters, dpo(args, PREFERENCES, nothing, quiet)


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
    trainer = trainer_of(args, policy, tmp_path)
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
        batch = whole_batch(trainer)
        trainers = trainer.compute_loss(trainer.model.eval(), batch)
    assert batch["input_ids"].shape[0] == 2 * len(LEARNED)
    expected = float(torch.stack(by_hand).mean())
    assert float(trainers) == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(math.log(2), rel=1e-3)  # which is what no difference at all would give


def test_prompts_are_those_of_serving_and_answers_end_as_the_model_ends_them(base: Path, tmp_path: Path) -> None:
    policy = Policy(arguments(base, tmp_path))
    rows = trainer_of(arguments(base, tmp_path), policy, tmp_path).train_dataset
    tokenizer = AutoTokenizer.from_pretrained(base)
    for ids, one in zip(rows, LEARNED, strict=True):
        messages: Any = grounded(one.question, one.passages)
        served = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
        assert ids["prompt_ids"] == served["input_ids"]
        assert tokenizer.decode(ids["chosen_ids"]) == one.chosen + END
        assert tokenizer.decode(ids["rejected_ids"]) == one.rejected + END


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
    folder = args.start_folder(Shelf(args.adapters, root))
    policy = Policy(args, folder)
    expected = margins(Policy(arguments(base, root), root / card.id), LEARNED)
    trainer = trainer_of(args, policy, tmp_path)
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model.eval(), whole_batch(trainer))
    assert float(loss) == pytest.approx(math.log(2), rel=1e-5)  # the reference is the adapter, not the bare base
    assert margins(policy, LEARNED) == pytest.approx(expected, rel=1e-4)
    further = dpo(args, PREFERENCES, nothing, quiet, Shelf(args.adapters, root))
    assert further.id != card.id
    assert further.recipe["start"] == card.id
    assert "rank" not in further.recipe
    config = json.loads((args.adapters / further.id / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 2


def test_an_adapter_that_was_altered_or_is_unknown_is_no_start(
    trained: tuple[Path, AdapterCard], base: Path, tmp_path: Path
) -> None:
    root, card = trained
    copy = tmp_path / "adapters" / card.id
    copy.mkdir(parents=True)
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


# Runs that are stopped. Two steps an epoch, eight in all, evaluated at every third and the last.
STOPPED: dict[str, Any] = {"epochs": 4, "batch": 2, "evaluate_every": 3, "checkpoint_every": 2, "samples": 1}
HELD = [*PREFERENCES, Preference("What is a sound?", "Energy that we hear.", "A leaf.", (PASSAGE,), split="dev")]


@pytest.fixture(scope="module")
def uninterrupted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    """What such a run comes to when nothing happens to it: the folder it was made in, and its adapter."""
    root = tmp_path_factory.mktemp("uninterrupted")
    return root, dpo(arguments(base, root, **STOPPED), HELD, nothing, quiet)


def stopped_child(base: Path, root: Path, at: str) -> None:
    """The same run in a process of its own; it dies by SIGKILL at a point: "step N", or "mid-save N", N-th file."""
    what, _, number = at.partition(" ")
    real, written = lora_checkpoint._write, []

    def half(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == int(number):
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        real(path, content)

    def die(event: Event) -> None:
        if what == "step" and isinstance(event, Step) and event.step == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    if what == "mid-save":
        lora_checkpoint._write = half
    dpo(arguments(base, root, **STOPPED), HELD, nothing, quiet, on_event=die)


def run_folder(root: Path) -> Path:
    (folder,) = (root / "runs").iterdir()
    return folder


def test_a_run_has_a_record_and_a_report(uninterrupted: tuple[Path, AdapterCard]) -> None:
    root, card = uninterrupted
    folder = run_folder(root)
    events = events_of(folder)
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(ended, Finished)
    assert (started.method, started.steps, started.data["examples"], started.data["dev"]) == ("dpo", 8, 3, 1)
    assert str(root) not in (folder / "run.jsonl").read_text(encoding="utf-8")
    assert (ended.stopped, ended.adapter, dict(ended.scores)) == ("complete", card.id, dict(card.scores))
    assert card.recipe["run"] == folder.name
    measured = [event for event in events if isinstance(event, Evaluation)]
    assert [one.step for one in measured] == [0, 3, 6, 8]
    assert measured[0].dev_loss == pytest.approx(math.log(2))  # nothing is preferred yet
    assert measured[0].samples[0].wanted == "Energy that we hear."
    assert ended.best_step == min(measured[1:], key=lambda one: one.dev_loss).step
    assert "Direct preference optimisation" in write(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("at", ["step 1", "step 5", "mid-save 4"])
def test_a_run_killed_anywhere_ends_with_the_same_adapter(
    base: Path, tmp_path: Path, uninterrupted: tuple[Path, AdapterCard], at: str
) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.training.test_dpo", "trl.trainer.dpo_trainer"])
    child = server.Process(target=stopped_child, args=(base, tmp_path, at))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    told: list[Progress] = []
    card = dpo(arguments(base, tmp_path, **STOPPED), HELD, nothing, told.append)
    _, whole = uninterrupted
    assert (card.sha256, dict(card.scores)) == (whole.sha256, dict(whole.scores))
    events = events_of(run_folder(tmp_path))
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 9))
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.step == {"step 1": 0, "step 5": 4, "mid-save 4": 2}[at]
    assert told[0].step == resumed.step + 1  # only what was left is done
    assert [path.name for path in run_folder(tmp_path).iterdir()] == ["run.jsonl"]


def test_ctrl_c_is_one_clear_line_and_the_run_goes_on(
    base: Path, tmp_path: Path, uninterrupted: tuple[Path, AdapterCard]
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(
            TrainingError, match=r"stopped by Ctrl-C after step 5; the same command goes on from step 4"
        ):
            dpo(arguments(base, tmp_path, **STOPPED), HELD, nothing, quiet, on_event=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "adapters").exists()
    ended = events_of(run_folder(tmp_path))[-1]
    assert isinstance(ended, Finished)
    assert ended.stopped == "interrupted"
    assert dpo(arguments(base, tmp_path, **STOPPED), HELD, nothing, quiet).sha256 == uninterrupted[1].sha256


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_adapter(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: tuple[Path, AdapterCard]
) -> None:
    def full(self: Policy, folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Policy, "save", full)
        with pytest.raises(TrainingError, match=r"No space left on device; .* goes on from step 8") as told:
            dpo(arguments(base, tmp_path, **STOPPED), HELD, nothing, quiet)
    assert "\n" not in str(told.value)
    assert Shelf(tmp_path / "adapters").list() == []
    assert list((tmp_path / "adapters").iterdir()) == []
    assert dpo(arguments(base, tmp_path, **STOPPED), HELD, nothing, quiet).sha256 == uninterrupted[1].sha256


def test_memory_that_runs_out_makes_the_parts_smaller_and_not_the_steps(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: tuple[Path, AdapterCard]
) -> None:
    read: list[int] = []
    real = Policy.settings

    def forgetful(self: Policy, steps: int) -> dict[str, Any]:
        forward = self.model.forward

        def short(*given: Any, **more: Any) -> Any:
            rows = more["input_ids"].shape[0]
            if more.get("labels") is not None and rows > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            read.append(rows)
            return forward(*given, **more)

        self.model.forward = short
        return real(self, steps)

    monkeypatch.setattr(Policy, "settings", forgetful)
    card = dpo(arguments(base, tmp_path), PREFERENCES, nothing, quiet)
    notes = [event.message for event in events_of(run_folder(tmp_path)) if isinstance(event, Note)]
    assert notes == [
        "memory ran out: 2 examples are now read at once; a step still learns 3",
        "memory ran out: 1 examples are now read at once; a step still learns 3",
    ]
    assert max(read) == 2  # one preference, its chosen answer and its rejected one
    _, whole = trained
    assert card.scores["preference_margin"] == pytest.approx(whole.scores["preference_margin"], rel=1e-2)


def test_what_the_model_cannot_read_is_left_out_and_the_rest_is_learned(base: Path, tmp_path: Path) -> None:
    endless = Preference("What is sound?", "Energy.", "A leaf.", (PASSAGE * 60,))
    card = dpo(arguments(base, tmp_path, epochs=1), [*LEARNED, endless], nothing, quiet)
    assert card.examples == len(LEARNED)
    with pytest.raises(TrainingError, match="fits into 512 tokens"):
        dpo(arguments(base, tmp_path), [endless], nothing, quiet)


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
        {"checkpoint_every": 0},
        {"measured": -1},
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


def test_the_command_tells_its_run_as_lines_and_leaves_a_record_with_a_report(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = Path(os.environ["SAHPATHI_HOME"])
    pairs = tmp_path / "pairs.jsonl"
    rows = [
        {"question": one.question, "chosen": one.chosen, "rejected": one.rejected, "passages": one.passages,
         "split": one.split}
        for one in PREFERENCES
    ]  # fmt: skip
    pairs.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    chosen = tmp_path / "recipe.yaml"
    chosen.write_text("dpo: {rank: 2, alpha: 4, epochs: 1, batch: 3, threads: 1, device: cpu}\n", encoding="utf-8")
    given = ["train", "dpo", "--data", str(pairs), "--recipe", str(chosen), "--base", str(base), "--start", "fresh"]
    with pytest.raises(SystemExit) as ended:
        app([*given, "--progress", "json"])
    assert not ended.value.code
    events = [from_line(line) for line in capfd.readouterr().out.splitlines()]
    assert [type(event) for event in events] == [Started, Step, Finished]
    folder = run_folder(home)
    assert events == events_of(folder)
    assert (folder / "report.html").is_file()
    assert isinstance(events[-1], Finished)
    assert [path.name for path in (home / "adapters").iterdir() if path.is_dir()] == [events[-1].adapter]
