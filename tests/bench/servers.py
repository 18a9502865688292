"""The servers that ours is measured beside, each a process of its own that imports nothing it does not need.

    python -m tests.bench.servers bare PORT
    python -m tests.bench.servers telegram PORT SIMULATOR
    python -m tests.bench.servers model PORT

`bare` is the least that an honest webhook can do: check the signature and say 200. `telegram` is python-telegram-bot's
own webhook server with a handler that does nothing. `model` is the shipped model in its process, writing one answer
after the other; it listens to say that it has begun.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, Request, Response
from twilio.request_validator import RequestValidator

from bot.listening import listen
from bot.simulator.config import Config

PUBLIC = "https://tutor.school.example"
HOOKS = {"telegram": "/webhooks/telegram", "twilio": "/webhooks/whatsapp"}
TELEGRAM_SECRET = "a-secret-of-the-bench"
AUTH_TOKEN = Config().twilio.auth_token


def serve_bare(port: int) -> None:
    """Run the bare handler until it is told to stop."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    validator = RequestValidator(AUTH_TOKEN)
    url = PUBLIC + HOOKS["twilio"]

    @app.post(HOOKS["telegram"])
    async def telegram_update(request: Request) -> Response:
        await request.body()
        shown = request.headers.get("x-telegram-bot-api-secret-token", "")
        return Response(status_code=200 if hmac.compare_digest(shown.encode(), TELEGRAM_SECRET.encode()) else 403)

    @app.post(HOOKS["twilio"])
    async def whatsapp_message(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True))
        signed = validator.validate(url, form, request.headers.get("x-twilio-signature", ""))
        return Response(status_code=200 if signed else 403)

    # As `sahpathi serve` starts it, or the two could not be compared.
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listen("127.0.0.1", port)]))


def serve_telegram(port: int, simulator: str) -> None:
    """Run python-telegram-bot's webhook server until it is told to stop."""
    from telegram import Update
    from telegram.ext import Application, ContextTypes, MessageHandler, filters

    async def nothing(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        """Answering is not what is measured."""

    application = Application.builder().token(Config().telegram.token).base_url(f"{simulator}/bot").build()
    application.add_handler(MessageHandler(filters.ALL, nothing))
    path = HOOKS["telegram"]
    application.run_webhook(
        "127.0.0.1", port, path.removeprefix("/"), webhook_url=PUBLIC + path, secret_token=TELEGRAM_SECRET
    )


async def serve_model(port: int) -> None:
    """Generate until told to stop, as the service does: the same process, threads and priority."""
    from bot.compose import shelf
    from bot.settings import Settings
    from inference.generation import Decoding
    from inference.process import EngineProcess
    from inference.prompt import grounded
    from tests.served import PHOTOSYNTHESIS

    chosen = Settings(_env_file=None)
    engine = EngineProcess(
        chosen.model.base, shelf(chosen).roots, threads=chosen.model.threads, dtype=chosen.model.dtype
    )
    messages = grounded("What is photosynthesis?", [PHOTOSYNTHESIS.quote] * 3)
    await engine.warm_up()
    async with await asyncio.start_server(lambda reader, writer: writer.close(), sock=listen("127.0.0.1", port)):
        while True:
            async for _ in engine.stream(messages, decoding=Decoding(no_repeat_ngram=0)):
                pass


SERVERS: Mapping[str, Callable[[list[str]], None]] = {
    "bare": lambda given: serve_bare(int(given[0])),
    "telegram": lambda given: serve_telegram(int(given[0]), given[1]),
    "model": lambda given: asyncio.run(serve_model(int(given[0]))),
}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](sys.argv[2:])
