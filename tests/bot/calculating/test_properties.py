"""Random computations against Python's own fractions, and against SymPy where letters and roots are concerned."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import median
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.calculating.calculator import Calculator
from bot.calculating.expression import Unreadable, tree
from bot.calculating.numerals import decimal, mixed, rounded, value, whole
from bot.calculating.powers import nearly
from bot.calculating.steps import DividedByZero, worked
from training.tuning.rewards import parse

CALCULATOR = Calculator()
SMALL = st.integers(-60, 60)
POSITIVE = st.integers(1, 400)
quick = settings(max_examples=40, deadline=None)


def result(question: str) -> str:
    found = CALCULATOR.answer(question, "en")
    assert found is not None, question
    return found.result


def number(text: str) -> Fraction:
    found = value(text.strip("₹%").replace("−", "-"))
    assert found is not None
    return found


def bracketed(number: int) -> str:
    return f"({number})" if number < 0 else str(number)


@st.composite
def sums(draw: st.DrawFn, depth: int = 3) -> tuple[str, Fraction | None]:
    """An expression, and its value or None when it divides by zero."""
    if depth == 0 or draw(st.booleans()):
        one = draw(st.one_of(st.integers(0, 99), st.integers(0, 999).map(lambda n: Fraction(n, 10))))
        return (str(float(one)) if isinstance(one, Fraction) else str(one)), Fraction(one)
    (left, a), (right, b) = draw(sums(depth=depth - 1)), draw(sums(depth=depth - 1))
    sign = draw(st.sampled_from("+-*/"))
    text = f"({left}) {sign} ({right})"
    if a is None or b is None or (sign == "/" and not b):
        return text, None
    return text, {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[sign]


@quick
@given(sums())
def test_an_expression_has_the_value_that_fractions_give(made: tuple[str, Fraction | None]) -> None:
    text, expected = made
    node = tree(text)
    if expected is None:
        with pytest.raises((DividedByZero, Unreadable)):
            worked(node, as_fractions=False)
        return
    found, lines, _ = worked(node, as_fractions=False)
    assert found == expected
    assert lines[0]


@quick
@given(SMALL, SMALL, SMALL, st.sampled_from("+-×"), st.sampled_from("+-×"))
def test_the_order_of_operations_is_that_of_python(a: int, b: int, c: int, one: str, two: str) -> None:
    question = f"{bracketed(a)} {one} {bracketed(b)} {two} {bracketed(c)} = ?"
    plain = f"{bracketed(a)}{one}{bracketed(b)}{two}{bracketed(c)}".replace("×", "*")
    assert number(result(question)) == int(sympy.sympify(plain))


@quick
@given(st.integers(1, 30), st.integers(2, 30), st.integers(1, 30), st.integers(2, 30), st.sampled_from("+-×÷"))
def test_fractions_come_out_in_lowest_terms(a: int, b: int, c: int, d: int, sign: str) -> None:
    one, other = Fraction(a, b), Fraction(c, d)
    expected = {"+": one + other, "-": one - other, "×": one * other, "÷": one / other}[sign]
    found = number(result(f"{a}/{b} {sign} {c}/{d} = ?"))
    assert found == expected


@quick
@given(st.integers(1, 200), POSITIVE)
def test_percentages(part: int, of: int) -> None:
    assert number(result(f"{part}% of {of}")) == Fraction(part * of, 100)
    assert number(result(f"increase {of} by {part}%")) == Fraction(of * (100 + part), 100)
    assert number(result(f"what percent of {of} is {part}")) == Fraction(part * 100, of)


@quick
@given(st.lists(st.integers(1, 2000), min_size=2, max_size=4))
def test_lcm_hcf_average_and_median(numbers: list[int]) -> None:
    listed = ", ".join(map(str, numbers))
    assert number(result(f"LCM of {listed}")) == math.lcm(*numbers)
    assert number(result(f"HCF of {listed}")) == math.gcd(*numbers)
    assert number(result(f"average of {listed}")) == Fraction(sum(numbers), len(numbers))
    assert number(result(f"median of {listed}")) == Fraction(median(map(Fraction, numbers)))


@quick
@given(st.integers(1, 10**6))
def test_roots_primes_and_factors_are_those_of_sympy(of: int) -> None:
    found = result(f"square root of {of}")
    outside, _, inside = found.replace(",", "").partition("√")
    assert sympy.sqrt(of) == int(outside or 1) * sympy.sqrt(int(inside or 1))
    assert result(f"is {of} prime") == ("prime" if sympy.isprime(of) else "not prime")
    if sympy.divisor_count(of) <= 40 and of > 1:
        shown = result(f"factors of {of}").split(", ")
        assert [int(one.replace(",", "")) for one in shown] == sympy.divisors(of)


@quick
@given(SMALL, SMALL, SMALL, SMALL)
def test_linear_equations_are_solved(a: int, b: int, c: int, d: int) -> None:
    found = result(f"solve {a}x + {bracketed(b)} = {c}x + {bracketed(d)}") if a or c else None
    if found is None:
        return
    if a == c:
        assert found == ""
        return
    assert number(found.removeprefix("x = ")) == Fraction(d - b, a - c)


@quick
@given(st.integers(1, 9), SMALL, SMALL)
def test_quadratic_equations_have_the_roots_that_sympy_finds(a: int, b: int, c: int) -> None:
    found = result(
        f"{a}x² + {bracketed(b)}x + {bracketed(c)} = 0".replace("+ (-", "- (").replace("(", "").replace(")", "")
    )
    x = sympy.Symbol("x")
    expected = set(sympy.roots(a * x**2 + b * x + c, x))
    if found == "no real roots":
        assert not any(root.is_real for root in expected)
        return
    assert roots_of(found) == expected


def roots_of(text: str) -> set[Any]:
    """The roots that a result such as "x = 1/2, x = −3" or "x = (1 ± 2√3)/4" names."""
    plain = text.replace("x = ", "").replace("−", "-")
    if "±" not in plain:
        return {sympy.Rational(part.replace(",", "")) for part in plain.split(", ")}
    return {parse(plain.replace("±", sign).replace("+√", "√").strip("+")) for sign in "+-"}


@quick
@given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL)
def test_pairs_of_equations_are_solved(a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    if not (a and b and d and e):
        return
    found = result(f"{a}x + {bracketed(b)}y = {c}, {d}x + {bracketed(e)}y = {f}")
    det = a * e - b * d
    if not det:
        assert found == ""
        return
    x, y = (number(part.partition(" = ")[2]) for part in found.split(", "))
    assert (x, y) == (Fraction(c * e - b * f, det), Fraction(a * f - c * d, det))


@quick
@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=500))
def test_numbers_are_printed_so_that_they_read_back(number_: Fraction) -> None:
    assert number(mixed(number_).lstrip("−")) == abs(number_)
    if (exact := decimal(number_)) is not None:
        assert number(exact) == number_
    assert abs(number(rounded(number_)) - number_) <= Fraction(1, 200)


@quick
@given(st.integers(0, 10**12))
def test_indian_grouping(number_: int) -> None:
    text = whole(number_)
    assert int(text.replace(",", "")) == number_
    head, *groups = text.split(",")
    assert 1 <= len(head) <= (2 if groups else 3)
    assert all(len(group) == 2 for group in groups[:-1])
    assert all(len(group) == 3 for group in groups[-1:])


@quick
@given(st.integers(1, 10**9))
def test_square_roots_are_rounded_rightly(of: int) -> None:
    root = number(nearly(Fraction(of)))
    half = Fraction(1, 200)
    assert (root - half) ** 2 <= of < (root + half) ** 2


@quick
@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    CALCULATOR.answer(text, "en")


@quick
@given(st.text(alphabet="0123456789+-*/^()%√=xy.,² ?₹½:!", max_size=40))
def test_no_row_of_signs_is_an_error(text: str) -> None:
    CALCULATOR.answer(text, "hinglish")
