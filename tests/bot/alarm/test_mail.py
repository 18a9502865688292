"""E-mail to a real mail server: encrypted where it should be, and our errors, which name nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.alarm.mail import Mailer
from bot.alarm.notice import Notice
from bot.errors import DeliveryError, PermanentError, TransientError
from tests.mailbox import HOST, PASSWORD, USER, MailServer, certificate
from tests.servers import free_port

ASHA, SENDER = "asha@school.example", "tutor@school.example"
WORDS = "Please come. कृपया आइए।\nToday."
NOTICE = Notice(12, "A subject · विषय", WORDS)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[MailServer]:
    """Takes nothing in plain text and from no stranger."""
    with MailServer(certificate(tmp_path)) as running:
        yield running


def plain(server: MailServer) -> Mailer:
    return Mailer(HOST, server.port, sender=SENDER, starttls=False, timeout=5)


async def test_a_mail_arrives_as_it_was_written(server: MailServer) -> None:
    await plain(server).send(ASHA, NOTICE)
    (mail,) = server.mails
    assert mail.to == [ASHA]
    assert (mail.message["From"], mail.message["To"], mail.message["Subject"]) == (SENDER, ASHA, "A subject · विषय")
    assert mail.text.strip() == WORDS
    assert mail.message["Message-ID"].endswith("@school.example>")
    assert mail.message["Date"]


async def test_it_is_encrypted_and_signed_in(
    strict: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "only.pem"))
    mailer = Mailer(HOST, strict.port, sender=SENDER, user=USER, password=PASSWORD, timeout=5)
    await mailer.send(ASHA, NOTICE)
    (mail,) = strict.mails
    assert (mail.encrypted, mail.user, mail.text.strip()) == (True, USER, WORDS)
    wrong = Mailer(HOST, strict.port, sender=SENDER, user=USER, password="guessed", timeout=5)
    with pytest.raises(PermanentError) as refused:
        await wrong.send(ASHA, NOTICE)
    assert refused.value.code == "535"
    assert len(strict.mails) == 1


async def test_a_server_that_cannot_prove_who_it_is_learns_nothing(strict: MailServer) -> None:
    mailer = Mailer(HOST, strict.port, sender=SENDER, user=USER, password=PASSWORD, timeout=5)
    with pytest.raises(TransientError) as refused:
        await mailer.send(ASHA, NOTICE)
    assert refused.value.code == "SSLCertVerificationError"
    assert strict.mails == []


async def test_what_was_to_be_encrypted_is_not_sent_without(server: MailServer) -> None:
    with pytest.raises(TransientError) as refused:
        await Mailer(HOST, server.port, sender=SENDER, timeout=5).send(ASHA, NOTICE)
    assert refused.value.code == "SMTPNotSupportedError"
    assert server.mails == []


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [("550 no such user", PermanentError, "550"), ("450 try again later", TransientError, "450")],
)
async def test_a_refusal_names_nobody(
    server: MailServer, caplog: pytest.LogCaptureFixture, said: str, kind: type[DeliveryError], code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.refused[ASHA] = f"{said} {ASHA}"
    with pytest.raises(kind) as refused:
        await plain(server).send(ASHA, NOTICE)
    assert refused.value.code == code
    assert refused.value.__suppress_context__
    assert "asha" not in str(refused.value)
    assert "asha" not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("bot"))


async def test_a_server_that_is_away_may_come_back() -> None:
    with pytest.raises(TransientError):
        await Mailer(HOST, free_port(), sender=SENDER, timeout=5).send(ASHA, NOTICE)
