"""`make bench`, its first part: start, answers and memory of the real service, as a newcomer would run it.

    python -m tests.bench.service [--json]

Prints a Markdown table. Nothing here is asserted: a noisy machine must not fail a test run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure, quantile, tell
from tests.bench.processes import resident, settings, simulator
from tests.servers import free_port
from tests.service import SAHPATHI, Service

QUESTIONS = (
    "What is photosynthesis?", "What is a cell?", "Why do we see lightning before thunder?", "What is a fraction?",
    "What is the Preamble?", "Where does the Ganga begin?", "What is force?", "How is a shadow formed?",
)  # fmt: skip


def help_seconds() -> Figure:
    """Median wall time of `sahpathi --help` over seven runs after one warm-up."""
    times = []
    for _ in range(8):
        began = time.perf_counter()
        subprocess.run([str(SAHPATHI), "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return Figure("`sahpathi --help`", f"{statistics.median(times[1:]):.2f} s", "under 0.5 s")


@contextmanager
def service(home: Path) -> Iterator[Service]:
    """The service with both channels, the shipped model and books."""
    port = free_port()
    with simulator(f"http://127.0.0.1:{port}") as providers:
        made = Service(home, **settings(f"http://127.0.0.1:{providers.port}", port))
        try:
            yield made
        finally:
            made.kill()


def first_answer(made: Service) -> Figure:
    """From the start of the process with an empty home, index to be built, to the first answer."""
    began = time.perf_counter()
    made.start()
    answer = made.ask(QUESTIONS[0])
    seconds = time.perf_counter() - began
    return Figure(f"first answer from an empty home ({answer['route']})", f"{seconds:.1f} s", "under 60 s")


def answer_seconds(made: Service) -> list[Figure]:
    """Wall time of one question at a time."""
    times, routes = [], []
    for question in QUESTIONS * 2:
        began = time.perf_counter()
        routes.append(made.ask(question)["route"])
        times.append(time.perf_counter() - began)
    shares = ", ".join(f"{route} {routes.count(route)}" for route in sorted(set(routes)))
    median, worst = statistics.median(times), quantile(times, 0.95)
    return [Figure(f"one answer, p50 / p95 ({shares})", f"{median:.2f} / {worst:.2f} s", "")]


def measured(say: Callable[[str], None]) -> list[Figure]:
    """Everything, in one run."""
    figures = [help_seconds()]
    with tempfile.TemporaryDirectory() as folder, service(Path(folder) / "home") as made:
        say("starting from an empty home ...")
        figures.append(first_answer(made))
        say("asking one at a time ...")
        figures += answer_seconds(made)
        figures.append(
            Figure("resident memory, service and model", f"{resident(made.pid) / 1e9:.2f} GB", "under 1.5 GB")
        )
    return figures


if __name__ == "__main__":
    tell(measured(lambda line: print(line, file=sys.stderr)), as_json="--json" in sys.argv[1:])
