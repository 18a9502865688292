"""The inside of llama.cpp's process: its own server on a free port of 127.0.0.1, until standard input ends.

The first line of standard input is the key that every request must bring: nobody else on the machine may ask.
One line goes to standard output: {"url": ...} or {"error": ...}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from typing import Any

NICENESS = 5  # as the model process of our own: the webhooks are answered first


def main(arguments: list[str] | None = None) -> None:
    """Serve until standard input ends, whatever is under way then: no process outlives the service."""
    options = _parse(arguments)
    os.nice(NICENESS)
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever llama.cpp prints
    key = sys.stdin.readline().strip()
    try:
        server = _start(options, key)
    except Exception as error:  # noqa: BLE001  whatever it was, it is told and ends the process
        answer.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        answer.flush()
        os._exit(2)
    answer.write(json.dumps({"url": server.listening_address}) + "\n")
    answer.flush()
    sys.stdin.read()
    os._exit(0)  # not `del server`, which waits for what is under way


def _start(options: argparse.Namespace, key: str) -> Any:
    xllamacpp = import_module("xllamacpp")  # it has no types
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots  # shared out evenly
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.api_keys = [key]
    params.ui = False
    params.verbosity = 1  # errors; never a prompt
    return xllamacpp.Server(params)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference.llamacpp_child", description="llama.cpp for Sahpathi.")
    parser.add_argument("--model", required=True, help="the GGUF file")
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--slots", required=True, type=int, help="answers side by side")
    parser.add_argument("--context", required=True, type=int, help="tokens of each slot, prompt and answer")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
