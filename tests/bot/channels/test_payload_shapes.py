"""The recorded payloads, and what we make of Telegram's updates, held against what the providers document."""

from __future__ import annotations

import pytest

from bot.channels.telegram_updates import IGNORED, MEDIA, SERVICE, WANTED, parse
from bot.ports import Kind
from tests.bot.simulator.documented import read
from tests.bot.simulator.test_specs import SPECS
from tests.payloads.recorded import names, payload
from tests.payloads.shapes import SPECIFICATIONS, documented, kept, mismatches, sample

ROOTS = {"telegram": "Update", "cloud": "WebhookPayload"}
UNDOCUMENTED = {  # on purpose
    "telegram": {"unknown_kind"},
    "cloud": {"unknown_type", "not_whatsapp"},
    "whatsapp": {"unknown", "status_unknown"},
}
UPDATE, MESSAGE = documented("telegram")["Update"], documented("telegram")["Message"]

# What a message says of itself rather than consists of.
AROUND = {
    "message_id", "message_thread_id", "direct_messages_topic", "from", "sender_chat", "sender_boost_count",
    "sender_business_bot", "sender_tag", "date", "guest_query_id", "business_connection_id", "chat", "forward_origin",
    "is_topic_message", "is_automatic_forward", "reply_to_message", "external_reply", "quote", "reply_to_story",
    "reply_to_checklist_task_id", "reply_to_poll_option_id", "via_bot", "guest_bot_caller_user",
    "guest_bot_caller_chat", "edit_date", "has_protected_content", "is_from_offline", "is_paid_post", "media_group_id",
    "author_signature", "paid_star_count", "entities", "link_preview_options", "suggested_post_info", "effect_id",
    "caption", "caption_entities", "show_caption_above_media", "has_media_spoiler", "reply_markup",
}  # fmt: skip
# What a student may send and we have no name for.
OTHER = {
    "rich_message", "paid_media", "story", "checklist", "dice", "game", "poll", "invoice", "giveaway",
    "giveaway_winners",
}  # fmt: skip

# https://www.twilio.com/docs/messaging/guides/webhook-request and .../track-outbound-message-status
TWILIO = {
    "MessageSid", "SmsSid", "SmsMessageSid", "AccountSid", "MessagingServiceSid", "From", "To", "Body", "NumMedia",
    "NumSegments", "MediaContentType0", "MediaUrl0", "ApiVersion", "SmsStatus", "MessageType", "ChannelMetadata",
    "ProfileName", "WaId", "Forwarded", "FrequentlyForwarded", "ButtonText", "ButtonPayload", "ListId", "ListTitle",
    "ListDescription", "Latitude", "Longitude", "Address", "Label", "OriginalRepliedMessageSender",
    "OriginalRepliedMessageSid", "ReferralBody", "ReferralHeadline", "ReferralSourceId", "ReferralSourceType",
    "ReferralSourceUrl", "ReferralMediaId", "ReferralMediaContentType", "ReferralMediaUrl", "ReferralNumMedia",
    "ReferralCtwaClid", "MessageStatus", "ErrorCode", "ErrorMessage", "ChannelPrefix", "ChannelInstallSid",
    "ChannelToAddress", "EventType",
}  # fmt: skip

if SPECS is not None:

    @pytest.mark.parametrize("provider", SPECIFICATIONS)
    def test_the_shapes_are_those_of_the_specifications(provider: str) -> None:
        assert SPECS is not None
        name, keep = SPECIFICATIONS[provider]
        assert kept(provider) == keep(read(SPECS / name))


@pytest.mark.parametrize(("provider", "name"), [(provider, name) for provider in ROOTS for name in names(provider)])
def test_a_payload_is_as_documented(provider: str, name: str) -> None:
    found = list(mismatches(payload(f"{provider}/{name}"), ROOTS[provider], documented(provider)))
    assert bool(found) == (name in UNDOCUMENTED[provider]), found


@pytest.mark.parametrize("name", names("whatsapp"))
def test_a_form_of_twilios_has_documented_fields_of_text(name: str) -> None:
    form = payload(f"whatsapp/{name}")
    assert all(isinstance(value, str) for value in form.values())
    assert form.keys() <= TWILIO
    if name not in UNDOCUMENTED["whatsapp"]:
        assert {"MessageSid", "AccountSid", "From", "To"} <= form.keys()


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"update_id": "7"}, ["update_id: not a Integer"]),
        ({"poll": 5}, ["update_id: missing", "poll: not an object"]),
        (
            {"update_id": 7, "poll": {"options": [7]}, "hologram": 1},
            ["poll.options[0]: not an object", "hologram: not"],
        ),
        ({"update_id": True, "message": []}, ["update_id: not a Integer", "message: not an object"]),
    ],
)
def test_what_is_not_as_documented_is_found(update: object, expected: list[str]) -> None:
    found = list(mismatches(update, "Update", documented("telegram")))
    assert all(any(item.startswith(wanted) for item in found) for wanted in expected), found


# ---- all that Telegram documents -------------------------------------------------------------------------------------


def test_we_know_every_kind_of_update() -> None:
    assert {"update_id", *WANTED, *IGNORED} == UPDATE.keys()


def test_we_know_every_field_of_a_message() -> None:
    sorts = (AROUND, {"text"}, MEDIA.keys(), SERVICE, OTHER)
    assert set().union(*sorts) == MESSAGE.keys()
    assert sum(map(len, sorts)) == len(MESSAGE)


@pytest.mark.parametrize("kind", sorted(UPDATE.keys() - {"update_id", *WANTED}))
def test_an_update_that_was_not_asked_for_is_ignored(kind: str) -> None:
    update = {"update_id": 7, kind: sample(UPDATE[kind].removesuffix("?"), documented("telegram"))}
    assert parse(update, None) == []


@pytest.mark.parametrize("field", sorted(MESSAGE.keys() - AROUND - {"text"}))
def test_a_message_is_met_with_silence_or_with_an_answer(field: str) -> None:
    shapes = documented("telegram")
    message = sample("Message", shapes) | {"chat": {"id": 5, "type": "private"}}
    message[field] = sample(MESSAGE[field].removesuffix("?"), shapes)
    update = {"update_id": 7, "message": message}
    assert list(mismatches(update, "Update", shapes)) == []
    found = [(inbound.kind, inbound.text) for inbound in parse(update, None)]
    assert found == ([] if field in SERVICE else [(Kind.UNSUPPORTED, MEDIA.get(field, "other"))])
