"""The HTTP application: routes over services that already run."""

from __future__ import annotations

from fastapi import FastAPI

from bot.compose import Services
from bot.dashboard import routes as dashboard
from bot.web import chat, health, webhooks

LONGEST_BODY = 20_000  # characters; the tutor itself screens, then asks for a shorter question


def create_app(services: Services) -> FastAPI:
    """Everything this process serves."""
    settings = services.settings
    app = FastAPI(title="Sahpathi", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(health.routes(services.store, services.metrics))
    app.include_router(
        chat.routes(
            store=services.store,
            accept=services.accept,
            live=services.live,
            admit=services.limiter.admit,
            say=services.replies.say,
            max_characters=LONGEST_BODY,
            chapters=services.books.chapters,
        )
    )
    app.include_router(
        webhooks.routes(
            webhooks.Intake(services.accept, services.store.status, services.count_unknown),
            telegram=services.telegram,
            whatsapp=services.whatsapp,
            cloud=services.cloud,
        )
    )
    https = settings.public_url is not None and settings.public_url.scheme == "https"
    app.include_router(
        dashboard.routes(
            store=services.store,
            secret=services.derived_secret("dashboard"),
            public_https=https,
            training=services.training,
        )
    )
    return app
