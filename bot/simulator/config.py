"""Whom the simulator stands in for, where it listens and whom it calls. None of these secrets opens anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

SERVICE = "http://127.0.0.1:8000"
SIMULATOR = "http://127.0.0.1:8090"


class Provider(StrEnum):
    """A provider played here; `twilio` and `cloud` both carry WhatsApp."""

    TELEGRAM = "telegram"
    TWILIO = "twilio"
    CLOUD = "cloud"


@dataclass(frozen=True)
class TelegramBot:
    """The bot that the service is."""

    token: str = "123456:simulated-bot-token"  # noqa: S105
    username: str = "SahpathiSimulatedBot"
    name: str = "Sahpathi"

    @property
    def id(self) -> int:
        return int(self.token.partition(":")[0])


@dataclass(frozen=True)
class TwilioAccount:
    """`sender` is the service's own number, as a channel address."""

    sid: str = "AC" + "5" * 32
    auth_token: str = "simulated-auth-token"  # noqa: S105
    sender: str = "whatsapp:+14155238886"
    webhook_path: str = "/webhooks/whatsapp"


@dataclass(frozen=True)
class CloudNumber:
    """A business phone number and the app that is subscribed to it."""

    phone_number_id: str = "106540352242922"
    display_number: str = "15550783881"
    business_id: str = "419561257915477"
    access_token: str = "simulated-access-token"  # noqa: S105
    app_secret: str = "simulated-app-secret"  # noqa: S105
    verify_token: str = "simulated-verify-token"  # noqa: S105
    webhook_path: str = "/webhooks/cloud"


@dataclass(frozen=True)
class Pace:
    """How fast the providers are, in seconds."""

    receipt: float = 0.4  # between two states of a message
    backoff: float = 1.0  # before a webhook is called again; doubles
    longest_backoff: float = 60.0
    attempts: int = 20
    deadline: float = 15.0  # for the webhook's answer

    def wait(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return min(self.longest_backoff, self.backoff * 2.0 ** min(failures - 1, 16))


@dataclass(frozen=True)
class Config:
    """`base_url`: this simulator. `service`: where the tutor really listens; nothing else is ever called.

    `public_url`: the address the providers know the tutor by, and sign; the service's own unless given.
    """

    base_url: str = SIMULATOR
    service: str = SERVICE
    public_url: str = ""
    telegram: TelegramBot = TelegramBot()
    twilio: TwilioAccount = TwilioAccount()
    cloud: CloudNumber = CloudNumber()
    pace: Pace = Pace()
    receipts: tuple[str, ...] = ("queued", "sent", "delivered", "read")  # the states that are reported

    @property
    def public(self) -> str:
        return (self.public_url or self.service).rstrip("/")

    @property
    def cdn(self) -> str:
        """This simulator by another name, where there is one: a host that must not be shown Twilio's credentials."""
        parts = urlsplit(self.base_url)
        other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(parts.hostname or "", parts.hostname or "")
        return parts._replace(netloc=f"{other}:{parts.port}" if parts.port else other).geturl()

    def known(self, url: str) -> bool:
        """Whether a webhook at `url` is the service's."""
        return _origin(url) == _origin(self.public)

    def environment(self) -> dict[str, str]:
        """The settings with which `sahpathi serve` talks to this simulator instead of the providers."""
        return {
            "SAHPATHI_PUBLIC_URL": self.public,
            "SAHPATHI_TELEGRAM__TOKEN": self.telegram.token,
            "SAHPATHI_TELEGRAM__API_BASE": self.base_url,
            "SAHPATHI_TWILIO__ACCOUNT_SID": self.twilio.sid,
            "SAHPATHI_TWILIO__AUTH_TOKEN": self.twilio.auth_token,
            "SAHPATHI_TWILIO__FROM": self.twilio.sender,
            "SAHPATHI_TWILIO__API_BASE": self.base_url,
            "SAHPATHI_CLOUD__PHONE_NUMBER_ID": self.cloud.phone_number_id,
            "SAHPATHI_CLOUD__ACCESS_TOKEN": self.cloud.access_token,
            "SAHPATHI_CLOUD__APP_SECRET": self.cloud.app_secret,
            "SAHPATHI_CLOUD__VERIFY_TOKEN": self.cloud.verify_token,
            "SAHPATHI_CLOUD__API_BASE": self.base_url,
        }


def path_query(url: str) -> str:
    """The part of an address after its host, without the fragment."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
