from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.channels.readable import readable

GUARD = "\u200b"

MARKDOWN = [
    ("**Bold**, *slanted*, __bold__, _slanted_, ~~gone~~, ***both***", "Bold, slanted, bold, slanted, gone, both"),
    ("**two\nlines**", "two\nlines"),
    ('"**word**" (*x*) **-5** **₹50** **1. Title** **=**', '"word" (x) -5 ₹50 1. Title ='),
    ("## Photosynthesis ##\nPlants", "Photosynthesis\nPlants"),
    ("# C#", "C#"),
    ("Title\n=====\nText", "Title\n\nText"),
    ("a\n\n---\n\nb\n\n* * *\n\n___\nc", "a\n\nb\n\nc"),
    ("- a\n  * b\n+ c\n1. one\n2) two", "• a\n  • b\n• c\n1. one\n2) two"),
    ("- [ ] read\n- [x] write", "☐ read\n☑ write"),
    ("> A quote\n> - item\n>\n> end", "A quote\n• item\n\nend"),
    ("Use `print` and ``a ` b`` and ```mono```", "Use print and a ` b and mono"),
    ("[NCERT](https://ncert.nic.in/a_b_c)", "NCERT (https://ncert.nic.in/a_b_c)"),
    ("[https://x.org/](https://x.org) <https://x.org/a_b>", "https://x.org https://x.org/a_b"),
    ("[next chapter](02-light.md) and [mail](mailto:a@b.in)", "next chapter and mail"),
    ("![A leaf](leaf.png)", "A leaf"),
    ("[![alt](a.png)](https://x.org)", "alt (https://x.org)"),
    (r"1\. not a list, 5 \* 3, snake\_case, 100\%", "1. not a list, 5 * 3, snake_case, 100%"),
    ("first\\\nsecond", "first\nsecond"),
    ("H<sub>2</sub>O, x<sup>2</sup>, a<br>b, <b>c</b>", "H₂O, x², a\nb, c"),
    ("<ul><li>one</li><li>two</li></ul>", "• one\n• two"),
    ('<span style="color: red">red</span> &amp; 5 &lt; 6&nbsp;&hearts;', "red & 5 < 6 ♥"),
    ("The <b> tag, #include <stdio.h>", "The <b> tag, #include <stdio.h>"),
    ("<!-- page: 1 -->\n# A", "A"),
]

TABLES = [
    (
        "| Use | Words |\n|:---|---:|\n| To **add** | also<br>besides |\n| To contrast | but |\n\nEnd",
        "Use: Words\n• To add: also, besides\n• To contrast: but\n\nEnd",
    ),
    (
        "| भाग | पादप कोशिका | जंतु कोशिका |\n|---|---|---|\n| कोशिका भित्ति | होती है | नहीं होती |",
        "भाग:\n• कोशिका भित्ति — पादप कोशिका: होती है; जंतु कोशिका: नहीं होती",
    ),
    ("Angle | 0° | 90°\n---|---|---\nsin | 0 | 1", "Angle:\n• sin — 0°: 0; 90°: 1"),
    ("| | x |\n|---|---|\n| sum | $\\frac{1}{2}$ |", "x\n• sum: ½"),
]

LATEX = [
    (
        r"$\frac{1}{2}$, $\frac{x+1}{x-1}$, $2\frac{3}{7}$, $\frac{2}{7}x$, $\frac12$",
        "½, (x+1)/(x−1), 2 3/7, (2/7)x, ½",
    ),
    (r"$\frac{AB}{DE} = \frac{1}{2a} = \frac{\sqrt{3}}{2}$", "AB/DE = 1/(2a) = √3/2"),
    (r"$\frac{2}{3}^2$ $\left(\frac{2}{5}\right)^2$ $\frac{1}{R_1}$", "(⅔)² (⅖)² 1/R₁"),
    (r"\(\sqrt{2}\), \(\sqrt{x+1}\), \(\sqrt[3]{8}\)", "√2, √(x+1), ∛8"),
    ("$x^2 + x^{n+1} + x^{2/3} + 10^{-3}$", "x² + xⁿ⁺¹ + x^(2/3) + 10⁻³"),
    ("$H_2O$, $CO_2$, $a_1$, $a_{n+1}$, $v_{final}$, $V_{AB}$", "H₂O, CO₂, a₁, aₙ₊₁, v_final, V_AB"),
    (r"\[ x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a} \]", "x = (−b ± √(b² − 4ac))/(2a)"),
    (r"$a \times b \div c \cdot d \leq e \geq f \neq g \approx h \rightarrow i$", "a × b ÷ c · d ≤ e ≥ f ≠ g ≈ h → i"),
    (r"$\alpha + \beta = \pi r^2$, $25^\circ C$, $\infty$, $50\%$, $\bar{x}$", "α + β = πr², 25°C, ∞, 50%, x̄"),
    (
        r"$\tan^2\theta + 1$, $2\sin x\cos x$, $\triangle ABC \sim \triangle DEF$",
        "tan²θ + 1, 2 sin x cos x, △ABC ~ △DEF",
    ),
    (r"$$\begin{aligned} 2x + 3 &= 7 \\ x &= 2 \end{aligned}$$", "2x + 3 = 7\nx = 2"),
    (r"$\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}$, $\mathbb{R}$, $\{1, 2\}$", "[1 2; 3 4], ℝ, {1, 2}"),
    (r"$\ce{2H2 + O2 -> 2H2O}$, $Fe^{3+}$, $SO_4^{2-}$", "2H₂ + O₂ → 2H₂O, Fe³⁺, SO₄²⁻"),
    (r"$\unknown{a}$ $\unknown$ $ x = 5 $ the $n$th", "a unknown x = 5 the nth"),
    (r"\frac{1}{2} \times b\times h, 90^\circ, 2\pi r", "½ × b × h, 90°, 2πr"),
    ("E = mc^2, (a+b)^2, 10^-3, a^(n+1), x^n, m/s^2", "E = mc², (a+b)², 10⁻³, aⁿ⁺¹, xⁿ, m/s²"),
    (r"`\frac{3}{4}`", "¾"),
    ("```math\nx \\times y\n```", "x × y"),
    (r"\(optional words\) \[1\]", "(optional words) [1]"),
]

CHEMISTRY = [
    ("2H2 + O2 -> 2H2O", "2H₂ + O₂ → 2H₂O"),
    ("6CO_2 + 6H_2O → C_6H_{12}O_6 + 6O_2", "6CO₂ + 6H₂O → C₆H₁₂O₆ + 6O₂"),
    ("Zn + H2SO4 --> ZnSO4 + H2(g)", "Zn + H₂SO₄ → ZnSO₄ + H₂(g)"),
    ("Ca(OH)2, (NH4)2SO4, NaHCO3 aur CO2 गैस", "Ca(OH)₂, (NH₄)₂SO₄, NaHCO₃ aur CO₂ गैस"),
    ("SO4^2-, Na^+", "SO₄²⁻, Na⁺"),
    ("`2H2 + O2 -> 2H2O` and `H2O`", "2H₂ + O₂ → 2H₂O and H₂O"),
]

LEFT_ALONE = [
    "5 * 3 = 15 and a*b*c and 2**3 and 4**5 and f(*args, **options)",
    "file_name.txt, snake_case_name, my__init__x, a_1.txt, step_2, a_b_c@x.in, @some_user_name",
    'prices "$5 and $10", $5-$10, between $5 and 10$ ok',
    "Rs. 20, ₹1,000, 1/2/2024, score 1/2, a/b, 1/2 cup",
    "https://en.wikipedia.org/wiki/Foo_(bar)_baz#part_*_2?a=1&amp;b=CO2",
    "B2, Class 7A, A4, H1N1, H5N1, P1, 10A, 5G, NH44, COP28, PS5, B12, PM2.5, UP16, HW_2, O2 alone, CO2.txt",
    "a lone * and _ here, 5 stars*, ~5 km to ~6 km, * not at the start",
    ":) ^_^ >_< #fun #class10 👍🏽 👨‍👩‍👧‍👦",
    "पौधे सूर्य के प्रकाश से भोजन बनाते हैं। क्षत्रिय, ज्ञान, २*क",
    "Fill: ____ is the capital of __.\n_____",
    "|x| = 5 and |y| = 3; a < b > c; x<y; AT&T; R&D;",
    "p->next, <!-- open\n-> first",
    r"C:\Users\new and \n stay",
    "    indented\n\ttab  two  spaces",
    "[1] see f[3+4](5) and [ ] (x)",
    "½ of x² is √(x+1) → H₂O",
    "1 + 2\n+ 34\n= 37\n> 5 is more",
]

ANSWERS = [
    (
        "**Photosynthesis** is how plants make food:\n\n1. **Light**: from the *sun*\n2. **Water**: $H_2O$\n\n"
        "$$6CO_2 + 6H_2O \\xrightarrow{\\text{sunlight}} C_6H_{12}O_6 + 6O_2$$",
        "Photosynthesis is how plants make food:\n\n1. Light: from the sun\n2. Water: H₂O\n\n"
        "6CO₂ + 6H₂O —sunlight→ C₆H₁₂O₆ + 6O₂",
    ),
    (
        "### उत्तर\n"
        "**चाल** = $\\frac{\\text{दूरी}}{\\text{समय}}$ = \\(\\frac{100\\text{ km}}{2\\text{ h}}\\) = **50 km/h**।",
        "उत्तर\nचाल = दूरी/समय = (100 km)/(2 h) = 50 km/h।",
    ),
    (
        "Bhai, **Ohm's law** simple hai: `V = I * R`.\n"
        "- *V* matlab voltage\n- Agar $R = 5\\,\\Omega$, toh $V = 2*5 = 10$ V",
        "Bhai, Ohm's law simple hai: V = I * R.\n• V matlab voltage\n• Agar R = 5 Ω, toh V = 2 × 5 = 10 V",
    ),
]


@pytest.mark.parametrize(("written", "shown"), [*MARKDOWN, *TABLES, *CHEMISTRY, *ANSWERS, *LATEX])
def test_markup_becomes_plain_text(written: str, shown: str) -> None:
    assert readable(written) == shown
    assert readable(shown) == shown


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_prose_is_left_alone(text: str) -> None:
    assert readable(text) == text


def test_whatsapp_finds_no_pairs_to_eat() -> None:
    assert readable("2*3*4 = 24, (a)*(b)") == "2 × 3 × 4 = 24, (a) × (b)"
    assert readable("*bold* _slanted_ ~struck~") == "bold slanted struck"
    assert readable(r"\*a\* is bold") == f"*{GUARD}a*{GUARD} is bold"


def test_code_is_shown_as_it_is() -> None:
    code = "for i in range(3):\n    print(i * 2, x**2, [1, 2], 'a_b')"
    assert readable(f"Run:\n```python\n{code}\n```\nDone") == f"Run:\n{code}\nDone"
    assert readable("```\nno end") == "no end"
    assert readable('```js {1} title="x"\na\n```\n*b*') == "a\nb"
    assert readable("`2*3`") == "2 * 3"


def test_code_that_looks_like_markup_is_guarded() -> None:
    shown = readable("```python\n# a comment\nx = 1\n```\n`<b>bold</b>`")
    assert shown == f"#{GUARD} a comment\nx = 1\n<{GUARD}b>bold<{GUARD}/b>"
    assert readable(shown) == shown


def test_an_address_beside_guarded_signs_stays_whole() -> None:
    assert "https://x.org/a_b/c" in readable(r"\*a\* https://x.org/a_b/c")


def test_white_space_is_normalised() -> None:
    assert readable("\n\na  \r\nb\t\n\n\n\n  c\n") == "a\nb\n\n  c"
    assert readable("") == ""


def test_a_wide_table_does_not_swell_the_text() -> None:
    table = f"| {'a' * 50} | {'b' * 500} | c |\n|---|---|---|\n" + "| 1 | 2 | 3 |\n" * 200
    assert len(readable(table)) < 2 * len(table)


PIECES = [
    *"*_~`$\\#<>&|[](){}!^-+=1.2 \n•ab",
    *(
        "कि",
        "२",
        "é",
        "👍",
        GUARD,
        "\ufdd0",
        "\r",
        "\t",
        "**",
        "__",
        "```",
        "```\n",
        "~~~",
        "\n\n",
        "\n- ",
        "\n# ",
        "$$",
    ),
    *(
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\frac",
        "\\frac{",
        "\\sqrt[",
        "\\text{",
        "\\times",
        "\\begin{array}",
        "\\end{array}",
    ),
    *(
        "x^{",
        "x_{",
        "x^2",
        "a_1",
        "CO2",
        "C_6",
        "H2 + ",
        " -> ",
        "-->",
        "<!--",
        "<b>",
        "</b>",
        "<sub>",
        "</sub>",
        "<br>",
    ),
    *(
        "](",
        "![",
        "https://x.in/a_b",
        "www.",
        "&amp;",
        "&#42;",
        "&lt;",
        "|-|\n",
        "|a|\n",
        "> ",
        "---\n",
        "2*3",
        "`*a*`",
    ),
]
MARKUP = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
SIGNS = set("\\`*_~#$&<>|[]{}!^-+=@•")
PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cn"], exclude_characters=SIGNS).filter(lambda sign: not sign.isdigit()),
    max_size=200,
)
# No commands, addresses or tags can be written with these, and no language after ~~~: every letter is the writer's.
WORDS = st.text("*_~$#^->+={}()!.,: \n12Zz🙂किमü", max_size=60).filter(lambda text: "~~~" not in text)


@given(text=st.one_of(MARKUP, st.text(max_size=200)))
@settings(deadline=None, max_examples=400)
@example(text="\\" * 9 + "*" * 9)
@example(text="&amp;" * 12 + "lt;b&gt;")
@example(text="$" + "\\frac{" * 40)
def test_a_second_time_changes_nothing(text: str) -> None:
    once = readable(text)
    assert readable(once) == once
    assert len(once) <= 3 * len(text) + 20


@given(text=PLAIN)
@settings(deadline=None)
def test_text_without_markup_is_kept(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = "\n".join(line.rstrip() for line in lines).strip("\n")
    while "\n\n\n" in kept:
        kept = kept.replace("\n\n\n", "\n\n")
    assert readable(text) == kept


@given(text=WORDS)
@settings(deadline=None, max_examples=300)
def test_no_letter_is_lost(text: str) -> None:
    assert letters(readable(text)) == letters(text)


def letters(text: str) -> str:
    """The letters and vowel signs, small ones above and below the line counted as the letters they are."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign)[0] in "LM")


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "*",
            "_",
            "`",
            "$",
            "\\",
            "|",
            "[",
            ">",
            " ",
            "\n",
            "**a ",
            "*a",
            "1*",
            "*_",
            "a*b_c~",
            "\\*",
            "```",
            "```\n",
            "# ",
        ),
        *(
            "$\\frac",
            "$\\frac{",
            "\\sqrt",
            "\\text{$",
            "\\(",
            "\\begin{a}",
            "x^{",
            "$a ",
            "A(B)2",
            "H2 + ",
            " -> ",
            "a_1",
        ),
        *("[a](", "![a](b", "<b ", "<b>", "<!--", "|-|\n", "a|b\n-|-\n", "&#65;", "http://*", "`*a*`"),
    ],
)
def test_a_hundred_thousand_of_anything_is_read(piece: str) -> None:
    text = piece * (100_000 // len(piece)) + "x"
    assert len(readable(text)) <= 3 * len(text)
