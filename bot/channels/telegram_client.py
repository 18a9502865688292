"""The Bot API through python-telegram-bot, in our terms: our errors, and neither token nor child's words in a log."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, ReplyKeyboardMarkup
from telegram.constants import ChatAction
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from bot.channels.telegram_updates import Me
from bot.errors import DeliveryError, PermanentError, SettingsError, TransientError, Unreachable
from bot.ports import Choice

logger = logging.getLogger(__name__)

POLL_SECONDS = 30
COURTESY_SECONDS = 3.0  # how long anything that is only polite may take
CONFLICT = "409"
IN_A_ROW, SHORT_LABEL = 3, 12  # buttons, and how long their labels may be for so many
T = TypeVar("T")

os.environ.setdefault("PTB_TIMEDELTA", "true")  # the library's next way of giving times; else it warns at each 429

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class TelegramClient:
    """The few methods of the Bot API that we use. Each raises TransientError or PermanentError unless it says more."""

    def __init__(self, token: str, *, api_base: str, timeout: float) -> None:
        """Raises SettingsError for what cannot be a token. `timeout` is in seconds."""
        if not _TOKEN.fullmatch(token):
            raise SettingsError("SAHPATHI_TELEGRAM__TOKEN is not a bot token; @BotFather gives one like 123456:ABC-def")
        _hush()
        self._token = token
        self._timeout = timeout
        self._sender = HTTPXRequest(connection_pool_size=32, read_timeout=timeout, connect_timeout=timeout)
        self._poller = HTTPXRequest(connection_pool_size=1, read_timeout=timeout, connect_timeout=timeout)
        base = api_base.rstrip("/")
        self._bot = Bot(
            token,
            base_url=f"{base}/bot",
            base_file_url=f"{base}/file/bot",
            request=self._sender,
            get_updates_request=self._poller,
        )

    async def close(self) -> None:
        await self._sender.shutdown()
        await self._poller.shutdown()

    async def me(self) -> Me:
        """Who the token belongs to. Raises SettingsError when Telegram does not know it."""
        try:
            user = await self._bot.get_me()
        except InvalidToken:
            raise SettingsError(
                "Telegram does not know SAHPATHI_TELEGRAM__TOKEN: copy it again from @BotFather"
            ) from None
        except TelegramError as error:
            raise self._ours(error) from None
        return Me(user.id, user.username or "")

    async def set_webhook(self, url: str, secret: str, kinds: Sequence[str]) -> None:
        """Have updates of these kinds posted to `url`. Raises SettingsError when Telegram refuses the address."""
        try:
            await self._bot.set_webhook(url, secret_token=secret, allowed_updates=kinds, drop_pending_updates=False)
        except BadRequest as error:
            raise SettingsError(
                f"Telegram refuses the webhook address {url} ({self._told(error)}): SAHPATHI_PUBLIC_URL must be an "
                "https address that can be reached from the internet"
            ) from None
        except TelegramError as error:
            raise self._ours(error) from None

    async def delete_webhook(self) -> None:
        """Have updates kept for `updates`; those that wait already stay."""
        try:
            await self._bot.delete_webhook(drop_pending_updates=False)
        except TelegramError as error:
            raise self._ours(error) from None

    async def set_commands(self, commands: Sequence[tuple[str, str]], language: str = "") -> None:
        """List commands, each a name and what it is for, to phones that speak `language`; "" to all others."""
        try:
            await self._bot.set_my_commands(commands, language_code=language or None)
        except TelegramError as error:
            raise self._ours(error) from None

    async def updates(self, offset: int, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """The next batch as JSON, oldest first, waiting up to POLL_SECONDS; `offset` confirms all before it.

        A TransientError of code CONFLICT means that somebody else receives this bot's updates.
        """
        query = {"timeout": POLL_SECONDS, "allowed_updates": json.dumps(kinds)} | ({"offset": offset} if offset else {})
        # Through the library's request object, not Bot.get_updates: telegram_updates says why.
        url = f"{self._bot.base_url}/getUpdates?{urlencode(query)}"
        try:
            result: object = await self._poller.post(url, read_timeout=POLL_SECONDS + self._timeout)
        except TelegramError as error:
            raise self._ours(error) from None
        found = result if isinstance(result, list) else []
        return [item for item in found if isinstance(item, dict) and isinstance(item.get("update_id"), int)]

    async def send(self, address: str, text: str, choices: Sequence[Choice], menu: Sequence[str]) -> str:
        """Send plain text with `choices` as buttons under it, or else `menu` beside the keyboard. Returns its id.

        No parse mode: no answer can fail for its formatting.
        """
        try:
            return await self._send(address, text, choices, menu)
        except ChatMigrated as moved:
            group = str(moved.new_chat_id)  # the group became a supergroup; its messages come from there now
        except TelegramError as error:
            raise self._ours(error) from None
        try:
            return await self._send(group, text, choices, menu)
        except TelegramError as error:
            raise self._ours(error) from None

    async def _send(self, address: str, text: str, choices: Sequence[Choice], menu: Sequence[str]) -> str:
        message = await self._bot.send_message(
            address,
            text,
            reply_markup=_buttons(choices) if choices else _keyboard(menu) if menu else None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )
        return str(message.message_id)

    async def relabel(self, address: str, message_id: str, choices: Sequence[Choice]) -> None:
        """Change the buttons under a message. Best effort: never raises."""
        try:
            await self._bot.edit_message_reply_markup(
                address,
                int(message_id),
                reply_markup=_buttons(choices),
                read_timeout=COURTESY_SECONDS,
                connect_timeout=COURTESY_SECONDS,
            )
        except TelegramError as error:  # the same thumb again, or a message that was deleted
            logger.debug("telegram: a choice could not be marked (%s)", type(error).__name__)

    async def typing(self, address: str) -> None:
        """Show that an answer is being written. Best effort: never raises."""
        try:
            await self._bot.send_chat_action(
                address, ChatAction.TYPING, read_timeout=COURTESY_SECONDS, connect_timeout=COURTESY_SECONDS
            )
        except TelegramError as error:
            logger.debug("telegram: no typing sign (%s)", type(error).__name__)

    async def draft(self, address: str, number: int, text: str) -> bool:
        """Show `text` as being written; Telegram takes it away with the next message, or after half a minute.

        False when it was not shown. Never raises.
        """
        try:
            return await self._bot.send_message_draft(
                int(address), number, text, read_timeout=COURTESY_SECONDS, connect_timeout=COURTESY_SECONDS
            )
        except TelegramError as error:  # too many, or no network: the answer itself comes all the same
            logger.debug("telegram: no preview (%s)", type(error).__name__)
            return False

    async def answer_callback(self, query_id: str) -> None:
        """Stop the waiting circle on a pressed button. Best effort: never raises."""
        try:
            await self._bot.answer_callback_query(
                query_id, read_timeout=COURTESY_SECONDS, connect_timeout=COURTESY_SECONDS
            )
        except TelegramError as error:  # too old a press, or no network: the circle stops by itself
            logger.debug("telegram: a button press was not acknowledged (%s)", type(error).__name__)

    def _told(self, error: TelegramError) -> str:
        """The error's name and description, without the token, which the library puts into some of them."""
        return f"{type(error).__name__}: {error.message}".replace(self._token, "<token>")

    def _ours(self, error: TelegramError) -> DeliveryError:
        """Our error for theirs. To be raised `from None`: theirs may name the token."""
        told = self._told(error)
        match error:
            case RetryAfter():
                wait = error.retry_after
                seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
                return TransientError(told, code="429", retry_after=seconds)
            case Forbidden():  # blocked, or thrown out of the group
                return Unreachable(told, code="403")
            case BadRequest():  # before NetworkError, whose subclass it is
                return PermanentError(told, code="400")
            case InvalidToken():
                return PermanentError(told, code="401")
            case Conflict():
                return TransientError(told, code=CONFLICT)
            case NetworkError():
                return TransientError(told, in_doubt=not isinstance(error.__cause__, _NEVER_SENT))
            case _:
                return TransientError(told, in_doubt=True)


def _buttons(choices: Sequence[Choice]) -> InlineKeyboardMarkup:
    """In rows that a narrow phone shows whole."""
    a_row = IN_A_ROW if all(len(choice.label) <= SHORT_LABEL for choice in choices) else 1
    buttons = [InlineKeyboardButton(choice.label, callback_data=choice.command) for choice in choices]
    return InlineKeyboardMarkup([list(row) for row in _batched(buttons, a_row)])


def _keyboard(labels: Sequence[str]) -> ReplyKeyboardMarkup:
    return ReplyKeyboardMarkup([list(row) for row in _batched(labels, 2)], resize_keyboard=True, is_persistent=True)


def _batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Rows of `size`, the last one shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _hush() -> None:
    """Keep the token (part of every URL) and the children's words out of the logs, whatever level is configured."""
    for library in ("httpx", "telegram"):
        theirs = logging.getLogger(library)
        theirs.setLevel(max(theirs.level, logging.WARNING))
