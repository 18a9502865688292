"""The application by itself, called as a server calls it."""

from __future__ import annotations

from starlette.types import Message, Scope

from bot.simulator.app import Simulator
from bot.simulator.config import Config


async def test_a_caller_that_ends_in_mid_request_is_no_error_and_no_call() -> None:
    simulator = Simulator(Config())
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http", "method": "POST", "path": "/bot1:a/sendMessage", "raw_path": b"/bot1:a/sendMessage",
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("test", 80),
        "headers": [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"40")],
    }  # fmt: skip
    await simulator(scope, receive, send)
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [400]
    assert not simulator.world.record.calls
    await simulator.close()
