"""The waiting line: bounded, fair between conversations, and careful with what a process has died under."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from inference.errors import EngineBusy, EngineTimeout
from inference.generation import Generation
from inference.line import Call, Line

DONE = Generation(text="ab", confidence=0.5, tokens=2, stopped_by="end", seconds=0.1, adapter=None)


def call(name: str, conversation: str | None = None) -> Call:
    """A call named by what it asks; its conversation is the first letter of its name unless given."""
    return Call({"messages": name}, conversation or name[0])


def name(found: Call | None) -> str | None:
    return found.request["messages"] if found else None


def filled(names: Iterable[str], limit: int = 64) -> Line:
    line = Line(limit)
    for each in names:
        assert line.join(call(each)) is None
    return line


def served(line: Line) -> list[str | None]:
    """Everybody in the order of their turns, where one is served at a time."""
    return [name(line.next({}, 1)) for _ in range(len(line))]


def test_conversations_take_turns_and_keep_their_own_order() -> None:
    assert served(filled(["a1", "a2", "a3", "b1", "b2", "c1"])) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_comes_later_waits_for_one_request_of_each_conversation_at_most() -> None:
    line = filled(f"a{n}" for n in range(1, 9))
    assert name(line.next({}, 1)) == "a1"
    line.join(call("b1"))
    assert served(line)[:2] == ["a2", "b1"]


def test_requests_without_a_conversation_are_one_conversation() -> None:
    line = Line(64)
    for each in [Call({"messages": "-1"}, None), Call({"messages": "-2"}, None), call("a1")]:
        line.join(each)
    assert served(line) == ["-1", "a1", "-2"]


def test_no_more_are_under_way_than_there_are_slots() -> None:
    line = filled(["a1", "b1", "c1"])
    under_way: dict[int, Call] = {}
    while found := line.next(under_way, 2):
        under_way[len(under_way)] = found
    assert [name(found) for found in under_way.values()] == ["a1", "b1"]
    assert len(line) == 1


def test_a_full_line_is_said_to_be_busy() -> None:
    line = filled(["a1", "b1", "c1"], limit=3)
    with pytest.raises(EngineBusy, match="busy: 3 requests wait already"):
        line.join(call("d1"))
    assert served(line) == ["a1", "b1", "c1"]


def test_in_a_full_line_the_greediest_conversation_gives_up_its_last_place() -> None:
    line = filled(["a1", "a2", "a3", "b1"], limit=4)
    assert name(line.join(call("c1"))) == "a3"
    with pytest.raises(EngineBusy):
        line.join(call("a4"))
    with pytest.raises(EngineBusy):
        line.join(call("b2"))  # would only change places with a2
    assert served(line) == ["a1", "b1", "c1", "a2"]


def test_who_leaves_is_not_served_and_makes_room() -> None:
    line = Line(2)
    first, second = call("a1"), call("b1")
    line.join(first)
    line.join(second)
    line.leave(first)
    line.leave(first)
    line.join(call("c1"))
    assert served(line) == ["b1", "c1"]
    assert len(line) == 0
    assert line.next({}, 1) is None


def test_suspects_go_first_and_alone() -> None:
    line = filled(["a1"])
    running, suspects = call("z1"), [call("x1"), call("y1")]
    for suspect in suspects:
        suspect.strikes = 1
        line.try_again(suspect)
    assert len(line) == 3
    assert line.next({1: running}, 8) is None  # not beside another
    assert line.next({}, 8) is suspects[0]
    assert line.next({2: suspects[0]}, 8) is None
    assert line.next({}, 8) is suspects[1]
    assert line.next({3: suspects[1]}, 8) is None  # nor another beside the last of them
    assert name(line.next({}, 8)) == "a1"


def test_suspects_do_not_take_the_places_of_others() -> None:
    line = filled(["a1"], limit=2)
    line.try_again(call("x1"))
    line.join(call("b1"))
    with pytest.raises(EngineBusy):
        line.join(call("c1"))


def test_a_suspect_may_leave() -> None:
    line = filled(["a1"])
    suspect = call("x1")
    line.try_again(suspect)
    line.leave(suspect)
    assert served(line) == ["a1"]


def test_clearing_gives_back_everybody() -> None:
    line = filled(["a1", "b1"])
    line.try_again(call("x1"))
    assert [name(left) for left in line.clear()] == ["x1", "a1", "b1"]
    assert len(line) == 0


def test_a_line_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Line(0)


async def test_a_call_tells_everything_in_order_and_nothing_after_the_end() -> None:
    told = call("a1")
    assert not told.shown
    for item in ("a", "b", DONE, "late"):
        told.tell(item)
    assert (told.shown, told.over) == (True, True)
    assert [await told.next() for _ in range(3)] == ["a", "b", DONE]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told.next(), 0)


async def test_an_error_comes_after_the_text_before_it() -> None:
    told = call("a1")
    told.tell("a")
    told.tell(EngineTimeout("slow"))
    told.tell(DONE)
    assert await told.next() == "a"
    with pytest.raises(EngineTimeout, match="slow"):
        await told.next()


async def test_only_the_last_limit_counts_and_none_once_it_is_over() -> None:
    late: list[Call] = []
    reached = asyncio.Event()

    def note(found: Call) -> None:
        late.append(found)
        reached.set()

    moved, finished, slow = call("a1"), call("b1"), call("c1")
    moved.within(0, note)
    moved.within(3600, note)
    finished.within(0, note)
    finished.tell(DONE)
    slow.within(0, note)
    await reached.wait()
    moved.finish()
    assert late == [slow]
