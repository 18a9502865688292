"""A run that is killed, starved or stopped: the last good state stays, and the same command goes on to the same end."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from inference.adapters import AdapterCard, adapter_sha256
from tests.training.sft_child import retrieve, run
from training.errors import TrainingError
from training.pairs.data import read
from training.records.progress import Progress
from training.records.record import Evaluation, Finished, Record, Resumed, Step
from training.records.record import read as events_of
from training.tuning import lora_checkpoint
from training.tuning.lora import Trainee
from training.tuning.sft import SftArguments, sft

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

Given = dict[str, Any]


@pytest.fixture(scope="session")
def server() -> ForkServerContext:
    """Children that begin with torch, TRL and the rest imported: half a second each instead of ten."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.sft_child", "training.tuning.lora_trainer"])
    return context


@pytest.fixture
def given(base: Path, tmp_path: Path) -> Callable[..., Given]:
    def make(name: str, **changes: Any) -> Given:
        return {
            "base": base,
            "adapters": tmp_path / name / "adapters",
            "rank": 2,
            "alpha": 4,
            "dropout": 0.1,  # random numbers too must go on where they were
            "epochs": 4,
            "batch": 2,
            "validation": 0.3,
            "evaluate_every": 3,
            "checkpoint_every": 2,
            "patience": 0,
            "samples": 0,
            "device": "cpu",
            "threads": 1,
            **changes,
        }

    return make


@pytest.fixture(scope="session")
def uninterrupted(base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterCard:
    """What the run of `given` comes to when nothing happens to it."""
    root = tmp_path_factory.mktemp("uninterrupted") / "adapters"
    arguments = SftArguments(
        base=base, adapters=root, rank=2, alpha=4, dropout=0.1, epochs=4, batch=2, validation=0.3, evaluate_every=3,
        checkpoint_every=2, patience=0, samples=0, device="cpu", threads=1,
    )  # fmt: skip
    return sft(arguments, read(questions), retrieve, on_progress=lambda _: None)


def start(server: ForkServerContext, *arguments: Any) -> int | None:
    """Run a child to its end: its exit status, negative for a signal."""
    child = server.Process(target=run, args=arguments)
    child.start()
    child.join(60)
    return child.exitcode


@pytest.mark.parametrize("killed_at", ["step 1", "step 4", "evaluation 3", "mid-save 3", "mid-save 4"])
def test_a_run_killed_anywhere_ends_with_the_same_adapter(
    killed_at: str, server: ForkServerContext, given: Callable[..., Given], questions: Path, uninterrupted: AdapterCard
) -> None:
    arguments = given("killed")
    assert start(server, arguments, questions, killed_at) == -signal.SIGKILL
    card = sft(SftArguments(**arguments), read(questions), retrieve, on_progress=lambda _: None)
    assert (card.id, card.sha256) == (uninterrupted.id, uninterrupted.sha256)
    assert adapter_sha256(arguments["adapters"] / card.id) == uninterrupted.sha256
    assert {name: card.scores[name] for name in ("dev_loss", "best_step")} == {
        name: uninterrupted.scores[name] for name in ("dev_loss", "best_step")
    }


def test_its_record_tells_each_step_once(
    server: ForkServerContext, given: Callable[..., Given], questions: Path
) -> None:
    arguments = given("killed")
    start(server, arguments, questions, "step 5")
    told: list[Progress] = []
    sft(SftArguments(**arguments), read(questions), retrieve, on_progress=told.append)
    (folder,) = (arguments["adapters"].parent / "runs").iterdir()
    events = events_of(folder)
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 9))
    assert [event.step for event in events if isinstance(event, Evaluation)] == [0, 3, 6, 8]
    assert [event.step for event in events if isinstance(event, Resumed)] == [4]
    assert [progress.step for progress in told] == [5, 6, 7, 8]  # the second attempt did only what was left
    assert [path.name for path in folder.iterdir()] == ["run.jsonl"]  # no checkpoint of a run that is complete


def test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_stays(
    given: Callable[..., Given], questions: Path, uninterrupted: AdapterCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = given("full")
    real, written = lora_checkpoint._write, []

    def full(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) > 4:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(lora_checkpoint, "_write", full)
        with pytest.raises(TrainingError, match=r"No space left on device; .* goes on from step 3") as told:
            sft(SftArguments(**arguments), read(questions), retrieve, on_progress=lambda _: None)
    assert "\n" not in str(told.value)
    (folder,) = (arguments["adapters"].parent / "runs").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-3", "run.jsonl"]
    assert not arguments["adapters"].exists()
    card = sft(SftArguments(**arguments), read(questions), retrieve, on_progress=lambda _: None)
    assert card.id == uninterrupted.id


def test_a_file_that_may_not_grow_ends_the_run_as_a_full_disk_does(
    server: ForkServerContext, given: Callable[..., Given], questions: Path
) -> None:
    arguments = given("limited")
    assert start(server, arguments, questions, "", 20_000) == 1  # the record fits, a checkpoint does not
    (folder,) = (arguments["adapters"].parent / "runs").iterdir()
    ended = events_of(folder)[-1]
    assert isinstance(ended, Finished)
    assert ended.stopped == "failed"
    assert "File too large" in ended.why
    assert [path.name for path in folder.iterdir()] == ["run.jsonl"]


def test_ctrl_c_is_one_clear_line_and_the_run_goes_on(
    given: Callable[..., Given], questions: Path, uninterrupted: AdapterCard
) -> None:
    arguments = SftArguments(**given("stopped"))

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(TrainingError, match=r"stopped by Ctrl-C after step 5; the same command goes on from step 4"):
        sft(arguments, read(questions), retrieve, on_progress=stop)
    (folder,) = (arguments.adapters.parent / "runs").iterdir()
    ended = events_of(folder)[-1]
    assert isinstance(ended, Finished)
    assert ended.stopped == "interrupted"
    assert sft(arguments, read(questions), retrieve, on_progress=lambda _: None).id == uninterrupted.id


def test_other_arguments_or_data_begin_a_run_of_their_own(given: Callable[..., Given], questions: Path) -> None:
    arguments = SftArguments(**given("other"))

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingError):
        sft(arguments, read(questions), retrieve, on_progress=stop)
    sft(SftArguments(**given("other", rank=1)), read(questions), retrieve, on_progress=lambda _: None)
    fewer = [example for example in read(questions) if example.question != "What is sound?"]
    sft(arguments, fewer, retrieve, on_progress=lambda _: None)
    assert len(list((arguments.adapters.parent / "runs").iterdir())) == 3


def test_two_processes_do_not_share_a_run(given: Callable[..., Given], questions: Path) -> None:
    arguments = SftArguments(**given("twice"))

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(TrainingError):
        sft(arguments, read(questions), retrieve, on_progress=stop)
    (folder,) = (arguments.adapters.parent / "runs").iterdir()
    with Record(folder), pytest.raises(TrainingError, match="another process is at this very run"):
        sft(arguments, read(questions), retrieve, on_progress=lambda _: None)


def test_a_run_whose_adapter_cannot_be_placed_keeps_its_weights(
    given: Callable[..., Given], questions: Path, uninterrupted: AdapterCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = SftArguments(**given("unplaced"))

    def full_disk(self: Trainee, folder: Path) -> None:
        (folder / "adapter_model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Trainee, "save", full_disk)
        with pytest.raises(TrainingError, match="No space left on device"):
            sft(arguments, read(questions), retrieve, on_progress=lambda _: None)
    assert list(arguments.adapters.iterdir()) == []
    told: list[Progress] = []
    assert sft(arguments, read(questions), retrieve, on_progress=told.append).id == uninterrupted.id
    assert told == []  # no step was done again
