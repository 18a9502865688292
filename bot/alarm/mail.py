"""E-mail through the school's mail server."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import localtime, make_msgid

from bot.alarm.notice import Notice
from bot.errors import DeliveryError, PermanentError, TransientError

TIMEOUT = 10.0  # seconds for each step of the conversation with the server


class Mailer:
    """Satisfies `alerts.Sender`. One connection a message: they are few, and each must find the server as it is now."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        user: str = "",
        password: str = "",
        starttls: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._user = user
        self._password = password
        self._starttls = starttls
        self._timeout = timeout

    async def send(self, address: str, notice: Notice) -> None:
        """Hand one message to the mail server. Raises TransientError or PermanentError, which name no address."""
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = address
        message["Subject"] = notice.subject
        message["Date"] = localtime()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply is wanted
        message.set_content(notice.text)
        await asyncio.to_thread(self._hand_over, message)

    def _hand_over(self, message: EmailMessage) -> None:
        try:
            with smtplib.SMTP(self._host, self._port, timeout=self._timeout) as server:
                if self._starttls:
                    server.starttls(context=ssl.create_default_context())
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(message)
        except (OSError, ValueError) as error:  # smtplib's own are OSErrors
            raise _ours(error) from None  # theirs name the address


def _ours(error: Exception) -> DeliveryError:
    """Our error for theirs: a server that says 5xx means it, everything else may pass."""
    match error:
        case smtplib.SMTPResponseException():
            code = error.smtp_code
        case smtplib.SMTPRecipientsRefused():
            code = max((status for status, _ in error.recipients.values()), default=0)
        case _:
            code = 0
    kind = PermanentError if 500 <= code < 600 else TransientError
    return kind(f"the mail server did not take it ({type(error).__name__})", code=str(code or type(error).__name__))
