"""How much of a text is words, to tell what somebody wrote from what a disguise has made of it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from bot.folding import STOP, words

GLOSSARY = Path(__file__).parents[2] / "data" / "glossary"
# What every English sentence is made of, and the glossary has no Hindi for.
_SMALL = (
    "a an and any are as at be been but by can could did do does for from get give had has have he her him his how i "
    "if in into is it its me my no not of on or our please she should so tell than that the their them then there "
    "these they this to us want was we were what when where which who why will with without would write you your"
)
SMALL_WORDS = frozenset(_SMALL.split())
_LATIN, _DEVANAGARI = re.compile(r"[a-z]{2,}"), re.compile(r"[\u0900-\u097f]{2,}")
_LONGEST_WORD, _LONGEST_RUN = 16, 400  # letters


@cache
def known() -> frozenset[str]:
    """English words, and Hindi ones in both scripts, folded: those of the glossary, and small words of English.

    Raises OSError when the glossary is missing.
    """
    tables = [path.read_text(encoding="utf-8").lower() for path in sorted(GLOSSARY.glob("*.tsv"))]
    hindi = words(" ".join(word for table in tables for word in _DEVANAGARI.findall(table)))
    return SMALL_WORDS.union(hindi.split(), *map(_LATIN.findall, tables))


def legibility(form: str) -> float:
    """The share of a folded text's letters that stand in known words, 0 to 1.

    What is in another script than Latin and Devanagari counts as known: nothing is undone in it.
    """
    tokens = [token for token in form.split() if token != STOP and not token.isdecimal()]
    whole = sum(map(len, tokens))
    return sum(len(token) for token in tokens if _is_known(token)) / whole if whole else 0.0


def _is_known(token: str) -> bool:
    return len(token) > 1 and (token in known() or not (token.isascii() or _DEVANAGARI.search(token)))


def segmented(run: str) -> str:
    """A run of letters without spaces, cut into the fewest known words; as it is where that leaves letters over."""
    if len(run) > _LONGEST_RUN:
        return run
    best: list[list[str] | None] = [[]]  # for each place, the fewest words that reach it
    for end in range(1, len(run) + 1):
        ways = [
            [*before, run[start:end]]
            for start in range(max(0, end - _LONGEST_WORD), end)
            if (before := best[start]) is not None and run[start:end] in known()
        ]
        best.append(min(ways, key=len, default=None))
    return " ".join(best[-1] or [run])
