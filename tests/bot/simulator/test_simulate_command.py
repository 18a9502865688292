"""`sahpathi simulate` as a newcomer meets it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, wait_for

SAHPATHI = Path(sys.executable).with_name("sahpathi")


@contextmanager
def simulating(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command, running in `folder`, and the file with what it prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [str(SAHPATHI), "simulate", "--port", "0", *arguments],
            env=clean | {"SAHPATHI_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"} | settings,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def refused(folder: Path, *arguments: str, **settings: str) -> str:
    """What it says before it gives up with 2."""
    with simulating(folder, *arguments, **settings) as (process, said):
        assert process.wait(60) == 2
        return said.read_text(encoding="utf-8")


def test_it_prints_what_the_service_needs_and_ends_on_a_signal(tmp_path: Path) -> None:
    service = f"http://127.0.0.1:{free_port()}"
    arguments = ("--service", service, "--fault", "telegram:drop=0.5", "--fault", "cloud:slow=1:3")
    with simulating(tmp_path, *arguments) as (process, said):
        wait_for(lambda: b"__API_BASE=" in said.read_bytes(), process)
        text = said.read_text(encoding="utf-8")
        found = re.search(r"The students' phones: (http://127\.0\.0\.1:\d+)", text)
        assert found
        with httpx.Client(base_url=found[1], trust_env=False) as client:
            assert "Simulator" in client.get("/").text
            printed = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("SAHPATHI_"))
            assert printed == client.get("/sim/environment").json()
            assert printed["SAHPATHI_PUBLIC_URL"] == service
            faults = client.get("/sim/faults").json()
        assert [fault["kind"] for fault in faults["telegram"]["faults"]] == ["drop"]
        assert faults["cloud"]["faults"][0]["seconds"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--fault", "telegram:earthquake=1"), "--fault telegram:earthquake=1 cannot be read"),
        (("--fault", "telegram:drop=often"), "cannot be read"),
        (("--fault", "pigeon:drop=1"), "cannot be read"),
        (("--service", "127.0.0.1:8000"), "--service must be an address"),
        (("--public-url", "tutor"), "--public-url must be an address"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    said = refused(tmp_path, *arguments)
    assert reason in said
    assert "Traceback" not in said


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with simulating(tmp_path) as (process, said):
        wait_for(lambda: b"phones" in said.read_bytes(), process)
        found = re.search(r"127\.0\.0\.1:(\d+)", said.read_text(encoding="utf-8"))
        assert found
        second = tmp_path / "second"
        second.mkdir()
        assert f"Cannot listen on 127.0.0.1 port {found[1]}" in refused(second, "--port", found[1])


def test_it_ends_with_the_tutor_that_it_started(tmp_path: Path) -> None:
    said = refused(tmp_path, "--start", SAHPATHI_LOG_LEVEL="LOUD")
    assert "SAHPATHI_LOG_LEVEL" in said
    assert "The tutor ended with status 2" in said
