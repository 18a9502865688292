"""`make bench`, the webhooks: acknowledgements a second and how long one takes, beside two servers that keep nothing.

    python -m tests.bench.webhooks [--seconds 20] [--rounds 3] [--servers NAME ...] [--channels NAME ...] [--json]

Each round measures every server once, so that a busy moment of the machine hits all of them; ratios are taken within a
round, and the table shows the medians of the rounds. The messages are new ones of three hundred students: greetings,
with the model idle and with a model process that generates without a pause; then questions, which the service's own
model answers. Replies are written and sent at the same time, as in life, and so are the reports on them; the load
generator and the providers run on the same two cores.
Less than ten seconds make a rehearsal: one round, a few books, and the service in one process only. Nothing here is
asserted but that every message acknowledged is stored, and that nobody acknowledges a forged one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from bot.store import ANSWERED
from tests.bench.figures import Figure, tell
from tests.bench.load import Load, Summary
from tests.bench.processes import bare, has_telegram, telegram
from tests.bench.service import QUESTIONS
from tests.bench.topologies import CHANNELS, Running, School, generating, has_postgres, has_redis, inbox
from tests.service import TEXTBOOKS

BARE, TELEGRAM = "bare", "telegram"
EMBEDDED, ALONE, POSTGRES, APART = "embedded", "alone", "postgres", "apart"
LABELS = {
    BARE: "bare FastAPI handler, signature alone",
    TELEGRAM: "python-telegram-bot's server, kept in memory",
    EMBEDDED: "one process, SQLite",
    ALONE: "web alone, SQLite and Redis, answered later",
    POSTGRES: "one process, PostgreSQL",
    APART: "web and worker, PostgreSQL and Redis",
}
OURS = frozenset({EMBEDDED, ALONE, POSTGRES, APART})
IDLE, GENERATING, ASKED = STATES = ("model idle", "generating", "every message a question")
GREETINGS = ("hello", "good morning", "namaste", "hi")
LIGHT, PACED = "10/s", "300/s"
RATES = {LIGHT: 10.0, PACED: 300.0}
CONNECTIONS = (32, 64)
REHEARSAL = 10.0  # seconds below which the figures mean nothing
GOAL_RATIO, GOAL_P99, GOAL_P50 = "0.6 of the bare handler", "p99 under 50 ms", "p50 under 5 ms"

Say = Callable[[str], None]
Key = tuple[str, str, str, str]  # channel, state, kind of load, server


@dataclass(frozen=True)
class Target:
    """A server that listens. `sql_url` is empty where nothing is stored."""

    port: int
    watched: Mapping[str, int]
    sql_url: str = ""


@dataclass
class Bench:
    """What is measured, and what was: a summary for each round."""

    seconds: float
    servers: Sequence[str]
    channels: Sequence[str]
    say: Say
    results: defaultdict[Key, list[Summary]] = field(default_factory=lambda: defaultdict(list))
    answered: defaultdict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))  # a second, meanwhile
    _numbers: Iterator[int] = field(default_factory=lambda: count(1_000_000, 100_000))  # of each load's first message
    _proven: set[tuple[str, str]] = field(default_factory=set)

    def round(self, school: School) -> None:
        """Every server once, on every channel and in every state."""
        for channel in self.channels:
            for state in STATES:
                with ExitStack() as stack:
                    model = stack.enter_context(generating()) if state == GENERATING else {}
                    for name in filter(partial(_has_something_to_show, channel, state), self.servers):
                        with self._served(name, school) as target:
                            watched = {**target.watched, **model}
                            self._measure(name, channel, state, replace(target, watched=watched))

    @contextmanager
    def _served(self, name: str, school: School) -> Iterator[Target]:
        if name not in OURS:
            server = bare() if name == BARE else telegram(school.providers)
            with server:
                yield Target(server.port, {"server": server.pid})
            return
        with _ours(name, school) as running:
            yield Target(running.service.port, running.watched, running.sql_url)

    def _measure(self, name: str, channel: str, state: str, target: Target) -> None:
        """Exits when less is stored than was acknowledged."""
        self._prove(name, channel, target)
        before, acknowledged = _inbox(target), 0
        for kind, load in self._loads(channel, state, target):
            answered, began = _inbox(target)[ANSWERED], time.monotonic()
            summary = post(load)
            self.answered[channel, state, kind, name].append(
                (_inbox(target)[ANSWERED] - answered) / (time.monotonic() - began)
            )
            acknowledged += summary.acknowledged
            self.results[channel, state, kind, name].append(summary)
            self.say(f"{channel}, {state}, {kind}, {LABELS[name]}: {json.dumps(_rounded(summary))}")
        stored = _inbox(target).total() - before.total()
        if target.sql_url and stored < acknowledged:
            raise SystemExit(f"{LABELS[name]}: {acknowledged} acknowledged, {stored} stored")

    def _loads(self, channel: str, state: str, target: Target) -> Iterator[tuple[str, Load]]:
        """In this order: the latencies first, while not much waits to be answered."""
        texts = QUESTIONS if state == ASKED else GREETINGS

        def load(seconds: float, connections: int, rate: float = 0.0) -> Load:
            return Load(
                target.port, channel, texts, next(self._numbers), seconds, connections, rate, watched=target.watched
            )

        if state == IDLE:
            yield LIGHT, load(self.seconds / 2, 8, RATES[LIGHT])
        yield PACED, load(self.seconds, 64, RATES[PACED])
        for connections in CONNECTIONS if state != ASKED else ():
            yield f"{connections} connections", load(self.seconds / 4, connections)

    def _prove(self, name: str, channel: str, target: Target) -> None:
        """Exits when a forged message is not refused: such a server cannot be compared."""
        if (name, channel) in self._proven:
            return
        forged = post(Load(target.port, channel, GREETINGS, next(self._numbers), 0.2, 2, 20.0, warm=0.0, forged=True))
        if set(forged.statuses) != {"403"}:
            raise SystemExit(f"{LABELS[name]} answers forged messages with {', '.join(forged.statuses)}")
        self._proven.add((name, channel))

    def figures(self) -> Iterator[Figure]:
        """The table, a block for each channel and state."""
        for channel, state, kind, name in self.results:
            yield self._row(channel, state, kind, name)
        for channel, state, kind, name in self.results:
            if kind == PACED:
                yield self._cores(channel, state, name)

    def _row(self, channel: str, state: str, kind: str, name: str) -> Figure:
        found, base = self.results[channel, state, kind, name], self.results.get((channel, state, kind, BARE), [])
        if kind in RATES:
            times = " / ".join(f"{_median(found, which):.1f}" for which in ("p50", "p95", "p99"))
            value, against = f"{times} ms" + _refused(found), _ratios(found, base, "p99")
            title = f"{channel}, {kind}, {state}: {LABELS[name]}, p50 / p95 / p99"
            goal = GOAL_P50 if kind == LIGHT else GOAL_P99 if state != IDLE else ""
        else:
            value, against = f"{_median(found, 'rate'):,.0f}/s" + _refused(found), _ratios(found, base, "rate")
            title = f"{channel}, {kind}, {state}: {LABELS[name]}, acknowledged"
            goal = GOAL_RATIO
        beside = f", {against} of bare" if against and name != BARE else ""
        return Figure(title, value + beside, goal if name in OURS else "")

    def _cores(self, channel: str, state: str, name: str) -> Figure:
        found = self.results[channel, state, PACED, name]
        used = {who: statistics.median(summary.cores[who] for summary in found) for who in found[0].cores}
        shares = ", ".join(f"{who} {share:.2f}" for who, share in used.items())
        meanwhile = f"; {statistics.median(self.answered[channel, state, PACED, name]):.0f} answered a second"
        late = f"; the load generator late by {_median(found, 'late'):.1f} ms (p99)"
        value = shares + (meanwhile if name in OURS else "") + late
        return Figure(f"{channel}, {PACED}, {state}: {LABELS[name]}, cores used", value, "")


def _has_something_to_show(channel: str, state: str, name: str) -> bool:
    """Each way of running the service once, and a question only where it is answered: that alone makes it dearer."""
    only = {TELEGRAM: "telegram", ALONE: "twilio", POSTGRES: "twilio", APART: "twilio"}
    return only.get(name, channel) == channel and (state != ASKED or name in OURS - {ALONE})


def post(load: Load) -> Summary:
    """Have a load posted by a process of its own. Raises CalledProcessError when it could not be."""
    command = [sys.executable, "-m", "tests.bench.load"]
    done = subprocess.run(command, input=json.dumps(asdict(load)), text=True, check=True, stdout=subprocess.PIPE)
    return Summary(**json.loads(done.stdout))


@contextmanager
def _ours(name: str, school: School) -> Iterator[Running]:
    """The service in one of the ways of running it."""
    ways = {
        EMBEDDED: school.one_process,
        ALONE: school.web_alone,
        POSTGRES: lambda: school.one_process(school.postgres()),
        APART: school.apart,
    }
    with ways[name]() as running:
        yield running


def _inbox(target: Target) -> Counter[str]:
    """What a server has stored, by state; nothing where it stores nothing."""
    return inbox(target.sql_url) if target.sql_url else Counter()


def _median(found: Sequence[Summary], which: str) -> float:
    return float(statistics.median(getattr(summary, which) for summary in found))


def _ratios(found: Sequence[Summary], base: Sequence[Summary], which: str) -> str:
    """The median of the rounds' ratios, with the least and the greatest."""
    ratios = [getattr(mine, which) / getattr(other, which) for mine, other in zip(found, base, strict=False)]
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _refused(found: Sequence[Summary]) -> str:
    refused = sum(summary.refused for summary in found)
    return f", {refused} not acknowledged" if refused else ""


def _rounded(summary: Summary) -> dict[str, object]:
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in asdict(summary).items()}


def available(say: Say) -> list[str]:
    """The servers that can be started here; says which are left out, and why."""
    missing = {
        TELEGRAM: "" if has_telegram() else "tornado is not installed (pip install 'sahpathi[bench]')",
        ALONE: "" if has_redis() else "redis-server is not installed",
        POSTGRES: "" if has_postgres() else "PostgreSQL is not installed",
        APART: "" if has_redis() and has_postgres() else "Redis or PostgreSQL is not installed",
    }
    for name, why in missing.items():
        if why:
            say(f"without {LABELS[name]}: {why}")
    return [name for name in LABELS if not missing.get(name)]


def main() -> None:
    """Measure what the command line names, or all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="in open loop; half or a quarter for the rest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", choices=LABELS, metavar="NAME", help=", ".join(LABELS))
    parser.add_argument("--channels", nargs="+", choices=CHANNELS, default=CHANNELS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    rehearsal = given.seconds < REHEARSAL
    servers = given.servers or [name for name in available(say) if not rehearsal or name not in OURS - {EMBEDDED}]
    shelves = ["class-7/science"] if rehearsal else sorted(path.name for path in TEXTBOOKS.iterdir() if path.is_dir())
    bench = Bench(given.seconds, servers, given.channels, say)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        say("indexing the books ...")
        school = School(Path(folder), shelves, stack)
        for number in range(1 if rehearsal else given.rounds):
            say(f"round {number + 1} ...")
            bench.round(school)
    tell([*bench.figures()], as_json=given.json)


if __name__ == "__main__":
    main()
