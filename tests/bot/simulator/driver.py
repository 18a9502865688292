"""The service's side of the simulator in a test: webhooks that remember, and the control API in Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.ports import HttpRequest
from bot.simulator.app import Simulator
from bot.simulator.config import Config, Pace
from bot.simulator.server import running
from tests.local_server import LocalServer

Json = dict[str, Any]
T = TypeVar("T")
QUICK = Pace(receipt=0.0, backoff=0.01, longest_backoff=0.05, attempts=4, deadline=5.0)


@dataclass(frozen=True)
class Delivery:
    """One webhook call."""

    path_query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("ascii"), keep_blank_values=True))

    @property
    def request(self) -> HttpRequest:
        """As the channels take it."""
        is_form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        return HttpRequest(self.path_query, self.headers, self.body, tuple(self.form.items()) if is_form else ())


class Webhooks(LocalServer):
    """Takes every webhook; answers 200 unless `answers` holds other statuses, which are used up first."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.deliveries: list[Delivery] = []
        self.answers: list[int] = []
        self.verify_token = ""

    def routes(self) -> Iterable[Route]:
        yield Route("/{path:path}", self._take, methods=["POST"])
        yield Route("/{path:path}", self._challenge, methods=["GET"])

    async def _take(self, request: Request) -> Response:
        query = request.url.query
        path_query = request.url.path + (f"?{query}" if query else "")
        self.deliveries.append(Delivery(path_query, dict(request.headers), await request.body()))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    async def _challenge(self, request: Request) -> Response:
        if request.query_params.get("hub.verify_token") != self.verify_token:
            return Response(status_code=403)
        return PlainTextResponse(request.query_params["hub.challenge"])


class Driver:
    """A running simulator, driven through its control API."""

    def __init__(self, simulator: Simulator) -> None:
        self.config = simulator.config
        self.url = simulator.config.base_url
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    def get(self, path: str, **query: str | int) -> Any:
        response = self.client.get(f"/sim/{path}", params=query)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Json | None = None) -> Any:
        response = self.client.post(f"/sim/{path}", json=body or {})
        assert response.status_code == 200, response.text
        return response.json()

    def reset(self) -> None:
        """Forget all, the service's webhook too."""
        self.post("reset?registered=false")

    def say(self, provider: str, student: str, text: str = "", **more: str) -> Json:
        """Be a student. Returns the provider's id and the bubble's."""
        said: Json = self.post("messages", {"provider": provider, "student": student, "text": text, **more})
        return said

    def phone(self, provider: str, student: str) -> Json:
        shown: Json = self.get(f"students/{provider}/{student}")
        return shown

    def shown(self, provider: str, student: str) -> list[str]:
        """The texts on the phone, in order."""
        return [message["text"] for message in self.phone(provider, student)["messages"]]

    def last(self, provider: str, student: str) -> Json:
        message: Json = self.phone(provider, student)["messages"][-1]
        return message

    def calls(self, method: str, **query: str | int) -> list[Json]:
        """The calls of one method, in order."""
        listed: list[Json] = self.get("calls", method=method, **query)
        return listed

    def called(self, method: str) -> list[Json]:
        """The parameters of these calls."""
        return [call["parameters"] for call in self.calls(method)]

    def sent(self, method: str) -> list[Json]:
        """The parameters of the calls of a method that made a message, in order, whatever became of their answer."""
        return [call["parameters"] for call in self.calls(method) if call["message_id"]]

    def violations(self) -> list[Json]:
        listed: list[Json] = self.get("violations")
        return listed

    def broken(self) -> list[str]:
        """The names of the rules that were broken."""
        return [violation["rule"] for violation in self.violations()]

    def fault(self, provider: str, kind: str, *, seed: int = 0, **more: Any) -> None:
        self.faults(provider, {"kind": kind, **more}, seed=seed)

    def faults(self, provider: str, *given: Json, seed: int = 0) -> None:
        """These in place of the provider's former ones; the first that applies to a call befalls it."""
        self.post("faults", {"provider": provider, "faults": list(given), "seed": seed})

    def refuse(self, provider: str, student: str, code: str) -> None:
        self.post("faults", {"provider": provider, "refusals": {student: code}})


@contextmanager
def driven(service: str, public_url: str = "", pace: Pace = QUICK, **more: Any) -> Iterator[Driver]:
    """A quick simulator of its own for `service`. `more`: other fields of its configuration."""
    with running(Config(service=service, public_url=public_url, pace=pace, **more)) as simulator:
        driver = Driver(simulator)
        with driver.client:
            yield driver


def eventually(found: Callable[[], T], seconds: float = 10.0) -> T:
    """What `found` gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return value
