"""Training from the dashboard: who may, what the page shows, and real child processes that train, stop and go on."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.child_command import started
from bot.dashboard.training import duration
from bot.errors import SetupError
from bot.jobs import DONE, FAILED, RUNNING, TRAINING, WAITING, JobRunner, Jobs, JobState, Report
from bot.store import Store
from bot.training_jobs import Training
from bot.training_runs import Figures
from inference.adapters import ADAPTER_FILES, Shelf, write_card
from tests.bot.dashboard.visiting import HASH, NAME, service, sign_in, token, visitor
from tests.training.conftest import QUESTIONS, base, pretraining, questions, textbooks  # noqa: F401  fixtures
from tests.training.sft_child import PASSAGES
from training.pairs.data import Example
from training.pairs.dataset import Made, write
from training.records.record import Evaluation, Finished, Record, Started, Step
from training.records.record import read as events_of

PAGE = "/dashboard/training"
OPERATOR = "omar"
AT = "2026-11-30T08:00:00+00:00"
RUN = "20261130T080000Z-science"
PATIENCE = 600.0  # seconds; a busy machine is not a broken service
RECIPE = """\
sft:
  base: unused
  adapters: unused
  rank: 2
  alpha: 4
  epochs: 100
  batch: 2
  validation: 0.3
  evaluate_every: 100
  checkpoint_every: 5
  patience: 0
  samples: 0
  device: cpu
  threads: 1
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder, and a working folder without a developer's .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"  # tests/conftest.py puts it there


@pytest.fixture
def training(store: Store, home: Path, tmp_path: Path) -> Training:
    """Of a service that does everything; a run takes a few seconds, once it has begun."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return Training(Jobs(store), home, Shelf(home / "adapters"), alone=True, recipe=str(recipe))


@pytest.fixture
async def operator(store: Store, training: Training) -> AsyncIterator[httpx.AsyncClient]:
    """A signed-in operator's browser."""
    await store.add_user(OPERATOR, HASH, "operator")
    await store.add_user(NAME, HASH, "teacher")
    async with visitor(service(store, training=training)) as client:
        await sign_in(client, OPERATOR)
        yield client


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store)


@asynccontextmanager
async def at_work(jobs: Jobs, training: Training) -> AsyncIterator[None]:
    """The service's runner, as long as the body runs; it ends as the service ends it."""
    runner = asyncio.create_task(JobRunner(jobs, training.jobs()).run())
    try:
        yield
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def until(jobs: Jobs, reached: Callable[[JobState], bool]) -> JobState:
    """The latest job that trains, once it is so far."""
    async with asyncio.timeout(PATIENCE):
        while True:
            job = await jobs.latest(TRAINING)
            assert job is not None
            if reached(job):
                return job
            assert job.state in (WAITING, RUNNING), job
            await asyncio.sleep(0.05)


def dataset(home: Path) -> str:
    """A dataset as `sahpathi data build` writes it, with passages: its id."""
    examples = [
        Example(question, answer, tuple(PASSAGES[question]), subject="science", kind="define")
        for question, answer, *_ in QUESTIONS
    ]
    card, _ = write(home / "datasets", lambda _: examples, Made())
    return card.id


def recorded(home: Path, name: str = RUN, **ending: Any) -> Path:
    """A run as `sahpathi train sft` records it, which ended so."""
    folder = home / "runs" / name
    ended = {"stopped": "complete", "why": "every epoch is done", "adapter": "science-0123456789ab", **ending}
    with Record(folder) as record:
        record.write(Started(AT, "sft", "science", {}, {}, {}, 40, "f" * 64))
        record.write(Evaluation(0, 3.25, 25.8, None, True, False, ()))
        for step in (20, 40):
            record.write(Step(step, 40, 2.0, 100.0, 3.0, 1e-3))
            record.write(Evaluation(step, 2.5 + step / 100, 12.0, 2.0, step == 20, False, ()))
        record.write(Finished(AT, 60.0, 1, {}, **ended))
    return folder


def adapter(home: Path, weights: bytes, created: str = AT) -> str:
    """An adapter on the shelf: its id."""
    unnamed = home / "adapters" / "unnamed"
    unnamed.mkdir(parents=True)
    for name in ADAPTER_FILES:
        (unnamed / name).write_bytes(weights)
    said: Mapping[str, Any] = {"recipe": {}, "scores": {}, "examples": 60, "language": "en", "created": created}
    card = write_card(unnamed, subject="science", base_sha256="b" * 64, dataset_sha256="d" * 64, **said)
    unnamed.rename(unnamed.with_name(card.id))
    return card.id


async def press(client: httpx.AsyncClient, what: str, **fields: Any) -> httpx.Response:
    """Send one of the page's forms."""
    page = await client.get(PAGE)
    return await client.post(f"{PAGE}/{what}", data={"token": token(page.text), **fields})


def commands(parent: int) -> set[int]:
    """The child commands of a process."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return {int(pid) for pid in listed if b"bot.cli.watched" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# ---- who may ------------------------------------------------------------------------------------------------------


async def test_strangers_are_asked_to_sign_in(client: httpx.AsyncClient) -> None:
    for seen in (await client.get(PAGE), await client.get(f"{PAGE}/runs/{RUN}/report")):
        assert seen.url.path == "/dashboard/sign-in"
    tried = await client.post(f"{PAGE}/build", data={"token": token(seen.text)})
    assert tried.url.path == "/dashboard/sign-in"


async def test_teachers_look_and_operators_press(operator: httpx.AsyncClient, home: Path, jobs: Jobs) -> None:
    wanted = dataset(home)
    (recorded(home) / "report.html").write_text("<p>Why?</p>", encoding="utf-8")
    assert "Report of" in (await operator.get(PAGE)).text
    await sign_in(operator)  # now the teacher's browser
    page = (await operator.get(PAGE)).text
    assert "An operator starts training." in page
    assert wanted in page
    for word in ("Report of", "Build a dataset</button>", "Train</button>"):
        assert word not in page
    for what, fields in (("build", {}), ("train", {"dataset": wanted, "subject": "science"}), ("stop", {"job": "1"})):
        refused = await press(operator, what, **fields)
        assert (refused.status_code, "For operators only" in refused.text) == (403, True)
    assert (await operator.get(f"{PAGE}/runs/{RUN}/report")).status_code == 403
    assert await jobs.latest(TRAINING) is None


@pytest.mark.parametrize("what", ["build", "train", "stop"])
async def test_a_forged_form_starts_nothing(operator: httpx.AsyncClient, home: Path, jobs: Jobs, what: str) -> None:
    fields = {"token": "0" * 64, "dataset": dataset(home), "subject": "science", "job": "1"}
    assert (await operator.post(f"{PAGE}/{what}", data=fields)).status_code == 403
    assert await jobs.latest(TRAINING) is None


# ---- what is offered ----------------------------------------------------------------------------------------------


async def test_an_empty_home_says_what_to_do_first(operator: httpx.AsyncClient, jobs: Jobs) -> None:
    page = (await operator.get(PAGE)).text
    assert "There is no dataset yet. Build the first one" in page
    assert "Train</button>" not in page
    begun = await press(operator, "build", shipped="1")
    assert (begun.url.path, begun.history[0].status_code) == (PAGE, 303)
    assert "Building a dataset" in begun.text
    job = await jobs.latest(TRAINING)
    assert job is not None
    assert (job.kind, job.state, job.arguments) == ("build dataset", WAITING, {"shipped": True})


async def test_only_what_is_listed_can_be_trained(operator: httpx.AsyncClient, home: Path, jobs: Jobs) -> None:
    wanted = dataset(home)
    for fields in (
        {"dataset": "../../etc", "subject": "science"},
        {"dataset": "0" * 12, "subject": "science"},
        {"dataset": wanted, "subject": "--help"},
        {},
    ):
        refused = await press(operator, "train", **fields)
        assert (refused.status_code, "that are listed" in refused.text) == (422, True)
    assert await jobs.latest(TRAINING) is None


async def test_one_is_at_work_at_a_time_and_what_has_not_begun_is_taken_back(
    operator: httpx.AsyncClient, home: Path, jobs: Jobs
) -> None:
    wanted = dataset(home)
    begun = await press(operator, "train", dataset=wanted, subject="science")
    assert "Training for science" in begun.text
    assert "Train</button>" not in begun.text
    first = await jobs.latest(TRAINING)
    assert first is not None
    for what, fields in (("build", {}), ("train", {"dataset": wanted, "subject": "general"})):
        refused = await press(operator, what, **fields)
        assert (refused.status_code, "at work already" in refused.text) == (409, True)
    assert "Train</button>" in (await press(operator, "stop", job=str(first.id))).text
    for job in (str(first.id), "99", "x", "9" * 40):
        assert (await press(operator, "stop", job=job)).status_code == 409
    assert await jobs.claim(training=True) is None


async def test_without_the_libraries_it_says_how_to_install_them(
    operator: httpx.AsyncClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trl" else found(name))
    page = await operator.get(PAGE)
    assert "pip install" in page.text
    assert "Build a dataset</button>" not in page.text
    assert (await press(operator, "build")).status_code == 409
    assert await jobs.latest(TRAINING) is None


async def test_where_several_processes_serve_it_says_to_use_the_command_line(
    operator: httpx.AsyncClient, store: Store, home: Path, jobs: Jobs
) -> None:
    elsewhere = Training(jobs, home, Shelf(home / "adapters"), alone=False)
    async with visitor(service(store, training=elsewhere)) as client:
        await sign_in(client, OPERATOR)
        assert "sahpathi train sft" in (await client.get(PAGE)).text
        assert (await press(client, "build")).status_code == 409
    assert await jobs.latest(TRAINING) is None


# ---- what there is ------------------------------------------------------------------------------------------------


async def test_runs_datasets_and_adapters_are_shown_with_the_one_in_use(
    operator: httpx.AsyncClient, home: Path
) -> None:
    wanted = dataset(home)
    recorded(home)
    killed = recorded(home, "20261129T080000Z-history")
    lines = (killed / "run.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (killed / "run.jsonl").write_text("".join([*lines[:3], "[1]\n", "null\n", lines[3][:30]]), encoding="utf-8")
    (home / "runs" / "20261128T080000Z-maths").mkdir()
    (home / "runs" / "20261128T080000Z-maths" / "run.jsonl").write_bytes(b"\xff\x00")  # no record at all
    (home / "datasets" / ("0" * 12)).mkdir()
    shelf = Shelf(home / "adapters")
    served, newer = adapter(home, b"1"), adapter(home, b"2", "2026-11-30T09:00:00+00:00")
    shelf.promote(shelf.find(served))
    page = (await operator.get(PAGE)).text
    flat = " ".join(page.split())
    assert f'<option value="{wanted}">{wanted}, 5 examples</option>' in page
    assert "Fewer than 50 examples" in page
    assert "Complete</span> <span>science</span> <span>40 of 40 steps</span>" in flat
    assert "3.250 → <strong>2.700</strong>" in flat
    assert "Stopped</span> <span>science</span> <span>20 of 40 steps</span>" in flat
    assert f"In use</span> <code>{served}</code>" in flat
    assert page.count("In use") == 1
    assert f"sahpathi adapters promote {newer} --by {OPERATOR}" in page
    assert "maths" not in page


def test_lines_that_are_no_events_are_passed_over_and_nan_is_no_number() -> None:
    figures = Figures()
    for line in ("", "hello", "[]", '{"event": 7}', '{"event": "step"}', '{"event": "evaluation", "dev_loss": NaN}'):
        figures = figures.after(line)
    assert figures == Figures()
    told = figures.after('{"event": "step", "step": 3, "steps": 9, "loss": Infinity, "seconds_left": 1, "new": {}}')
    assert (told.step, told.steps, told.loss, told.seconds_left) == (3, 9, None, 1.0)


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0, 89, 600, 9000)] == ["1 s", "89 s", "10 minutes", "2.5 hours"]


async def test_a_report_is_served_from_its_run_and_from_nowhere_else(operator: httpx.AsyncClient, home: Path) -> None:
    folder = recorded(home)
    (folder / "report.html").write_text("<style>p { color: red }</style><p>curves</p>", encoding="utf-8")
    report = await operator.get(f"{PAGE}/runs/{RUN}/report")
    assert (report.status_code, "curves" in report.text) == (200, True)
    assert report.headers["cache-control"] == "no-store"
    assert "script" not in report.headers["content-security-policy"]
    (home / "report.html").write_text("not a run's", encoding="utf-8")
    (home / "apart").mkdir()
    (home / "apart" / "report.html").write_text("another folder", encoding="utf-8")
    (home / "runs" / "20261129T080000Z-linked").symlink_to(home / "apart")
    for name in ("..", "%2e%2e", "..%2f..", "20261129T080000Z-linked", "20261130T080000Z-none", RUN + "%0a"):
        assert (await operator.get(f"{PAGE}/runs/{name}/report")).status_code == 404, name


# ---- the work itself ----------------------------------------------------------------------------------------------


async def test_a_run_is_stopped_goes_on_and_ends_with_an_adapter(
    operator: httpx.AsyncClient,
    training: Training,
    jobs: Jobs,
    home: Path,
    base: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAHPATHI_MODEL__BASE", str(base))
    wanted = dataset(home)
    async with at_work(jobs, training):
        await press(operator, "train", dataset=wanted, subject="science")
        job = await until(jobs, lambda job: job.done >= 10)
        assert job.total == job.result["steps"] > job.done
        assert job.result["loss"] > 0
        page = (await operator.get(PAGE)).text
        assert f'max="{job.total}"' in page
        assert "Training loss" in page
        assert "left</span>" in page
        await press(operator, "stop", job=str(job.id))
        stopped = await until(jobs, lambda job: job.state == DONE)
        assert stopped.result["stopped"] == "interrupted"
        assert not Shelf(home / "adapters").list()
        page = (await operator.get(PAGE)).text
        assert "Training was stopped" in page
        assert "Go on</button>" in page

        await press(operator, "train", dataset=wanted, subject="science")
        ended = await until(jobs, lambda job: job.state == DONE)
    assert ended.id > stopped.id
    (card,) = Shelf(home / "adapters").list()
    assert (card.subject, card.recipe["run"]) == ("science", ended.result["run"])
    assert (ended.result["adapter"], ended.result["run"]) == (card.id, stopped.result["run"])
    kinds = [type(event).__name__ for event in events_of(home / "runs" / str(ended.result["run"]))]
    assert (kinds.count("Started"), kinds.count("Resumed"), kinds[-1]) == (1, 1, "Finished")
    page = (await operator.get(PAGE)).text
    assert "The adapter is trained" in page
    assert f"sahpathi adapters promote {card.id}" in page
    assert (await operator.get(f"{PAGE}/runs/{ended.result['run']}/report")).status_code == 200


async def test_what_went_wrong_is_shown_with_its_last_lines(
    operator: httpx.AsyncClient, training: Training, jobs: Jobs, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = dataset(home)
    monkeypatch.setenv("SAHPATHI_PORT", "eight")
    async with at_work(jobs, training):
        await press(operator, "train", dataset=wanted, subject="science")
        async with asyncio.timeout(PATIENCE):
            while (job := await jobs.latest(TRAINING)) is None or job.state != FAILED:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    page = (await operator.get(PAGE)).text
    assert '<p class="problem">These settings cannot be used:</p>' in page
    assert "SAHPATHI_PORT" in page
    assert "Try again</button>" in page
    await sign_in(operator)
    assert "SAHPATHI_PORT" not in (await operator.get(PAGE)).text  # a teacher is not shown the machine's log


async def test_the_child_ends_with_the_service_and_the_work_is_taken_up_again(
    training: Training, jobs: Jobs, home: Path
) -> None:
    job_id = await training.build(shipped=True)
    assert job_id is not None
    async with at_work(jobs, training), asyncio.timeout(PATIENCE):
        while not commands(os.getpid()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        (pid,) = commands(os.getpid())
    assert gone(pid)
    assert (await jobs.get(job_id)).state == RUNNING
    await jobs.take_up_again()
    assert (await jobs.get(job_id)).state == WAITING


SERVICE = """
import asyncio, sys
from bot.child_command import started
async def serve():
    async with started(["simulate", "--port", "0"], {}, asyncio.Event()) as child:
        print(child.pid, flush=True)
        async for line in child.lines():
            print(line, end="", flush=True)
asyncio.run(serve())
"""


def test_the_child_ends_even_with_a_service_that_is_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert "http://127.0.0.1" in "".join(iter_until(process, "http"))  # the child is at work
        assert not gone(pid)
        process.kill()
    deadline = time.monotonic() + PATIENCE
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def iter_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """What a process prints, up to a line with this word."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            break
    return lines


async def test_a_child_that_the_system_killed_is_said_to_have_been(home: Path) -> None:
    async with started(["simulate", "--port", "0"], {}, asyncio.Event()) as child:
        os.kill(child.pid, signal.SIGKILL)
        assert [line async for line in child.lines()] == []
        failure = child.failure(await child.status())
    assert isinstance(failure, SetupError)
    assert "memory ran out" in str(failure)


async def test_what_trains_keeps_no_other_job_waiting(jobs: Jobs) -> None:
    trained = asyncio.Event()

    async def train(arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
        report(1, 2, {"loss": 0.5})
        await trained.wait()
        return {"adapter": "a"}

    async def search(arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
        return {"found": 1}

    runner = asyncio.create_task(JobRunner(jobs, {"train": train, "search": search}).run())
    try:
        assert await jobs.submit_alone("train", {}, TRAINING) is not None
        running = await until(jobs, lambda job: job.result == {"loss": 0.5})
        assert (running.done, running.total) == (1, 2)
        other = await jobs.submit("search", {})
        async with asyncio.timeout(PATIENCE):
            while (await jobs.get(other)).state != DONE:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        trained.set()
        assert json.dumps((await until(jobs, lambda job: job.state == DONE)).result) == '{"adapter": "a"}'
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
