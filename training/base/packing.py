"""Shards of packed text: documents become tokens in several processes, each shard written whole or not at all."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from inference.files import flush, write_json
from inference.prompt import END_OF_TEXT
from training.errors import TrainingError

_AT_ONCE = 256  # documents given to the tokenizer in one call


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that become one shard. `position` is the byte of the source they end at."""

    source: str
    name: str
    texts: Sequence[str]
    position: int
    last: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """What `name`.tokens holds: `learned` tokens, then `kept_back` ones. `last` ends its source."""

    name: str
    documents: int
    learned: int
    kept_back: int
    sha256: str
    last: bool


@dataclass(frozen=True, slots=True)
class How:
    """How text becomes tokens: the tokenizer's file, the type of a token on disk, the share held back."""

    tokenizer: Path
    dtype: str
    validation: float


def write_shards(
    parts: Iterator[Part], folder: Path, how: How, processes: int, on_shard: Callable[[Part], None]
) -> None:
    """Write a shard for each part into `folder`. 0 `processes` are as many as there are processors.

    Raises TrainingError. Shards that were finished by then stay.
    """
    first = list(islice(parts, 2))
    processes = processes or os.cpu_count() or 1
    try:
        if processes == 1 or len(first) < 2:  # to start a process takes longer than to pack a few books
            encode = _encoder(how.tokenizer)
            for part in chain(first, parts):
                _write_shard(part, folder, how, encode)
                on_shard(part)
        else:
            _write_in_processes(chain(first, parts), folder, how, processes, on_shard)
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that packed text was ended, most likely for want of memory; the finished shards are kept: "
            "give the same command again, with fewer processes"
        ) from error
    except OSError as error:
        raise TrainingError(
            f"{folder}: packing stopped ({error}); finished shards are kept: make room and give the same command again"
        ) from error


def _write_in_processes(
    parts: Iterable[Part], folder: Path, how: How, processes: int, on_shard: Callable[[Part], None]
) -> None:
    # Spawned, not forked: the tokenizer's and torch's threads of this process would leave their locks locked.
    context = multiprocessing.get_context("spawn")
    waiting: deque[tuple[Part, Future[None]]] = deque()
    with ProcessPoolExecutor(processes, context, _start, (how.tokenizer,)) as pool:
        try:
            for part in parts:
                waiting.append((part, pool.submit(_write_in_process, part, folder, how)))
                if len(waiting) > 2 * processes:  # no more text in memory than is worked on
                    _finish(waiting, on_shard)
            while waiting:
                _finish(waiting, on_shard)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _finish(waiting: deque[tuple[Part, Future[None]]], on_shard: Callable[[Part], None]) -> None:
    part, future = waiting.popleft()
    future.result()
    on_shard(part)


_started: list[Callable[[Sequence[str]], list[list[int]]]] = []  # the tokenizer of a process that packs


def _start(tokenizer: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal; the parent ends us
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    _started.append(_encoder(tokenizer))


def _end_with_the_parent() -> None:
    """A parent that is killed ends nobody: its processes would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_in_process(part: Part, folder: Path, how: How) -> None:
    _write_shard(part, folder, how, _started[0])


def _encoder(tokenizer: Path) -> Callable[[Sequence[str]], list[list[int]]]:
    """What turns texts into tokens, each text ended by END_OF_TEXT."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    loaded.no_truncation()
    loaded.no_padding()
    end: int = loaded.get_vocab()[END_OF_TEXT]
    return lambda texts: [[*one.ids, end] for one in loaded.encode_batch_fast(list(texts), add_special_tokens=False)]


def _write_shard(part: Part, folder: Path, how: How, encode: Callable[[Sequence[str]], list[list[int]]]) -> None:
    learned, kept_back = list[Any](), list[Any]()
    for at in range(0, len(part.texts), _AT_ONCE):
        for tokens in encode(part.texts[at : at + _AT_ONCE]):
            cut = len(tokens) - max(1, round(len(tokens) * how.validation))
            learned.append(np.array(tokens[:cut], np.uint32))
            kept_back.append(np.array(tokens[cut:], np.uint32))
    kind = np.dtype(how.dtype).newbyteorder("<")
    pieces = [piece.astype(kind).tobytes() for piece in (*learned, *kept_back)]
    path = folder / f"{part.name}.tokens"
    unfinished = folder / f"{part.name}.part"
    with unfinished.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    flush(folder)
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    kept, held = sum(map(len, learned)), sum(map(len, kept_back))
    shard = Shard(part.name, len(part.texts), kept, held, digest, part.last)
    write_json(folder / f"{part.name}.json", asdict(shard))
