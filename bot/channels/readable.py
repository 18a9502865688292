"""What a language model or a Markdown textbook writes, as plain text that Telegram and WhatsApp show well.

It is sent without a parse mode, so nothing can fail to parse. WhatsApp formats what stands between *, _, ~ and
backticks all the same and eats these signs; hence none is left in pairs.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Iterator

from bot.channels import formulas

# While a text is rewritten, signs that are meant as such (of code, addresses, escapes, finished formulas) are masked:
# Unicode has exactly as many noncharacters set aside for a program's own use as ASCII has signs.
_MASKS = "".join(map(chr, range(0xFDD0, 0xFDF0)))
_MASK = str.maketrans(string.punctuation, _MASKS)
_UNMASK = str.maketrans(_MASKS, string.punctuation)
_NO_MASKS = dict.fromkeys(map(ord, _MASKS))

_MARKUP = "\\`*_~#$&<>|[]{}!"
_MASK_MARKUP = {ord(sign): _MASK[ord(sign)] for sign in _MARKUP}
_MASK_LITERAL = {ord(sign): _MASK[ord(sign)] for sign in _MARKUP + "-+="}
_WITHOUT_MARKUP = dict.fromkeys(map(ord, _MARKUP + "^"))
_GUARD = "\u200b"  # no width: after a sign it keeps WhatsApp, and us the next time, from taking the sign for markup
_ROUNDS = 8

_ADDRESS = r"(?:https?://|www\.)[^\s<>\"`\\\[\]{}|\u200b।]*[^\s<>\"`\\\[\]{}|\u200b।*_~.,;:!?')]"
# Each kind ends at the latest at the next sign of its kind and gives nothing back: the time is linear.
_SPAN = re.compile(
    rf"""
      ^[ \t]*(?P<fence>`{{3,}}|~{{3,}})[ \t]*(?P<language>[\w+.\#-]*)(?:[ \t]++[^\n`={{]*+[={{][^\n`]*+)?[ \t]*(?:\n|\Z)
        (?P<block>.*?)(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)
    | (?<!`)(?P<ticks>`{{1,3}})(?P<code>[^`\n\u200b](?:[^`\n]|(?!(?P=ticks))`)*+)(?P=ticks)(?!`)
    | (?P<comment><!--(?:(?!-->|<!--).)*+-->)
    | <(?P<autolink>{_ADDRESS})>
    | (?P<address>{_ADDRESS})
    | \\\((?P<inline>(?:[^\\]|\\[^()\[\]])*+)\\\)
    | \\\[(?P<display>(?:[^\\]|\\[^()\[\]])*+)\\\]
    | \$\$(?P<dollars>(?:[^$\\]|\\.)++)\$\$
    | \$(?=[^\s\u200b])(?P<dollar>(?:[^$\\\n]|\\[^\n])++)(?<=\S)\$(?!\$|\d|(?!(?:th|st|nd|rd|s)\b)[A-Za-z])
    | \$[ ](?=[^$\n]*[\\^_=])(?P<spaced>(?:[^$\\\n]|\\[^\n])++)(?<=[ ])\$(?![ ]?\d|[A-Za-z$])
    | (?P<environment>\\begin\{{(?P<name>[a-z]+\*?)\}}(?:[^\\]|\\(?!begin\b|end\b))*+\\end\{{(?P=name)\}})
    | (?<!\\)\\+(?P<break>$)
    | \\(?P<escaped>[!-/:-@\[-`{{-~])
    | (?P<entity>&(?:\#\d{{1,7}}|\#[xX][\da-fA-F]{{1,6}}|[A-Za-z]{{2,31}}\d*);)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_TEX_LANGUAGES = frozenset({"math", "latex", "tex", "katex"})
_TEX = re.compile(r"\\(?:d?frac|sqrt|times|div|text|cdot)(?![A-Za-z])|^\$.+\$$")
_REACTION = re.compile(r"[\w\s()+]+->[\w\s()+]+")
_MONEY_TALK = re.compile(r"[\u0900-\u097f]|\b(?:and|or|to|is|was|for|the|of|per|in|from|aur|ya|se|ka|ke|ki|hai)\b")

# Three underscores are a rule, more are a gap to fill in.
_RULE = re.compile(r"[ \t]*(?:-[ \t]*){3,}|[ \t]*(?:\*[ \t]*){3,}|[ \t]*(?:___|={3,})[ \t]*")
_QUOTE = re.compile(r"[ \t]*(?:>(?:[ \t](?!\d)|(?![\s\d\u200b=_:<.)-]))){1,2}+(?!>)|[ \t]*>+[ \t]*$")
_HEADING = re.compile(r"[ \t]{0,3}(?:#{1,6}[ \t]+)+")
_BULLET = re.compile(r"([ \t]*)(?:[-*](?=[ \t]+\S)|\+(?=[ \t]+[^\W\d]))[ \t]+(?:\[([ xX])\][ \t]+)?")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_LINE_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)

_ATTRIBUTE = r"""\s+[A-Za-z-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*')"""
_TAG = re.compile(rf"<(/?)([A-Za-z][A-Za-z0-9]*)(?:{_ATTRIBUTE})*\s*/?>")
_SCRIPT = re.compile(r"<(sub|sup)>([^<>\n]{1,40})</\1>", re.IGNORECASE)
_BLOCK = re.compile(r"p|div|ul|ol|table|tr|h[1-6]|blockquote|center|pre")
_INLINE = re.compile(r"a|b|i|u|s|em|strong|small|big|mark|del|ins|code|kbd|span|font|sub|sup|tt|td|th|thead|tbody")
_ALONE = frozenset({"br", "hr"})

_IMAGE = re.compile(r"!\[([^\[\]\n]*)\]\([^()\n]*+(?:\([^()\n]*+\)[^()\n]*+)?\)")
_LINK = re.compile(
    r"\[([^\[\]\n]*)\]\(([^()\s]*+(?:\([^()\s]*+\)[^()\s]*+)?)(?:[ \t]+(?:\"[^\"\n]*+\"|'[^'\n]*+'))?[ \t]*\)"
)
_PLACE = re.compile(r"mailto:|tel:|[#/.]|.*(?:/|\.[a-z]{2,4}(?:#|$))")

_TIMES = re.compile(r"(?<=[\d)])\*(?=[\d(])")
_DELIMITERS = re.compile(r"(\*+|_+|~+)|\n(?=[ \t]*(?:\n|•|\d+[.)]))")
_WORD = re.compile(r"[^\s*_~]")
_CLOSING_SIGNS = frozenset(".,;:!?)]}।^<>" + _GUARD)
_BLANK_LINES = re.compile(r"\n{3,}")


def readable(text: str) -> str:
    """Plain text of the same words.

    What it returns is a text that another round would leave as it is. Where that is not reached in a few rounds (only
    hostile nesting does that), the signs of all markup are dropped.
    """
    for _ in range(_ROUNDS):
        after = _round(text)
        if after == text:
            return text
        text = after
    text = text.translate(_WITHOUT_MARKUP)
    while (after := _round(text)) != text:
        text = after
    return text


def _round(text: str) -> str:
    return "\n".join(_unmasked(line) for line in _rewritten(text).split("\n"))


def _rewritten(text: str) -> str:
    """Markup, formulas and spacing made plain; signs that stand for themselves are masked."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_NO_MASKS)
    text = _SPAN.sub(_span, text)
    text = "\n".join(_lines(text.split("\n")))
    text = _tags(text)
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(_link, text)
    text = formulas.prose(text)
    text = _TIMES.sub(" × ", text)
    text = _without_emphasis(text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _unmasked(line: str) -> str:
    """The line with its signs back, guarded if they would be taken for markup."""
    plain = line.translate(_UNMASK)
    if plain == line or _is_plain(plain):
        return plain
    addresses = {place for found in re.finditer(_ADDRESS, plain) for place in range(*found.span())}
    masked = {place for place, sign in enumerate(line) if sign in _MASKS and place not in addresses}
    # One kind is often enough: code that somebody copies is better off without characters that cannot be seen.
    for kind in _MARKUP + "-+=":
        places = {place for place in masked if plain[place] == kind}
        if places and _is_plain(guarded := _guarded(plain, places)):
            return guarded
    return _guarded(plain, masked)


def _is_plain(line: str) -> bool:
    return _rewritten(line).translate(_UNMASK) == line


def _guarded(line: str, places: set[int]) -> str:
    return "".join(sign + _GUARD if place in places else sign for place, sign in enumerate(line))


def _span(found: re.Match[str]) -> str:
    """What must be read from left to right, as each of these may contain the signs of the others."""
    kind = found.lastgroup
    if found["fence"]:
        return _code(found["block"].rstrip("\n"), found["language"].strip().lower())
    if found["code"]:
        return _code(found["code"].strip(" "))
    if kind in {"autolink", "address"}:
        return found[kind].translate(_MASK)
    if kind in {"inline", "display"}:
        opening, closing = "()" if kind == "inline" else "[]"
        content = found[kind]
        cited = kind == "display" and content.isdecimal()
        return opening + content + closing if cited or _is_remark(content) else _formula(content)
    if kind == "dollar":
        return found[0] if _is_money(found["dollar"]) else _formula(found["dollar"])
    if kind in {"dollars", "spaced"}:
        return _formula(found[kind])
    if found["environment"]:
        return _formula(found["environment"])
    if kind == "escaped":
        return found["escaped"].translate(_MASK_LITERAL)
    return _character(found["entity"]) if found["entity"] else ""  # "": a comment, or a backslash that breaks the line


def _code(code: str, language: str = "") -> str:
    if language in _TEX_LANGUAGES or _TEX.search(code):
        return _formula(code.strip("$ "))
    return "\n".join(
        line if _REACTION.fullmatch(line) else _TIMES.sub(" * ", line).translate(_MASK_LITERAL)
        for line in code.split("\n")
    )


def _formula(source: str) -> str:
    return formulas.formula(source).translate(_MASK_MARKUP)


def _is_remark(content: str) -> bool:
    r"""Whether \( \) are brackets that were escaped for Markdown: around words, with nothing to calculate."""
    return not re.search(r"[\\^_=+\d]", content) and any(len(word) > 3 for word in content.split())


def _is_money(content: str) -> bool:
    """Whether the dollars are currency, as in $5 and 10$."""
    if not content[0].isdigit() or "\\" in content or "^" in content:
        return False
    return len(re.findall(r"[A-Za-z]{3,}", content)) > 1 or bool(_MONEY_TALK.search(content))


def _character(entity: str) -> str:
    character = html.unescape(entity)
    if character == entity:
        return entity
    return " " if character.isspace() else character.translate(_MASK_LITERAL)


def _lines(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        if "|" in lines[at] and at + 1 < len(lines) and "|" in lines[at + 1] and _TABLE_RULE.fullmatch(lines[at + 1]):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            yield from _table([_cells(line) for line in (lines[at], *lines[at + 2 : end])])
            at = end
        else:
            yield _line(lines[at])
            at += 1


def _line(line: str) -> str:
    quote = _QUOTE.match(line)
    line = line[quote.end() :] if quote else line
    if _RULE.fullmatch(line):
        return ""
    heading = _HEADING.match(line)
    if heading:
        title = line[heading.end() :].rstrip()
        bare = title.rstrip("#")
        return bare if bare[-1:] in {"", " ", "\t"} else title
    bullet = _BULLET.match(line)
    if bullet:
        box = {None: "•", " ": "☐"}.get(bullet[2], "☑")
        return f"{bullet[1]}{box} {line[bullet.end() :]}"
    return line


def _cells(line: str) -> list[str]:
    line = _LINE_BREAK.sub(", ", line).strip()
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def _table(rows: list[list[str]]) -> list[str]:
    """A line for each row. Of two columns: "first: second". Of more: "first — heading: second; heading: third"."""
    heads, body = rows[0], rows[1:]
    if len(heads) == 2 or not _fits(heads, body):
        written = [": ".join(cell for cell in row if cell) for row in body]
        title = ": ".join(head for head in heads if head)
    else:
        written = [_row(heads, row) for row in body]
        title = f"{heads[0]}:" if heads[0] else ""
    return [title, *(f"• {row}" for row in written if row)]


def _fits(heads: list[str], body: list[list[str]]) -> bool:
    """Whether the headings, repeated on each row, would not swell the text."""
    return sum(map(len, heads)) * len(body) <= 4 * sum(len(cell) + 8 for row in body for cell in row)


def _row(heads: list[str], row: list[str]) -> str:
    named = [*heads, *[""] * len(row)]
    values = [f"{head}: {cell}" if head else cell for head, cell in zip(named[1:], row[1:], strict=False) if cell]
    return " — ".join(part for part in (row[0], "; ".join(values)) if part)


def _tags(text: str) -> str:
    """Without HTML. A tag that is never closed, or never opened, is what the text talks about."""
    if "<" not in text:
        return text
    text = _SCRIPT.sub(lambda found: formulas.script("^" if found[1].lower() == "sup" else "_", found[2]), text)
    opened: dict[str, list[int]] = {}
    paired: set[int] = set()
    for tag in _TAG.finditer(text):
        starts = opened.setdefault(tag[2].lower(), [])
        if not tag[1]:
            starts.append(tag.start())
        elif starts:
            paired |= {starts.pop(), tag.start()}
    return _TAG.sub(lambda tag: _tag(tag, paired=tag.start() in paired), text)


def _tag(tag: re.Match[str], *, paired: bool) -> str:
    name = tag[2].lower()
    if name in _ALONE or (paired and _BLOCK.fullmatch(name)):
        return "\n"
    if paired and name == "li":
        return "" if tag[1] else "\n• "
    return "" if paired and _INLINE.fullmatch(name) else tag[0]


def _link(found: re.Match[str]) -> str:
    """The words of a link, and where it leads if one can go there from a phone."""
    words, target = found[1].strip(), found[2]
    address = target.translate(_UNMASK)
    if re.match(_ADDRESS, address):
        same = _trimmed(words.translate(_UNMASK)) == _trimmed(address)
        return target if same or not words else f"{words} ({target})"
    return words if not address or _PLACE.match(address) else found[0]


def _trimmed(address: str) -> str:
    return re.sub(r"^https?://|^www\.|/$", "", address)


def _without_emphasis(text: str) -> str:
    """Without the pairs of *, _ and ~ that mark words; single ones and those in a calculation stay."""
    open_runs: dict[str, list[list[int]]] = {"*": [], "_": [], "~": []}
    gone: dict[int, int] = {}  # how many signs to drop from a position on
    end = word = 0  # of the run before; where a word was seen last
    for found in _DELIMITERS.finditer(text):
        run, start = found[1], found.start()
        word = start if _WORD.search(text, end, start) else word
        end = found.end()
        if run is None:  # a paragraph or an item ends, and with it what was open
            open_runs = {"*": [], "_": [], "~": []}
            continue
        if len(run) > (3 if run[0] == "*" else 2):
            continue
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        stack, left = open_runs[run[0]], len(run)
        while left and stack and stack[-1][0] < word and _closes(run, before, after):
            opener = stack[-1]
            used = min(left, opener[1])
            opener[1] -= used
            gone[opener[0] + opener[1]] = used
            gone[end - left] = used
            left -= used
            if not opener[1]:
                stack.pop()
        if left == len(run) and _opens(run, before, after):
            stack.append([start, left])
    return _cut(text, gone)


def _opens(run: str, before: str, after: str) -> bool:
    if not after or after.isspace() or after in _CLOSING_SIGNS:
        return False
    if len(run) > 1 and run[0] == "*":
        return not (before.isalnum() and before.isascii())
    return not _in_word(before) and before not in {")", "]", "^"} and not (run[0] == "_" and after == "-")


def _closes(run: str, before: str, after: str) -> bool:
    if not before or before.isspace():
        return False
    if len(run) > 1 and run[0] == "*":  # **word**s is common, 2**3 is a power
        return not (before.isalnum() and after.isdigit())
    return not _in_word(after)


def _in_word(character: str) -> bool:
    return character.isalnum() or (character != "" and unicodedata.category(character)[0] == "M")


def _cut(text: str, gone: dict[int, int]) -> str:
    parts, position = [], 0
    for place in sorted(gone):
        parts.append(text[position:place])
        position = place + gone[place]
    return "".join([*parts, text[position:]])
