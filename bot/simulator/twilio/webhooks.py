"""What Twilio posts to the service: forms, signed with the auth token over the public address."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from bot.simulator import whatsapp
from bot.simulator.config import Config, Provider, path_query
from bot.simulator.courier import Parcel, Policy
from bot.simulator.media import File
from bot.simulator.phones import Phone
from bot.simulator.said import Kind, Said
from bot.simulator.twilio.messages import API_VERSION, Message, new_sid

Form = dict[str, str]

# A webhook is called again only when nobody was there: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
POLICY = Policy(attempts=2, in_order=False, refused_too=False)
TYPES = {
    Kind.TEXT: "text",
    Kind.PHOTO: "image",
    Kind.VOICE: "audio",
    Kind.STICKER: "sticker",
    Kind.CONTACT: "contacts",
    Kind.LOCATION: "location",
    Kind.PRESS: "button",
}


def incoming(config: Config, phone: Phone, said: Said, sid: str, file: File | None) -> Form:
    """The form for a student's message. `file` is what it consists of besides text."""
    address = f"whatsapp:{phone.student}"
    text = whatsapp.label(phone, said.message, said.data) if said.kind is Kind.PRESS and not said.text else said.text
    form = {
        "SmsMessageSid": sid,
        "NumMedia": "1" if file else "0",
        "ProfileName": phone.name,
        "MessageType": TYPES[said.kind],
        "SmsSid": sid,
        "WaId": phone.student.removeprefix("+"),
        "SmsStatus": "received",
        "Body": text,
        "To": config.twilio.sender,
        "NumSegments": "1",
        "ReferralNumMedia": "0",
        "MessageSid": sid,
        "AccountSid": config.twilio.sid,
        "From": address,
        "ApiVersion": API_VERSION,
        "ChannelMetadata": _metadata(phone),
    }
    return form | _media(config, sid, file) | _particulars(config, said, text)


def _metadata(phone: Phone) -> str:
    context = {"ProfileName": phone.name, "WaId": phone.student.removeprefix("+")}
    return json.dumps({"type": "whatsapp", "data": {"context": context}}, separators=(",", ":"))


def _media(config: Config, sid: str, file: File | None) -> Form:
    if file is None:
        return {}
    folder = f"{config.base_url}/{API_VERSION}/Accounts/{config.twilio.sid}/Messages/{sid}/Media"
    return {"MediaContentType0": file.content_type, "MediaUrl0": f"{folder}/ME{file.id}"}


def _particulars(config: Config, said: Said, text: str) -> Form:
    if said.kind is Kind.LOCATION:
        return {"Latitude": "25.5941", "Longitude": "85.1376"}
    if said.kind is not Kind.PRESS:
        return {}
    replied = {"OriginalRepliedMessageSender": config.twilio.sender, "OriginalRepliedMessageSid": said.message}
    return {"ButtonText": text, "ButtonPayload": said.data or text} | (replied if said.message else {})


def report(config: Config, message: Message) -> Form:
    """The form of a status callback."""
    form = {
        "ChannelPrefix": "whatsapp",
        "ApiVersion": API_VERSION,
        "MessageStatus": message.status,
        "SmsSid": message.sid,
        "SmsStatus": message.status,
        "ChannelInstallSid": "XE" + "5" * 32,
        "To": message.to,
        "From": message.sender,
        "MessageSid": message.sid,
        "AccountSid": config.twilio.sid,
        "ChannelToAddress": message.to.removeprefix("whatsapp:")[:-5] + "XXXXX",
    }
    if message.status in {"read", "delivered"}:
        form["EventType"] = message.status.upper()
    if message.error_code is not None:
        form |= {"ErrorCode": str(message.error_code), "ErrorMessage": message.error_message or ""}
    return form


def parcel(
    config: Config,
    url: str,
    form: Form,
    lane: str,
    delivered: Callable[[], None] = lambda: None,
    given_up: Callable[[], None] = lambda: None,
) -> Parcel:
    """A signed call of `url`, the address that Twilio knows."""
    signature = RequestValidator(config.twilio.auth_token).compute_signature(url, form)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signature,
        "I-Twilio-Idempotency-Token": new_sid(""),
        "User-Agent": "TwilioProxy/1.1",
    }
    body = urlencode(form).encode("ascii")
    return Parcel(Provider.TWILIO, lane, path_query(url), body, headers, POLICY, delivered=delivered, given_up=given_up)
