"""The Cloud API channel against the simulator, which keeps Meta's documented rules and shares no code with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bot.channels.cloud import CloudChannel
from bot.choices import thumbs
from bot.errors import DeliveryError, ForgedRequest, PermanentError, TransientError, UnknownShape, Unreachable
from bot.ports import Choice, DeliveryState, HttpRequest, Inbound, Kind, Outgoing, StatusUpdate
from tests.bot.channels.simulated import cloud_of
from tests.bot.simulator.driver import Driver, Webhooks, eventually
from tests.local_server import LocalServer
from tests.signing import cloud_signature

ASHA = "+919876543210"
ADDRESS = "919876543210"


def signed(meta: Driver, payload: object) -> HttpRequest:
    body = json.dumps(payload).encode()
    return HttpRequest(
        "/webhooks/cloud", {"x-hub-signature-256": cloud_signature(meta.config.cloud.app_secret, body)}, body
    )


def webhook(field: str = "messages", **value: object) -> dict[str, object]:
    change = {"field": field, "value": {"messaging_product": "whatsapp", **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


def message(kind: str, **content: object) -> dict[str, object]:
    return {"id": "wamid.1", "from": ADDRESS, "timestamp": "1", "type": kind, **content}


# ---- receiving -------------------------------------------------------------------------------------------------------


async def received(cloud: CloudChannel, service: Webhooks) -> list[Inbound]:
    (delivery,) = await asyncio.to_thread(eventually, lambda: service.deliveries)
    return cloud.receive(delivery.request)


async def test_a_student_is_heard(cloud: CloudChannel, meta: Driver, service: Webhooks) -> None:
    said = await asyncio.to_thread(meta.say, "cloud", ASHA, "What is a cell?")
    (inbound,) = await received(cloud, service)
    assert (inbound.channel, inbound.kind, inbound.text) == ("cloud", Kind.TEXT, "What is a cell?")
    assert (inbound.provider_id, inbound.address) == (said["provider_id"], ADDRESS)


@pytest.mark.parametrize("kind", ["photo", "voice", "sticker", "contact", "location"])
async def test_what_cannot_be_read_is_named(cloud: CloudChannel, meta: Driver, service: Webhooks, kind: str) -> None:
    await asyncio.to_thread(lambda: meta.say("cloud", ASHA, kind=kind))
    (inbound,) = await received(cloud, service)
    assert (inbound.kind, inbound.text) == (Kind.UNSUPPORTED, kind)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (message("interactive", interactive={"type": "button_reply", "button_reply": {"id": "/agree", "title": "Yes"}}),
         (Kind.COMMAND, "/agree", None)),
        (message("interactive", interactive={"type": "list_reply", "list_reply": {"id": "/class 7", "title": "7"}}),
         (Kind.COMMAND, "/class 7", None)),
        (message("interactive", interactive={"button_reply": {"id": "/rate up " + "a" * 32, "title": "👍"}}),
         (Kind.FEEDBACK, "up", "a" * 32)),
        (message("button", button={"payload": "x", "text": "What is a cell?"}), (Kind.TEXT, "What is a cell?", None)),
        (message("reaction", reaction={"message_id": "wamid.2", "emoji": "👎"}), (Kind.FEEDBACK, "down", None)),
        (message("text", text={"body": " STOP "}), (Kind.COMMAND, "/stop", None)),
        (message("text", text={"body": "\0"}), (Kind.UNSUPPORTED, "other", None)),
        (message("hologram", hologram={}), (Kind.UNSUPPORTED, "other", None)),
    ],
)  # fmt: skip
def test_what_was_said(meta: Driver, content: object, expected: tuple[Kind, str, str | None]) -> None:
    (inbound,) = cloud_of(meta).receive(signed(meta, webhook(messages=[content])))
    assert (inbound.kind, inbound.text, inbound.answer_id) == expected


@pytest.mark.parametrize(
    "content", [message("reaction", reaction={"message_id": "x", "emoji": ""}), message("system", system={})]
)
def test_nobody_waits_for_an_answer_to_these(meta: Driver, content: object) -> None:
    assert cloud_of(meta).receive(signed(meta, webhook(messages=[content]))) == []


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, {"object": "page", "entry": []}, webhook("account_update"), webhook(messages=[{"id": 7}]),
     {"object": "whatsapp_business_account", "entry": [{"changes": [5]}]}],
)  # fmt: skip
def test_strange_shapes_are_told_apart(meta: Driver, payload: object) -> None:
    with pytest.raises(UnknownShape):
        cloud_of(meta).receive(signed(meta, payload))


@pytest.mark.parametrize("nothing", [None, {}, "x", 5])
def test_what_is_not_an_array_holds_nothing(meta: Driver, nothing: object) -> None:
    for payload in (
        webhook(messages=nothing, statuses=nothing),
        {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": nothing}]},
    ):
        request = signed(meta, payload)
        assert (cloud_of(meta).receive(request), cloud_of(meta).statuses(request)) == ([], [])


def test_one_strange_message_does_not_cost_the_others(meta: Driver) -> None:
    payload = webhook(messages=[{"id": 7}, message("text", text={"body": "hello"})])
    payload["entry"] = [{"changes": [{"field": "novelty", "value": {}}]}, *payload["entry"]]  # type: ignore[misc]
    (inbound,) = cloud_of(meta).receive(signed(meta, payload))
    assert inbound.text == "hello"


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=x"])
def test_a_forged_webhook_is_refused(meta: Driver, signature: str) -> None:
    genuine = signed(meta, webhook(messages=[message("text", text={"body": "hello"})]))
    forged = HttpRequest(genuine.path_query, {"x-hub-signature-256": signature}, genuine.body)
    for read in (cloud_of(meta).receive, cloud_of(meta).statuses):
        with pytest.raises(ForgedRequest):
            read(forged)


def test_the_challenge_is_answered_to_whom_knows_the_token(meta: Driver) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": meta.config.cloud.verify_token, "hub.challenge": "1158201444"}
    assert cloud_of(meta).challenge(asked) == "1158201444"
    with pytest.raises(ForgedRequest):
        cloud_of(meta).challenge(asked | {"hub.verify_token": "guess"})
    with pytest.raises(UnknownShape):
        cloud_of(meta).challenge({})


# ---- sending ---------------------------------------------------------------------------------------------------------


async def test_text_leaves_and_its_states_come_back(cloud: CloudChannel, meta: Driver, service: Webhooks) -> None:
    await asyncio.to_thread(meta.say, "cloud", ASHA, "hello")
    sent = await cloud.send(Outgoing(42, ADDRESS, "Plants make food."))

    def reports() -> list[StatusUpdate]:
        found = [report for delivery in service.deliveries for report in cloud.statuses(delivery.request)]
        return found if any(report.state is DeliveryState.DELIVERED for report in found) else []

    found = await asyncio.to_thread(eventually, reports)
    assert {(report.provider_id, report.outbox_id) for report in found} == {(sent, 42)}
    assert meta.shown("cloud", ASHA)[-1] == "Plants make food."
    assert meta.violations() == []


@pytest.mark.parametrize(
    "choices",
    [
        thumbs("ab" * 16),
        (Choice("Haan, agree", "/agree"), Choice("Nahi", "/decline")),
        tuple(Choice(f"Class {level}", f"/class {level}") for level in range(1, 10)),
        tuple(Choice(f"A subject with a long name, {n}", f"/subject s{n}") for n in range(14)),
    ],
)
async def test_choices_keep_the_rules(cloud: CloudChannel, meta: Driver, choices: tuple[Choice, ...]) -> None:
    await asyncio.to_thread(meta.say, "cloud", ASHA, "hello")
    (part,) = cloud.split("Which? " * 100)
    assert await cloud.send(Outgoing(1, ADDRESS, part, choices))
    assert meta.violations() == []


async def test_long_answers_leave_in_parts_that_may_carry_buttons(cloud: CloudChannel, meta: Driver) -> None:
    await asyncio.to_thread(meta.say, "cloud", ASHA, "hello")
    parts = cloud.split("Plants make food from light. " * 120)
    assert len(parts) > 3
    for part in parts:
        await cloud.send(Outgoing(1, ADDRESS, part, thumbs("a")))
    assert meta.violations() == []


async def test_a_student_who_hides_the_number_is_answered(cloud: CloudChannel, meta: Driver) -> None:
    await asyncio.to_thread(meta.say, "cloud", ASHA, "hello")
    assert await cloud.send(Outgoing(1, f"IN.{ADDRESS}", "Plants make food."))
    (call,) = meta.called("messages")
    assert (call["recipient"], "to" in call) == (f"IN.{ADDRESS}", False)
    assert meta.shown("cloud", ASHA)[-1] == "Plants make food."
    assert meta.violations() == []


async def test_typing_is_shown_under_what_was_read_and_never_raises(cloud: CloudChannel, meta: Driver) -> None:
    said = await asyncio.to_thread(meta.say, "cloud", ASHA, "What is a cell?")
    await cloud.typing(ADDRESS, said["provider_id"])
    assert meta.last("cloud", ASHA)["state"] == "read"
    assert meta.phone("cloud", ASHA)["typing"] > 0
    await asyncio.to_thread(lambda: meta.fault("cloud", "server_error"))
    await cloud.typing(ADDRESS, said["provider_id"])
    assert [call["status"] for call in meta.calls("read")] == [200, 500]
    assert meta.violations() == []


async def test_a_busy_pair_is_tried_again(cloud: CloudChannel, meta: Driver) -> None:
    await asyncio.to_thread(meta.refuse, "cloud", ASHA, "131056")
    with pytest.raises(TransientError) as raised:
        await cloud.send(Outgoing(1, ADDRESS, "Hello"))
    assert (raised.value.code, raised.value.in_doubt) == ("131056", False)


async def test_a_wrong_token_waits_for_the_operator(meta: Driver) -> None:
    channel = CloudChannel(
        meta.config.cloud.phone_number_id, "another", app_secret="s", verify_token="v", api_base=meta.url
    )
    with pytest.raises(TransientError):
        await channel.send(Outgoing(1, ADDRESS, "Hello"))
    await channel.close()


async def test_a_broken_rule_is_permanent(cloud: CloudChannel) -> None:
    with pytest.raises(PermanentError):
        await cloud.send(Outgoing(1, "not a number", "Hello"))


async def test_no_answer_leaves_doubt_and_no_connection_none(cloud: CloudChannel, meta: Driver) -> None:
    await asyncio.to_thread(meta.say, "cloud", ASHA, "hello")
    await asyncio.to_thread(lambda: meta.fault("cloud", "drop", probability=1.0))
    with pytest.raises(TransientError) as raised:
        await cloud.send(Outgoing(1, ADDRESS, "Hello"))
    assert raised.value.in_doubt
    nowhere = cloud_of(meta, api_base="http://127.0.0.1:1")
    with pytest.raises(TransientError) as raised:
        await nowhere.send(Outgoing(1, ADDRESS, "Hello"))
    assert not raised.value.in_doubt
    await nowhere.close()


class Answering(LocalServer):
    """Answers every call with one status and body."""

    status, content = 400, b"{}"

    def routes(self) -> Any:
        from starlette.responses import Response
        from starlette.routing import Route

        yield Route("/{path:path}", lambda _: Response(self.content, self.status), methods=["POST"])


@pytest.mark.parametrize(
    ("status", "body", "expected", "doubt"),
    [
        (400, {"error": {"code": 131026}}, Unreachable, None),
        (400, {"error": {"code": 131047}}, PermanentError, None),
        (401, {"error": {"code": 190}}, TransientError, False),
        (500, {"error": {"code": 131000}}, TransientError, True),
        (502, "<html>a proxy</html>", TransientError, True),
        (200, {"messages": []}, TransientError, True),
    ],
)
async def test_refusals_are_told_apart(
    meta: Driver, status: int, body: object, expected: type[DeliveryError], doubt: bool | None
) -> None:
    with Answering() as server:
        server.status, server.content = status, json.dumps(body).encode()
        channel = cloud_of(meta, api_base=server.url)
        with pytest.raises(expected) as raised:
            await channel.send(Outgoing(1, ADDRESS, "What is a cell?"))
        await channel.close()
    assert doubt is None or getattr(raised.value, "in_doubt", None) is doubt
    assert "cell" not in str(raised.value)
    assert ADDRESS not in str(raised.value)
