"""Passages and their vectors in Chroma, embedded in this process or on a server.

A passage is one record of its own vector, and one record a sentence whose vector is the mean of the sentence's and the
passage's: by inner product with a question that is the mean of both similarities, so that one query finds a passage by
its best sentence without losing sight of what the passage is about. (Measured on the shipped chapters: 0.93 of far and
0.65 of near out-of-book questions recognised with passage vectors alone, 1.00 and 0.90 with these, at equal refusals.)

A build fills a new collection and then moves one pointer, so that a failed one leaves the old index serving. It takes
the vectors of passages that did not change from the collection being served, and from what a killed build had done.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np

from rag.embed import Embedder, Vectors
from rag.errors import EmbeddingMismatch, IndexUnavailable
from rag.lock import FolderLock
from rag.passage import Passage
from rag.records import OWN, Records
from rag.sentences import split

if TYPE_CHECKING:
    import httpx
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

LAYOUT = 4  # raise it when the records' shape, or what is embedded, changes: an index of another layout is built anew
POINTER = "sahpathi-current"
PREFIX = "sahpathi-passages-"
ABANDONED_AFTER = 6 * 3600.0  # seconds: on a server, another process may be building
PATIENCE = 30.0  # seconds a server may take
BATCH = 16  # passages at a step, which takes about a second: students' questions wait so long for their turn
RECORDS_A_PASSAGE = 10  # over-fetch: about what one passage has, so that k * 10 records hold well over k passages
STORED = ("book", "chapter", "page", "position", "class_level", "subject", "language", "board", "heading")
CALIBRATION = "calibration"
PAGE = 2_000  # records read at a time
FILTERED = ("class_level", "subject", "language", "board")  # what a sentence's record knows of its passage

Progress = Callable[[int, int], None]
T = TypeVar("T")

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

    def build(
        self,
        passages: Sequence[Passage],
        embedder: Embedder,
        progress: Progress | None = None,
        *,
        batch: int = BATCH,
    ) -> None:
        """Replace the index by one of `passages`. Whatever is raised on the way, the old one stays."""
        for done in self.building(passages, embedder, batch=batch):
            if progress is not None:
                progress(done, len(passages))

    def building(
        self, passages: Sequence[Passage], embedder: Embedder, *, batch: int = BATCH
    ) -> Generator[int, None, None]:
        """Like `build`, a batch of passages at a step: yields how many are done.

        Closed early or failed, it leaves the old index serving, and what it did to be taken over by the next build.
        """
        stamp = Stamp(embedder.name, embedder.dimension, fingerprint(passages), LAYOUT, len(passages))
        donors = self._donors(stamp)
        kept = self.calibration if self.version in {donor.name for donor in donors} else ""
        name = PREFIX + uuid.uuid4().hex
        fresh = self._client.create_collection(
            name,
            metadata={**asdict(stamp), "started": time.time(), **({CALIBRATION: kept} if kept else {})},
            configuration={"hnsw": {"space": "ip", "ef_construction": 200, "ef_search": 200}},
            embedding_function=None,  # or Chroma would fall back to a model of its own
        )
        try:
            for done in range(0, len(passages), batch):
                step = passages[done : done + batch]
                _add(fresh, step, embedder, donors)
                yield done + len(step)
            self._switch_to(fresh)
        except BaseException:
            unfinished = [fresh, *(donor for donor in donors if donor.name != self.version)]
            self._sweep(keep=max(unfinished, key=lambda held: held.count()).name)
            raise
        self._sweep()
        logger.info("indexed %d passages with %s", len(passages), embedder.name)

    @property
    def version(self) -> str:
        """Changes with each build; "" before the first."""
        return self._collection.name if self._collection is not None else ""

    @property
    def calibration(self) -> str:
        """What `calibrate` stored, "" until then."""
        return str((self._collection.metadata or {}).get(CALIBRATION, "")) if self._collection is not None else ""

    def calibrate(self, calibration: str) -> None:
        """Keep a fitted score with the index; builds with the same model hand it on. Raises ValueError when empty."""
        if self._collection is None:
            raise ValueError("nothing is indexed yet")
        metadata = {**(self._collection.metadata or {}), CALIBRATION: calibration}
        metadata.pop("hnsw:space", None)
        self._collection.modify(metadata=metadata)

    def passages(self) -> list[Passage]:
        """Everything that is indexed, in the order of the books."""
        return self._current(_passages, [])

    def query(self, vector: Vectors, k: int, where: Mapping[str, str | int] | None = None) -> dict[str, float]:
        """The ids of the `k` passages nearest to a question's vector, best first, with the similarity described above.

        `where` demands equal metadata (class_level, subject, language, board), by Chroma's own filter, which is slow
        on a large index.
        """
        return self._current(lambda collection: _nearest(collection, vector, k, where), {})

    def records(self) -> Records:
        """The vectors of everything that is indexed."""
        return self._current(_records, Records({}, np.zeros((0, 0), dtype=np.float16)))

    def _current(self, ask: Callable[[Collection], T], empty: T) -> T:
        """Ask the collection being served; again where another process has switched to a newer one and removed it."""
        from chromadb.errors import NotFoundError

        if self._collection is None:
            self._collection = self._find_current()
        if self._collection is None:
            return empty
        try:
            return ask(self._collection)
        except NotFoundError:
            self._collection = self._find_current()
            return ask(self._collection) if self._collection is not None else empty

    def refresh(self) -> None:
        """See what another process has built since. Costs one request."""
        self._collection = self._find_current()

    def _donors(self, stamp: Stamp) -> list[Collection]:
        """The collections whose vectors a build may take over: the one being served first, then unfinished ones."""
        wanted = {"model": stamp.model, "dimension": stamp.dimension, "layout": stamp.layout}
        found = [
            collection
            for collection in self._client.list_collections()
            if collection.name.startswith(PREFIX) and wanted.items() <= {**(collection.metadata or {})}.items()
        ]
        return sorted(found, key=lambda collection: collection.name != self.version)

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

    def _sweep(self, keep: str = "") -> None:
        """Remove what builds that did not finish left behind, all but `keep`."""
        current = self._find_current()
        spared = {keep, current.name if current is not None else ""}
        for collection in self._client.list_collections():
            started = float(str((collection.metadata or {}).get("started", 0.0)))
            abandoned = self._lock is not None or started < time.time() - ABANDONED_AFTER
            if collection.name.startswith(PREFIX) and abandoned and collection.name not in spared:
                self._remove(collection.name)

    def _remove(self, name: str) -> None:
        from chromadb.errors import NotFoundError

        try:
            self._client.delete_collection(name)
        except NotFoundError:
            logger.debug("%s was already gone", name)


def _add(collection: Collection, passages: Sequence[Passage], embedder: Embedder, donors: Sequence[Collection]) -> None:
    """Store the records of a few passages. Vectors come from the donors that have them; the others are computed."""
    known: dict[str, Vectors] = {}
    for donor in donors:
        known = _vectors(donor, [id_ for passage in passages for id_ in _record_ids(passage)]) | known
    fresh = [passage for passage in passages if not all(id_ in known for id_ in _record_ids(passage))]
    known |= _embedded(fresh, embedder)
    ids: list[str] = []
    metadatas: list[Mapping[str, Any]] = []
    documents: list[str] = []
    for passage in passages:
        facts = {name: getattr(passage, name) for name in STORED}
        own, *sentences = [id_ for id_ in _record_ids(passage) if id_ in known]
        ids += [own, *sentences]
        metadatas += [facts, *({name: facts[name] for name in FILTERED} for _ in sentences)]
        documents += [passage.text, *("" for _ in sentences)]
    collection.add(ids=ids, embeddings=np.stack([known[id_] for id_ in ids]), documents=documents, metadatas=metadatas)


def texts_of(passages: Sequence[Passage]) -> list[str]:
    """What is embedded of some passages: each of them, then their sentences."""
    sentences = itertools.chain.from_iterable(split(passage.text) for passage in passages)
    return [*(passage.text for passage in passages), *sentences]


def _embedded(passages: Sequence[Passage], embedder: Embedder) -> dict[str, Vectors]:
    """The vectors of all records of some passages."""
    vectors = embedder.embed(texts_of(passages))
    own, rest = vectors[: len(passages)], vectors[len(passages) :]
    owner = np.repeat(np.arange(len(passages)), [len(split(passage.text)) for passage in passages])
    numbered = [id_ for passage in passages for id_ in _record_ids(passage)[1:]]
    known = dict(zip([passage.id for passage in passages], own, strict=True))
    return known | dict(zip(numbered, (rest + own[owner]) / 2.0, strict=True))


def _record_ids(passage: Passage) -> list[str]:
    """The passage's own record, then its sentences'."""
    return [passage.id, *(f"{passage.id}{OWN}{n}" for n in range(len(split(passage.text))))]


def _records(collection: Collection) -> Records:
    ids: list[str] = []
    vectors = [np.zeros((0, 0), dtype=np.float16)]
    for start in range(0, collection.count(), PAGE):
        held = collection.get(limit=PAGE, offset=start, include=["embeddings"])
        ids += held["ids"]
        vectors.append(np.asarray(held["embeddings"], dtype=np.float16))
    return Records.of(ids, np.concatenate(vectors[1:] or vectors))


def _vectors(collection: Collection, ids: Sequence[str]) -> dict[str, Vectors]:
    """The stored vectors of those of `ids` that the collection holds; {} when it is gone."""
    from chromadb.errors import NotFoundError

    try:
        held = collection.get(ids=list(ids), include=["embeddings"]) if ids else None
    except NotFoundError:
        held = None
    vectors = held["embeddings"] if held is not None else None
    return {} if held is None or vectors is None else dict(zip(held["ids"], np.asarray(vectors), strict=True))


def _nearest(
    collection: Collection, vector: Vectors, k: int, where: Mapping[str, str | int] | None
) -> dict[str, float]:
    terms: list[dict[str, Any]] = [{key: value} for key, value in (where or {}).items()]
    condition: Any = {"$and": terms} if len(terms) > 1 else terms[0] if terms else None
    answer = collection.query(
        query_embeddings=vector[np.newaxis],
        n_results=k * RECORDS_A_PASSAGE,
        where=condition,
        include=["distances"],  # metadata would be read from the database, row by row
    )
    best: dict[str, float] = {}
    for id_, distance in zip(answer["ids"][0], (answer["distances"] or [[]])[0], strict=True):
        best.setdefault(id_.partition(OWN)[0], 1.0 - distance)  # nearest first, so the first is a passage's best
    return dict(itertools.islice(best.items(), k))


def _passages(collection: Collection) -> list[Passage]:
    found: list[Passage] = []
    for start in range(0, collection.count(), PAGE):
        held = collection.get(limit=PAGE, offset=start, include=["metadatas", "documents"])
        rows = zip(held["ids"], held["documents"] or [], held["metadatas"] or [], strict=True)
        found += [_passage(id_, text, facts) for id_, text, facts in rows if "book" in facts]
    return sorted(found, key=lambda p: (p.class_level, p.subject, p.book, p.language, p.page, p.position))


def _passage(id_: str, text: str, facts: Mapping[str, Any]) -> Passage:
    return Passage(id=id_, text=text, **{name: facts[name] for name in STORED})


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
