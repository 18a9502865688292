"""Passwords are hashed slowly, compared in one form, and refused when too short."""

from __future__ import annotations

import pytest

from bot.dashboard.passwords import LONGEST, hash_password, verify_password
from bot.errors import SetupError


def test_the_right_password_and_no_other() -> None:
    stored = hash_password("rain on a tin roof")
    assert stored.startswith("$argon2id$")
    assert "rain" not in stored
    assert verify_password(stored, "rain on a tin roof")
    assert not verify_password(stored, "rain on a tin roof ")
    assert not verify_password(stored, "")


def test_each_hash_has_its_own_salt() -> None:
    assert hash_password("rain on a tin roof") != hash_password("rain on a tin roof")


def test_composed_and_decomposed_letters_are_the_same_password() -> None:
    stored = hash_password("पढ़ाई और खेल")  # the letter in one code point, or in two
    assert verify_password(stored, "पढ़ाई और खेल".replace("\u095d", "\u0922\u093c"))


@pytest.mark.parametrize("stored", [None, "", "not a hash"])
def test_without_a_hash_nothing_fits(stored: str | None) -> None:
    assert not verify_password(stored, "the password of nobody")


@pytest.mark.parametrize("password", ["", "nine char", "x" * (LONGEST + 1)])
def test_unfit_passwords_are_refused_with_the_rule(password: str) -> None:
    with pytest.raises(SetupError, match=rf"10 to 200 characters; this one has {len(password)}"):
        hash_password(password)
