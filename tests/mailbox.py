"""A real mail server on a free port of 127.0.0.1, in a thread, that keeps what it is given."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.servers import free_port, program

USER, PASSWORD = "tutor", "a word for the mail server"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Mail:
    """One message, as it arrived."""

    to: Sequence[str]
    message: EmailMessage
    encrypted: bool
    user: str | None

    @property
    def text(self) -> str:
        content: str = self.message.get_content()
        return content.replace("\r\n", "\n")

    @property
    def whole(self) -> str:
        """Everything a mail program could show."""
        return "\n".join([*(f"{name}: {value}" for name, value in self.message.items()), self.text])


class MailServer:
    """`with` starts and stops it. Recipients in `refused` are answered with their status."""

    def __init__(self, certificate: Path | None = None, *, port: int = 0) -> None:
        """With a certificate it takes nothing that is not encrypted, from nobody who has not signed in."""
        self.port = port or free_port()
        self.mails: list[Mail] = []
        self.refused: dict[str, str] = {}
        encryption: dict[str, Any] = {}
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            encryption = {"tls_context": context, "require_starttls": True, "auth_required": True}
            encryption["authenticator"] = _authenticated
        self._controller = Controller(self, hostname=HOST, port=self.port, **encryption)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def to(self) -> list[str]:
        """Who was written to, in order."""
        return [address for mail in self.mails for address in mail.to]

    async def handle_RCPT(  # noqa: N802  the library's name
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802  likewise
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        user = session.auth_data.login.decode() if session.auth_data else None
        self.mails.append(Mail(list(envelope.rcpt_tos), message, session.ssl is not None, user))
        return "250 OK"


def _authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False, auth_data=given)


def certificate(folder: Path) -> Path:
    """A certificate of our own for HOST, with its key."""
    file = folder / "mail.pem"
    subject = ["-subj", "/CN=mail.school.example", "-addext", f"subjectAltName=IP:{HOST}"]
    make = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", str(file), "-out", str(folder / "only.pem")], check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "only.pem").read_text(), encoding="ascii")
    return file
