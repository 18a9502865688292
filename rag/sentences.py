"""Where one sentence ends and the next begins, in English, Hindi (danda) and the arithmetic of a schoolbook."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.words import lexicon

# A full stop after one of these never ends a sentence ...
TITLES = lexicon("mr mrs ms dr prof st smt shri sri gen col capt lt sgt hon rev e.g i.e viz cf vs approx")
# ... nor after these when a number follows: "No. 4", "Rs. 20", "Fig. 2.1" ...
BEFORE_NUMBER = lexicon("no nos rs re fig figs p pp vol ch art sec eq ex q ans")
# ... nor after a label or the number of a list item: "Example 3. Solve ...", "2. Cover the leaf."
LABEL = re.compile(
    r"(?:^|[\s(])(?:example|figure|fig|table|activity|exercise|step|question|part|chapter) \d+$", re.IGNORECASE
)
ENUMERATOR = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})$")
# A single capital before a full stop is an initial ("W. C. Bonnerjee") unless the next word can only open a sentence
# ("written as N. The newton ...") or the word before it says that the letter is a name ("vitamin C. Oranges ...").
OPENERS = lexicon(
    "a an the this that these those it its he she we you they i in on at by for from to of with as and but or so if "
    "when while where why how what which who there here then thus hence therefore because since after before both each "
    "every all some many most one two three for let find solve add divide multiply subtract no not our your their"
)
NAMES_A_LETTER = lexicon("as is are be vitamin point points class section type unit called letter line")

_STOP = re.compile(r"(?:[.!?]+|…)[\"'”’)\]]*(?=\s|$)|[।॥][\"'”’)\]]*")
_LAST_WORD = re.compile(r"[\w.'’-]+$")
_NEXT_WORD = re.compile(r"\s*[\"'“‘(\[]*(\w[\w'’]*|)")
_ACRONYM = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")


def split(text: str) -> list[str]:
    """The sentences of `text`, in order, single-spaced. A line break always ends one; nothing but spaces is lost."""
    sentences = []
    for line in text.splitlines():
        start = 0
        for cut in (*_cuts(line, growing=False), len(line)):
            if sentence := " ".join(line[start:cut].split()):
                sentences.append(sentence)
            start = cut
    return sentences


def complete(text: str) -> int:
    """How many leading characters of a text that is still being written are whole sentences.

    The word after a full stop decides whether it ended a sentence, so a cut waits until that word is whole.
    """
    line = text.rfind("\n") + 1
    cuts = [cut for cut in _cuts(text[line:], growing=True) if re.match(r"\s+\S+\s", text[line + cut :])]
    return line + cuts[-1] if cuts else line


def _cuts(line: str, *, growing: bool) -> Iterator[int]:
    """Positions just after each sentence of one line but the last."""
    start = 0
    for stop in _STOP.finditer(line):
        if stop.end() < len(line) and _ends(line, start, stop, growing):
            yield stop.end()
            start = stop.end()


def _ends(line: str, start: int, stop: re.Match[str], growing: bool) -> bool:
    """Whether `stop` ends the sentence of `line` that begins at `start`."""
    if stop[0][0] in "।॥":
        return True
    found = _NEXT_WORD.match(line, stop.end())
    following = found[1] if found else ""
    if following[:1].islower() and not _is_symbol(following):
        return False
    if _inside_quotes(line, stop.end(), growing):
        return False
    return stop[0][0] != "." or _full_stop_ends(line[start : stop.start()].strip(), following)


def _full_stop_ends(before: str, following: str) -> bool:
    if ENUMERATOR.fullmatch(before) or LABEL.search(before):
        return False
    found = _LAST_WORD.search(before)
    word = found[0] if found else ""
    if word.lower() in TITLES:
        return False
    if word.lower() in BEFORE_NUMBER and following[:1].isdigit():
        return False
    if (len(word) == 1 and word.isupper()) or _ACRONYM.fullmatch(word):
        earlier = before[: -len(word)].split()
        is_name = bool(earlier) and (earlier[-1].lower() in NAMES_A_LETTER or earlier[-1][-1].isdigit())
        return is_name or following.lower() in OPENERS
    return True


def _is_symbol(word: str) -> bool:
    """x in "x = 5", pH in "pH is ...": lower case, yet able to open a sentence."""
    return len(word) == 1 or word[1].isupper()


def _inside_quotes(line: str, position: int, growing: bool) -> bool:
    """Whether a quotation is open at `position`. Quotes that do not pair up in a finished line are not trusted."""
    straight = line.count('"', 0, position) % 2 == 1 and (growing or line.count('"') % 2 == 0)
    curly = line.count("“", 0, position) > line.count("”", 0, position)
    return straight or (curly and (growing or line.count("“") == line.count("”")))
