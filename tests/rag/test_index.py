from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rag.embed import Embedder, Vectors
from rag.errors import EmbeddingMismatch, IndexInUse, IndexUnavailable
from rag.index import PREFIX, Index, fingerprint
from rag.passage import Passage
from tests.servers import ChromaServer

MakePassage = Callable[..., Passage]

HOLD = """
import sys
from dataclasses import replace
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


def pages(index: Index, vector: Vectors, k: int, where: dict[str, str | int] | None = None) -> list[int]:
    """The pages that a query finds, best first."""
    known = {passage.id: passage.page for passage in index.passages()}
    return [known[id_] for id_ in index.query(vector, k, where)]


def calibration(index: Index) -> str:
    return index.calibration


def asked(embedder: Embedder, question: str) -> Vectors:
    vector: Vectors = embedder.embed([question])[0]
    return vector


def test_a_new_index_is_empty(tmp_path: Path, embedder: Embedder) -> None:
    index = Index.embedded(tmp_path / "new")
    assert index.stamp is None
    assert index.query(asked(embedder, "What are stomata?"), 3) == {}
    assert index.passages() == []
    assert index.records().similarities(asked(embedder, "What are stomata?"), index.passages()) == {}
    assert index.version == ""
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
    stored = {passage.id: replace(passage, score=0.0) for passage in few}
    assert {passage.id: passage for passage in index.passages()} == stored
    for passage, question in zip(few, ["What are stomata?", "What is an echo?", "What is profit?"], strict=True):
        vector = asked(embedder, question)
        found = index.query(vector, 3)
        assert next(iter(found)) == passage.id
        assert found[passage.id] > max(score for id_, score in found.items() if id_ != passage.id)
        assert index.records().similarities(vector, few) == pytest.approx(found, abs=1e-3)  # float16
    index.close()


def test_a_filter_finds_what_is_far_from_the_question(tmp_path: Path, embedder: Embedder, few: list[Passage]) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    vector = asked(embedder, "What are stomata?")
    assert pages(index, vector, 1, {"class_level": 8}) == [19]
    assert pages(index, vector, 3, {"class_level": 7, "subject": "mathematics"}) == [4]
    assert pages(index, vector, 3, {"subject": "history"}) == []
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


class Watched(Embedder):
    """Counts what it embeds, and breaks after so many batches, as a full disk or a killed process would."""

    def __init__(self, real: Embedder, batches: int = -1) -> None:
        super().__init__(real.name)
        self._real = real
        self._left = batches
        self.embedded: list[str] = []

    @property
    def dimension(self) -> int:
        return self._real.dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self._left == 0:
            raise OSError("broken")
        self._left -= 1
        self.embedded += texts
        return self._real.embed(texts)


def test_a_failing_build_leaves_the_old_index_and_the_next_goes_on_from_it(
    tmp_path: Path, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    many = [make_passage(f"Planet number {n} has {n} moons.") for n in range(40)]
    breaking = Watched(embedder, batches=1)
    with pytest.raises(OSError, match="broken"):
        index.build(many, breaking)
    assert pages(index, asked(embedder, "What are stomata?"), 1) == [2]
    index.close()

    index = Index.embedded(tmp_path)
    assert index.stamp is not None
    assert index.stamp.passages == 3
    steps = index.building(many, embedder)
    next(steps)
    steps.close()
    assert pages(index, asked(embedder, "What are stomata?"), 1) == [2]
    going_on = Watched(embedder)
    index.build(many, going_on)
    assert not set(breaking.embedded) & set(going_on.embedded)
    assert {*breaking.embedded, *going_on.embedded} >= {passage.text for passage in many}
    assert len(index.passages()) == 40
    assert [name for name in _collections(index) if name.startswith(PREFIX)] == [_current(index)]
    index.close()


def test_only_what_changed_is_embedded_again(
    tmp_path: Path, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    watched = Watched(embedder)
    added = make_passage("Ice melts. Ice is cold.", page=9)
    index.build([*few[1:], added], watched)
    assert watched.embedded == [added.text, "Ice melts.", "Ice is cold."]
    vector = asked(embedder, "What is an echo?")
    assert pages(index, vector, 1) == [19]
    assert sorted(pages(index, vector, 9)) == [4, 9, 19]
    assert index.query(vector, 1) == pytest.approx(index.records().similarities(vector, [few[1]]), abs=1e-3)
    index.close()


def test_a_threshold_outlives_a_build_and_not_a_change_of_model(
    tmp_path: Path, embedder: Embedder, few: list[Passage]
) -> None:
    index = Index.embedded(tmp_path)
    with pytest.raises(ValueError, match="nothing is indexed"):
        index.calibrate("{}")
    index.build(few, embedder)
    assert calibration(index) == ""
    index.calibrate("fitted")
    index.close()
    index = Index.embedded(tmp_path)
    assert calibration(index) == "fitted"
    index.build(few[:2], embedder)
    assert calibration(index) == "fitted"
    other = Watched(embedder)
    other.name = "another-model"
    index.build(few, other)
    assert calibration(index) == ""
    assert len(other.embedded) == 3 + 5
    index.close()


def test_a_new_build_replaces_the_old(
    tmp_path: Path, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    index = Index.embedded(tmp_path)
    index.build(few, embedder)
    index._client.create_collection(PREFIX + "abandoned", embedding_function=None)  # as a killed build leaves it
    index.build([make_passage("Ice melts.", page=9)], embedder)
    assert pages(index, asked(embedder, "What are stomata?"), 5) == [9]
    assert [name for name in _collections(index) if name.startswith(PREFIX)] == [_current(index)]
    index.build([], embedder)
    assert index.query(asked(embedder, "What are stomata?"), 5) == {}
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
    with ChromaServer(tmp_path_factory.mktemp("server")) as chroma:
        yield chroma.url


def test_two_clients_of_a_server_see_one_index(
    server: str, embedder: Embedder, few: list[Passage], make_passage: MakePassage
) -> None:
    writer, reader = Index.on_server(server), Index.on_server(server)
    writer.build(few, embedder)
    vector = asked(embedder, "What are stomata?")
    reader.close()
    reader = Index.on_server(server)
    assert pages(reader, vector, 1) == [2]

    writer.build([make_passage("Stomata open by day.", page=7)], embedder)  # removes the collection the reader holds
    assert pages(reader, vector, 3) == [7]
    writer.close()
    reader.close()


def test_no_server_says_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(IndexUnavailable, match="chroma run"):
        Index.on_server(url)
