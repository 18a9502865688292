"""The tutor in a terminal, with the habits of a model console.

Questions take the same road as on every channel: inbox, lease, tutor, stored answer. Lines that start with one of the
console's own words (/temp, /compare ...) are handled here; other slash commands go to the tutor.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

from rich.prompt import Prompt

from bot.cli.common import out
from bot.compose import Services
from bot.errors import GenerationError
from bot.ports import Decoding, Generation, Inbound, Kind
from bot.store import BURIED
from bot.tables import StoredAnswer

HELP = """\
Type a question. These words are the console's own:
  /temp 0.1-2        temperature of the next answers; 0 is greedy
  /topk N            choose among the N likeliest tokens; 0 means all
  /tokens N          longest answer, in tokens
  /compare QUESTION  the base model's answer beside the adapter's, before any check
  /clear             start a new conversation
  /quit              leave
The tutor's commands work too: /class 7, /subject science, /language hi, /start."""


class Console:
    """One conversation in the terminal."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._conversation = uuid.uuid4().hex
        self._own: dict[str, Callable[[str], None]] = {
            "/temp": lambda value: self._decode(temperature=float(value)),
            "/topk": lambda value: self._decode(top_k=int(value)),
            "/tokens": lambda value: self._decode(max_new_tokens=int(value)),
        }

    async def loop(self) -> None:
        """Read and answer until /quit or the end of input."""
        while True:
            try:
                line = (await asyncio.to_thread(Prompt.ask, "[bold green]you[/bold green]", console=out)).strip()
            except EOFError:
                return
            if line in {"/quit", "/exit"}:
                return
            await self.handle(line)

    async def handle(self, line: str) -> None:
        """One line typed by the student or operator."""
        word, _, rest = line.partition(" ")
        if word == "/help":
            out.print(HELP)
        elif word == "/clear":
            self._conversation = uuid.uuid4().hex
            out.clear()
        elif word == "/compare":
            await self._compare(rest.strip())
        elif word in self._own:
            self._set(word, rest.strip())
        else:
            await self._ask(line)

    def _set(self, word: str, value: str) -> None:
        try:
            self._own[word](value)
        except ValueError as error:
            out.print(f"[yellow]{word} needs a number: {error}[/yellow]")

    def _decode(self, **changes: float) -> None:
        tutor = self._services.tutor
        assert tutor is not None  # noqa: S101  the console runs every part
        tutor.decoding = replace(tutor.decoding, **changes)  # type: ignore[arg-type]  # Decoding checks its values
        out.print(f"[dim]{_described(tutor.decoding)}[/dim]")

    async def _ask(self, line: str) -> None:
        kind = Kind.COMMAND if line.startswith("/") else Kind.TEXT
        accepted = await self._services.accept(Inbound("console", uuid.uuid4().hex, self._conversation, kind, line))
        out.print("[bold blue]sahpathi[/bold blue] ", end="")
        shown = await self._stream(accepted.message_id)
        answer = await self._stored(accepted.message_id)
        if answer is None:
            out.print("[yellow]No answer could be written; the log says why.[/yellow]")
            return
        out.print(answer.text[len(shown) :] if answer.text.startswith(shown) else f"\n{answer.text}", markup=False)
        for line_ in filter(None, (answer.caution, answer.source_line)):
            out.print(line_, markup=False, style="dim")
        out.print(f"[dim]{_footer(answer)}[/dim]\n")

    async def _stream(self, message_id: int) -> str:
        """Print pieces as they come until the answer is stored; returns what was printed."""
        shown = ""
        done = asyncio.create_task(self._wait(message_id))
        async with aclosing(self._services.live.subscribe(str(message_id))) as pieces:
            while not done.done():
                piece = asyncio.ensure_future(anext(pieces, ""))
                await asyncio.wait({piece, done}, return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    piece.cancel()
                    await asyncio.gather(piece, return_exceptions=True)
                    break
                text = piece.result()
                if not text:
                    break
                out.print(text, end="", markup=False)
                shown += text
        await done
        return shown

    async def _wait(self, message_id: int) -> None:
        while await self._stored(message_id) is None:
            if await self._services.store.message_state(message_id) == BURIED:
                return
            await asyncio.sleep(0.1)

    async def _stored(self, message_id: int) -> StoredAnswer | None:
        return await self._services.store.answer_to(message_id)

    async def _compare(self, question: str) -> None:
        tutor = self._services.tutor
        if not question or tutor is None or tutor.generator is None:
            out.print("[yellow]Write the question behind it: /compare What is a cell?[/yellow]")
            return
        found = await tutor.retriever.retrieve(question, k=tutor.passages)
        messages = tutor.prompt(question, [passage.text for passage in found.passages])
        for name, adapter in (("base", "base"), ("adapter", "current")):
            out.print(f"[bold]{name}[/bold]")
            try:
                async with aclosing(
                    tutor.generator.stream(messages, decoding=tutor.decoding, adapter=adapter)
                ) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Generation):
                            out.print(f"\n[dim]{piece.tokens} tokens in {piece.seconds:.1f} s[/dim]\n")
                        else:
                            out.print(piece, end="", markup=False)
            except GenerationError as error:
                out.print(f"[yellow]{error}[/yellow]")


def _described(decoding: Decoding) -> str:
    return f"temperature {decoding.temperature}, top_k {decoding.top_k}, at most {decoding.max_new_tokens} tokens"


def _footer(answer: StoredAnswer) -> str:
    sure = f", confidence {answer.confidence:.2f}" if answer.confidence is not None else ""
    by = f", {answer.adapter}" if answer.adapter else ""
    return f"{answer.route}{sure}{by}, {answer.timings.get('total', 0) / 1000:.1f} s"
