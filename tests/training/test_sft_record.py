from __future__ import annotations

import io
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.records.record import (
    RECORD,
    Evaluation,
    Event,
    Finished,
    Note,
    Record,
    Resumed,
    Sample,
    Started,
    Step,
    from_line,
    print_line,
    read,
    to_line,
)
from training.records.runs import fingerprint, open_run, unfinished

AT = "2026-01-02T03:04:05+00:00"
STARTED = Started(AT, "sft", "science", {"rank": 2}, {"device": "cpu"}, {"examples": 3}, 4, "f" * 64)
SAMPLE = Sample("ध्वनि क्या है?", "Sound.", "Sound is energy.")
FINISHED = Finished(AT, 9.5, 1_000_000, {"dev_loss": 1.5}, "complete", "every epoch is done", 2, "science-0123456789ab")


def step(number: int, loss: float = 2.0) -> Step:
    return Step(number, 4, loss, 1000.0, 3.5, 1e-3)


def evaluation(number: int, loss: float = 1.5) -> Evaluation:
    return Evaluation(number, loss, 4.5, None, True, False, (SAMPLE,))


EVENTS: list[Event] = [STARTED, evaluation(0), step(1), Note(AT, 1, "less"), Resumed(AT, 1), FINISHED]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_line_and_comes_back(event: Event) -> None:
    line = to_line(event)
    assert "\n" not in line
    assert from_line(line) == event


def test_a_reader_of_today_reads_the_lines_of_tomorrow() -> None:
    assert from_line(to_line(step(1))[:-1] + ', "new": 1}') == step(1)
    for bad in ("[]", '{"event": "other"}', '{"event": "step", "step": 1}', "{"):
        with pytest.raises(ValueError, match=r"event|Expecting"):
            from_line(bad)


def test_what_is_printed_is_what_is_recorded(tmp_path: Path) -> None:
    stream = io.StringIO()
    with Record(tmp_path, lambda event: print_line(event, stream)) as record:
        for event in EVENTS:
            record.write(event)
    assert stream.getvalue() == (tmp_path / RECORD).read_text(encoding="utf-8")


def test_what_was_done_twice_is_read_once(tmp_path: Path) -> None:
    stopped = Finished(AT, 1.0, 1, {}, "interrupted", "Ctrl-C")
    gone: list[Event] = [step(2, 9.0), evaluation(2, 9.0), Note(AT, 2, "gone"), stopped]
    with Record(tmp_path) as record:
        for event in (STARTED, evaluation(0), step(1), *gone, Resumed(AT, 1), step(2), evaluation(2), FINISHED):
            record.write(event)
    assert read(tmp_path) == [STARTED, evaluation(0), step(1), Resumed(AT, 1), step(2), evaluation(2), FINISHED]


def test_half_a_line_is_passed_over_and_written_anew(tmp_path: Path) -> None:
    with Record(tmp_path) as record:
        record.write(STARTED)
    with (tmp_path / RECORD).open("a", encoding="utf-8") as file:
        file.write(to_line(step(1))[:20])
    assert read(tmp_path / RECORD) == [STARTED]
    with Record(tmp_path) as again:
        again.write(step(1))
    assert read(tmp_path) == [STARTED, step(1)]


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(to_line(STARTED) + "\nhello\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"run\.jsonl:2"):
        read(tmp_path)
    with pytest.raises(TrainingError, match="no record"):
        read(tmp_path / "none")


def test_only_an_unfinished_run_with_the_same_fingerprint_goes_on(tmp_path: Path) -> None:
    with open_run(tmp_path, "science", "f" * 64) as record:
        record.write(STARTED)
        assert record.folder.name.endswith("Z-science")
        assert unfinished(tmp_path, "f" * 64) == record.folder
        assert unfinished(tmp_path, "0" * 64) is None
        with open_run(tmp_path, "science", "0" * 64) as other:
            assert other.folder != record.folder
        record.write(Finished(AT, 1.0, 1, {}, "interrupted", "Ctrl-C"))
        assert unfinished(tmp_path, "f" * 64) == record.folder
        record.write(FINISHED)
        assert unfinished(tmp_path, "f" * 64) is None


def test_a_fingerprint_is_of_arguments_base_and_tokens() -> None:
    one = fingerprint({"rank": 1}, "b", [[1, 2]], [[3]])
    others = {
        fingerprint({"rank": 2}, "b", [[1, 2]], [[3]]),
        fingerprint({"rank": 1}, "c", [[1, 2]], [[3]]),
        fingerprint({"rank": 1}, "b", [[1], [2]], [[3]]),
        fingerprint({"rank": 1}, "b", [[1, 2], [3]], []),
        fingerprint({"rank": 1}, "b", [[12]], [[3]]),
    }
    assert len(others) == 5
    assert one not in others
    assert one == fingerprint({"rank": 1}, "b", [[1, 2]], [[3]])
