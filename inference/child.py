"""The inside of the model process: requests from standard input, one JSON object a line, events to standard output.

Requests  {"do": "generate", "id", "messages", "decoding", "adapter", "subject", "conversation"}
          {"do": "cancel", "id"}
Events    {"event": "ready", ...}: an EngineInfo   {"event": "failed", "kind", "message"}: could not start
          {"event": "text", "id", "text"}   {"event": "done", "id", "generation"}
          {"event": "error", "id", "kind", "message"}

The process ends when its standard input does, whatever it is doing: it cannot outlive the service, however that died.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from inference.adapters import Shelf, model_files
from inference.errors import InferenceError
from inference.generation import Decoding

if TYPE_CHECKING:
    from inference.engine import Engine

logger = logging.getLogger(__name__)

NICENESS = 5  # the webhooks of the service are to be answered first


class Inbox:
    """Requests in order of arrival, and which of them are no longer wanted. Read by a thread of its own."""

    def __init__(self, source: TextIO) -> None:
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, args=(source,), daemon=True, name="requests").start()

    def next(self) -> dict[str, Any]:
        """Wait for the next request."""
        request = self._requests.get()
        # Ids only grow: what is older than this one is finished, and a late cancellation of it means nothing.
        self._cancelled = {number for number in self._cancelled if number >= request["id"]}
        return request

    def wanted(self, number: int) -> bool:
        return number not in self._cancelled

    def _read(self, source: TextIO) -> None:
        try:
            for line in source:
                request = json.loads(line)
                if request["do"] == "cancel":
                    self._cancelled.add(request["id"])
                else:
                    self._requests.put(request)
        finally:
            os._exit(0)  # the service is gone; the main thread may be in the middle of a generation


class Outbox:
    """Events to the service, a line each."""

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def send(self, event: str, **fields: Any) -> None:
        self._target.write(json.dumps({"event": event, **fields}) + "\n")
        self._target.flush()


def main(arguments: list[str] | None = None) -> None:
    """Run until standard input ends."""
    options = _parse(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    os.nice(NICENESS)
    outbox = Outbox(_private_stdout())
    inbox = Inbox(sys.stdin)
    try:
        engine = _start_engine(options)
        _serve(engine, inbox, outbox)
    except InferenceError as error:
        outbox.send("failed", kind=type(error).__name__, message=str(error))
        os._exit(2)
    except BrokenPipeError:
        os._exit(0)  # the service closed its end
    except BaseException as error:  # noqa: BLE001  whatever it was, the model is not trusted after it
        # Frames only: the text of an exception may quote what a student wrote.
        frames = "".join(traceback.format_tb(error.__traceback__, limit=-6))
        logger.error("%s ends the model process\n%s", type(error).__name__, frames)  # noqa: TRY400
        os._exit(1)  # not sys.exit, which may wait for torch's threads


def _serve(engine: Engine, inbox: Inbox, outbox: Outbox) -> None:
    outbox.send(
        "ready",
        dtype=engine.dtype,
        device=engine.device,
        parameters=engine.parameters,
        context=engine.context,
        base_sha256=engine.base_sha256,
        adapters=[card.id for card in engine.shelf.list()],
    )
    while True:
        request = inbox.next()
        if inbox.wanted(request["id"]):
            _generate(engine, request, inbox, outbox)


def _generate(engine: Engine, request: dict[str, Any], inbox: Inbox, outbox: Outbox) -> None:
    number = request["id"]

    def on_text(text: str) -> bool:
        if text:
            outbox.send("text", id=number, text=text)
        return inbox.wanted(number)

    try:
        generation = engine.generate(
            request["messages"],
            decoding=Decoding(**request["decoding"]),
            adapter=request["adapter"],
            subject=request["subject"],
            conversation=request["conversation"],
            on_text=on_text,
        )
    except InferenceError as error:
        outbox.send("error", id=number, kind=type(error).__name__, message=str(error))
    else:
        outbox.send("done", id=number, generation=asdict(generation))


def _start_engine(options: argparse.Namespace) -> Engine:
    if not options.hub:
        model_files(Path(options.base))  # what is missing is said at once, without waiting for torch
    import torch

    torch.set_num_interop_threads(1)
    from inference.engine import Engine

    base = options.base if options.hub else Path(options.base)
    return Engine(base, Shelf(*options.adapters), threads=options.threads, dtype=options.dtype, copies=options.copies)


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
    return parser.parse_args(arguments)
