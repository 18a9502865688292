"""One storm: students write, processes are killed, servers are upset; then calm, and the account."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from bot.ports import DeliveryState
from bot.simulator.config import Pace
from bot.store.messages import WAITING
from bot.tables import InboxMessage, OutboxPart
from tests.bot.simulator.driver import driven
from tests.chaos.audit import Account, Ledger, audit
from tests.chaos.crowd import Crowd
from tests.chaos.topology import TOPOLOGIES, School
from tests.servers import free_port
from tests.service import Service

# As providers are: they try again for as long as it takes.
STUBBORN = Pace(receipt=0.05, backoff=0.2, longest_backoff=1.0, attempts=100_000)
LONGEST_LIFE = 3.0  # seconds between readiness and the kill
IN_THE_CRADLE = 0.2  # the share of kills that come while a process is still starting
CALM_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a storm was, and the account of it."""

    topology: str
    kills: Counter[str]
    disasters: Counter[str]
    seconds: float
    account: Account
    deaths: list[str] = field(default_factory=list)  # processes that ended by themselves, and their last words

    @property
    def faulty(self) -> list[str]:
        """Empty when every claim held. A process may refuse to start only where a server under it was upset."""
        return [*self.account.faulty, *([] if self.disasters else self.deaths)]


@dataclass
class Storm:
    """Kills of the processes of a school, at moments that chance chooses."""

    school: School
    crowd: Crowd
    chance: random.Random
    say: Say
    kills: Counter[str] = field(default_factory=Counter)
    disasters: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    _doomed: dict[Service, float] = field(default_factory=dict)
    _served: set[Service] = field(default_factory=set)  # since their last start

    def rage(self, wanted: int, every: int) -> None:
        """Kill until there were `wanted` kills; upset a server after each `every` of them."""
        upset_at, looked = every, time.monotonic()
        while self.kills.total() < wanted:
            for process in self.school.processes:
                self._strike(process)
            while self.school.disasters and self.kills.total() >= upset_at:  # two may have died in one look
                upset_at += every
                self._upset()
            if time.monotonic() - looked > 1.0:
                looked = time.monotonic()
                self.crowd.look()
            time.sleep(0.02)

    def _strike(self, process: Service) -> None:
        """Kill the process if its time has come; choose the time once it is ready."""
        doomed = self._doomed.get(process)
        if process.ended:
            self._start_again(process)
        elif process not in self._served and process.ready():
            self._served.add(process)
            self._doomed.setdefault(process, self._moment())
        elif doomed is not None and time.monotonic() >= doomed:
            process.kill()
            self.kills[process.name if process in self._served else f"{process.name} starting"] += 1
            self._revive(process)
            if self.kills.total() % 10 == 0:
                said, given = len(self.crowd.said), len(self.crowd.deliveries)
                self.say(f"{self.kills.total()} kills, {said} messages, {given} deliveries")

    def _start_again(self, process: Service) -> None:
        """As a service manager would: what cannot start while PostgreSQL is away ends, and says why."""
        log = process.log.read_text(encoding="utf-8")[-2000:]
        self.deaths.append(f"{process.name} ended by itself:\n{log}")
        self._revive(process)

    def _revive(self, process: Service) -> None:
        process.launch()
        self._served.discard(process)
        self._doomed.pop(process, None)
        if self.chance.random() < IN_THE_CRADLE:
            self._doomed[process] = self._moment()

    def _moment(self) -> float:
        return time.monotonic() + self.chance.uniform(0.0, LONGEST_LIFE)

    def _upset(self) -> None:
        name = list(self.school.disasters)[self.disasters.total() % len(self.school.disasters)]
        self.say(name)
        self.school.disasters[name]()
        self.disasters[name] += 1

    def calm(self) -> None:
        """Let everything run until nothing waits any more. Raises AssertionError when it never ends."""
        for process in self.school.processes:
            _until(partial(self._not_ready, process))
        _until(lambda: _unsettled(self.school.sql_url, len(self.crowd.said)))
        self.crowd.look()

    def _not_ready(self, process: Service) -> str:
        if process.ended:
            self._start_again(process)
        return "" if process.ready() else f"{process.name} is not ready"


def storm(
    topology: str, folder: Path, *, kills: int, each: int, seed: int, every: int, model: bool, say: Say
) -> Outcome:
    """Everything, from an empty folder to the account."""
    port = free_port()
    with driven(f"http://127.0.0.1:{port}", pace=STUBBORN) as providers:
        say(f"{topology}: starting")
        with TOPOLOGIES[topology](folder, port, providers.config.environment(), model=model) as school:
            began = time.monotonic()
            crowd = Crowd(providers, random.Random(seed), each)
            _until(lambda: "" if providers.get("calls", method="setWebhook") else "Telegram's webhook")
            crowd.agree()
            raging = Storm(school, crowd, random.Random(seed + 1), say)
            raging.calm()
            crowd.start()
            try:
                raging.rage(kills, every)
            finally:
                crowd.stop()
            say("calm: waiting for the last answers")
            raging.calm()
            school.stop()
            account = audit(crowd.said, crowd.deliveries, Ledger.read(school.sql_url))
            account.broken_rules += [f"{broken['rule']}: {broken['found']}" for broken in providers.violations()]
    seconds = time.monotonic() - began
    return Outcome(topology, raging.kills, raging.disasters, seconds, account, raging.deaths)


def _unsettled(sql_url: str, messages: int) -> str:
    """What is missing until so many messages are in the inbox, none waits and no part is to be sent; "" for nothing."""
    inbox = select(InboxMessage.state, func.count()).group_by(InboxMessage.state)
    outbox = select(OutboxPart.state, func.count()).group_by(OutboxPart.state)
    engine = create_engine(sql_url)
    try:
        with engine.connect() as connection:
            found = dict(connection.execute(inbox).all())
            parts = dict(connection.execute(outbox).all())
    except SQLAlchemyError as error:  # PostgreSQL is just coming back
        return type(error).__name__
    finally:
        engine.dispose()
    done = sum(found.values()) == messages and not found.get(WAITING) and not parts.get(DeliveryState.SENDING)
    return "" if done else f"{messages} messages said, inbox {found}, outbox {parts}"


def _until(missing: Callable[[], str]) -> None:
    """Wait until nothing is missing any more. Raises AssertionError."""
    deadline = time.monotonic() + CALM_SECONDS
    while what := missing():
        assert time.monotonic() < deadline, f"after {CALM_SECONDS:.0f} seconds: {what}"
        time.sleep(0.2)
