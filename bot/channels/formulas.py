"""LaTeX and chemical formulas as characters that every phone has a glyph for: x², √(x+1), ½, 2H₂O, CaCO₃.

No TeX: what a school book needs is written out, of the rest the backslash goes and the words stay.
"""

from __future__ import annotations

import re
import unicodedata


def _pairs(listed: str) -> dict[str, str]:
    """A table written as words: name, sign, name, sign."""
    words = listed.split()
    return dict(zip(words[::2], words[1::2], strict=True))


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_RELATIONS = _pairs(
    "times × div ÷ pm ± mp ∓ cdot · leq ≤ le ≤ leqslant ≤ geq ≥ ge ≥ geqslant ≥ neq ≠ ne ≠ approx ≈ sim ~ simeq ≃ "
    "equiv ≡ cong ≅ propto ∝ to → rightarrow → longrightarrow → leftarrow ← Rightarrow ⇒ implies ⇒ Leftrightarrow ⇔ "
    "iff ⇔ leftrightarrow ↔ rightleftharpoons ⇌ perp ⊥ parallel ∥ in ∈ notin ∉ subset ⊂ subseteq ⊆ cup ∪ cap ∩ "
    "therefore ∴ because ∵ mid | ll ≪ gg ≫ land ∧ lor ∨ ast × setminus ∖ mapsto ↦ lt < gt >"
)
_SIGNS = _pairs(
    "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ vartheta θ iota ι kappa κ lambda λ "
    "mu μ nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi φ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ "
    "Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω infty ∞ degree ° circ ° angle ∠ triangle △ square □ emptyset ∅ "
    "varnothing ∅ forall ∀ exists ∃ neg ¬ sum ∑ prod ∏ int ∫ partial ∂ nabla ∇ hbar ℏ ell ℓ ldots … dots … cdots … "
    "vdots ⋮ prime ′ uparrow ↑ downarrow ↓ bullet • checkmark ✓ star ☆ lvert | rvert | vert | langle ⟨ rangle ⟩ "
    "colon : lbrace { rbrace } backslash \\ percent % rupee ₹ mathrupee ₹"
)
_FUNCTIONS = _words("sin cos tan cot sec cosec csc log ln exp lim max min gcd lcm hcf det arcsin arccos arctan")
_FRACTIONS = frozenset({"frac", "dfrac", "tfrac", "cfrac"})
_TEXTS = _words("text textrm textbf textit texttt emph mbox mathrm operatorname")
_WRAPPERS = _words("cancel mathbf mathit mathsf mathcal boldsymbol boxed underline overline overrightarrow widehat")
_LAYOUT = _words("left right middle big Big bigl bigr Bigl Bigr bigg Bigg displaystyle textstyle limits nonumber hline")
_UNSEEN = _words("label hspace vspace color textcolor phantom")  # with an argument that is not shown
_SPACES = frozenset({"quad", "qquad", "newline", "space"})
_ACCENTS = {"bar": "\u0304", "vec": "\u20d7", "hat": "\u0302", "dot": "\u0307", "tilde": "\u0303"}
_SETS = _pairs("N ℕ Z ℤ Q ℚ R ℝ C ℂ P ℙ")
_ESCAPED = {",": " ", ";": " ", ":": " ", " ": " ", "\n": " ", "!": "", "|": "∥", "-": "", "(": "", ")": ""}
_MATRICES = {"bmatrix": "[]", "pmatrix": "()", "vmatrix": "||", "matrix": "[]", "array": "[]", "cases": "  "}
_ROOTS = {"": "√", "2": "√", "3": "∛", "4": "∜"}
_VULGAR = _pairs("1/2 ½ 1/3 ⅓ 2/3 ⅔ 1/4 ¼ 3/4 ¾ 1/5 ⅕ 2/5 ⅖ 3/5 ⅗ 4/5 ⅘ 1/6 ⅙ 5/6 ⅚ 1/8 ⅛ 3/8 ⅜ 5/8 ⅝ 7/8 ⅞")
_RAISED = dict(
    zip(
        "0123456789+−-=()abcdefghijklmnoprstuvwxyz°′",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ°′",
        strict=True,
    )
)
_LOWERED = dict(zip("0123456789+−-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))

_CHANGES = frozenset({"mathbb", "ce", *_ACCENTS}) | _WRAPPERS | _UNSEEN
_KNOWN = frozenset({"sqrt", "begin", "end", "binom", "xrightarrow", *_RELATIONS, *_SIGNS}) | (
    _FUNCTIONS | _FRACTIONS | _TEXTS | _CHANGES | _LAYOUT | _SPACES
)
_DEEPEST = 12  # groups within groups; below that braces are only dropped, so that hostile nesting stays cheap

_TOKEN = re.compile(r"\\(?:([A-Za-z]+)\*?|(.)|)|([{}^_&~])|[^\\{}^_&~]+", re.DOTALL)
_GLUED = re.compile(r" [A-Za-z](?![a-z])")  # \pi r and \angle ABC: TeX needs this space, a reader does not
_NUMBER = re.compile(r"[-−]?\d+")
_LINE_SPACE = re.compile(r"\[[\d.]+ ?[a-z]{2}\]")  # after \\
_LOOSE = re.compile(r"(?<=[(\[]) | (?=[)\];])")
_HYPHEN = re.compile(r"(?<![A-Za-z]{2})-|-(?![A-Za-z]{2})")
_SOLID = re.compile(r"[-−]?[^\s+\-−±=<>/×÷·,]+|√?\([^()]*\)")
_SINGLE = re.compile(
    r"\d+(?:[.,]\d+)*|[^\W\d_][⁰¹²³⁴-⁹ⁿ₀-₉ₐ-ₜᵢ]*(?:_\w+)?|[A-Z]{2}|d[a-z]|[^\W\d_]{3,}|√\d+|\([^()]*\)|[^\x00-\x7f]+"
)
_FACTOR = re.compile(rf"[\w(\[^]|\\(?:{'|'.join([*_SIGNS, *_FUNCTIONS, *_FRACTIONS, 'sqrt', 'left'])})(?![A-Za-z])")
_BARE = re.compile(r"\\([A-Za-z]+)|(?<=[\w)\]°])[\^_](?=\{|\\[A-Za-z])")

_ELEMENTS = _words(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Ag Cd In Sn Sb Te I Xe Cs Ba La Ce W Pt Au Hg Tl Pb Bi Po Rn Ra Th U Pu"
)
_MOLECULES = frozenset({"H2", "O2", "O3", "N2", "Cl2", "Br2", "I2"})
# One number and capitals only may as well be a road, a film or a console (NH44, COP28, PS5): these are formulas.
_FAMILIAR = _words(
    "H2O CO2 NO2 SO2 SO3 N2O NH2 NH3 NH4 NH4OH CH2 CH3 CH4 CH3OH CH3CHO CH3COOH H2S K2O K2S CS2 CO3 NO3 SO4 PO4 HCO3 "
    "HNO2 HNO3 HSO4 KNO3 KHCO3 PH3 BF3 SF6 UF6"
)
_COUNT = r"(?:_?[0-9]{1,3}|_\{[0-9]{1,3}\}|[₀-₉]{1,3})"
_ATOM = rf"[A-Z][a-z]?{_COUNT}?"
# U+FDD0 to U+FDEF stand for signs of addresses and code while Markdown is undone; what touches them is left alone.
_COMPOUND = re.compile(
    rf"(?<![A-Za-z0-9_₀-₉#@.\ufdd0-\ufdef])(?P<times>[0-9]{{0,2}})(?P<body>(?:{_ATOM}|\((?:{_ATOM}){{1,9}}\){_COUNT}){{1,16}}+)"
    rf"(?![A-Za-z0-9_₀-₉@\ufdd0-\ufdef]|\.\w)"
)
_LETTERS = re.compile(r"[A-Z][a-z]?")
_ARROW = re.compile(r"(?<![-<!])--?>(?![->])")
_CHARGE = re.compile(r"(?:(?<=[A-Z)₀-₉])|(?<=[A-Z][a-z]))\^([0-9]?[+\-−])(?![\w(])")
_POWER = re.compile(r"(?<=[\w)\]])\^(?:([-−]?\d+)|([a-z])(?![A-Za-z])|\(([^()\n]{1,20})\))(?![\^⁰¹²³⁴-⁹])")
_INDEX = re.compile(r"(?<![\w.\ufdd0-\ufdef])([A-Za-zα-ω])_(\d{1,3}|[nijkm])(?![\w(\ufdd0-\ufdef]|\.\w)")


def formula(source: str) -> str:
    """A LaTeX formula, without its delimiters, as plain text."""
    reader = _Reader(source)
    lines = (_LOOSE.sub("", re.sub(r"[ \t]+", " ", line)).strip() for line in reader.all().split("\n"))
    return "\n".join(line for line in lines if line)


def prose(text: str) -> str:
    """Running text with the formulas in it written out: bare LaTeX, arrows, reactions, x^2 and a_1."""
    text = "\n".join(_bare(line) for line in text.split("\n"))
    text = _ARROW.sub(_arrow, text)
    text = _COMPOUND.sub(_compound, text)
    text = _CHARGE.sub(lambda found: script("^", found[1]), text)
    text = _POWER.sub(_power, text)
    return _INDEX.sub(lambda found: found[1] + script("_", found[2]), text)


def script(mark: str, content: str) -> str:
    """What stands above (mark ^) or below (mark _): small if Unicode has all the characters, else after the mark."""
    content = content.strip()
    packed = content.replace(" ", "")
    if not packed or (mark == "_" and len(packed) > 2 and packed.isalpha()):
        return f"_{content}" if packed else ""  # a long index as in v_final is easier to read large
    table = _RAISED if mark == "^" else _LOWERED
    if all(character in table for character in packed):
        return "".join(table[character] for character in packed)
    bare = len(packed) == 1 or (mark == "_" and packed.isalnum()) or (packed[0] == "(" and packed[-1] == ")")
    return mark + (packed if bare else f"({content})")


class _Reader:
    """Reads LaTeX from a position on; what is missing at the end counts as closed there."""

    def __init__(self, source: str, position: int = 0, last: str = "") -> None:
        self.source = source
        self.position = position
        self._depth = 0
        self._last = last  # the character written last
        self._text = False  # within \text{}: hyphens are hyphens
        self._row = "\n"

    def all(self) -> str:
        parts = []
        while self.position < len(self.source):
            parts.append(self._until_brace())
            self.position += 1  # a brace that closes nothing
        return "".join(parts)

    def atom(self) -> str:
        """The next command with its arguments, script, group or run of characters."""
        found = _TOKEN.match(self.source, self.position)
        if found is None:
            return ""
        self.position = found.end()
        name, escaped, special = found.groups()
        if name:
            written = self._command(name)
        elif escaped:
            written = self._row_end() if escaped == "\\" else _ESCAPED.get(escaped, escaped)
        elif special:
            written = self._special(special)
        else:
            written = self._characters(found[0])
        self._last = written[-1:] or self._last
        return written

    def _row_end(self) -> str:
        space = _LINE_SPACE.match(self.source, self.position)
        if space:
            self.position = space.end()
        return self._row

    def _until_brace(self) -> str:
        parts = []
        while self.position < len(self.source) and self.source[self.position] != "}":
            parts.append(self.atom())
        return "".join(parts)

    def _group(self) -> str:
        """What is between the brace just read and its partner."""
        if self._depth >= _DEEPEST:
            return ""  # its content is read by the caller as if there were no brace
        self._depth += 1
        self._last = ""
        inner = self._until_brace()
        self.position += 1
        self._depth -= 1
        return inner

    def _argument(self) -> str:
        self._skip_spaces()
        following = self._next()
        if following == "{":
            self.position += 1
            return self._group().strip()
        if following == "\\" and self._depth < _DEEPEST:
            self._depth += 1
            written = self.atom().strip()
            self._depth -= 1
            return written
        if following in {"", "}", "\\"}:
            return ""
        self.position += 1
        return following.replace("-", "−")

    def _option(self) -> str:
        """What is in [ ] after a command."""
        end = self.source.find("]", self.position, self.position + 20)
        if self._next() != "[" or end < 0:
            return ""
        inside = self.source[self.position + 1 : end]
        self.position = end + 1
        return inside.strip()

    def _next(self) -> str:
        return self.source[self.position : self.position + 1]

    def _skip_spaces(self) -> None:
        while self._next() in {" ", "\t"}:
            self.position += 1

    def _special(self, sign: str) -> str:
        if sign == "{":
            return self._group()
        if sign in "^_":
            number = _NUMBER.match(self.source, self.position)
            if number:  # TeX would take one digit, but 10^-3 and x^10 are meant as they look
                self.position = number.end()
                return script(sign, number[0])
            return script(sign, self._argument())
        return "" if sign == "}" else " "

    def _characters(self, run: str) -> str:
        if self._text:
            return run
        run = run.replace("->", " → ").replace("*", " × ").replace("\n", " ")
        return _HYPHEN.sub("−", run)

    def _command(self, name: str) -> str:
        if name in _RELATIONS:
            return f" {_RELATIONS[name]} "
        if name in _SIGNS:
            self.position += bool(_GLUED.match(self.source, self.position))
            return _SIGNS[name]
        if name in _FUNCTIONS:
            before = " " if self._last.isalnum() else ""
            after = " " if self._next().isalnum() or self._next() == "\\" else ""
            return before + name + after
        if name in _FRACTIONS:
            return self._fraction()
        if name in _TEXTS:
            return self._in_text()
        if name in _LAYOUT:
            self.position += name in {"left", "right"} and self._next() == "."
            return ""
        return self._rarer(name)

    def _rarer(self, name: str) -> str:
        if name == "sqrt":
            return self._root()
        if name in _CHANGES:
            return _changed(name, self._argument())
        if name in {"begin", "end"}:
            return self._environment(name)
        if name == "xrightarrow":
            over = self._option() or self._argument()
            return f" —{over}→ " if over else " → "
        if name == "binom":
            return f"C({self._argument()}, {self._argument()})"
        if name in _SPACES:
            return " "
        return "" if self._next() == "{" else name

    def _in_text(self) -> str:
        outer, self._text = self._text, True
        self._skip_spaces()
        if self._next() == "{":
            self.position += 1
            words = self._group()
        else:
            words = self._argument()
        self._text = outer
        return words

    def _fraction(self) -> str:
        before = self._last
        above, below = self._argument(), self._argument()
        whole = _VULGAR.get(f"{above}/{below}")
        if whole:
            return whole if self._next() != "^" else f"({whole})"
        mixed = before.isdecimal() and above.isdecimal() and below.isdecimal()
        above = above if _SOLID.fullmatch(above) else f"({above})"
        below = below if _SINGLE.fullmatch(below) else f"({below})"
        if _FACTOR.match(self.source, self.position) or (not mixed and (before.isalnum() or before == ")")):
            return f"({above}/{below})"
        return f" {above}/{below}" if mixed else f"{above}/{below}"  # 2 3/7

    def _root(self) -> str:
        degree = self._option()
        sign = _ROOTS.get(degree) or script("^", degree) + "√"
        inner = self._argument()
        bare = len(inner) == 1 or re.fullmatch(r"[\d.]+|\([^()]*\)", inner)
        return sign + (inner if bare else f"({inner})")

    def _environment(self, edge: str) -> str:
        name = self._argument()
        brackets = _MATRICES.get(name)
        if brackets is None:
            return "\n"
        if edge == "end":
            self._row = "\n"
            return brackets[1]
        if name == "array":
            self._argument()  # its columns
        self._row = "; "
        return brackets[0]


def _changed(name: str, inner: str) -> str:
    """What a command makes of its one argument."""
    if name in _ACCENTS:
        return inner + _ACCENTS[name] if len(inner) == 1 else inner
    if name == "mathbb":
        return "".join(_SETS.get(letter, letter) for letter in inner)
    if name == "ce":
        return re.sub(r"(?<=[A-Za-z)])[0-9]+", lambda count: script("_", count[0]), inner)
    return "" if name in _UNSEEN else inner


def _bare(line: str) -> str:
    """The line with the LaTeX in it written out that has no delimiters; commands we do not know stay."""
    if "\\" not in line and "{" not in line:
        return line
    parts = [""]
    position = 0
    while found := _BARE.search(line, position):
        parts.append(line[position : found.start()])
        position = found.end()
        if found[1] and found[1] not in _KNOWN:
            parts.append(found[0])
            continue
        last = parts[-1][-1:] or parts[-2][-1:]
        reader = _Reader(line, found.start(), last)
        written = reader.atom()
        position = reader.position
        if last in {" ", ""}:
            written = written.removeprefix(" ")
        if line[position : position + 1] in {" ", ""}:
            written = written.removesuffix(" ")
        parts.append(written)
    return "".join([*parts, line[position:]])


def _arrow(found: re.Match[str]) -> str:
    """An arrow between two things; at an edge of the line, or as in C's p->next, it stays."""
    before, after = _neighbours(found)
    if not before.strip() or not after.strip():
        return found[0]
    pointer = before[-1] in ")]" or before[-1].islower()
    return found[0] if pointer and (after[0] == "_" or after[0].islower()) and before[-1].isascii() else "→"


def _neighbours(found: re.Match[str]) -> tuple[str, str]:
    """A few characters before and after, of the same line."""
    text, near = found.string, 8
    before = text[max(0, found.start() - near) : found.start()].rpartition("\n")[2]
    return before, text[found.end() : found.end() + near].partition("\n")[0]


def _compound(found: re.Match[str]) -> str:
    body = found["body"]
    if not _is_compound(body) and not (body in _MOLECULES and _in_reaction(found)):
        return found[0]
    return found["times"] + re.sub(r"_?\{?([0-9]+)\}?", lambda count: script("_", count[1]), body)


def _is_compound(body: str) -> bool:
    """Whether this can be nothing but a chemical formula."""
    typed = re.sub(r"[_{}]", "", unicodedata.normalize("NFKC", body))
    symbols, counts = _LETTERS.findall(typed), re.findall(r"[0-9]+", typed)
    if not _ELEMENTS.issuperset(symbols) or any(re.match(r"0|1$|\d{3}", count) for count in counts):
        return False
    if "_" in body and len(symbols) == 1:
        return len(symbols[0]) == 1 or typed in _MOLECULES
    if not counts or len(symbols) == 1 or re.fullmatch(r"H\d+N\d+|BSc\d", typed):
        return False  # influenza viruses; a year of college
    return typed in _FAMILIAR or len(counts) > 1 or any(len(symbol) > 1 for symbol in symbols)


def _in_reaction(found: re.Match[str]) -> bool:
    before, after = _neighbours(found)
    after = re.sub(r"^\((?:s|l|g|aq)\)", "", after).lstrip(" ")
    return before.rstrip(" ")[-1:] in {"+", "→"} or after[:1] in {"+", "→"}


def _power(found: re.Match[str]) -> str:
    if found[2] == "o" and found.string[found.start() - 1].isdigit():
        return "°"
    written = script("^", found[1] or found[2] or found[3])
    return found[0] if "^" in written else written
