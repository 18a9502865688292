"""The real channels, talking to the simulator instead of the providers."""

from __future__ import annotations

from typing import Any

from bot.channels.cloud import CloudChannel
from bot.channels.telegram import TelegramChannel
from bot.channels.whatsapp import WhatsAppChannel
from bot.simulator.config import TelegramBot
from tests.bot.simulator.driver import Driver, Json

PUBLIC = "https://tutor.school.example"
SECRET = "s3cret-Token"
BOT = TelegramBot(username="SahpathiTestBot")  # whom the payloads of groups mention
ASHA = "700100200"  # her chat on Telegram
ASHA_PHONE = "+919876543210"


def telegram_of(bot_api: Driver, *, token: str = "", **more: Any) -> TelegramChannel:
    """A channel with little patience, polling unless it is given a public_url."""
    given: dict[str, Any] = {"secret": SECRET, "api_base": bot_api.url, "timeout": 2.0, "backoff": 0.01}
    return TelegramChannel(token or bot_api.config.telegram.token, **(given | more))


def whatsapp_of(twilio_api: Driver, *, auth_token: str = "", **more: Any) -> WhatsAppChannel:
    account = twilio_api.config.twilio
    given: dict[str, Any] = {"public_url": PUBLIC, "api_base": twilio_api.url, "timeout": 2.0}
    return WhatsAppChannel(account.sid, auth_token or account.auth_token, account.sender, **(given | more))


def cloud_of(meta: Driver, **more: Any) -> CloudChannel:
    number = meta.config.cloud
    given: dict[str, Any] = {"app_secret": number.app_secret, "verify_token": number.verify_token}
    given |= {"api_base": meta.url, "timeout": 5.0}
    return CloudChannel(number.phone_number_id, number.access_token, **(given | more))


def bot_call(bot_api: Driver, method: str, **parameters: str | int) -> Any:
    """What a method of the Bot API gives to us, on another connection than the channel's."""
    answer = bot_api.client.get(f"/bot{bot_api.config.telegram.token}/{method}", params=parameters)
    return answer.raise_for_status().json()["result"]


def pending(bot_api: Driver) -> int:
    """How many updates the bot has not confirmed."""
    count: int = bot_call(bot_api, "getWebhookInfo")["pending_update_count"]
    return count


def confirmed(bot_api: Driver) -> list[Json]:
    """The updates that the bot had not confirmed, which now are."""
    updates: list[Json] = bot_call(bot_api, "getUpdates")
    if updates:
        bot_call(bot_api, "getUpdates", offset=updates[-1]["update_id"] + 1)
    return updates


def answer(method: str, status: int, body: Json, *, times: int = 1) -> Json:
    """A fault, for `Driver.faults`: the next calls of a method are answered with just this."""
    return {"kind": "answer", "only": [method], "times": times, "status": status, "body": body}


def bot_refusal(
    method: str, status: int, description: str = "made to fail", *, times: int = 1, **parameters: int
) -> Json:
    """A fault: how the Bot API refuses. `parameters`: migrate_to_chat_id or retry_after."""
    more = {"parameters": parameters} if parameters else {}
    return answer(method, status, {"ok": False, "error_code": status, "description": description} | more, times=times)


def twilio_refusal(method: str, status: int, code: int | None = None) -> Json:
    """A fault: how Twilio refuses to "create" or "list"; its words name the student."""
    return answer(method, status, {"code": code, "message": f"The 'To' number {ASHA_PHONE} ...", "status": status})
