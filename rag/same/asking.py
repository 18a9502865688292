"""How a question asks: what, why, how, when, how many ... in English and Hindi."""

from __future__ import annotations

from collections.abc import Sequence

from rag.same import lexicon
from rag.same.lexicon import ASKING

WHO_IS, WHOM, DIFFERENCE, EXAMPLE, NAMED = "who is", "whom", "difference", "example", "named"
_BE = frozenset({"is", "was", "are", "were"})
_MEASURES = frozenset({"many", "much", "long", "far"})
_EXAMPLES = frozenset({"example", "examples", "udaharan", "उदाहरण", "उदाहरणों"})


def ways(asked: Sequence[str], *, hindi: bool) -> frozenset[str]:
    """How a thing is asked about: in English by the first word of asking, in Hindi by all; NAMED without any."""
    found = [(place, way) for place in range(len(asked)) if (way := _way(asked, place, hindi=hindi))]
    asks = {way for _, way in found}
    if asked and asked[0] in lexicon.RECKON:
        asks &= {DIFFERENCE}
    elif found and not hindi:
        (place, first), *others = found
        follows = [way for at, way in others if first == "what" and at == place + 1]  # "what is the reason": what why
        asks = {*(follows or [first])} | ({DIFFERENCE} & asks)
    if _EXAMPLES.intersection(asked):
        asks.add(EXAMPLE)
    if asked and asked[0] in lexicon.WHETHER and not hindi:
        asks.add("whether")
    if DIFFERENCE in asks:
        asks -= {"how"}
    return frozenset(asks - {"what"}) or frozenset({"what" if asks else NAMED})


def _way(asked: Sequence[str], place: int, *, hindi: bool) -> str:
    """What the word at `place` asks, by what stands behind it; "" when it asks nothing."""
    word, way = asked[place], ASKING.get(asked[place], "")
    behind = asked[place + 1] if place + 1 < len(asked) else ""
    if way == "who" and behind in lexicon.KIND:
        return "what"  # kaun sa: which
    if way == "who" and behind in _BE | lexicon.IS:
        return WHOM if behind in _BE and "by" in asked[place:] else WHO_IS
    if word == "how" and behind in _MEASURES:
        return f"how {'many' if behind == 'much' else behind}"
    if way == "how many" and hindi and behind in lexicon.IS:
        return "what"  # "boiling point kitna hai"
    return way


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Who was the first is name the first; who discovered is not the discovery of."""
    if one == other or {*one, *other} == {"who", WHO_IS}:
        return True
    return NAMED in one | other and (one | other) <= {NAMED, "what", WHO_IS}
