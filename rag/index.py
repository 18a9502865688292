"""Passages and their vectors in Chroma, embedded in this process or on a server.

A passage is one record of its own vector, and one record a sentence whose vector is the mean of the sentence's and the
passage's: by inner product with a question that is the mean of both similarities, so that one query finds a passage by
its best sentence without losing sight of what the passage is about. (Measured on the shipped chapters: 0.93 of far and
0.65 of near out-of-book questions recognised with passage vectors alone, 1.00 and 0.90 with these, at equal refusals.)

A build fills new collections and then moves one pointer, so that a failed one leaves the old index serving.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import numpy as np

from rag.embed import Embedder, Vectors
from rag.errors import EmbeddingMismatch, IndexUnavailable
from rag.lock import FolderLock
from rag.passage import Passage
from rag.sentences import split

if TYPE_CHECKING:
    import httpx
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

LAYOUT = 1  # raise it when the records' shape changes: an index of another layout is built anew
POINTER = "sahpathi-current"
PREFIX = "sahpathi-passages-"
ABANDONED_AFTER = 6 * 3600.0  # seconds: on a server, another process may be building
PATIENCE = 30.0  # seconds a server may take
BATCH = 16  # passages embedded at a time
RECORDS_A_PASSAGE = 10  # over-fetch: about what one passage has, so that k * 10 records hold well over k passages
STORED = ("book", "chapter", "page", "class_level", "subject", "language", "heading")

Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an index was made of and with."""

    model: str
    dimension: int
    fingerprint: str
    layout: int
    passages: int


def fingerprint(passages: Sequence[Passage]) -> str:
    """Identifies a set of passages, whatever their order. Their ids are content hashes."""
    return hashlib.sha256("\n".join(sorted(passage.id for passage in passages)).encode()).hexdigest()[:16]


class Index:
    """Open with `embedded` or `on_server`. Not thread-safe: one thread calls it."""

    def __init__(self, client: Client, lock: FolderLock | None) -> None:
        self._client = client
        self._lock = lock
        self._collection = self._find_current()

    @classmethod
    def embedded(cls, folder: Path) -> Index:
        """The index in `folder`, made when there is none. Raises IndexInUse when another process has it open."""
        import chromadb

        lock = FolderLock(folder)
        try:
            return cls(_client(chromadb.PersistentClient(path=str(folder), settings=_settings())), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def on_server(cls, url: str) -> Index:
        """The index on a Chroma server, such as http://chroma:8000. Raises IndexUnavailable."""
        import chromadb
        import httpx
        from chromadb.errors import ChromaError

        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host, port = parts.hostname or url, parts.port or (443 if secure else 8000)
        try:
            client = _client(chromadb.HttpClient(host=host, port=port, ssl=secure, settings=_settings()))
            for session in _sessions(client):
                session.timeout = httpx.Timeout(PATIENCE)
            return cls(client, None)
        except (ChromaError, httpx.HTTPError, ValueError) as error:
            raise IndexUnavailable(url) from error

    def close(self) -> None:
        """Release Chroma and the lock."""
        sessions = _sessions(self._client)
        self._client.close()
        for session in sessions:
            session.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def stamp(self) -> Stamp | None:
        """What is being served; None before the first build."""
        if self._collection is None:
            return None
        metadata = dict(self._collection.metadata or {})
        values = {field.name: metadata.get(field.name) for field in fields(Stamp)}
        return Stamp(**values) if None not in values.values() else None  # type: ignore[arg-type]  # as build wrote it

    def check(self, embedder: Embedder) -> None:
        """Raises EmbeddingMismatch when the index was made by another model than `embedder`."""
        stamp = self.stamp
        if stamp is not None and (stamp.model, stamp.dimension) != (embedder.name, embedder.dimension):
            made_by = f"{stamp.model} ({stamp.dimension} dimensions)"
            raise EmbeddingMismatch(made_by, f"{embedder.name} ({embedder.dimension} dimensions)")

    def build(self, passages: Sequence[Passage], embedder: Embedder, progress: Progress | None = None) -> None:
        """Replace the index by one of `passages`. Whatever is raised on the way, the old one stays."""
        for done in self.building(passages, embedder):
            if progress is not None:
                progress(done, len(passages))

    def building(self, passages: Sequence[Passage], embedder: Embedder) -> Generator[int, None, None]:
        """Like `build`, a batch at a step: yields how many passages are done. Closing it early abandons the build."""
        self._sweep()
        stamp = Stamp(embedder.name, embedder.dimension, fingerprint(passages), LAYOUT, len(passages))
        name = PREFIX + uuid.uuid4().hex
        fresh = self._client.create_collection(
            name,
            metadata={**asdict(stamp), "started": time.time()},
            configuration={"hnsw": {"space": "ip", "ef_construction": 200, "ef_search": 200}},
            embedding_function=None,  # or Chroma would fall back to a model of its own
        )
        try:
            for done in range(0, len(passages), BATCH):
                batch = passages[done : done + BATCH]
                _add(fresh, batch, embedder)
                yield done + len(batch)
            self._switch_to(fresh)
        except BaseException:
            self._client.delete_collection(name)
            raise
        logger.info("indexed %d passages with %s", len(passages), embedder.name)

    def query(self, vector: Vectors, k: int, where: Mapping[str, str | int] | None = None) -> list[Passage]:
        """The `k` passages nearest to a question's vector, best first, `score` being the similarity described above.

        `where` demands equal metadata (class_level, subject, language). Chroma's own filter is slow on a large index,
        so it is used only when too few of the nearest passages qualify.
        """
        from chromadb.errors import NotFoundError

        try:
            return self._query(vector, k, where)
        except NotFoundError:  # another process has switched to a newer build and removed ours
            self._collection = self._find_current()
            return self._query(vector, k, where)

    def _query(self, vector: Vectors, k: int, where: Mapping[str, str | int] | None) -> list[Passage]:
        if self._collection is None:
            return []
        records = k * RECORDS_A_PASSAGE
        found = self._nearest(self._collection, vector, records, None)
        if where:
            found = [passage for passage in found if all(getattr(passage, key) == where[key] for key in where)]
            if len(found) < k:
                terms: list[dict[str, Any]] = [{key: value} for key, value in where.items()]
                condition = terms[0] if len(terms) == 1 else {"$and": terms}
                found = self._nearest(self._collection, vector, records, condition)
        return found[:k]

    def _nearest(
        self, collection: Collection, vector: Vectors, records: int, condition: dict[str, Any] | None
    ) -> list[Passage]:
        answer = collection.query(
            query_embeddings=vector[np.newaxis], n_results=records, where=condition, include=["metadatas", "distances"]
        )
        metadatas, distances = (answer["metadatas"] or [[]])[0], (answer["distances"] or [[]])[0]
        best: dict[str, float] = {}
        for metadata, distance in zip(metadatas, distances, strict=True):
            best.setdefault(str(metadata["of"]), 1.0 - distance)  # nearest first, so the first is a passage's best
        held = collection.get(ids=list(best), include=["metadatas", "documents"]) if best else None
        if held is None:
            return []
        texts, facts = held["documents"] or [], held["metadatas"] or []
        by_id = {
            id_: _passage(id_, text, fact, best[id_]) for id_, text, fact in zip(held["ids"], texts, facts, strict=True)
        }
        return [by_id[id_] for id_ in best if id_ in by_id]

    def _find_current(self) -> Collection | None:
        from chromadb.errors import NotFoundError

        try:
            pointer = self._client.get_collection(POINTER, embedding_function=None)
            name = (pointer.metadata or {}).get("collection")
            return self._client.get_collection(str(name), embedding_function=None)
        except NotFoundError:
            return None

    def _switch_to(self, fresh: Collection) -> None:
        """Serve `fresh`: one write. The old collection goes after it."""
        old = self._find_current()
        pointer = self._client.get_or_create_collection(POINTER, embedding_function=None)
        pointer.modify(metadata={"collection": fresh.name})
        self._collection = fresh
        if old is not None and old.name != fresh.name:
            self._remove(old.name)

    def _sweep(self) -> None:
        """Remove what builds that were killed left behind."""
        current = self._find_current()
        for collection in self._client.list_collections():
            started = float(str((collection.metadata or {}).get("started", 0.0)))
            abandoned = self._lock is not None or started < time.time() - ABANDONED_AFTER
            if (
                collection.name.startswith(PREFIX)
                and abandoned
                and (current is None or collection.name != current.name)
            ):
                self._remove(collection.name)

    def _remove(self, name: str) -> None:
        from chromadb.errors import NotFoundError

        try:
            self._client.delete_collection(name)
        except NotFoundError:
            logger.debug("%s was already gone", name)


def _add(collection: Collection, passages: Sequence[Passage], embedder: Embedder) -> None:
    """Store the records of a few passages, embedding all their sentences together."""
    sentences = [split(passage.text) for passage in passages]
    vectors = embedder.embed([*(passage.text for passage in passages), *itertools.chain.from_iterable(sentences)])
    own, rest = vectors[: len(passages)], vectors[len(passages) :]
    facts: list[Mapping[str, Any]] = [
        {**{name: getattr(passage, name) for name in STORED}, "of": passage.id} for passage in passages
    ]
    ids = [passage.id for passage in passages]
    collection.add(ids=ids, embeddings=own, documents=[p.text for p in passages], metadatas=facts)
    owner = np.repeat(np.arange(len(passages)), [len(found) for found in sentences])
    if len(owner) == 0:
        return
    small: list[Mapping[str, Any]] = [
        {name: facts[n][name] for name in ("of", "class_level", "subject", "language")} for n in owner
    ]
    numbered = [
        f"{passage.id}#{n}" for passage, found in zip(passages, sentences, strict=True) for n in range(len(found))
    ]
    collection.add(ids=numbered, embeddings=(rest + own[owner]) / 2.0, metadatas=small)


def _passage(id_: str, text: str, facts: Mapping[str, Any], score: float) -> Passage:
    return replace(Passage(id=id_, text=text, **{name: facts[name] for name in STORED}), score=score)


def _client(made: object) -> Client:
    """Chroma promises less in its types than it makes: the protocol it names lacks `close`."""
    return cast("Client", made)


def _sessions(client: Client) -> list[httpx.Client]:
    """The connections to a server. Chroma neither bounds their patience nor closes them, so we reach inside."""
    servers = (client._server, getattr(client._admin_client, "_server", None))
    return [session for server in servers if (session := getattr(server, "_session", None)) is not None]


def _settings() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)
