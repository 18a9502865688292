from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.speculation import LONGEST, SHORTEST, PromptLookup


def test_a_draft_is_what_followed_the_last_time() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7, 8])
    assert lookup.draft(9) == []  # the last token is new
    for token in (1, 2, 3):
        lookup.push(token)
    assert lookup.draft(3) == [6, 7, 8]
    assert lookup.draft(2) == [6, 7]
    assert lookup.draft(0) == []


def test_what_goes_round_is_drafted_round_and_round() -> None:
    assert PromptLookup([9, 1, 2, 1, 2]).draft(5) == [1, 2, 1, 2, 1]


def test_more_tokens_alike_count_more() -> None:
    tokens = [1, 2, 3, 4, 9, 2, 3, 5, 9, 3, 6, 9, 9]
    assert PromptLookup([*tokens, 1, 2, 3]).draft(1) == [4]
    assert PromptLookup([*tokens, 7, 2, 3]).draft(1) == [5]
    assert PromptLookup([*tokens, 7, 7, 3]).draft(1) == [6]


def test_a_draft_grows_while_it_is_right_and_shrinks_while_it_is_wrong() -> None:
    lookup = PromptLookup([*range(20), 0, 1, 2])
    assert len(lookup.draft(99)) == 2 * SHORTEST
    lookup.judge(6, 6)
    assert len(lookup.draft(99)) == LONGEST
    lookup.judge(10, 5)
    assert len(lookup.draft(99)) == LONGEST
    for _ in range(5):
        lookup.judge(LONGEST, 0)
    assert len(lookup.draft(99)) == SHORTEST


@given(tokens=st.lists(st.integers(0, 5), min_size=1, max_size=40), room=st.integers(0, 12))
def test_a_draft_begins_with_what_has_followed_the_last_token(tokens: list[int], room: int) -> None:
    draft = PromptLookup(tokens).draft(room)
    followed = {tokens[at] for at in range(1, len(tokens)) if tokens[at - 1] == tokens[-1]}
    assert len(draft) == (min(room, 2 * SHORTEST) if followed else 0)
    assert not draft or draft[0] in followed
