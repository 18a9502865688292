"""taskiq's broker on Redis Streams, patient with a Redis that is away. Imported only where there is a Redis."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError
from taskiq_redis import RedisStreamBroker

from bot.waiting import backoff

logger = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0  # seconds


class PatientBroker(RedisStreamBroker):  # type: ignore[misc]  # the library is untyped
    """Starts at once or not at all; once it ran, it waits for a Redis that is gone.

    taskiq's listener starts its broker anew after each failure without a pause: with Redis away it would spend a core
    on writing the same error to the log.
    """

    _ran = False

    async def startup(self) -> None:
        """Raises RedisError or OSError the first time."""
        failures = 0
        while True:
            try:
                await super().startup()
            except (RedisError, OSError) as error:
                if not self._ran:
                    raise
                failures += 1
                if failures == 1:
                    logger.warning("the queue is away (%s); waiting for it", type(error).__name__)
                await asyncio.sleep(backoff(FIRST_WAIT, failures, LONGEST_WAIT))
            else:
                if failures:
                    logger.info("the queue is back")
                self._ran = True
                return
