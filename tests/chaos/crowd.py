"""Many students who write while the service dies: each asks, and asks on, without waiting for it to come back."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

from tests.bot.simulator.driver import Driver, Json

TROUBLES = {"rate_limit": 0.03, "server_error": 0.03, "drop": 0.03, "slow": 0.03}  # of our calls, each
REPEATS = {"duplicate": 0.2, "reorder": 0.1}  # of the webhooks
SECONDS = {"rate_limit": 1.0, "slow": 1.0}
PROVIDERS = {"telegram": "7001{:05d}", "twilio": "+919876{:06d}", "cloud": "+919812{:06d}"}
BOOK = (
    "What is photosynthesis?", "What is evaporation?", "Why do plants need sunlight?", "What is respiration?",
    "What is a chemical change?", "What is an acid?", "How does heat travel?", "What is a cell?", "What is friction?",
    "What is force?", "Why is the sky dark at night?", "What is condensation?", "What is sound?",
)  # fmt: skip
SENDING = frozenset({"sendMessage", "create", "messages"})
MOST_UNANSWERED = 3  # of one student's, before he waits


@dataclass(frozen=True)
class Student:
    """One student with one provider."""

    provider: str
    number: str


@dataclass
class Crowd:
    """The students, what they have said, and every call that the providers were given on the way."""

    providers: Driver
    chance: random.Random
    each: int  # students a provider
    said: dict[tuple[str, str], Student] = field(default_factory=dict)  # (provider, its id for the message)
    calls: dict[int, Json] = field(default_factory=dict)  # by number
    _asked: Counter[Student] = field(default_factory=Counter)
    _given: Counter[Student] = field(default_factory=Counter)  # doubles and all
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _seen: int = 0

    def __post_init__(self) -> None:
        self.students = [Student(name, form.format(n)) for name, form in PROVIDERS.items() for n in range(self.each)]

    # ---- writing -------------------------------------------------------------------------------------------------

    def agree(self) -> None:
        """Every student's first word."""
        for student in self.students:
            self._say(student, "/agree")

    def start(self) -> None:
        """Write without a pause, and have the providers make trouble."""
        for provider in PROVIDERS:
            faults = [_fault(kind, share) for kind, share in {**TROUBLES, **REPEATS}.items()]
            plan = {"provider": provider, "faults": faults, "seed": self.chance.randrange(1_000_000)}
            self.providers.post("faults", plan)
        self._thread = threading.Thread(target=self._write, name="students", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more words and no more trouble."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
        for provider in PROVIDERS:
            self.providers.post("faults", {"provider": provider, "faults": []})

    def _write(self) -> None:
        while not self._stop.wait(self.chance.uniform(0.0, 0.1)):
            student = self.chance.choice(self.students)
            if self._asked[student] - self._given[student] < MOST_UNANSWERED:
                self._say(student, self._question(student))

    def _question(self, student: Student) -> str:
        """Mostly sums, whose answers differ from one another; now and then something from the book, or a long text."""
        number = self._asked[student]
        dice = self.chance.random()
        if dice < 0.04:
            return "/privacy"
        return BOOK[number % len(BOOK)] if dice < 0.3 else f"What is {number + 11} x 7?"

    def _say(self, student: Student, text: str) -> None:
        spoken = self.providers.say(student.provider, student.number, text)
        self.said[student.provider, str(spoken["provider_id"])] = student
        self._asked[student] += 1

    # ---- reading -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take down the calls that came; the last ones again, since an answer may still have been under way."""
        while fresh := self.providers.get("calls", after=self._seen, limit=5_000):
            self.calls |= {call["seq"]: call for call in fresh}
            self._seen = fresh[-1]["seq"]
        self._seen = max(0, self._seen - 1_000)
        self._given = Counter(Student(call["provider"], call["student"]) for call in self.deliveries)

    @property
    def deliveries(self) -> list[Json]:
        """The messages that the providers took, in order."""
        return [call for _, call in sorted(self.calls.items()) if call["message_id"] and call["method"] in SENDING]


def _fault(kind: str, share: float) -> Json:
    return {"kind": kind, "probability": share} | ({"seconds": SECONDS[kind]} if kind in SECONDS else {})
