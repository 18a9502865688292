"""The recorded payloads as their providers post them: to the right path, and signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from bot.channels import cloud, telegram, whatsapp
from bot.ports import HttpRequest
from bot.simulator.config import Config
from tests.bot.channels.simulated import PUBLIC, SECRET
from tests.payloads.recorded import expected, payload
from tests.signing import cloud_signature, twilio_signature

PATHS = {
    "telegram": telegram.WEBHOOK_PATH,
    "whatsapp": whatsapp.WEBHOOK_PATH,
    "cloud": cloud.WEBHOOK_PATH,
}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Posted:
    """A request of a provider's."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def request(self) -> HttpRequest:
        """As the channels take it."""
        is_form = self.headers["content-type"] != JSON["content-type"]
        fields = parse_qsl(self.body.decode("ascii"), keep_blank_values=True) if is_form else []
        return HttpRequest(self.path, self.headers, self.body, tuple(fields))


def posted(provider: str, name: str, config: Config, *, secret: str = SECRET) -> Posted:
    """A payload, signed with the secrets of `config`; Telegram shows `secret`."""
    content = payload(f"{provider}/{name}")
    path = expected(provider)[name].get("path", PATHS[provider])
    if provider == "whatsapp":
        signature = twilio_signature(config.twilio.auth_token, PUBLIC + path, content)
        headers = {"content-type": "application/x-www-form-urlencoded", whatsapp.SIGNATURE_HEADER: signature}
        return Posted(path, headers, urlencode(content).encode("ascii"))
    body = json.dumps(content).encode()
    if provider == "telegram":
        return Posted(path, JSON | {telegram.SECRET_HEADER: secret}, body)
    return Posted(path, JSON | {cloud.SIGNATURE_HEADER: cloud_signature(config.cloud.app_secret, body)}, body)
