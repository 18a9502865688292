"""Markdown into plain blocks of prose: what a student may be shown word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*$")
ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+(.+)")
TABLE_ROW = re.compile(r"\s*\|(.+)\|\s*$")
TABLE_RULE = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$")
RULE = re.compile(r"\s*(?:[-*_]\s*){3,}$")
FENCE = re.compile(r"\s*(?:```|~~~)")
# "**Term**: meaning", also with other names of it: "**Term** (शब्द, shabd): meaning".
TERM = re.compile(r"\*\*(?P<term>[^*]+?):?\*\*(?P<names> \([^()]*\)(?=:))?\s*[:–—-]?\s+(?P<definition>.+)")
CLOSED = re.compile(r"[.?!:;।…][\"'”’)\]]*$")
FORMULA = re.compile(r"[=→]")
LONGEST_FORMULA = 15  # words
INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"<!--.*?-->"), ""),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]+)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!\w)_(?=[^\s_])([^_]+)(?<=[^\s_])_(?!\w)"), r"\1"),
    (re.compile(r"`([^`]+)`"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|>-])"), r"\1"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (`level` 1 to 6) or a paragraph, list item or table row (`level` 0), as plain text on one line."""

    level: int
    text: str


def blocks(markdown: str) -> list[Block]:
    """The blocks of `markdown`, in order.

    Every paragraph ends with a stop. What follows a colon belongs to the paragraph that the colon ends, and so does a
    line of arithmetic to the one above it: "Plants need: water; air.", "Find the force. Force = 200 N.". Other list
    items are paragraphs of their own. A table row repeats its column names.
    """
    found: list[Block] = []
    for kind, lines in _groups(markdown):
        if kind == "heading":
            match = HEADING.match(lines[0])
            found += [Block(len(match[1]), plain(match[2]))] if match else []
        elif kind == "list":
            _add_list(found, [_item(line) for line in lines])
        elif kind == "table":
            found += [Block(0, row) for row in _table(lines)]
        else:
            _add_text(found, plain(" ".join(lines)))
    return [block for block in found if any(character.isalnum() for character in block.text)]


def plain(text: str) -> str:
    """`text` without inline marks, links and pictures, single-spaced."""
    for pattern, kept in INLINE:
        text = pattern.sub(kept, text)
    return " ".join(text.split())


def _groups(markdown: str) -> Iterator[tuple[str, list[str]]]:
    """Runs of lines that belong together, with their kind. An item's continuation lines are joined to it."""
    kind, lines = "", list[str]()
    for raw in markdown.splitlines():
        line = raw.lstrip("> ") if raw.lstrip().startswith(">") else raw
        now = _kind(line, kind)
        if now == "continued" and lines:
            lines[-1] += " " + line.strip()
            continue
        if now != kind or now == "heading":
            if lines:
                yield kind, lines
            kind, lines = now, []
        if now:
            lines.append(line.strip() if now != "list" else line)
    if lines:
        yield kind, lines


def _kind(line: str, before: str) -> str:
    """heading, table, list, text, "continued" (of a list item) or "" for what separates."""
    if not line.strip():
        # A blank line between two items of a list does not end the list, but nothing is lost if it does.
        return ""
    if HEADING.match(line):
        return "heading"
    if TABLE_ROW.match(line):
        return "table"
    if RULE.match(line) or FENCE.match(line):
        return ""
    if ITEM.match(line):
        return "list"
    return "continued" if before == "list" else "text"


def _item(line: str) -> str:
    """One list item. A definition that does not repeat its term keeps the term in front: "Stomata: tiny pores ..."."""
    match = ITEM.match(line)
    text = match[1] if match else line
    definition = TERM.fullmatch(text)
    if definition is None:
        return plain(text)
    term, meaning = plain(definition["term"]), plain(definition["definition"])
    if definition["names"]:
        return f"{term}{definition['names']}: {meaning}"
    opening = re.sub(r"^(?:a|an|the)\s+", "", meaning, flags=re.IGNORECASE)
    return meaning if opening.lower().startswith(term.lower()) else f"{term}: {meaning}"


def _add_text(found: list[Block], text: str) -> None:
    arithmetic = FORMULA.search(text) is not None and len(text.split()) <= LONGEST_FORMULA
    if found and found[-1].level == 0 and (found[-1].text.endswith(":") or arithmetic):
        found[-1] = Block(0, f"{found[-1].text} {_closed(text)}")
    else:
        found.append(Block(0, _closed(text)))


def _add_list(found: list[Block], items: list[str]) -> None:
    whole = any(CLOSED.search(item) for item in items)
    if found and found[-1].level == 0 and found[-1].text.endswith(":"):
        listed = " ".join(_closed(item) for item in items) if whole else "; ".join(items) + "."
        found[-1] = Block(0, f"{found[-1].text} {listed}")
    else:
        found += [Block(0, _closed(item)) for item in items]


def _table(lines: list[str]) -> list[str]:
    rows = [[plain(cell) for cell in row.strip().strip("|").split("|")] for row in lines if not TABLE_RULE.match(row)]
    if len(rows) < 2:
        return [_closed(", ".join(cell for cell in row if cell)) for row in rows]
    names, *body = rows
    cells = (zip(names, row, strict=False) for row in body)
    return [_closed("; ".join(f"{name}: {cell}" for name, cell in row if cell)) for row in cells]


def _closed(text: str) -> str:
    return text if CLOSED.search(text) else f"{text}."
