"""The account resource: https://www.twilio.com/docs/iam/api/account."""

from __future__ import annotations

from bot.simulator.config import Json, TwilioAccount
from bot.simulator.twilio.messages import API_VERSION

CREATED = "Thu, 30 Jul 2015 20:00:00 +0000"
# Subresources, by the name that the documentation lists them under.
PLACES = {
    "available_phone_numbers": "AvailablePhoneNumbers",
    "calls": "Calls",
    "conferences": "Conferences",
    "incoming_phone_numbers": "IncomingPhoneNumbers",
    "notifications": "Notifications",
    "outgoing_caller_ids": "OutgoingCallerIds",
    "recordings": "Recordings",
    "transcriptions": "Transcriptions",
    "addresses": "Addresses",
    "signing_keys": "SigningKeys",
    "connect_apps": "ConnectApps",
    "sip": "SIP",
    "authorized_connect_apps": "AuthorizedConnectApps",
    "usage": "Usage",
    "keys": "Keys",
    "applications": "Applications",
    "short_codes": "SMS/ShortCodes",
    "queues": "Queues",
    "messages": "Messages",
    "balance": "Balance",
}


def resource(account: TwilioAccount) -> Json:
    """The account as its owner sees it: a main account, active and paid for."""
    folder = f"/{API_VERSION}/Accounts/{account.sid}"
    return {
        "auth_token": account.auth_token,
        "date_created": CREATED,
        "date_updated": CREATED,
        "friendly_name": "Simulated account",
        "owner_account_sid": account.sid,
        "sid": account.sid,
        "status": "active",
        "subresource_uris": {name: f"{folder}/{place}.json" for name, place in PLACES.items()},
        "type": "Full",
        "uri": f"{folder}.json",
    }
