"""The inside of the model process: requests from standard input, one JSON object a line, events to standard output.

Requests  {"do": "generate", "id", "messages", "decoding", "adapter", "subject", "conversation"}
          {"do": "cancel", "id"}
Events    {"event": "ready", ...}: an EngineInfo   {"event": "failed", "kind", "message"}: could not start
          {"event": "taken", "id"}: its model may have to be loaded before there is more to say
          {"event": "text", "id", "text"}
          {"event": "done", "id", "generation"}   {"event": "error", "id", "kind", "message"}
          {"event": "cancelled", "id"}: it has no slot any more, if it had one
          {"event": "beat"}: a sign of life, when requests are under way and there was nothing else to say for a second

Any number of requests may be under way; the engine decodes as many together as it has slots. The process ends when its
standard input does, whatever it is doing: it cannot outlive the service, however that died.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from inference.adapters import Shelf, model_files
from inference.errors import InferenceError
from inference.generation import Decoding, Generation, Request

if TYPE_CHECKING:
    from inference.engine import Engine

logger = logging.getLogger(__name__)

NICENESS = 5  # the webhooks of the service are to be answered first
BEAT_SECONDS = 1.0


class Inbox:
    """What the service sends, in order of arrival. Read by a thread of its own."""

    def __init__(self, source: TextIO) -> None:
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(source,), daemon=True, name="requests").start()

    def take(self, *, wait: bool) -> tuple[set[int], list[Request]]:
        """What has come: the numbers no longer wanted, and the new requests but for those among them.

        With `wait`, waits until there is something.
        """
        came = [self._lines.get()] if wait else []
        while not self._lines.empty():  # nobody else takes from it
            came.append(self._lines.get())
        cancelled = {line["id"] for line in came if line["do"] == "cancel"}
        return cancelled, [_request(line) for line in came if line["id"] not in cancelled]

    def _read(self, source: TextIO) -> None:
        try:
            for line in source:
                self._lines.put(json.loads(line))
        finally:
            os._exit(0)  # the service is gone; the main thread may be in the middle of a step


class Outbox:
    """Events to the service, a line each; the Listener of every request. Lines go out together, at `flush`."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._lines: list[str] = []
        self._flushed = time.monotonic()

    def put(self, event: str, **fields: Any) -> None:
        self._lines.append(json.dumps({"event": event, **fields}) + "\n")

    def text(self, number: int, piece: str) -> None:
        self.put("text", id=number, text=piece)

    def done(self, number: int, generation: Generation) -> None:
        self.put("done", id=number, generation=asdict(generation))

    def failed(self, number: int, error: InferenceError) -> None:
        self.put("error", id=number, **_described(error))

    def beat(self) -> None:
        """Show that the engine goes on, if nothing else does."""
        if not self._lines and time.monotonic() - self._flushed >= BEAT_SECONDS:
            self.put("beat")

    def flush(self) -> None:
        if self._lines:
            self._target.write("".join(self._lines))
            self._target.flush()
            self._lines.clear()
            self._flushed = time.monotonic()


def main(arguments: list[str] | None = None) -> None:
    """Run until standard input ends."""
    options = _parse(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    os.nice(NICENESS)
    outbox = Outbox(_private_stdout())
    inbox = Inbox(sys.stdin)
    try:
        engine = _start_engine(options, outbox)
        while True:
            _turn(engine, inbox, outbox)
    except BrokenPipeError:
        os._exit(0)  # the service closed its end
    except BaseException as error:  # noqa: BLE001  whatever it was, the model is not trusted after it
        # Frames only: the text of an exception may quote what a student wrote.
        frames = "".join(traceback.format_tb(error.__traceback__, limit=-6))
        logger.error("%s ends the model process\n%s", type(error).__name__, frames)  # noqa: TRY400
        os._exit(1)  # not sys.exit, which may wait for torch's threads


def _turn(engine: Engine, inbox: Inbox, outbox: Outbox) -> None:
    """Take what has come, then one step of everything under way."""
    cancelled, requests = inbox.take(wait=not engine.under_way)
    for number in cancelled:
        engine.cancel(number)
        outbox.put("cancelled", id=number)
    for request in requests:
        outbox.put("taken", id=request.number)
        engine.add(request, outbox)
    outbox.flush()  # before a step that may load a model, which takes longer than anything else here
    if engine.under_way:
        engine.step()
        outbox.beat()
    outbox.flush()


def _start_engine(options: argparse.Namespace, outbox: Outbox) -> Engine:
    try:
        engine = _engine(options)
    except InferenceError as error:
        outbox.put("failed", **_described(error))
        outbox.flush()
        os._exit(2)
    outbox.put(
        "ready",
        dtype=engine.dtype,
        device=engine.device,
        parameters=engine.parameters,
        context=engine.context,
        slots=engine.slots,
        base_sha256=engine.base_sha256,
        adapters=[card.id for card in engine.shelf.list()],
    )
    outbox.flush()
    return engine


def _engine(options: argparse.Namespace) -> Engine:
    if not options.hub:
        model_files(Path(options.base))  # what is missing is said at once, without waiting for torch
    import torch

    torch.set_num_interop_threads(1)
    from inference.engine import Engine

    base = options.base if options.hub else Path(options.base)
    return Engine(
        base,
        Shelf(*options.adapters),
        threads=options.threads,
        dtype=options.dtype,
        copies=options.copies,
        slots=options.slots,
    )


def _request(line: dict[str, Any]) -> Request:
    return Request(
        number=line["id"],
        messages=line["messages"],
        decoding=Decoding(**line["decoding"]),
        adapter=line["adapter"],
        subject=line["subject"],
        conversation=line["conversation"],
    )


def _described(error: InferenceError) -> dict[str, str]:
    return {"kind": type(error).__name__, "message": str(error)}


def _private_stdout() -> TextIO:
    """The real standard output, for events alone. Whatever a library prints goes to standard error from now on."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference.process", description="The model process of Sahpathi.")
    parser.add_argument("--base", required=True, help="the base model's folder, or its name on the hub")
    parser.add_argument("--hub", action="store_true", help="the base model is a name on the hub")
    parser.add_argument("--adapters", action="append", required=True, type=Path, help="a root of adapters; repeat")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--copies", default=4, type=int, help="how many merged models to keep in memory")
    parser.add_argument("--slots", default=16, type=int, help="how many answers to write together")
    return parser.parse_args(arguments)
