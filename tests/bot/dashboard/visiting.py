"""A dashboard to visit, and a browser without a window that signs in."""

from __future__ import annotations

import re

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI

from bot.dashboard.auth import COOKIE
from bot.dashboard.routes import routes
from bot.store import Store
from bot.training_jobs import Training
from tests.served import SECRET, no_training

NAME, PASSWORD = "meera", "rain on a tin roof"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # quick, for many sign-ins
ORIGIN = "http://school"


def service(store: Store, *, https: bool = False, training: Training | None = None) -> FastAPI:
    app = FastAPI()
    training = training or no_training(store)
    app.include_router(routes(store=store, secret=SECRET, public_https=https, training=training))
    return app


def visitor(app: FastAPI, *, address: str = "192.0.2.7", cookie: str | None = None) -> httpx.AsyncClient:
    """A browser of its own at `address`, which may bring a session cookie along."""
    transport = httpx.ASGITransport(app, client=(address, 5000))
    cookies = {COOKIE: cookie} if cookie is not None else {}
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN, follow_redirects=True, cookies=cookies)


def token(html: str) -> str:
    found = re.search(r'name="token" value="(\w+)"', html)
    assert found is not None
    return found[1]


async def sign_in(client: httpx.AsyncClient, name: str = NAME, password: str = PASSWORD) -> httpx.Response:
    page = await client.get("/dashboard/sign-in")
    form = {"token": token(page.text), "name": name, "password": password}
    return await client.post("/dashboard/sign-in", data=form)
