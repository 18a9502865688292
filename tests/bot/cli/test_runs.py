"""`sahpathi runs` as an operator uses it, on records as a training run writes them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli import common
from bot.cli.runs import app
from bot.errors import SetupError
from tests.training.test_report import FINISHED, QUESTIONS, STARTED, events, recorded
from training.records.record import RECORD, Note, Record, to_line

FIRST, LAST = "20261129T080000Z-history", "20261130T170000Z-science"

# Appends the lines of a file to a record, one by one, as a training run does.
WRITER = """
import sys, time
from pathlib import Path
from training.records.record import Record, from_line
with Record(Path(sys.argv[2])) as record:
    print("open", flush=True)
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        record.write(from_line(line))
        time.sleep(0.005)
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (common.out, common.errors):
        monkeypatch.setattr(console, "_width", 200)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs"  # tests/conftest.py puts the home folder there


@pytest.fixture
def two(runs: Path) -> Path:
    """One run that was killed and a later one that is complete."""
    recorded(runs / FIRST, [replace(STARTED, subject="history"), *events(30)[1:]])
    recorded(runs / LAST, [*events(), FINISHED])
    return runs


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def printed(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert isinstance(result.exception, SetupError), result.output
    return str(result.exception)


def test_without_a_run_it_is_said_how_to_make_one() -> None:
    assert "sahpathi train sft" in printed("list")
    assert json.loads(printed("list", "--json")) == []
    for command in ("show", "report", "follow"):
        assert "sahpathi train sft" in refused(command)
        assert "runs list" in refused(command, "20200101T000000Z-science")


def test_the_last_run_is_listed_first(two: Path) -> None:
    rows = json.loads(printed("list", "--json"))
    assert [(row["run"], row["state"], row["adapter"]) for row in rows] == [
        (LAST, "complete", FINISHED.adapter),
        (FIRST, "interrupted", None),
    ]
    assert (rows[1]["step"], rows[1]["steps"], rows[1]["dev_loss"]) == (30, 60, 1.815)
    table = printed("list").splitlines()
    assert table[1].split() == [
        LAST,
        "2026-11-30",
        "17:00",
        "science",
        "sft",
        "60/60",
        "1.377",
        "complete",
        FINISHED.adapter,
    ]
    assert "30/60" in table[2]


def test_a_record_that_cannot_be_read_does_not_hide_the_others(two: Path) -> None:
    (two / FIRST / RECORD).write_text("{}\n", encoding="utf-8")
    (two / "20261201T000000Z-empty").mkdir()
    (two / "20261201T000000Z-empty" / RECORD).touch()  # as a run leaves it that is about to write its first line
    result = invoke("list", "--json")
    assert result.exit_code == 1
    assert [row["run"] for row in json.loads(result.stdout)] == [LAST]
    assert f"{FIRST}/{RECORD}:1" in result.stderr


def test_a_run_is_shown_by_name_by_folder_or_as_the_last(two: Path) -> None:
    shown = printed("show")
    assert shown == printed("show", LAST) == printed("show", str(two / LAST))
    assert "Complete. 60 of 60 steps in 2 h" in shown
    assert f"Adapter {FINISHED.adapter}" in shown
    assert "    40     1.034   1.234        3.43  best" in shown
    assert "    60     1.177   1.377        3.96  overfitting" in shown
    assert "█" in shown
    for question, wanted in QUESTIONS:
        assert f"Question: {question}" in shown
        assert f"wanted:  {wanted}" in shown
    assert "base:    <b>answer</b> of step 0" in shown
    assert "Answers of the base model, of the adapter (step 40) and as wanted" in shown
    assert "adapter: <b>answer</b> of step 40" in shown
    assert "process was killed" in printed("show", FIRST)


def test_a_run_is_shown_as_json(two: Path) -> None:
    shown = json.loads(printed("show", "--json"))
    assert shown["finished"]["scores"] == FINISHED.scores
    assert shown["best"]["step"] == 40
    assert [one["step"] for one in shown["evaluations"]] == [0, 20, 40, 60]
    assert shown["answers"][0]["wanted"] == QUESTIONS[0][1]
    assert shown["arguments"] == STARTED.arguments


def test_brackets_in_a_record_are_text(runs: Path) -> None:
    note = Note(STARTED.at, 3, "the batch [/bold] was [red]halved[/red]")
    recorded(runs / LAST, [*events(), note, FINISHED])
    assert note.message in printed("show")
    assert note.message in printed("follow")


def test_the_report_is_written_anew(two: Path) -> None:
    assert printed("report", "--rupees-per-hour", "60").strip() == str((two / LAST / "report.html").resolve())
    assert "₹120.00" in (two / LAST / "report.html").read_text(encoding="utf-8")
    printed("report")
    assert "₹" not in (two / LAST / "report.html").read_text(encoding="utf-8")
    assert invoke("report", "--rupees-per-hour", "-1").exit_code == 2


def test_a_run_of_another_process_is_followed_to_its_end(runs: Path, tmp_path: Path) -> None:
    lines = [to_line(event) for event in (*events(), FINISHED)]
    (tmp_path / "lines").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    arguments = [sys.executable, "-c", WRITER, str(tmp_path / "lines"), str(runs / LAST)]
    with subprocess.Popen(arguments, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        followed = printed("follow", LAST, "--json")
    assert writer.returncode == 0
    assert followed.splitlines() == lines


def test_a_run_that_goes_on_is_said_to_run(two: Path) -> None:
    with Record(two / FIRST):
        assert json.loads(printed("list", "--json"))[1]["state"] == "running"
        assert "about 1 min left" in printed("show", FIRST)
    assert json.loads(printed("list", "--json"))[1]["state"] == "interrupted"


def test_following_tells_all_that_is_not_a_step(two: Path) -> None:
    followed = printed("follow").splitlines()
    assert followed[0].startswith("Science: Fine-tuning (SFT), begun 30 Nov 2026, 17:00 UTC, 60 steps")
    assert "Step 40: dev loss 1.234, perplexity 3.43 · best so far" in followed
    assert "Step 60: dev loss 1.377, perplexity 3.96 · overfitting" in followed
    assert followed[-1].startswith(
        "Complete after 2 h. Every epoch is done. Adapter science-0123456789ab, from step 40."
    )


def test_following_a_run_that_was_killed_ends(two: Path) -> None:
    result = invoke("follow", FIRST)
    assert result.exit_code == 1
    assert "process was killed" in result.stderr


@pytest.mark.parametrize(("stopped", "status"), [("early", 0), ("failed", 1), ("interrupted", 1)])
def test_the_exit_status_says_how_it_ended(runs: Path, stopped: str, status: int) -> None:
    recorded(runs / LAST, [*events(40), replace(FINISHED, stopped=stopped, adapter=None, best_step=None)])
    assert invoke("follow", "--json").exit_code == status
