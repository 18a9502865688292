"""Students write, workers come and go, providers report in any order: whatever happens, the store keeps its promises.

Hypothesis makes up a story, a step at a time, for the real store on a real database. After each step the database is
read from outside, compared with the model (`store_model`), and held against the promises (`store_promises`). Nobody
waits: what lies in the future is moved into the past. For thousands of stories instead of a few:

    pytest tests/bot/test_store_stateful.py --hypothesis-profile=thorough
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bot.errors import LeaseLost
from bot.ports import Answer, Choice, DeliveryState, Effect, Inbound, Kind, Profile, Route, Source, StatusUpdate
from bot.store import ANSWERED, BURIED, Pending, Store, Work, connect
from bot.tables import now
from tests.bot import store_promises
from tests.bot.store_model import FAILED, FORGOTTEN, LATE, Model, State
from tests.bot.store_observer import Observer, state

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])
QUICK = settings(max_examples=25, stateful_step_count=20, derandomize=True)
ADDRESSES = ("whatsapp:+911111", "whatsapp:+912222")
LONG, OVER = 3600.0, -86400.0  # seconds from now: not before an hour has passed; before anybody wrote
REFUSED, TOO_LATE, UNREACHABLE = "PermanentError 63005", "OutsideWindow 63016", "Unreachable 63024"
REPORTED = [one for one in DeliveryState if one != DeliveryState.WAITING]
MOST_WORKERS = 4  # of more than these the first is taken to have died without a word


@dataclass
class Worker:
    """Somebody who was given a lease, what was seen under it, and the part that the provider has not decided on."""

    conversation_id: int
    token: str
    lasting: bool  # nobody else may be given the conversation
    work: Work | None = None
    pending: Pending | None = None
    sending: Pending | None = None


@dataclass(frozen=True)
class Answered:
    """The message gets an answer of so many parts."""

    parts: int
    effect: Effect | None
    is_grave: bool = False


@dataclass(frozen=True)
class Replied:
    """The message was a thumb; or it is given up, and that is said."""

    parts: int
    state: str


@dataclass(frozen=True)
class PutOff:
    """The message has to wait, as its student asks too fast or as the tutor failed."""

    failed: bool
    is_due: bool


Outcome = Answered | Replied | PutOff


@dataclass(frozen=True)
class Decision:
    """What a provider makes of a part: refused for good or put off, for one; in doubt where its answer was lost."""

    what: str
    is_due: bool = True  # to be tried again at once, where it is tried again


whats = ("accepted", "accepted", "refused", "put off", "in doubt", "too late", "blocked")
which = st.integers(0, 20)  # which of those there are
arrivals = st.lists(st.tuples(st.sampled_from(ADDRESSES), st.none() | which), min_size=1, max_size=3)
effects = st.sampled_from([None, None, *Effect, Effect.HOLD, Effect.FORGET])
answers = st.builds(Answered, st.integers(0, 3), effects, st.booleans())
replies = st.builds(Replied, st.integers(0, 1), st.sampled_from([ANSWERED, BURIED]))
outcomes = answers | replies | st.builds(PutOff, st.booleans(), st.booleans())
decisions = st.builds(Decision, st.sampled_from(whats), st.booleans())
reports = st.tuples(which, st.sampled_from(REPORTED), st.booleans())

DEEDS: list[tuple[str, st.SearchStrategy[dict[str, Any]]]] = []


def deed(weight: int = 1, **given: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Something that may happen in a story, with what it is given; `weight` times as often as the rest."""

    def note(function: F) -> F:
        DEEDS.extend([(function.__name__, st.fixed_dictionaries(given))] * weight)
        return function

    return note


def some_deed() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.sampled_from(DEEDS).flatmap(lambda one: st.tuples(st.just(one[0]), one[1]))


class Server:
    """One database and one event loop for all stories: connecting costs more than the steps do."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.runner, self.observer = runner, Observer(url)
        self._engine = connect(url)
        self.store = Store(self._engine)

    def restart(self) -> None:
        """The next process, which remembers nothing."""
        self.close()
        self.store = Store(self._engine)

    def close(self) -> None:
        self.runner.run(self.store.close())


class School(RuleBasedStateMachine):
    """Two students and whoever serves them."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        server.observer.wipe()
        self.model = Model()
        self.workers: list[Worker] = []
        self.said: list[Inbound] = []  # in the order of arrival
        self.handed: Counter[int] = Counter()  # how often a provider may have accepted a part
        self.numbers = iter(range(1, 1_000_000))
        self.before = self.seen = State()

    # ---- step by step -----------------------------------------------------------------------------------------------

    @initialize(batch=arrivals)
    def somebody_writes_and_is_served(self, batch: list[tuple[str, int | None]]) -> None:
        self.messages_arrive(batch)
        self.workers_lease(0, LONG, 1)

    @rule(what=st.deferred(some_deed))
    def something_happens(self, what: tuple[str, dict[str, Any]]) -> None:
        """One rule for all: of many, Hypothesis switches off half for a story, and few stories would lead anywhere."""
        name, given = what
        getattr(self, name)(**given)

    @invariant()
    def every_promise_is_kept(self) -> None:
        self._observe()
        for table in ("conversations", "messages", "parts", "answers"):
            stored, expected = getattr(self.seen, table), getattr(self.model, table)
            differing = [key for key in {*stored, *expected} if stored.get(key) != expected.get(key)]
            assert not differing, (table, [(stored.get(key), expected.get(key)) for key in differing])
        assert self.seen.incidents == self.model.incidents
        assert sorted(self.run(self.store.neglected())) == sorted(self.model.neglected())
        served = [worker.conversation_id for worker in self.workers if worker.lasting]
        assert len(served) == len(set(served)), "two workers serve one student"
        store_promises.check_nothing_is_lost(self.seen, self.said)
        store_promises.check_states_move_forward(self.before, self.seen)
        store_promises.check_doubles_were_in_doubt(self.seen, self.handed)
        store_promises.check_the_forgotten_are_forgotten(self.seen, repr(self.rows), self.said)
        self.before = self.seen

    # ---- what arrives -----------------------------------------------------------------------------------------------

    @deed(batch=arrivals)
    def messages_arrive(self, batch: list[tuple[str, int | None]]) -> None:
        """All in one instant; a number stands for a repeat of what was said before."""
        arriving = [self._inbound(address, repeat) for address, repeat in batch]
        accepted = self.run(at_once(*map(self.store.accept, arriving)))
        for inbound, one in zip(arriving, accepted, strict=True):
            known = self.model.known(inbound.provider_id)
            assert one.duplicate == (known is not None)
            if known is not None:
                assert (one.message_id, one.conversation_id) == (known, self.model.messages[known].conversation)
                continue
            assert one.message_id > max(self.model.messages, default=0), "stored in the order of arrival"
            assert one.conversation_id == (self.model.found(inbound.address) or one.conversation_id)
            self.model.accept(inbound, one.message_id, one.conversation_id)

    def _inbound(self, address: str, repeat: int | None = None) -> Inbound:
        if repeat is not None and self.said:
            return pick(self.said, repeat)
        number = next(self.numbers)
        said = Inbound("memory", f"id{number}", address, Kind.TEXT, f"<word{number}>", profile=Profile(subject="maths"))
        self.said.append(said)
        return said

    # ---- the lease --------------------------------------------------------------------------------------------------

    @deed(weight=2, index=which, seconds=st.sampled_from([LONG, OVER]), rivals=st.integers(1, 3))
    def workers_lease(self, index: int, seconds: float, rivals: int) -> None:
        """Several at once where the lease lasts: one of them gets it, at most."""
        wanted = [*sorted(self.model.neglected()), *sorted(self.model.conversations)]
        self._lease(pick(wanted, index), seconds, rivals if seconds > 0 else 1)

    def _lease(self, conversation_id: int, seconds: float, rivals: int = 1) -> None:
        was_free = not self.model.conversations[conversation_id].leased
        given = self.run(at_once(*(self.store.lease(conversation_id, seconds) for _ in range(rivals))))
        tokens = list(filter(None, given))
        assert len(tokens) == was_free
        for token in tokens:
            self.model.lease(conversation_id, token, lasting=seconds > 0)
            worker = Worker(conversation_id, token, lasting=seconds > 0)
            self.workers = [*self.workers[1 - MOST_WORKERS :], worker]
            self._look(worker)

    @deed(index=which)
    def a_worker_renews(self, index: int) -> None:
        """Perhaps late, but not too late if nobody else has come."""
        worker = self._anybody(index)
        if self._is_kept(worker, self.store.renew(worker.conversation_id, worker.token, LONG)):
            worker.lasting = True
            self.model.lease(worker.conversation_id, worker.token, lasting=True)

    @deed(index=which)
    def a_worker_goes(self, index: int) -> None:
        """And gives back its lease, if that is still its own."""
        self._go(self._anybody(index))

    def _go(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.run(self.store.release(worker.conversation_id, worker.token))
        if self.model.holds(worker.conversation_id, worker.token):
            self.model.lease(worker.conversation_id, None, lasting=False)

    @deed(alone=st.booleans())
    def the_process_is_killed(self, alone: bool) -> None:
        """Every worker is gone. The next process opens the database; when it is alone it frees what they held."""
        self.server.restart()
        self.workers = []
        if alone:
            self.run(self.store.release_all())
            self.model.release_all()

    @deed(weight=2)
    def an_hour_passes(self) -> None:
        self.server.observer.an_hour_passes()
        self.model.an_hour_passes()
        for worker in self.workers:
            worker.lasting = False

    # ---- what is answered -------------------------------------------------------------------------------------------

    @deed(weight=2, index=which, outcome=outcomes)
    def a_conversation_is_drained(self, index: int, outcome: Outcome) -> None:
        """By a worker to whom nothing happens: deliver, answer, deliver, erase, go."""
        worker = self._newcomer(index)
        if self._deliver(worker) and worker.work:
            self._settle(worker, worker.work, outcome)
            self._deliver(worker)
        self._erase(worker, None)
        self._go(worker)

    @deed(weight=4, index=which, outcome=outcomes)
    def a_worker_settles(self, index: int, outcome: Outcome) -> None:
        worker = self._somebody_with("work", index)
        if worker.work:
            self._settle(worker, worker.work, outcome)

    def _settle(self, worker: Worker, work: Work, outcome: Outcome) -> None:
        match outcome:
            case Answered():
                self._answer(worker, work, outcome)
            case Replied():
                self._reply(worker, work, outcome)
            case PutOff(failed=True):
                self.run(self.store.postpone(work.message_id, "RuntimeError", moment(outcome.is_due)))
                self.model.postpone(work.message_id, "RuntimeError", due=outcome.is_due)
            case PutOff():
                self._defer(worker, work, outcome)
        self._look(worker)

    def _answer(self, worker: Worker, work: Work, outcome: Answered) -> None:
        word = "" if outcome.effect is Effect.HOLD else work.turn.text  # what is held may not be repeated anywhere
        texts = [f"part {number} {word}" for number in range(outcome.parts)]
        answer = told(word, outcome)
        answer_id, choices = f"answer{next(self.numbers)}", (Choice("Yes", f"/yes {word}"),)
        commit = self.store.commit_answer(work, worker.conversation_id, worker.token, answer_id, answer, texts, choices)
        if self._is_kept(worker, commit):
            self.model.answer(work.message_id, self._new_parts(texts), answer)

    def _reply(self, worker: Worker, work: Work, outcome: Replied) -> None:
        texts, error = ["sorry"] * outcome.parts, "ValueError" if outcome.state == BURIED else None
        commit = self.store.commit_reply(work, worker.conversation_id, worker.token, texts, outcome.state, error)
        if self._is_kept(worker, commit):
            self.model.reply(work.message_id, self._new_parts(texts), outcome.state, error)

    def _defer(self, worker: Worker, work: Work, outcome: PutOff) -> None:
        texts = ["one by one"]
        defer = self.store.defer(work, worker.conversation_id, worker.token, texts, moment(outcome.is_due))
        if self._is_kept(worker, defer):
            self.model.defer(work.message_id, self._new_parts(texts), due=outcome.is_due)

    # ---- what leaves ------------------------------------------------------------------------------------------------

    @deed(weight=2, index=which, decision=st.none() | decisions)
    def a_worker_sends(self, index: int, decision: Decision | None) -> None:
        """Without a decision for the time being."""
        worker = self._somebody_with("pending", index)
        if worker.pending and worker.pending.waits and not worker.pending.due:
            is_told = self.run(self.store.inviting(worker.conversation_id, worker.token))
            assert is_told == self.model.inviting(worker.conversation_id, worker.token)
        elif worker.pending and self._start(worker, worker.pending) and decision:
            self._decide(worker, decision)

    @deed(weight=2, index=which, decision=decisions)
    def a_provider_decides(self, index: int, decision: Decision) -> None:
        """Also where the worker has lost its lease meanwhile: what has left has left."""
        worker = self._somebody_with("sending", index)
        if worker.sending:
            self._decide(worker, decision)

    def _deliver(self, worker: Worker) -> bool:
        """All there is, in order. False where a part has to wait, or the lease is lost."""
        while worker.pending:
            if not (worker.pending.due and self._start(worker, worker.pending)):
                return False
            self._decide(worker, Decision("accepted"))
        return True

    def _start(self, worker: Worker, pending: Pending) -> bool:
        worker.pending = None
        if not self._is_kept(worker, self.store.starting(pending, worker.conversation_id, worker.token)):
            return False
        self.model.starting(pending.part.id, in_doubt=pending.in_doubt, waits=pending.waits)
        self.handed[pending.part.id] += 1
        worker.sending = pending
        return True

    def _decide(self, worker: Worker, decision: Decision) -> None:
        pending, worker.sending = worker.sending, None
        assert pending is not None
        part_id = pending.part.id
        match decision.what:
            case "accepted":
                name = f"SM{next(self.numbers)}"
                self.run(self.store.sent(part_id, name))
                self.model.sent(part_id, name)
            case "blocked":
                self.run(self.store.blocked(worker.conversation_id, UNREACHABLE))
                self.model.blocked(worker.conversation_id, UNREACHABLE)
            case "too late":
                self.run(self.store.too_late(part_id, TOO_LATE))
                self.model.too_late(part_id, TOO_LATE)
            case _:
                self._not_sent(part_id, decision)
        self.handed[part_id] -= decision.what not in ("accepted", "in doubt")
        self._look(worker)

    def _not_sent(self, part_id: int, decision: Decision) -> None:
        due, in_doubt = None if decision.what == "refused" else decision.is_due, decision.what == "in doubt"
        until = None if due is None else moment(due)
        self.run(self.store.not_sent(part_id, REFUSED, until=until, in_doubt=in_doubt))
        self.model.not_sent(part_id, REFUSED, due=due, in_doubt=in_doubt)

    @deed(weight=2, batch=st.lists(reports, min_size=1, max_size=3))
    def providers_report(self, batch: list[tuple[int, DeliveryState, bool]]) -> None:
        """All in one instant, each on a part of ours or, now and then, on somebody else's."""
        self._report([self._said_of(*report) for report in batch])

    @deed(index=which, is_named=st.booleans(), is_late=st.booleans())
    def a_provider_gives_up(self, index: int, is_named: bool, is_late: bool) -> None:
        """It had accepted the part, and says now that it came too late, or that the student does not want it."""
        failure = self._said_of(index, FAILED, is_named)
        self._report([replace(failure, outside_window=is_late, unwanted=not is_late)])

    def _said_of(self, index: int, reported: DeliveryState, is_named: bool) -> StatusUpdate:
        """By our number; or by the provider's, where we know that already. Often of what is under way."""
        under_way = [worker.sending.part.id for worker in self.workers if worker.sending]
        part_id = pick([*under_way, *sorted(self.model.parts), 999_999], index)
        part = self.model.parts.get(part_id)
        known = part.provider_id if part else "somebody else's"
        ours = part_id if is_named or known is None else None
        return StatusUpdate(known or f"early{part_id}", reported, ours, "63005" if reported == FAILED else "")

    def _report(self, updates: list[StatusUpdate]) -> None:
        before = {key: (part.state, part.attempts) for key, part in self.model.parts.items()}
        found = self.run(at_once(*map(self.store.status, updates)))
        assert found == [self.model.status(update) for update in updates]
        for part_id, part in self.model.parts.items():
            was_refused = part.state == FAILED or not part.attempts
            self.handed[part_id] -= was_refused and before[part_id] != (part.state, part.attempts)

    # ---- staff, and those who want to be forgotten ------------------------------------------------------------------

    @deed(weight=2, index=which, indexes=st.sets(which, max_size=3))
    def staff_try_again(self, index: int, indexes: set[int]) -> None:
        """What they are shown, and now and then a message that nobody has shown them."""
        if not self.model.given_up():
            self.a_worker_settles(index, Replied(0, BURIED))
        listed = {lost.message_id for lost in self.run(self.store.given_up())}
        assert listed == self.model.given_up()
        assert {lost.message_id for lost in self.run(self.store.late())} == self.model.late()
        wanted = {pick([*sorted(listed), *sorted(self.model.messages)], index) for index in indexes}
        assert self.run(self.store.try_again(sorted(wanted))) == self.model.try_again(wanted)

    @deed(weight=2, index=which, writing=st.none() | st.sampled_from(ADDRESSES))
    def a_worker_erases(self, index: int, writing: str | None) -> None:
        """What is to be erased, if anything is; a student may be writing in the same instant."""
        if not self._asked_to_forget():
            self.a_worker_settles(index, Answered(index % 2, Effect.FORGET))
        self._erase(pick(self._asked_to_forget() or [self._anybody(index)], index), writing)

    def _erase(self, worker: Worker, writing: str | None) -> None:
        arriving = [self._inbound(writing)] if writing else []

        async def together() -> None:
            erase = self.store.erase_forgotten(worker.conversation_id, worker.token)
            erased, *_ = await asyncio.gather(erase, *map(self.store.accept, arriving), return_exceptions=True)
            if isinstance(erased, BaseException):
                raise erased

        erases = self._is_kept(worker, together()) and self.model.to_be_erased(worker.conversation_id)
        self._observe()
        new = {key: one.conversation for key, one in self.seen.messages.items() if key not in self.model.messages}
        for inbound, (message_id, place) in zip(arriving, new.items(), strict=True):
            # Before the erasure or after it, the message waits where the student is not forgotten.
            own = erases and self.model.conversations[worker.conversation_id].address == inbound.address
            before = worker.conversation_id if own else self.model.found(inbound.address)
            self.model.accept(inbound, message_id, place if before is None else before)
        if erases:
            fresh = set(self.seen.conversations) - set(self.model.conversations)
            self.model.erase(worker.conversation_id, next(iter(fresh), None))
        self._look(worker)

    def _asked_to_forget(self) -> list[Worker]:
        asked = self.model.conversations
        return [worker for worker in self.workers if asked[worker.conversation_id].forget_after is not None]

    # ---- helpers ----------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        return self.server.store

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.server.runner.run(call)

    def _observe(self) -> None:
        self.rows = self.server.observer.rows()
        self.seen = state(self.rows)

    def _newcomer(self, index: int) -> Worker:
        """A worker who takes a conversation that is neglected. Is there none, a student writes, and time passes."""
        if not self.model.neglected():
            self.messages_arrive([(pick(ADDRESSES, index), None)])
        if not self.model.neglected():
            self.an_hour_passes()
        self._lease(pick(sorted(self.model.neglected()), index), LONG)
        return self.workers[-1]

    def _anybody(self, index: int) -> Worker:
        return pick(self.workers, index) if self.workers else self._newcomer(index)

    def _somebody_with(self, what: str, index: int) -> Worker:
        """A worker with "work", with something "pending" or "sending"; or else a newcomer, who may come to have it."""
        if found := [worker for worker in self.workers if getattr(worker, what)]:
            return pick(found, index)
        worker = self._newcomer(index)
        if what != "work" and worker.work and not worker.pending:
            self._settle(worker, worker.work, Answered(2, None))
        if what == "sending" and worker.pending:
            self._start(worker, worker.pending)
        return worker

    def _look(self, worker: Worker) -> None:
        """See what is next, as whoever serves a conversation does: what was answered is sent before the next answer."""
        worker.work, worker.pending = None, self.run(self.store.next_part(worker.conversation_id))
        part_id = self.model.next_part(worker.conversation_id)
        assert (worker.pending.part.id if worker.pending else None) == part_id
        if worker.pending and part_id:
            part = self.model.parts[part_id]
            assert (worker.pending.part.text, worker.pending.attempts) == (part.text, part.attempts)
            assert (worker.pending.in_doubt, worker.pending.waits) == (part.started, part.state == LATE)
            assert worker.pending.due == self.model.is_due(part_id)
            return
        worker.work = self.run(self.store.next_message(worker.conversation_id))
        assert (worker.work.message_id if worker.work else None) == self.model.next_message(worker.conversation_id)
        if worker.work:
            one = self.model.conversations[worker.conversation_id]
            first = store_promises.first_to_have_arrived(self.model, worker.conversation_id, self.said)
            assert worker.work.provider_id == first
            assert (worker.work.turn.consented, worker.work.turn.consent_asked) == (one.consented, one.asked)
            assert FORGOTTEN != one.address == worker.work.address

    def _is_kept(self, worker: Worker, call: Coroutine[Any, Any, None]) -> bool:
        """Whether it was done: exactly where the worker's lease was not lost. Otherwise nothing may have changed."""
        holds = self.model.holds(worker.conversation_id, worker.token)
        try:
            self.run(call)
        except LeaseLost:
            assert not holds
            return False
        assert holds, "done without the lease"
        return True

    def _new_parts(self, texts: Sequence[str]) -> dict[int, str]:
        """Parts that the model does not know yet, which must be those of the reply, in order."""
        self._observe()
        new = {key: part.text for key, part in sorted(self.seen.parts.items()) if key not in self.model.parts}
        assert list(new.values()) == list(texts)
        return new


async def at_once(*calls: Coroutine[Any, Any, T]) -> list[T]:
    return await asyncio.gather(*calls)


def pick(among: Sequence[T], index: int) -> T:
    return among[index % len(among)]


def moment(is_due: bool) -> datetime:
    return now() + timedelta(seconds=OVER if is_due else LONG)


def told(word: str, outcome: Answered) -> Answer:
    """An answer that repeats the student's word wherever an answer can."""
    incident = "self_harm" if outcome.is_grave else ""
    if outcome.effect is not None:
        return Answer(f"done {word}", Route.COMMAND, "en", effect=outcome.effect, incident=incident, menu=(word,))
    return Answer(
        f"about {word}", Route.QUOTED, "en", confidence=0.8, caution=word, source_line=word, passages=(word,),
        sources=(Source("Science", word, 1, word),), profile=Profile(class_level=7), incident=incident,
    )  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_whatever_happens_the_store_keeps_its_promises(database: str) -> None:
    chosen = settings() if settings.get_current_profile_name() == "thorough" else QUICK
    always = settings(chosen, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    tell: Callable[..., None] = run_state_machine_as_test
    with asyncio.Runner() as runner, closing(Server(database, runner)) as server, closing(server.observer):
        tell(lambda: School(server), settings=always)
