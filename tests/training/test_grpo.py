from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.adapters import AdapterCard, adapter_sha256
from inference.prompt import END, grounded
from tests.training.unheard import Unheard
from training.errors import RecipeError, TrainingError
from training.pairs.data import Example, read
from training.recipe import recipe
from training.records.progress import Progress
from training.records.record import Evaluation, Event, Finished, Note, Resumed, Started, Step
from training.records.record import read as events_of
from training.report import write
from training.tuning.grpo import GrpoArguments, batches, grpo, make_trainer, problems
from training.tuning.policy import Policy
from training.tuning.rewards import Unreadable, last_expression, parse, reward, right

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated:FutureWarning")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 × 4", "14"),
        ("−8", "-8"),
        ("2,40,000 ÷ 2,500", "96"),
        ("1,234.5", "2469/2"),
        ("१२", "12"),
        ("3⅖", "17/5"),
        ("2 1/2", "5/2"),
        ("-2 1/2", "-5/2"),
        ("4² − 2^3", "8"),
        ("10⁻²", "1/100"),
        ("2**-1", "1/2"),
        ("-3^2", "-9"),
        ("12%", "3/25"),
        ("12 per cent", "3/25"),
        ("√16", "4"),
        ("√(9 + 16)", "5"),
        ("2(3 + 4)", "14"),
        ("6/2/3", "1"),
    ],
)
def test_what_is_written_in_schoolbooks_is_read(text: str, value: str) -> None:
    assert parse(text) == parse(value)
    assert parse(text).is_Rational


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os')",
        "x.y",
        "sin(x)",
        "2 3",
        "2 +",
        "(2",
        "2)",
        "1/0",
        "1/(2 - 2)",
        "0^-1",
        "√(-4)",
        "2^x",
        "2^0.5",
        "2^13",
        "9^9^9",
        "((((9^9)^9)^9)^9)^9",
        "(" * 40 + "1" + ")" * 40,
        "-" * 40 + "1",
        "√" * 40 + "1",
        "1+" * 60 + "1",
        "9" * 201,
        "5 m",
    ],
)
def test_what_is_not_an_expression_or_too_large_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("So P = 220 × 0.5, and the power of the bulb is 110 W.", "110"),
        ("He must repay Rs 56,000.", "56000"),
        ("The answer is sec A = 5/4.", "5/4"),
        ("It is 1.25.", "5/4"),
        ("It is 1 1/4.", "5/4"),
        ("Answer 10p − 15 hai.", "10p - 15"),
        ("Answer: -15 + 10p", "10p - 15"),
        ("So it is 0.33.", "1/3"),
        ("About 1.414 m.", "√2"),
        ("So 0.08 = 8%.", "8%"),
        ("Isliye 8 प्रतिशत.", "8%"),
        ("The discriminant is (−8).", "-8"),
        ("उत्तर १२ है।", "12"),
        ("It is √8 m.", "2√2"),
        ("It is 2πr.", "2πr"),
    ],
)
def test_right_answers_are_seen_however_they_are_written(answer: str, result: str) -> None:
    assert right(answer, result)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("It is 30 or 31.", "30"),  # the last word counts: naming many numbers is no answer
        ("12 × 5", "60"),  # not worked out
        ("24/4", "6"),
        ("2 + 0.5", "5/2"),
        ("15/6", "5/2"),
        ("3(2p − 5) + 4p", "10p - 15"),  # the question again
        ("It is 0.3.", "1/3"),
        ("It is 0.34.", "1/3"),
        ("It is 2.35.", "2.345"),
        ("It is 7.", "-7"),
        ("It is 10q − 15.", "10p - 15"),
        ("I do not know.", "7"),
        ("class-6", "-6"),
        ("The answer is 2^99999999.", "8"),
        ("", "7"),
    ],
)
def test_wrong_answers_are_not_rewarded(answer: str, result: str) -> None:
    assert not right(answer, result)


@pytest.mark.parametrize(
    ("text", "letters", "found"),
    [
        ("2x + 5 = 17, so x = 6", "", "6"),
        ("the roots are 10p − 15.", "p", "10p - 15"),
        ("a speed of 9.8 m/s²", "", "9.8"),
        ("(see page 12)", "", "12"),
        ("no number at all, a b c", "", None),
        ("x", "x", "x"),
    ],
)
def test_the_last_expression_of_a_text(text: str, letters: str, found: str | None) -> None:
    assert last_expression(text, set(letters)) == found


def test_the_reward_is_all_or_nothing() -> None:
    said = [[{"role": "assistant", "content": text}] for text in ("It is 4.", "It is 5.", "It is in no passage.")]
    assert reward(completions=said, result=["4", "4", "4"], prompts=[]) == [1.0, 0.0, 0.0]


def example(question: str, answer: str, *facts: str, **changes: Any) -> Example:
    return Example(question, answer, facts=facts, **{"kind": "numerical", "passages": ("p",), **changes})


def test_problems_are_those_whose_own_answer_would_be_rewarded() -> None:
    usable = [
        example("power?", "The power is 110 W.", "110 W"),
        example("simplify", "Answer 10p − 15 hai.", "10p − 15"),
        example("x?", "So x = 6.", "x = 6"),
    ]
    others = [
        example("x?", "So x = 6. To check, 2 × 6 + 5 = 17.", "x = 6"),
        example("between?", "Between 7 and 8.", "7", "8"),
        example("why?", "Because it is so.", "because"),
        example("when?", "In 1779.", "1779", kind="factual"),
        example("no passage?", "It is 5.", "5", passages=()),
    ]
    found = problems([*usable, *others], lambda _: [])
    assert [problem.example for problem in found] == usable
    assert [problem.result for problem in found] == ["110", "10p − 15", "6"]


def test_the_shipped_questions_hold_problems_of_every_split() -> None:
    shipped = Path(__file__).parents[2] / "data" / "qa"
    found = problems(read(shipped), lambda _: ["a passage"])
    assert {problem.example.split for problem in found} == {"train", "dev", "test"}
    assert len(found) > 100


SUM = "What is two and two?"
PASSAGES = ("Two and two make four.",)
PRACTICE = [example(SUM, "It is 4.", "4", passages=PASSAGES, split=split) for split in ("train", "train", "test")]


@pytest.fixture(scope="module")
def guessing(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base, taught to say 4 or 5 as if by the throw of a coin."""
    folder = tmp_path_factory.mktemp("guessing") / "base"
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("work"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    messages: Any = grounded(SUM, PASSAGES)
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    prompt = asked["input_ids"]
    said = [tokenizer(text + END, add_special_tokens=False)["input_ids"] for text in ("4", "5")]
    ids = torch.tensor([prompt + one for one in said])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(150):
        loss = model(ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.5  # half of ln 2 is the least there is: two tokens, one of them a coin
    model.save_pretrained(folder)
    return folder


def arguments(base: Path, adapters: Path, **changes: Any) -> GrpoArguments:
    given: dict[str, Any] = {
        "rank": 2, "alpha": 4, "steps": 5, "batch": 2, "generations": 8, "longest": 6, "learning_rate": 5e-2,
        "beta": 0.01, "precision": "float32", "device": "cpu", "threads": 1,
    }  # fmt: skip
    return GrpoArguments(base=base, adapters=adapters / "adapters", **{**given, **changes})


@pytest.fixture(scope="module")
def practised(guessing: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard, list[Progress]]:
    args = arguments(guessing, tmp_path_factory.mktemp("practised"))
    told: list[Progress] = []
    return args.adapters, grpo(args, PRACTICE, lambda _: [], told.append), told


def test_a_few_steps_of_practice_make_the_right_answer_likelier(
    practised: tuple[Path, AdapterCard, list[Progress]], guessing: Path
) -> None:
    root, card, told = practised
    prompt = grounded(SUM, PASSAGES)
    before = Policy(arguments(guessing, root))
    after = Policy(arguments(guessing, root), root / card.id)
    assert after.log_probability(prompt, "4") > before.log_probability(prompt, "4") + 0.1
    assert after.log_probability(prompt, "5") < before.log_probability(prompt, "5") - 0.1
    assert [(progress.step, progress.steps) for progress in told] == [(step, 5) for step in range(1, 6)]
    assert 0 < told[0].loss < 1  # the share of wrong answers


def test_the_practised_adapter_is_complete_and_scored(
    practised: tuple[Path, AdapterCard, list[Progress]], guessing: Path
) -> None:
    root, card, _ = practised
    assert [path.name for path in root.iterdir()] == [card.id]
    assert adapter_sha256(root / card.id) == card.sha256
    assert card.recipe["method"] == "grpo"
    assert card.examples == 2
    assert set(card.scores) == {"right_before", "right"}
    assert card.scores["right"] == 1.0


# Runs that are stopped: six steps, evaluated at every third.
STOPPED: dict[str, Any] = {"steps": 6, "evaluate_every": 3, "checkpoint_every": 2, "samples": 1, "learning_rate": 5e-3}
HELD = [*PRACTICE, example(SUM, "It is 4.", "4", passages=PASSAGES, split="dev")]


def none(_: str) -> Sequence[str]:
    return []


def quiet(_: Progress) -> None:
    return None


@pytest.fixture(scope="module")
def uninterrupted(guessing: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard]:
    """What such a run comes to when nothing happens to it: its record, and its adapter."""
    root = tmp_path_factory.mktemp("uninterrupted")
    card = grpo(arguments(guessing, root, **STOPPED), HELD, none, quiet)
    (folder,) = (root / "runs").iterdir()
    return folder, card


def killed_child(base: Path, root: Path, step: int) -> None:
    """The same run in a process of its own, which dies by SIGKILL after a step."""

    def die(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    grpo(arguments(base, root, **STOPPED), HELD, none, quiet, on_event=die)


def test_practice_has_a_record_of_wrong_answers(uninterrupted: tuple[Path, AdapterCard]) -> None:
    folder, card = uninterrupted
    events = events_of(folder)
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(ended, Finished)
    assert (started.method, started.steps, started.data["examples"], started.data["dev"]) == ("grpo", 6, 2, 1)
    assert (ended.stopped, ended.adapter, dict(ended.scores)) == ("complete", card.id, dict(card.scores))
    measured = [event for event in events if isinstance(event, Evaluation)]
    assert [one.step for one in measured] == [0, 3, 6]
    assert {one.dev_loss for one in measured} <= {0.0, 1.0}
    assert {one.perplexity for one in measured} == {None}
    assert all(0 <= event.loss <= 1 and event.tokens_per_second > 0 for event in events if isinstance(event, Step))
    assert "Group relative policy optimisation" in write(folder).read_text(encoding="utf-8")


def test_practice_that_was_killed_ends_with_the_same_adapter(
    guessing: Path, tmp_path: Path, uninterrupted: tuple[Path, AdapterCard]
) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.training.test_grpo", "trl.trainer.grpo_trainer"])
    child = server.Process(target=killed_child, args=(guessing, tmp_path, 5))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    card = grpo(arguments(guessing, tmp_path, **STOPPED), HELD, none, quiet)
    assert card.sha256 == uninterrupted[1].sha256
    (folder,) = (tmp_path / "runs").iterdir()
    events = events_of(folder)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events if isinstance(event, Resumed)] == [4]
    assert [path.name for path in folder.iterdir()] == ["run.jsonl"]


def test_memory_that_runs_out_makes_the_parts_smaller_and_not_the_steps(
    guessing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = Policy.settings

    def forgetful(self: Policy, steps: int) -> dict[str, Any]:
        forward = self.model.base_model.model.forward

        def short(*given: Any, **more: Any) -> Any:
            rows = more["input_ids"].shape[0]
            if rows > 4:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            read.append(rows)
            return forward(*given, **more)

        self.model.base_model.model.forward = short
        return real(self, steps)

    monkeypatch.setattr(Policy, "settings", forgetful)
    card = grpo(arguments(guessing, tmp_path, steps=4), PRACTICE, none, quiet)
    (folder,) = (tmp_path / "runs").iterdir()
    notes = [event.message for event in events_of(folder) if isinstance(event, Note)]
    assert [note.partition(";")[0] for note in notes] == [
        "memory ran out: 8 examples are now read at once",
        "memory ran out: 4 examples are now read at once",
    ]
    assert max(read) == 4
    assert card.scores["right"] == 1.0


def test_the_gradient_is_the_same_in_parts(guessing: Path, tmp_path: Path) -> None:
    args = arguments(guessing, tmp_path)
    policy = Policy(args)
    trainer = make_trainer(args, policy, problems(PRACTICE, none)[:2], tmp_path, Unheard())
    trainer.current_gradient_accumulation_steps = 1  # as its loop sets it
    rows = [trainer.train_dataset[place] for place in batches(args, 2)[0]]
    trainer.model.train()
    written = trainer._prepare_inputs(rows)
    gradients = []
    for number in (1, 4):
        trainer.model.zero_grad()
        trainer._written = written
        trainer.accumulate(trainer.model, rows, number)
        gradients.append({name: one.grad.clone() for name, one in policy._trained() if one.grad is not None})
    assert any(bool(one.any()) for one in gradients[0].values())
    for name, one in gradients[0].items():
        assert torch.allclose(one, gradients[1][name], atol=1e-6), name


def test_every_question_is_asked_before_any_is_asked_again(tmp_path: Path) -> None:
    args = arguments(tmp_path, tmp_path, steps=5, batch=2, generations=3)
    planned = batches(args, 4)
    assert [len(batch) for batch in planned] == [6] * 5
    asked = [batch[place] for batch in planned for place in (0, 3)]
    assert sorted(asked[:4]) == sorted(asked[4:8]) == [0, 1, 2, 3]
    assert all(batch[:3] == [batch[0]] * 3 for batch in planned)
    assert planned == batches(args, 4)


def test_too_few_problems_are_an_error(base: Path, tmp_path: Path) -> None:
    def no_passages(_: str) -> Sequence[str]:
        return []

    with pytest.raises(TrainingError, match="0 questions of the train split"):
        grpo(arguments(base, tmp_path), PRACTICE[2:], no_passages)


@pytest.mark.parametrize("changes", [{"generations": 1}, {"steps": 0}, {"longest": 0}, {"temperature": 0.0}])
def test_bad_arguments_are_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        GrpoArguments(Path("base"), Path("adapters"), **changes)


def test_the_shipped_recipe_loads() -> None:
    found = recipe("grpo", steps=3).grpo
    assert found is not None
    assert found.steps == 3
    assert found.beta == 0.04
