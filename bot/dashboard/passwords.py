"""Passwords of teachers and operators, kept as argon2id hashes."""

from __future__ import annotations

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bot.errors import SetupError

SHORTEST = 10
LONGEST = 200


def hash_password(password: str) -> str:
    """The hash to store. Raises SetupError for a password that is too short or far too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise SetupError(
            f"A password must have {SHORTEST} to {LONGEST} characters; this one has {len(password)}. "
            "Three or four words that do not belong together are easy to remember and hard to guess."
        )
    return PasswordHasher().hash(_normal(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to the stored hash. Without one (an unknown user) it costs the same and is False."""
    if len(password) > LONGEST:
        return False
    try:
        PasswordHasher().verify(_nobody() if stored is None else stored, _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


@cache
def _nobody() -> str:
    return PasswordHasher().hash("the password of nobody")


def _normal(password: str) -> str:
    """One form for what different keyboards type: Devanagari letters can be composed in two ways."""
    return unicodedata.normalize("NFC", password)
