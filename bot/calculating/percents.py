"""Percentages and parts of a number: 15% of 240, what per cent 20 is of 80, discounts, increases, 3/4 of 20."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from bot.calculating.numerals import VALUE, best, decimal, fraction, mixed, rounded, value, whole
from bot.calculating.reading import Message
from bot.calculating.steps import TooLarge, bounded
from bot.calculating.working import Calculated, Working

_FORMS = {  # P is a percentage, V what it is of, W another number, U a rise or fall
    "part": (
        "P of V",
        "P in V",
        "V of P",
        "V in P",
        "percent:? V of P",
        "percent:? P of V",
        "%:? V of P",
        "%:? P of V",
    ),
    "share": (
        "(?:what)?percent (?:of )?V W",
        "W whatpercent of V",
        "W whatpercent V of",
        "V (?:of|in|outofwhole) W,? whatpercent",
        "W,? V of whatpercent",
        "V of whatpercent W",
        "(?:what)?percent (?:of )?W outof V",
        "W outof V (?:(?:in|to|of|as) )?(?:what)?percent(?: in)?(?: convert)?",
        "(?:convert )W outof V (?:in|to|as) percent",
    ),
    "changed": ("U V by P", "V (?:ko|in|of) P U", "V U by P", "P U (?:on|in|of) V"),
    "change": (
        "percent U (?:when |if )?(?:from )?V (?:to|from|se) W",
        "V (?:to|se) W,? (?:what)?percent U",
        "from V to W percent U",
    ),
    "discount": (
        "P (?:of )?discount (?:on|of|at) V",
        "V (?:on|in|of|at) P (?:of )?discount",
        "discount (?:of )?P (?:on|of) V",
        "discount (?:on|of) V (?:at|of) P",
        "V P discount",
        "P gst (?:on|of|in) V",
        "V (?:on|in|of) P gst",
    ),
}


def _patterns(forms: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    written = {
        "P": rf"(?P<part>{VALUE})%",
        "V": rf"(?P<of>{VALUE})",
        "W": rf"(?P<other>{VALUE})",
        "U": "(?P<up>increase|decrease)",
    }
    return tuple(re.compile(re.sub(r"[PVWU]", lambda name: written[name[0]], form)) for form in forms)


_COMPILED = {name: _patterns(forms) for name, forms in _FORMS.items()}
_SHARES = {
    "half": Fraction(1, 2),
    "quarter": Fraction(1, 4),
    "third": Fraction(1, 3),
    "threequarters": Fraction(3, 4),
    "double": Fraction(2),
    "triple": Fraction(3),
}
_NAMED = re.compile(rf"({'|'.join(_SHARES)}) (?:of )?({VALUE})|({VALUE}) (?:of|ko) ({'|'.join(_SHARES)})")
_FRACTION = re.compile(r"([0-9]+/[0-9]+) of ((?:[0-9,]+)(?:\.[0-9]+)?)|((?:[0-9,]+)(?:\.[0-9]+)?) of ([0-9]+/[0-9]+)")


def read(message: Message, working: Working) -> Calculated | None:
    """Whatever of these kinds the message is."""
    text = message.bare
    try:
        if "discount" in text or "gst" in text:
            return _discount(text, working)
        if "%" in text or "percent" in text:
            return _percent(text, working)
        return _share_of(text, working)
    except TooLarge:
        return working.refuse("too_large", "too_large")


def _found(kind: str, text: str) -> re.Match[str] | None:
    return next((found for pattern in _COMPILED[kind] if (found := pattern.fullmatch(text))), None)


def _percent(text: str, working: Working) -> Calculated | None:
    for kind, answer in (("part", _part), ("changed", _changed), ("change", _change), ("share", _share)):
        if found := _found(kind, text):
            return answer(found, working)
    return None


def _part(found: re.Match[str], working: Working) -> Calculated | None:
    part, of = (value(found["part"]), value(found["of"]))
    if part is None or of is None:
        return None
    result = bounded(part * of / 100)
    working.explain("percent.means", percent=best(part))
    working.show(f"{best(part)}% × {best(of)} = {best(part)}/100 × {best(of)} = {_over(part * of, 100)}")
    return _done("percent", result, working)


def _over(number: Fraction, by: int) -> str:
    return f"{best(number)} ÷ {by} = {number_shown(number / by)}"


def number_shown(number: Fraction) -> str:
    """Exact when it has an end, else as a mixed number with its rounded value."""
    return decimal(number) or f"{mixed(number)} ≈ {rounded(number)}"


def _done(kind: str, result: Fraction, working: Working, sign: str = "") -> Calculated:
    bare = (decimal(result) or fraction(result)) + sign
    shown = decimal(result) or f"{mixed(result)}{sign} ≈ {rounded(result)}"
    return working.done(kind, bare, shown=working.amount(shown + sign) if not sign else shown + sign)


def _share(found: re.Match[str], working: Working) -> Calculated | None:
    of, other = (value(found["of"]), value(found["other"]))
    if of is None or other is None:
        return None
    if not of:
        return working.refuse("divided_by_zero", "division_by_zero")
    result = bounded(other / of * 100)
    working.explain("percent.share")
    working.show(f"{best(other)} ÷ {best(of)} × 100 = {number_shown(result)}")
    return _done("percent", result, working, "%")


def _changed(found: re.Match[str], working: Working) -> Calculated | None:
    part, of = (value(found["part"]), value(found["of"]))
    if part is None or of is None:
        return None
    change = bounded(part * of / 100)
    up = found["up"] == "increase"
    working.explain("percent.means", percent=best(part))
    working.show(f"{best(part)}/100 × {best(of)} = {number_shown(change)}")
    working.explain("percent.added" if up else "percent.taken")
    result = of + change if up else of - change
    working.show(f"{best(of)} {'+' if up else '−'} {best(change)} = {number_shown(result)}")
    return _done("percent", result, working)


def _change(found: re.Match[str], working: Working) -> Calculated | None:
    of, other = (value(found["of"]), value(found["other"]))
    if of is None or other is None or of <= 0 or other == of or (other > of) != (found["up"] == "increase"):
        return None
    result = bounded(abs(other - of) / of * 100)
    working.show(f"{best(max(of, other))} − {best(min(of, other))} = {best(abs(other - of))}")
    working.explain("percent.change", old=best(of))
    working.show(f"{best(abs(other - of))} ÷ {best(of)} × 100 = {number_shown(result)}")
    return _done("percent", result, working, "%")


def _discount(text: str, working: Working) -> Calculated | None:
    found = _found("discount", text)
    if found is None:
        return None
    part, of = (value(found["part"]), value(found["of"]))
    if part is None or of is None or of <= 0 or not 0 < part <= 100:
        return None
    working.money = True
    less = bounded(part * of / 100)
    amount = working.amount
    tax = "gst" in text
    working.explain("percent.means", percent=best(part))
    working.show(f"{best(part)}/100 × {best(of)} = {number_shown(less)}")
    total = of + less if tax else of - less
    working.explain("gst.pay" if tax else "discount.pay", amount=amount(best(less)))
    working.show(f"{best(of)} {'+' if tax else '−'} {best(less)} = {number_shown(total)}")
    shown = working.say(
        "gst.result" if tax else "discount.result", less=amount(number_shown(less)), pay=amount(number_shown(total))
    )
    return working.done("gst" if tax else "discount", amount(best(total)), shown=shown)


def _share_of(text: str, working: Working) -> Calculated | None:
    """3/4 of 20, half of 50, 20 ka dugna."""
    if found := _NAMED.fullmatch(text):
        share: Fraction | None = _SHARES[found[1] or found[4]]
        of = value(found[2] or found[3])
    elif found := _FRACTION.fullmatch(text):
        share, of = value(found[1] or found[4]), value(found[2] or found[3])
    else:
        return None
    if of is None:
        return None
    if share is None:
        return working.refuse("divided_by_zero", "division_by_zero")
    result = bounded(share * of)
    if share.denominator == 1:
        working.explain("share.times", times=whole(share.numerator))
        working.show(f"{whole(share.numerator)} × {best(of)} = {number_shown(result)}")
    else:
        working.explain("share.means", over=whole(share.numerator), under=whole(share.denominator))
        working.show(f"{best(of)} ÷ {whole(share.denominator)} = {number_shown(of / share.denominator)}")
        if share.numerator != 1:
            working.show(f"{whole(share.numerator)} × {best(of / share.denominator)} = {number_shown(result)}")
    return _done("share", result, working)
