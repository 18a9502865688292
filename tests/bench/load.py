"""Posts signed webhooks as a provider does, from a process of its own, so that its work is nobody else's.

    python -m tests.bench.load < load.json > summary.json

Raw streams instead of an HTTP client, and bodies signed before the clock starts: the machine's two cores belong to what
is measured. In open loop a request counts from the moment it was due, whether or not a connection was free for it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from tests.bench.figures import quantile
from tests.bench.processes import cpu_seconds
from tests.bench.servers import AUTH_TOKEN, HOOKS, PUBLIC, TELEGRAM_SECRET
from tests.payloads.recorded import payload
from tests.signing import twilio_signature

STUDENTS = 300
MOST_A_SECOND = 8000  # signed in advance for a closed loop, which ends early when all are used
PATIENCE = 60.0  # seconds for the last answers
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")

clock = time.monotonic


@dataclass(frozen=True)
class Load:
    """What to post. `rate` a second in open loop, 0: closed loop, each connection posting as soon as it is answered.

    The first `warm` seconds are posted as well and not counted. `first` numbers the messages: no two loads of one
    service may overlap. `watched` are process ids whose use of the processor is measured meanwhile.
    """

    port: int
    channel: str
    texts: tuple[str, ...]
    first: int
    seconds: float
    connections: int
    rate: float = 0.0
    warm: float = 1.0
    forged: bool = False
    watched: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many requests are prepared."""
        return round((self.warm + self.seconds) * (self.rate or MOST_A_SECOND))


@dataclass(frozen=True)
class Summary:
    """What came of a load. Times in milliseconds, `rate` in answers a second, `cores` by watched process.

    `statuses` counts the warming up too. `late`: the 99th percentile of how long after its time a request could be
    begun, which is this program's own share of the latencies in open loop.
    """

    statuses: dict[str, int]
    rate: float
    p50: float
    p95: float
    p99: float
    late: float
    cores: dict[str, float]

    @property
    def acknowledged(self) -> int:
        return self.statuses.get("200", 0)

    @property
    def refused(self) -> int:
        """How many were answered, but not by 200."""
        return sum(self.statuses.values()) - self.acknowledged


def student(channel: str, number: int) -> str:
    """Whose message this is: a chat's number, or a telephone number."""
    which = number % STUDENTS
    return str(700_000_000 + which) if channel == "telegram" else f"+9198{which:08d}"


def requests(load: Load) -> Iterator[bytes]:
    """The requests as bytes, head and body. With `forged` nothing of them is signed."""
    make = {"telegram": _telegram, "twilio": _twilio}[load.channel]
    base = payload({"telegram": "telegram/text", "twilio": "whatsapp/text"}[load.channel])
    for number in range(load.first, load.first + load.count):
        body, headers = make(base, student(load.channel, number), number, load.texts[number % len(load.texts)])
        if load.forged:
            headers = headers | {name: "forged" for name in headers if name.startswith("X-")}
        lines = [f"POST {HOOKS[load.channel]} HTTP/1.1", f"Host: 127.0.0.1:{load.port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        yield "\r\n".join((*lines, "", "")).encode("ascii") + body


def _telegram(base: dict[str, Any], chat: str, number: int, text: str) -> tuple[bytes, dict[str, str]]:
    """An update with the secret that Telegram shows."""
    who = {name: base["message"][name] | {"id": int(chat)} for name in ("from", "chat")}
    message = base["message"] | who | {"message_id": number, "text": text}
    body = json.dumps({"update_id": number, "message": message}).encode()
    return body, {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRET}


def _twilio(base: dict[str, str], phone: str, number: int, text: str) -> tuple[bytes, dict[str, str]]:
    """A form, signed for the public address."""
    sid = f"SM{number:032x}"
    form = base | {
        "MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "Body": text, "From": f"whatsapp:{phone}",
        "WaId": phone.removeprefix("+"),
    }  # fmt: skip
    signature = twilio_signature(AUTH_TOKEN, PUBLIC + HOOKS["twilio"], form)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return urlencode(form).encode("ascii"), headers


def status_of(received: bytes) -> int | None:
    """The status of a response; None while it is not complete. Only what our servers send: a length, no chunks."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not end or len(body) < (int(length[1]) if length else 0):
        return None
    return int(head[9:12])


class Connection(asyncio.Protocol):
    """A connection that is kept open, with one request under way at a time."""

    def __init__(self, answered: Callable[[Connection, int], None], lost: Callable[[], None]) -> None:
        self._answered, self._lost = answered, lost
        self._received = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def post(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def close(self) -> None:
        self._lost = lambda: None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        status = status_of(self._received)
        if status is not None:
            self._received = b""
            self._answered(self, status)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()


class Sender:
    """Hands requests to free connections, the one longest unused first, and notes what came of them.

    Counted are the latencies of requests due from `begin` on, and the answers that come between `begin` and `end`.
    `more` gives the next request once an answer has come, None when there is none to be sent.
    """

    def __init__(self, begin: float, end: float, more: Callable[[], bytes | None]) -> None:
        self._begin, self._end, self._more = begin, end, more
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._open: list[Connection] = []
        self.settled = asyncio.Event()  # nothing waits and nothing is under way
        self.broken = False
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self._within = 0
        self._last = begin

    @property
    def rate(self) -> float:
        """Answers a second, up to the last one where the requests were used up before the end."""
        return self._within / (self._last - self._begin) if self._within else 0.0

    async def connect(self, port: int, connections: int) -> None:
        """Open all connections before anything is sent."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(partial(Connection, self._answered, self._lost), "127.0.0.1", port)
            self._open.append(made)
        self._free.extend(self._open)

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def post(self, request: bytes, due: float) -> None:
        """Send it now, or as soon as a connection is free."""
        self.settled.clear()
        self._waiting.append((due, request))
        self._next()

    def _next(self) -> None:
        while self._free and self._waiting:
            due, request = self._waiting.popleft()
            self._free.popleft().post(request, due)

    def _answered(self, connection: Connection, status: int) -> None:
        now = clock()
        self.statuses[status] += 1
        if connection.due >= self._begin:
            self.latencies.append((now - connection.due) * 1000)
        if self._begin <= now < self._end:
            self._within += 1
            self._last = now
        self._free.append(connection)
        if (request := self._more()) is not None:
            self._waiting.append((now, request))
        self._next()
        if len(self._free) == len(self._open):
            self.settled.set()

    def _lost(self) -> None:
        self.broken = True  # what was under way on it is not known: the whole measurement means nothing
        self.settled.set()


async def run(load: Load) -> Summary:
    """Post it all.

    Raises ConnectionError when the server drops a connection, TimeoutError when answers do not come, ValueError when
    nothing was sent after the warming up, since no answer had come.
    """
    prepared = list(requests(load))
    began = clock() + 0.1
    end = began + load.warm + load.seconds
    rest = iter(prepared)
    more = (lambda: None) if load.rate else (lambda: next(rest, None) if clock() < end else None)
    sender = Sender(began + load.warm, end, more)
    await sender.connect(load.port, load.connections)
    watched = {**load.watched, "load": os.getpid()}
    await asyncio.sleep(max(0.0, began - clock()))
    before = {name: cpu_seconds(pid) for name, pid in watched.items()}
    lateness = [0.0]
    if load.rate:
        lateness = await _paced(sender, prepared, began, load.rate)
    else:
        for _ in range(load.connections):
            sender.post(next(rest), clock())
    async with asyncio.timeout(load.seconds + load.warm + PATIENCE):
        await sender.settled.wait()
    if sender.broken:
        raise ConnectionError("the server closed a connection")
    elapsed = clock() - began
    sender.close()
    cores = {name: round((cpu_seconds(pid) - before[name]) / elapsed, 2) for name, pid in watched.items()}
    return _summary(sender, lateness, cores)


async def _paced(sender: Sender, prepared: list[bytes], began: float, rate: float) -> list[float]:
    """Post each request when it is due. Returns how late each was begun, in milliseconds."""
    lateness = []
    for number, request in enumerate(prepared):
        due = began + number / rate
        if (wait := due - clock()) > 0:
            await asyncio.sleep(wait)
        lateness.append((clock() - due) * 1000)
        sender.post(request, due)
    return lateness


def _summary(sender: Sender, lateness: list[float], cores: dict[str, float]) -> Summary:
    times = sender.latencies
    if not times:
        raise ValueError("there is nothing to be counted: measure for longer")
    return Summary(
        statuses={str(status): count for status, count in sorted(sender.statuses.items())},
        rate=sender.rate,
        p50=quantile(times, 0.5),
        p95=quantile(times, 0.95),
        p99=quantile(times, 0.99),
        late=quantile(lateness, 0.99),
        cores=cores,
    )


def main() -> None:
    """Read a Load, print its Summary."""
    load = Load(**json.load(sys.stdin))
    gc.disable()  # a pause of ours would be taken for one of the server's
    # select() waits to the microsecond, epoll only to the millisecond
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        print(json.dumps(asdict(runner.run(run(load)))))


if __name__ == "__main__":
    main()
