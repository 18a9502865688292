"""What writes the answers: our own model process, llama.cpp, or a server elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from bot.compose.places import shelf
from bot.errors import GenerationError, SetupError
from bot.ports import Decoding, Generation, Generator, Message
from bot.settings import Settings
from inference.adapters import model_sha256
from inference.errors import InferenceError, ModelMissing

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from inference.llamacpp import LlamaCpp
    from inference.process import EngineProcess

logger = logging.getLogger(__name__)


class TranslatedGenerator:
    """The engine behind the Generator port, with its errors as ours."""

    def __init__(self, engine: Generator) -> None:
        self._engine = engine

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        stream = self._engine.stream(
            messages, decoding=decoding, subject=subject, adapter=adapter, conversation=conversation
        )
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    yield piece
        except InferenceError as error:
            raise GenerationError(str(error)) from error


async def start_engine(settings: Settings, stack: AsyncExitStack) -> Generator | None:
    """What writes the answers, or None where generation is switched off. Raises SetupError when there is no model."""
    model = settings.model
    if not model.enabled:
        return None
    if settings.generator_url is not None:
        return await _reach_generator(settings, str(settings.generator_url), stack)
    engine: EngineProcess | LlamaCpp
    if model.gguf is not None:
        from inference.llamacpp import LlamaCpp

        engine = LlamaCpp(model.gguf, threads=model.threads, slots=model.slots, timeout=model.timeout)
    else:
        engine = own_engine(settings)
    stack.push_async_callback(engine.close)
    try:
        await engine.start()
        await engine.warm_up()
    except InferenceError as error:
        raise SetupError(str(error)) from error
    return engine


def own_engine(settings: Settings) -> EngineProcess:
    """The model process of our own, not started."""
    from inference.process import EngineProcess

    model = settings.model
    roots = shelf(settings).roots
    return EngineProcess(
        model.base,
        roots,
        threads=model.threads,
        dtype=model.dtype,
        timeout=model.timeout,
        slots=model.slots,
        waiting=model.waiting,
        patience=model.patience,
    )


def _base_sha256(base: str) -> str | None:
    """Whose adapters may be asked for; None of a model on the hub, which has no files here."""
    return model_sha256(Path(base)) if Path(base).is_dir() else None


async def _reach_generator(settings: Settings, url: str, stack: AsyncExitStack) -> Generator:
    """The server that writes the answers. One that is away now is asked again: the book is quoted until then."""
    from inference.remote import Patience, RemoteGenerator
    from inference.remote_models import Naming
    from inference.remote_wire import RemoteRefused

    timeout = settings.model.timeout
    try:
        generator = RemoteGenerator(
            url,
            key=settings.generator_key.get_secret_value() if settings.generator_key else "",
            naming=Naming(settings.generator_model, settings.generator_models, settings.generator_adapters),
            shelf=shelf(settings),
            base_sha256=await asyncio.to_thread(_base_sha256, settings.model.base),
            patience=Patience(silence=min(30.0, timeout), whole=timeout),
        )
        stack.push_async_callback(generator.close)
        await generator.start()
    except (RemoteRefused, ModelMissing) as error:
        raise SetupError(str(error)) from error
    except InferenceError as error:
        logger.warning("%s; the book is quoted until it answers", error)
    return generator
