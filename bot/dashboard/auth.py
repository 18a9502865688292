"""Who is signed in: a signed cookie, a token in every form, and a limit on guessing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from bot.dashboard.passwords import verify_password
from bot.store import Store
from bot.tables import User

COOKIE = "sahpathi_session"
PATH = "/dashboard"
LIFETIME = 12 * 3600  # seconds
GUESSES = parse("10 per 5 minutes")  # from one address


class ForgedForm(Exception):
    """A form that did not come from a page of ours, or from one too old."""


class TooManyGuesses(Exception):
    """This address has tried too often; it may try again in a few minutes."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser. `user` is empty until it has signed in; `id` binds the tokens of its forms."""

    id: str
    user: str = ""
    stamp: str = ""  # of the user's password: a new password ends the sessions of the old one


class Sessions:
    """Issues and reads session cookies. Nothing is kept on the server."""

    def __init__(self, secret: str, *, secure: bool) -> None:
        self._cookies = URLSafeTimedSerializer(secret, salt="sahpathi.dashboard.session")
        self._secret = secret.encode()
        self._secure = secure

    def read(self, request: Request) -> Session | None:
        """The browser's session, None without a valid cookie. Whether its user still exists, `Door` knows."""
        try:
            found = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=LIFETIME)
        except BadSignature:
            return None
        return Session(*found)

    def begin(self, response: Response, user: User | None = None) -> Session:
        """A new session; signing in always starts one, so a cookie planted before is worth nothing."""
        session = Session(secrets.token_urlsafe(18), user.name if user else "", stamp(user) if user else "")
        response.set_cookie(
            COOKIE,
            self._cookies.dumps([session.id, session.user, session.stamp]),
            max_age=LIFETIME,
            path=PATH,
            httponly=True,
            secure=self._secure,
            samesite="lax",
        )
        return session

    def end(self, response: Response) -> None:
        response.delete_cookie(COOKIE, path=PATH, httponly=True, secure=self._secure, samesite="lax")

    def token(self, session: Session) -> str:
        """What every form of this session carries."""
        return hmac.new(self._secret, f"form {session.id}".encode(), hashlib.sha256).hexdigest()

    def verify(self, request: Request, session: Session | None, token: str) -> None:
        """Raises ForgedForm unless the form is this session's and was sent by our own page."""
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
        if foreign or session is None or not hmac.compare_digest(self.token(session).encode(), token.encode()):
            raise ForgedForm


class Door:
    """Checks names and passwords, slowly for those who guess."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guesses = MovingWindowRateLimiter(MemoryStorage())

    async def enter(self, name: str, password: str, address: str) -> User | None:
        """The user, or None. Raises TooManyGuesses; an attempt counts before it is checked."""
        if not await self._guesses.hit(GUESSES, address):
            raise TooManyGuesses
        user = await self._store.user(name)
        known = await asyncio.to_thread(verify_password, user.password if user else None, password)
        if not known:
            return None
        await self._guesses.clear(GUESSES, address)
        return user

    async def recognise(self, session: Session | None) -> User | None:
        """The signed-in user of a session, if still there with the same password."""
        if session is None or not session.user:
            return None
        user = await self._store.user(session.user)
        return user if user is not None and hmac.compare_digest(stamp(user), session.stamp) else None


def stamp(user: User) -> str:
    """Changes with the password, and tells nothing about it."""
    return hashlib.sha256(user.password.encode()).hexdigest()[:16]
