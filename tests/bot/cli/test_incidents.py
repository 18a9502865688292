"""`sahpathi incidents` as an operator uses it, and what `doctor` says of who would be told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bot.compose import opened_store
from bot.ports import Answer
from bot.settings import Settings
from tests.bot.cli.test_commands import refused, sahpathi
from tests.bot.distress import ADDRESS, ESCALATED, FAILED_CLOSED, QUESTION, happened


def in_distress(folder: Path, answer: Answer = ESCALATED) -> int:
    """A child in distress in the database of an installation, or what else was answered so: the incident's number."""

    async def write() -> int:
        async with opened_store(Settings.load(home=folder / "home")) as store:
            return (await happened(store, answer)).id

    return asyncio.run(write())


def test_nothing_to_look_after(tmp_path: Path) -> None:
    result = sahpathi(tmp_path, "incidents", "list")
    assert result.returncode == 0, result.stderr
    assert "There is nothing to look after." in result.stdout
    assert json.loads(sahpathi(tmp_path, "incidents", "list", "--json").stdout) == []
    assert "no incident 7" in refused(sahpathi(tmp_path, "incidents", "show", "7"))
    assert "not open" in refused(sahpathi(tmp_path, "incidents", "seen", "7", "--by", "Asha"))
    assert "no open incident 7" in refused(sahpathi(tmp_path, "incidents", "close", "7", "--by", "Asha", "--note", "x"))


def test_an_incident_is_listed_looked_after_and_closed(tmp_path: Path) -> None:
    number = str(in_distress(tmp_path))
    listed = sahpathi(tmp_path, "incidents", "list").stdout
    assert "Thoughts of self-harm" in listed
    for hidden in ("Ravi", ADDRESS, "98765"):
        assert hidden not in listed
    shown = sahpathi(tmp_path, "incidents", "show", number).stdout
    assert QUESTION in shown
    assert f"From: {ADDRESS}" in shown
    assert json.loads(sahpathi(tmp_path, "incidents", "show", number, "--json").stdout)["question"] == QUESTION

    assert sahpathi(tmp_path, "incidents", "seen", number, "--by", "Asha").returncode == 0
    assert "somebody looks after it" in refused(sahpathi(tmp_path, "incidents", "seen", number, "--by", "Meera"))
    assert "who you are" in refused(sahpathi(tmp_path, "incidents", "seen", number, "--by", "x" * 81))

    assert "--note" in refused(sahpathi(tmp_path, "incidents", "close", number, "--by", "Asha", "--note", " "))
    note = "Spoke with him [today]."
    assert sahpathi(tmp_path, "incidents", "close", number, "--by", "Asha", "--note", note).returncode == 0
    again = sahpathi(tmp_path, "incidents", "close", number, "--by", "Asha", "--note", note)
    assert "no open incident" in refused(again)
    assert json.loads(sahpathi(tmp_path, "incidents", "list", "--json").stdout) == []
    (row,) = json.loads(sahpathi(tmp_path, "incidents", "list", "--all", "--json").stdout)
    assert (row["state"], row["seen_by"], row["closed_by"], row["note"]) == ("closed", "Asha", "Asha", note)
    shown = sahpathi(tmp_path, "incidents", "show", number).stdout
    assert "Looked after by Asha" in shown
    assert f"by Asha: {note}" in shown


@pytest.mark.parametrize(
    ("option", "outcome", "words"),
    [([], "real", "It was right to alert."), (["--false-alarm"], "false_alarm", "False alarm: nothing was wrong.")],
)
def test_whoever_closes_it_says_whether_the_alarm_was_right(
    tmp_path: Path, option: list[str], outcome: str, words: str
) -> None:
    number = str(in_distress(tmp_path))
    assert json.loads(sahpathi(tmp_path, "incidents", "show", number, "--json").stdout)["outcome"] is None
    closed = sahpathi(tmp_path, "incidents", "close", number, "--by", "Asha", "--note", "A poem.", *option)
    assert closed.returncode == 0, closed.stderr
    (row,) = json.loads(sahpathi(tmp_path, "incidents", "list", "--all", "--json").stdout)
    assert row["outcome"] == outcome
    assert words in sahpathi(tmp_path, "incidents", "show", number).stdout


def test_only_an_alarm_can_be_a_false_one(tmp_path: Path) -> None:
    number = str(in_distress(tmp_path, FAILED_CLOSED))
    close = ("incidents", "close", number, "--by", "Asha", "--note", "The filter is mended.")
    assert "no child in distress" in refused(sahpathi(tmp_path, *close, "--false-alarm"))
    assert sahpathi(tmp_path, *close).returncode == 0
    (row,) = json.loads(sahpathi(tmp_path, "incidents", "list", "--all", "--json").stdout)
    assert (row["state"], row["outcome"]) == ("closed", None)


def test_who_and_what_was_done_have_to_be_said(tmp_path: Path) -> None:
    for missing in (("seen", "7"), ("close", "7", "--by", "Asha"), ("close", "7", "--note", "x")):
        result = sahpathi(tmp_path, "incidents", *missing)
        assert result.returncode == 2
        assert "Missing option" in result.stderr


def test_doctor_says_who_would_be_told(tmp_path: Path) -> None:
    def adults(**settings: str) -> tuple[int, str, str]:
        result = sahpathi(tmp_path, "doctor", "--json", **settings)
        (row,) = [row for row in json.loads(result.stdout) if row["part"] == "adults"]
        return result.returncode, row["state"], row["note"]

    status, state, note = adults()
    assert (status, state) == (0, "off")
    assert "SAHPATHI_SAFETY__ADULTS" in note
    listed = {"SAHPATHI_SAFETY__ADULTS": "mailto:asha@school.example"}
    status, state, note = adults(**listed)
    assert (status, state) == (1, "wrong")
    assert "SAHPATHI_SMTP__HOST" in note
    server = {"SAHPATHI_SMTP__HOST": "mail.school.example", "SAHPATHI_SMTP__SENDER": "tutor@school.example"}
    status, state, note = adults(**listed, **server)
    assert (status, state) == (0, "ok")
    assert "asha" not in note
