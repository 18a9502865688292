"""Signs what a provider would post, for tests that post it themselves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from starlette.datastructures import FormData
from twilio.request_validator import RequestValidator


def twilio_signature(auth_token: str, url: str, fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """The X-Twilio-Signature of a form posted to `url`, the address Twilio knows; by Twilio's own library."""
    pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
    return str(RequestValidator(auth_token).compute_signature(url, FormData(pairs)))


def cloud_signature(app_secret: str, body: bytes) -> str:
    """The X-Hub-Signature-256 of a body that Meta posts."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
