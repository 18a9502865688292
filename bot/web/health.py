"""`/healthz`: the process lives. `/readyz`: it can answer. `/metrics`: counts for Prometheus."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from bot.metrics import Metrics
from bot.store import Store

logger = logging.getLogger(__name__)


def routes(store: Store, metrics: Metrics) -> APIRouter:
    """The three addresses that machines ask."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        try:
            await store.ping()
        except (SQLAlchemyError, OSError) as error:
            logger.warning("not ready: the database does not answer (%s)", type(error).__name__)
            response.status_code = 503
            return {"status": "the database does not answer"}
        return {"status": "ok"}

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(metrics.render(await store.counts()), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
