"""Entities parsing: formatted text in, plain text and MessageEntity objects out.

https://core.telegram.org/bots/api#formatting-options. HTML in full; MarkdownV2 and its forerunner as far as quotes,
which are shown as they are written.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.simulator.config import Json
from bot.simulator.rules import code_units

_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler", "span": "spoiler",
    "a": "text_link", "code": "code", "pre": "pre", "blockquote": "blockquote", "tg-emoji": "custom_emoji",
}  # fmt: skip
_HTML = re.compile(r"<(?P<end>/?)(?P<tag>[\w-]*)(?P<attributes>[^<>]*)>|(?P<text>[^<]+)|(?P<stray><)")
_HREF = re.compile(r"""href\s*=\s*["']?([^"'>\s]+)""")

_MARKS = {
    "MarkdownV2": {"*": "bold", "__": "underline", "_": "italic", "~": "strikethrough", "||": "spoiler"},
    "Markdown": {"*": "bold", "_": "italic"},
}
_MARKDOWN = re.compile(
    r"\\(?P<kept>[\x01-\x7e])|(?P<pre>```)|(?P<code>`)|(?P<mark>__|\|\||[*_~])|(?P<plain>.)", re.DOTALL
)
_LINK = re.compile(r"\[(?P<text>(?:[^\]\\]|\\.)*)\]\((?P<url>(?:[^)\\]|\\.)*)\)")
_RESERVED = frozenset("_*[]()~`>#+-=|{}.!")


class Unparsable(Exception):
    """The text does not follow its parse mode. Its words are Telegram's."""


def _unended(match: re.Match[str]) -> Unparsable:
    return Unparsable(f"can't parse entities: Can't find end of the entity starting at byte offset {_offset(match)}")


def _offset(match: re.Match[str]) -> int:
    return len(match.string[: match.start()].encode())


@dataclass
class _Written:
    """What has been read so far, and the entities that are still open, as (mark, entity)."""

    text: str = ""
    entities: list[Json] = field(default_factory=list)
    open: list[tuple[str, Json]] = field(default_factory=list)

    def begin(self, mark: str, kind: str, **more: str) -> None:
        self.open.append((mark, {"type": kind, "offset": code_units(self.text), **more}))

    def end(self) -> None:
        _, entity = self.open.pop()
        entity["length"] = code_units(self.text) - entity["offset"]
        if entity["length"]:
            self.entities.append(entity)

    def result(self) -> tuple[str, list[Json]]:
        return self.text, sorted(self.entities, key=lambda entity: (entity["offset"], -entity["length"]))


def parse(text: str, mode: str | None) -> tuple[str, list[Json]]:
    """Plain text and its entities. Raises Unparsable."""
    if not mode:
        return text, []
    known = {name.lower(): name for name in ("HTML", *_MARKS)}.get(mode.lower())
    if known is None:
        raise Unparsable("unsupported parse_mode")
    return _html(text) if known == "HTML" else _markdown(text, known)


def trim(text: str, entities: Iterable[Json]) -> tuple[str, list[Json]]:
    """Without the spaces around it, as Telegram shows it; the entities stay on their words."""
    lost = code_units(text) - code_units(text.lstrip())
    return text.strip(), [entity | {"offset": max(0, entity["offset"] - lost)} for entity in entities]


def _html(text: str) -> tuple[str, list[Json]]:
    written = _Written()
    for match in _HTML.finditer(text):
        if match["stray"]:
            raise Unparsable(f"can't parse entities: Unexpected end of name token at byte offset {_offset(match)}")
        if match["text"]:
            written.text += html.unescape(match["text"])
        elif match["end"]:
            if not written.open or written.open[-1][0] != match["tag"].lower():
                raise Unparsable(f"can't parse entities: Unexpected end tag at byte offset {_offset(match)}")
            written.end()
        else:
            _open_tag(written, match)
    if written.open:
        tag = written.open[-1][0]
        raise Unparsable(f"can't parse entities: Can't find end tag corresponding to start tag \"{tag}\"")
    return written.result()


def _open_tag(written: _Written, match: re.Match[str]) -> None:
    tag, attributes = match["tag"].lower(), match["attributes"]
    if tag not in _TAGS or (tag == "span" and "tg-spoiler" not in attributes):
        raise Unparsable(f'can\'t parse entities: Unsupported start tag "{tag}" at byte offset {_offset(match)}')
    href = _HREF.search(attributes)
    more = {"url": html.unescape(href[1])} if tag == "a" and href else {}
    written.begin(tag, _TAGS[tag], **more)


def _markdown(text: str, mode: str) -> tuple[str, list[Json]]:
    written, position = _Written(), 0
    while position < len(text):
        link = _LINK.match(text, position)
        if link is not None:
            written.begin("[", "text_link", url=_unescaped(link["url"]))
            written.text += _unescaped(link["text"])
            written.end()
            position = link.end()
            continue
        match = _MARKDOWN.match(text, position)
        assert match is not None  # noqa: S101  any one character matches
        position = _take(written, match, mode) or match.end()
    if written.open:
        kind = written.open[-1][1]["type"]
        raise Unparsable(f"can't parse entities: Can't find end of {kind} entity")
    return written.result()


def _take(written: _Written, match: re.Match[str], mode: str) -> int:
    """Take one token; where to go on when that is not right behind it, else 0."""
    if match["kept"]:
        written.text += match["kept"]
    elif match["pre"] or match["code"]:
        return _verbatim(written, match)
    elif match["mark"] in _MARKS[mode]:
        _mark(written, match, _MARKS[mode][match["mark"]])
    else:
        _plain(written, match.group(), mode)
    return 0


def _mark(written: _Written, match: re.Match[str], kind: str) -> None:
    if not any(mark == match["mark"] for mark, _ in written.open):
        written.begin(match["mark"], kind)
    elif written.open[-1][0] == match["mark"]:
        written.end()
    else:
        raise _unended(match)


def _verbatim(written: _Written, match: re.Match[str]) -> int:
    mark, kind = ("```", "pre") if match["pre"] else ("`", "code")
    end = match.string.find(mark, match.end())
    if end < 0:
        raise _unended(match)
    written.begin(mark, kind)
    written.text += _unescaped(match.string[match.end() : end])
    written.end()
    return end + len(mark)


def _plain(written: _Written, character: str, mode: str) -> None:
    if mode == "MarkdownV2" and character in _RESERVED and character != ">":
        said = f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
        raise Unparsable(f"can't parse entities: {said}")
    written.text += character


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
