"""Which of a server's models answers: the promoted adapter where the server has it, else what the settings name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from inference.adapters import AdapterCard, Shelf
from inference.errors import AdapterRefused
from inference.remote_wire import OWNER, Dialect, RemoteRefused, failure

logger = logging.getLogger(__name__)

CURRENT, BASE = "current", "base"  # models of our own server beside its adapters; elsewhere a manner of speaking
LONGEST_NAME = 80  # characters of what the log keeps as the answer's adapter

_FRESH, _JUST_ASKED = 60.0, 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Choice:
    """The model to ask, and the adapter that the answer is then said to be by; None: the base model's, or unknown."""

    model: str
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Naming:
    """How the adapters here and the models there go together.

    default: the model where no adapter applies; "" is the server's first one
    named:   a model by the id of the adapter that was merged into it, or by subject
    folder:  where the server finds our adapters, by which vLLM is told to load them; "" leaves it alone
    """

    default: str = ""
    named: Mapping[str, str] | None = None
    folder: str = ""


class Models:
    """The models of one server. Asks what it has when that was long ago, or when one is missing."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        dialect: Dialect,
        naming: Naming,
        *,
        shelf: Shelf | None = None,
        base_sha256: str | None = None,
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._naming = naming
        self._named = dict(naming.named or {})
        self._shelf = shelf
        self._base_sha256 = base_sha256
        self._served: tuple[str, ...] = ()
        self._asked = -_FRESH  # when, on the monotonic clock
        self._turn = asyncio.Lock()
        self._unloadable: dict[str, float] = {}  # adapters that could not be loaded there, and when

    async def served(self, *, within: float = _FRESH) -> tuple[str, ...]:
        """The names of the server's models, as of at most `within` seconds ago; () where it does not list them.

        Raises RemoteUnavailable, or RemoteRefused when it wants another key.
        """
        async with self._turn:
            if time.monotonic() - self._asked >= within:
                self._served = await self._list()
                self._asked = time.monotonic()
            return self._served

    async def choose(self, adapter: str, subject: str | None, conversation: str | None) -> Choice:
        """The model for an adapter's id, "base" or "current".

        Raises AdapterRefused, RemoteRefused or RemoteUnavailable.
        """
        served = await self.served()
        if adapter == BASE:
            return Choice(BASE if self._dialect.own else self._default(served), None)
        if adapter != CURRENT and adapter in served:
            return Choice(adapter, adapter)
        card = self._card(adapter, subject, conversation)
        if card and (choice := await self._of(card, served)):
            return choice
        if adapter != CURRENT:
            raise AdapterRefused(f"the server has no adapter {adapter!r}; see docs/models.md for how it gets one")
        if subject and subject in self._named:
            return Choice(self._named[subject], self._named[subject][:LONGEST_NAME])
        if self._dialect.own and not self._naming.default:
            return Choice(CURRENT, None)  # it has a shelf too, and says which one it took
        return Choice(self._default(served), None)

    def _card(self, adapter: str, subject: str | None, conversation: str | None) -> AdapterCard | None:
        if self._shelf is None:
            return None
        if adapter == CURRENT:
            return self._shelf.current(subject, base_sha256=self._base_sha256, conversation=conversation)
        return self._shelf.find(adapter)

    async def _of(self, card: AdapterCard, served: tuple[str, ...]) -> Choice | None:
        if card.id in self._named:
            return Choice(self._named[card.id], card.id)
        if card.id in served or card.id in await self.served(within=_JUST_ASKED) or await self._load(card):
            return Choice(card.id, card.id)
        return None

    def _default(self, served: tuple[str, ...]) -> str:
        if name := self._naming.default or next(iter(served), ""):
            return name
        raise RemoteRefused("the server does not say which models it has: set SAHPATHI_GENERATOR_MODEL to one of them")

    async def _list(self) -> tuple[str, ...]:
        response = await self._client.get("models")
        # Not 500: `transformers serve` fails here where it has no cache of the hub's, and answers all the same.
        if response.status_code in {401, 403, 429, 502, 503, 504}:
            raise failure(response, response.content, "")
        try:
            models = [(str(model["id"]), model.get("owned_by")) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return ()
        self._dialect.own = any(owner == OWNER for _, owner in models)
        return tuple(name for name, _ in models)

    async def _load(self, card: AdapterCard) -> bool:
        """Have vLLM load an adapter. False where that is not wanted, or did not work; that is logged."""
        if not self._naming.folder or self._shelf is None:
            return False
        async with self._turn:
            if card.id in self._served:  # while we waited
                return True
            if time.monotonic() - self._unloadable.get(card.id, -_FRESH) < _FRESH:
                return False
            self._shelf.verify(card, self._base_sha256 or card.base_sha256)
            where = {"lora_name": card.id, "lora_path": f"{self._naming.folder.rstrip('/')}/{card.id}"}
            response = await self._client.post("load_lora_adapter", json=where)
            if response.is_success or "already" in response.text.lower():
                self._served = (*self._served, card.id)
                logger.info("adapter %s was loaded by the generating server", card.id)
                return True
            self._unloadable[card.id] = time.monotonic()
        logger.warning(
            "the generating server cannot load adapter %s (%d) and answers without it; docs/models.md says how it is "
            "to be started",
            card.id,
            response.status_code,
        )
        return False
