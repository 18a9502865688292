"""A command of `sahpathi` in a child process that ends with the service: see `bot.cli.watched` for its other end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bot.errors import SetupError

GRACE = 8.0  # seconds that a child has to put its work in order when the service ends
PATIENCE = 60.0  # the same when somebody pressed "Stop": a step on a slow machine, then the drawing of the report
KEPT = 20  # lines of its error output

_LINE_LIMIT = 1 << 20  # bytes; asyncio's own limit of 64 KiB is less than an evaluation with long answers
_PROJECT = Path(__file__).resolve().parents[1]


class Child:
    """The process, its output, and its end. Made by `started`."""

    def __init__(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
        if not (process.stdin and process.stdout and process.stderr):
            raise ValueError("all three standard streams must be pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._last_words: deque[str] = deque(maxlen=KEPT)
        self._log = asyncio.create_task(self._read_log())
        self._stopping = asyncio.create_task(self._end_when(stop))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def lines(self) -> AsyncGenerator[str, None]:
        """What it prints, line by line, until it closes its output."""
        while line := await _line(self._stdout):
            yield line

    async def status(self) -> int:
        """Wait for its end: the exit status, negative for a signal."""
        status = await self._process.wait()
        await self._log
        return status

    def failure(self, status: int) -> SetupError:
        """What went wrong, in a line, with the last lines of its error output below."""
        said = [line for line in self._last_words if line]
        ours = next((line for line in reversed(said) if line.startswith("sahpathi: ")), None)
        if ours is not None:
            said.remove(ours)
            why = ours.removeprefix("sahpathi: ")
        elif status == -signal.SIGKILL:
            why = "The system ended the process, most likely because memory ran out. Close other programs, or train "
            why += "with a smaller batch on the command line; what was done until the last checkpoint is kept."
        else:
            why = f"The process ended with status {status}."
        return SetupError("\n".join([why, *said]))

    async def close(self) -> None:
        """End it if it still runs: as by Ctrl-C, and after a while for good."""
        self._stopping.cancel()
        await self._end(GRACE)
        self._stdin.close()
        self._log.cancel()
        await asyncio.gather(self._log, self._stopping, return_exceptions=True)

    async def _end_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        await self._end(PATIENCE)

    async def _end(self, patience: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _read_log(self) -> None:
        while line := await _line(self._stderr):
            self._last_words.append(line.rstrip().rpartition("\r")[2])  # of a bar only what it showed last


@asynccontextmanager
async def started(words: Sequence[str], environment: Mapping[str, str], stop: asyncio.Event) -> AsyncIterator[Child]:
    """`sahpathi` with these words, as long as the body runs; once `stop` is set it is ended as by Ctrl-C."""
    inherited = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = await asyncio.create_subprocess_exec(
        # -P: a folder named `bot` in the working directory must not be taken for this package.
        *(sys.executable, "-P", "-m", "bot.cli.watched", *words),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(inherited), "PYTHONUTF8": "1", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        process_group=0,  # Ctrl-C in a terminal is for the service, which then ends us in order
    )
    child = Child(process, stop)
    try:
        yield child
    finally:
        await child.close()


async def _line(stream: asyncio.StreamReader) -> str:
    """The next line with its line break; "" at the end. One that is too long is passed over."""
    while True:
        try:
            return (await stream.readline()).decode("utf-8", "replace")
        except ValueError:  # asyncio has dropped what it had of it
            continue
