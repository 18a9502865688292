"""What a student sends, and the computed answer to it; and what is left to the book."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot.calculating.calculator import SHIPPED, Calculator
from bot.calculating.expression import LONGEST
from bot.calculating.reading import Words
from bot.language import detect
from tests.bot.calculating.cases import COMPUTED, IN_HINDI_AND_HINGLISH, LEFT_TO_THE_BOOK

CALCULATOR = Calculator()
CASES = [(kind, question, result) for kind, held in COMPUTED.items() for question, result in held]
TEXTS = SHIPPED / "calculating" / "texts"


def text(question: str, language: str = "en") -> str:
    found = CALCULATOR.answer(question, language)
    assert found is not None
    return found.text


@pytest.mark.parametrize(("kind", "question", "result"), CASES)
def test_computations_are_answered(kind: str, question: str, result: str) -> None:
    found = CALCULATOR.answer(question, "en")
    assert found is not None
    assert (found.kind, found.result) == (kind, result)


@pytest.mark.parametrize(("question", "result"), IN_HINDI_AND_HINGLISH)
def test_computations_in_hindi_and_hinglish_are_answered(question: str, result: str) -> None:
    language = detect(question)
    found = CALCULATOR.answer(question, language)
    assert found is not None
    assert found.result == result


@pytest.mark.parametrize("question", LEFT_TO_THE_BOOK)
def test_what_is_no_clear_computation_is_left_to_the_book(question: str) -> None:
    assert CALCULATOR.answer(question, detect(question)) is None


@pytest.mark.parametrize("language", ["en", "hi", "hinglish"])
def test_every_answer_is_whole_in_every_language(language: str) -> None:
    for _, question, result in CASES:
        found = CALCULATOR.answer(question, language)
        assert found is not None
        assert found.result == result  # whatever the language
        assert "{" not in found.text
        assert len(found.text) < 700, question  # one screen of a phone
        if result and found.kind != "table":
            last = found.text.splitlines()[-1]
            assert last.startswith("उत्तर: " if language == "hi" else "Answer: ")
        if language == "hi":
            assert any("\u0900" <= sign <= "\u097f" for sign in found.text) or found.kind == "table"


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        (
            "15% of 240 kitna hoga",
            "hinglish",
            "Percent ka matlab hai har sau mein se: 15% = 15/100.\n"
            "15% × 240 = 15/100 × 240 = 3,600 ÷ 100 = 36\nAnswer: 36",
        ),
        (
            "solve 2x + 3 = 11",
            "en",
            "2x + 3 = 11\nMove +3 to the other side; its sign changes.\n2x = 11 − 3 = 8\n"
            "Divide both sides by 2.\nx = 8 ÷ 2 = 4\nAnswer: x = 4",
        ),
        (
            "3/4 + 1/2",
            "en",
            "3/4 + 1/2\nMake the denominators the same. Their LCM is 4.\n= 3/4 + 2/4\n= 5/4\nAnswer: 5/4 = 1 1/4",
        ),
        (
            "2 + 3 × (4 − 1)",
            "en",
            "By BODMAS: brackets first, then powers and roots, then ÷ and × from left to right, then + and −.\n"
            "2 + 3 × (4 − 1)\n= 2 + 3 × 3\n= 2 + 9\n= 11\nAnswer: 11",
        ),
        (
            "(2 + 3) × 4 + 2 × 5",
            "en",
            "By BODMAS: brackets first, then powers and roots, then ÷ and × from left to right, then + and −.\n"
            "(2 + 3) × 4 + 2 × 5\n= 5 × 4 + 2 × 5\n= 20 + 10\n= 30\nAnswer: 30",
        ),
        (
            "2/3 ÷ 4/5",
            "en",
            "2/3 ÷ 4/5\nTo divide by a fraction, turn it upside down and multiply.\n"
            "= 2/3 × 5/4\n= 10/12 = 5/6\nAnswer: 5/6",
        ),
        (
            "9.11 और 9.9 में बड़ा कौन है",
            "hi",
            "सबको बराबर दशमलव स्थानों (2) तक लिखते हैं। अंत में 0 लगाने से मान नहीं बदलता।\n"
            "9.11 = 9.11\n9.9 = 9.90\n"
            "पूर्ण भाग बराबर हैं, इसलिए दशमलव बिंदु के बाद के भाग की तुलना करते हैं: 11, 90।\n"
            "9.9 > 9.11\nउत्तर: 9.9 बड़ी संख्या है",
        ),
        (
            "x² − 4x + 1 = 0",
            "en",
            "x² − 4x + 1 = 0\na = 1, b = −4, c = 1\nD = b² − 4ac = (−4)² − 4 × 1 × 1 = 12\n"
            "x = (−b ± √D) ÷ 2a = (4 ± √12) ÷ 2\n√12 = 2√3\nAnswer: x = 2 ± √3 (≈ 3.73, 0.27)",
        ),
        (
            "2x + 3y = 13, 3x − y = 3",
            "en",
            "(1) 2x + 3y = 13\n(2) 3x − y = 3\nMultiply (2) by 3, so that y has the same number before it in both.\n"
            "Add the two: y goes away.\n11x = 22, x = 2\nPut x = 2 into (1):\n4 + 3y = 13, 3y = 9, y = 3\n"
            "Check in (1): 4 + 9 = 13\nAnswer: x = 2, y = 3",
        ),
        (
            "₹500 par 10% discount",
            "hinglish",
            "Percent ka matlab hai har sau mein se: 10% = 10/100.\n10/100 × 500 = 50\n"
            "Discount ₹50 hai. Ise price mein se ghatate hain.\n500 − 50 = 450\nAnswer: discount ₹50, dene hain ₹450",
        ),
        ("2.5 kg me kitne gram", "hi", "1 किलोग्राम = 1,000 ग्राम\n2.5 × 1,000 = 2,500\nउत्तर: 2,500 ग्राम"),
        ("HCF 24 36", "en", "24 = 2 × 2 × 2 × 3\n36 = 2 × 2 × 3 × 3\nHCF: take the prime factors that all the numbers "
         "share.\nHCF = 2 × 2 × 3 = 12\nAnswer: HCF = 12"),
    ],
)  # fmt: skip
def test_the_steps_are_shown(question: str, language: str, expected: str) -> None:
    assert text(question, language) == expected


def test_digits_are_those_that_the_student_wrote() -> None:
    assert "उत्तर: ३६" in text("२४० का १५% कितना है", "hi")
    assert "उत्तर: 36" in text("240 का 15% कितना है", "hi")


@pytest.mark.parametrize("language", ["en", "hi", "hinglish"])
def test_what_has_no_result_is_explained_kindly(language: str) -> None:
    by_zero = CALCULATOR.answer("12 ÷ 0 = ?", language)
    assert by_zero is not None
    assert by_zero.kind == "division_by_zero"
    assert by_zero.result == ""
    assert "0" in by_zero.text
    too_large = CALCULATOR.answer("9^9^9", language)
    assert too_large is not None
    assert too_large.kind == "too_large"
    assert CALCULATOR.answer("1/(2 − 2)", language) == by_zero


def test_a_line_break_keeps_two_equations_apart() -> None:
    found = CALCULATOR.answer("x + y = 10\nx − y = 2", "en")
    assert found is not None
    assert found.result == "x = 6, y = 4"


def test_every_shipped_question_that_is_taken_over_gets_the_answer_of_its_pair() -> None:
    """The lessons are the book's. What is computed of them must say what the pair's own answer says."""
    taken = 0
    for path in sorted((SHIPPED / "qa").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            question, answer = (message["content"] for message in pair["messages"])
            found = CALCULATOR.answer(question, detect(question))
            if found is None:
                continue
            taken += 1
            assert pair["kind"] != "unanswerable", question
            stated = found.result.replace("x = ", "").replace(" ± ", " + ")
            assert all(part in answer for part in stated.split(", ")) or stated in answer, question
    assert taken >= 25


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("9**9**9", "too_large"),
        ("9^99999999999", "too_large"),
        ("((((9^9)^9)^9)^9)", "too_large"),
        ("2^-99", "too_large"),
        ("99999999999!", "factorial"),
        ("9999999!", "factorial"),
        ("factorial of 99999999999999", "factorial"),
        ("999999999999999999 × 999999999999999999", "too_large"),
        ("1/0/0/0 = ?", "division_by_zero"),
        ("0^-1", "division_by_zero"),
        ("lcm of 999999937 and 999999929", "lcm"),
        ("is 999999937 prime", "prime"),
        ("is 999999999999999989 prime", None),
        ("factors of 735134400", None),  # 1,344 of them
        ("√999999999999999989", None),
        ("x² + 99999999999x + 1 = 0", None),
        ("compound interest on 999999999999 at 99.99% for 100 years", None),
        ("(" * 90 + "1" + ")" * 90, None),
        ("-" * 150 + "1", None),
        ("√" * 120 + "2", None),
        ("√(0 − 1)", None),
        ("1+" * 99 + "1", None),
        ("1" * 10_000, None),
        ("1+" * 5_000 + "1", None),
        ("٣ + ٤", None),
        ("１２ ＋ ３", "arithmetic"),  # full-width, as some keyboards have it
        ("𝟐 + 𝟐", None),
        ("²³⁴", None),
        ("2\u200b+\u200b2", "arithmetic"),
        ("2\u202e+ 2", None),
        ("a " * 99, None),
        ("ratio " * 33, None),
        ("ratio " * 32 + "1:2", "ratio"),
        ("how many " * 22, None),
        ("5 km and " * 22, None),
        ("1 and " * 33, None),
        ("x" * 200, None),
        ("x = " * 50, None),
        ("x^x = 1", None),
        ("x²y² = 1", None),
        ("1/x = 0", None),
        ("x/0 = 1", "division_by_zero"),
        ("__import__('os').system('true')", None),
        ("\ud800 + 1", None),
        ("\0", None),
        ("2\0+2", None),
        ("", None),
    ],
)
def test_hostile_messages_come_to_an_end(question: str, kind: str | None) -> None:
    found = CALCULATOR.answer(question, "en")
    assert (found.kind if found else None) == kind


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from bot.calculating.calculator import Calculator; Calculator(); "
        "print('sympy' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_longest_expression_fits_a_message() -> None:
    assert CALCULATOR.answer("1" * (LONGEST + 1), "en") is None


def test_the_texts_have_the_same_keys_and_places() -> None:
    texts = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(TEXTS.glob("*.json"))]
    assert len(texts) == 3
    for other in texts[1:]:
        assert other.keys() == texts[0].keys()
        for key, one in texts[0].items():
            assert {part.partition("}")[0] for part in one.split("{")[1:]} == {
                part.partition("}")[0] for part in other[key].split("{")[1:]
            }, key


def test_every_text_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in Path("bot/calculating").glob("*.py"))
    assert [key for key in json.loads((TEXTS / "en.json").read_text(encoding="utf-8")) if f'"{key}"' not in code] == []


@pytest.mark.parametrize(
    ("words", "units"),
    [
        ("[]", "{}"),
        ("{}", "{}"),
        ('{"names": {"of": ["of"]}, "asking": ["of"], "working": [], "figures": {}, "multipliers": {}}', "{}"),
        ('{"names": {}, "asking": [], "working": [], "figures": {"one": "x"}, "multipliers": {}}', "{}"),
        ('{"names": {}, "asking": [], "working": [], "figures": {}, "multipliers": {}}', '{"m": 3}'),
        ("not JSON", "{}"),
    ],
)
def test_words_that_cannot_be_used_are_named(words: str, units: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(words, encoding="utf-8")
    (tmp_path / "units.json").write_text(units, encoding="utf-8")
    with pytest.raises(ValueError, match="does not hold the words of computations"):
        Words.load(tmp_path)
