"""An outside model as one more layer: Llama Guard, ShieldGemma or the like, behind an OpenAI-compatible server.

It is asked beside the other layers and has a deadline. A guard that is late or away says nothing: the layers of our own
have looked, and a class must not stand still because another machine does.
"""

from __future__ import annotations

import asyncio
import logging
import re

import httpx

from bot.ports import Action
from bot.safety.finding import Finding, Reading

logger = logging.getLogger(__name__)

LONGEST = 4_000  # characters that are shown to it
# The hazards of Llama Guard 3 (MLCommons' list) that are a reason to refuse here. The others, such as election advice
# and copyright, are the business of a school's own rules.
HAZARDS = {
    "S1": "violence", "S2": "crime", "S3": "sexual", "S4": "sexual", "S5": "harassment", "S7": "harassment",
    "S9": "weapons", "S10": "hate", "S11": "self_harm", "S12": "sexual", "S14": "hacking",
}  # fmt: skip
SELF_HARM = "self_harm"
UNNAMED = "crime"  # of a guard that says no more than "unsafe" or "yes"
_CODE = re.compile(r"\bS\d{1,2}\b")


class Guard:
    """The layer. `url` is the server's address up to and without /v1; `deadline` is in seconds."""

    name = "guard"

    def __init__(self, url: str, model: str, *, deadline: float, key: str = "") -> None:
        self._url = f"{url.rstrip('/')}/v1/chat/completions"
        self._model = model
        self._deadline = deadline
        self._client = httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"} if key else {})

    async def judge(self, reading: Reading) -> Finding | None:
        """See `finding.Layer`. Never raises: a guard that cannot answer has found nothing."""
        try:
            async with asyncio.timeout(self._deadline):
                return self._finding(await self._asked(reading.text[:LONGEST]))
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            logger.warning("the safety guard gave no answer (%s)", type(error).__name__)
            return None

    async def close(self) -> None:
        await self._client.aclose()

    async def _asked(self, text: str) -> str:
        request = {
            "model": self._model, "messages": [{"role": "user", "content": text}], "max_tokens": 20, "temperature": 0,
        }  # fmt: skip
        response = await self._client.post(self._url, json=request, timeout=self._deadline)
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])

    def _finding(self, said: str) -> Finding | None:
        if not said.strip().lower().startswith(("unsafe", "yes")):
            return None
        codes = _CODE.findall(said)
        named = [HAZARDS[code] for code in codes if code in HAZARDS]
        if codes and not named:
            return None
        category = SELF_HARM if SELF_HARM in named else (named or [UNNAMED])[0]
        action = Action.ESCALATE if category == SELF_HARM else Action.REFUSE
        return Finding(action, category, self.name)
