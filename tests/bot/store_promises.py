"""What the store promises, checked on what the database holds: a model that errs as the store errs hides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bot.ports import DeliveryState, Inbound
from bot.store import ANSWERED, BURIED, HELD, WAITING
from tests.bot.store_model import FORGOTTEN, State

MOVES = {(WAITING, ANSWERED), (WAITING, HELD), (WAITING, BURIED), (HELD, WAITING), (HELD, ANSWERED), (BURIED, WAITING)}
SETTLED = {
    DeliveryState.DELIVERED: {DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.FAILED},
    DeliveryState.READ: {DeliveryState.READ, DeliveryState.FAILED},
    DeliveryState.FAILED: {DeliveryState.FAILED, DeliveryState.SENDING},  # tried again by staff
}


def check_nothing_is_lost(seen: State, said: Sequence[Inbound]) -> None:
    """Every message that was accepted is there once."""
    assert Counter(one.provider_id for one in seen.messages.values()) == Counter(one.provider_id for one in said)


def check_states_move_forward(before: State, seen: State) -> None:
    """But for what staff have tried again: that may have gone anywhere since."""
    for key, was in before.messages.items():
        is_now = seen.messages[key].state
        assert is_now == was.state or (was.state, is_now) in MOVES or was.state == BURIED
    for key, part in before.parts.items():
        assert seen.parts[key].state in SETTLED.get(part.state, DeliveryState)
        assert seen.parts[key].in_doubt >= part.in_doubt, "doubles are counted by it"


def check_doubles_were_in_doubt(seen: State, handed: Mapping[int, int]) -> None:
    """`handed`: how often a provider may have accepted a part."""
    assert all(seen.parts[key].in_doubt for key, times in handed.items() if times > 1)


def check_the_forgotten_are_forgotten(seen: State, everything: str, said: Sequence[Inbound]) -> None:
    """No word of theirs is anywhere in `everything`, all rows as text; nor their address, unless they wrote again."""
    forgotten = {key for key, one in seen.conversations.items() if one.address == FORGOTTEN}
    words = {one.provider_id: one.text for one in said}
    for message in seen.messages.values():
        if message.conversation in forgotten:
            assert words[message.provider_id] not in everything
            assert message.state in (ANSWERED, BURIED), "nobody is left to be answered"
    writing = {seen.conversations[one.conversation].address for one in seen.messages.values()}
    assert all(one.address in writing or one.address not in everything for one in said)
    assert all(one.provider_id is None for one in seen.parts.values() if one.conversation in forgotten)


def first_to_have_arrived(state: State, conversation_id: int, said: Sequence[Inbound]) -> str:
    """The provider's id of the message that is to be answered next, by when students wrote."""
    mine = [one for one in state.messages.values() if one.conversation == conversation_id and one.state == WAITING]
    waiting = {one.provider_id for one in mine}
    return next(one.provider_id for one in said if one.provider_id in waiting)
