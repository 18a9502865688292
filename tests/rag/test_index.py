from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.embed import Embedder, Vectors
from rag.errors import EmbeddingMismatch, IndexInUse, IndexUnavailable
from rag.index import PREFIX, Index, fingerprint
from rag.passage import Passage

MakePassage = Callable[..., Passage]

HOLD = """
import sys
from pathlib import Path
from rag.lock import FolderLock

lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def few(make_passage: MakePassage) -> list[Passage]:
    return [
        make_passage("Stomata are tiny pores on leaves. Gases pass through stomata.", page=2),
        make_passage("An echo is a reflected sound. Bats use echoes.", page=19, class_level=8),
        make_passage("Profit is the money gained.", page=4, subject="mathematics"),
    ]


def asked(embedder: Embedder, question: str) -> Vectors:
    vector: Vectors = embedder.embed([question])[0]
    return vector


def test_a_new_index_is_empty(tmp_path: Path, embedder: Embedder) -> None:
    index = Index.embedded(tmp_path / "new")
    assert index.stamp is None
    assert index.query(asked(embedder, "What are stomata?"), 3) == []
    index.check(embedder)
    index.close()


def test_what_was_indexed_is_found_after_reopening(tmp_path: Path, embedder: Embedder, few: list[Passage]) -> None:
    index = Index.embedded(tmp_path)
    seen: list[tuple[int, int]] = []
    index.build(few, embedder, lambda done, total: seen.append((done, total)))
    index.close()
    assert seen[-1] == (3, 3)

    index = Index.embedded(tmp_path)
    assert index.stamp is not None
    assert (index.stamp.model, index.stamp.dimension) == (embedder.name, embedder.dimension)
    assert (index.stamp.fingerprint, index.stamp.passages) == (fingerprint(few), 3)
    for passage, question in zip(few, ["What are stomata?", "What is an echo?", "What is profit?"], strict=True):
        best, *rest = index.query(asked(embedder, question), 3)
        assert best.score > max(other.score for other in rest)
        assert (best.id, best.text, best.book, best.page) == (passage.id, passage.text, passage.book, passage.page)
        assert (best.class_level, best.subject, best.language) == (passage.class_level, passage.subject, "en")
    index.close()


def test_a_filter_finds_what_is_far_from_the_question(tmp_path: Path, embedder: Embedder, few: list[Passage]) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    vector = asked(embedder, "What are stomata?")
    assert [p.class_level for p in index.query(vector, 1, {"class_level": 8})] == [8]
    assert [p.page for p in index.query(vector, 3, {"class_level": 7, "subject": "mathematics"})] == [4]
    assert index.query(vector, 3, {"subject": "history"}) == []
    index.close()


def test_another_model_is_refused(tmp_path: Path, embedder: Embedder, few: list[Passage]) -> None:
    class Renamed(Embedder):
        def __init__(self, name: str, dimension: int) -> None:
            super().__init__(name)
            self._size = dimension

        @property
        def dimension(self) -> int:
            return self._size

    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    for other in (Renamed("another-model", embedder.dimension), Renamed(embedder.name, 768)):
        with pytest.raises(EmbeddingMismatch, match="sahpathi textbooks reindex"):
            index.check(other)
    index.check(embedder)
    index.close()


class Breaking(Embedder):
    """Embeds so many batches, then breaks as a full disk or a killed process would."""

    def __init__(self, real: Embedder, batches: int) -> None:
        super().__init__(real.name)
        self._real = real
        self._left = batches

    @property
    def dimension(self) -> int:
        return self._real.dimension

    def embed(self, texts: object) -> Vectors:
        if self._left == 0:
            raise OSError("broken")
        self._left -= 1
        return self._real.embed(texts)  # type: ignore[arg-type]  # what the index passes on


def test_a_failing_build_leaves_the_old_index(
    tmp_path: Path, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    many = [make_passage(f"Planet number {n} has {n} moons.") for n in range(40)]
    with pytest.raises(OSError, match="broken"):
        index.build(many, Breaking(embedder, batches=1))
    steps = index.building(many, embedder)
    next(steps)
    steps.close()
    assert index.query(asked(embedder, "What are stomata?"), 1)[0].page == 2
    index.close()

    index = Index.embedded(tmp_path)
    assert index.stamp is not None
    assert index.stamp.passages == 3
    assert [name for name in _collections(index) if name.startswith(PREFIX)] == [_current(index)]
    index.close()


def test_a_new_build_replaces_the_old(
    tmp_path: Path, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    index._client.create_collection(PREFIX + "abandoned", embedding_function=None)  # as a killed build leaves it
    index.build([make_passage("Ice melts.", page=9)], embedder)
    assert [passage.page for passage in index.query(asked(embedder, "What are stomata?"), 5)] == [9]
    assert [name for name in _collections(index) if name.startswith(PREFIX)] == [_current(index)]
    index.build([], embedder)
    assert index.query(asked(embedder, "What are stomata?"), 5) == []
    index.close()


def _collections(index: Index) -> list[str]:
    return [collection.name for collection in index._client.list_collections()]


def _current(index: Index) -> str:
    assert index._collection is not None
    return index._collection.name


def test_a_second_process_is_told_who_holds_the_index(tmp_path: Path, embedder: Embedder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(IndexInUse) as caught:
            Index.embedded(tmp_path)
        assert caught.value.pid == holder.pid
        assert str(holder.pid) in str(caught.value)
        assert "SAHPATHI_CHROMA_URL" in str(caught.value)
        holder.kill()
    Index.embedded(tmp_path).close()  # the kernel freed the lock of the killed process


def test_this_process_cannot_open_it_twice_either(tmp_path: Path) -> None:
    index = Index.embedded(tmp_path)
    with pytest.raises(IndexInUse, match=str(os.getpid())):
        Index.embedded(tmp_path)
    index.close()
    Index.embedded(tmp_path).close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Chroma server."""
    chroma = Path(sys.executable).parent / "chroma"
    assert chroma.exists(), "chromadb is a dependency of ours: its command must be beside this Python"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = [str(chroma), "run", "--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "ANONYMIZED_TELEMETRY": "False"}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, f"{url}/api/v2/heartbeat")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310  # our own server
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def test_two_clients_of_a_server_see_one_index(
    server: str, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    writer, reader = Index.on_server(server), Index.on_server(server)
    writer.build(few, embedder)
    vector = asked(embedder, "What are stomata?")
    reader.close()
    reader = Index.on_server(server)
    assert [passage.page for passage in reader.query(vector, 1)] == [2]

    writer.build([make_passage("Stomata open by day.", page=7)], embedder)  # removes the collection the reader holds
    assert [passage.page for passage in reader.query(vector, 3)] == [7]
    writer.close()
    reader.close()


def test_no_server_says_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(IndexUnavailable, match="chroma run"):
        Index.on_server(url)
