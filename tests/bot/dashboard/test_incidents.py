"""Looking after a child in distress and closing the incident, over a real store and the real routes."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import FastAPI

from bot.dashboard.incidents import told
from bot.store import CLOSED, FALSE_ALARM, OPEN, REAL, Alert, Store
from bot.tables import now
from tests.bot.dashboard.test_undelivered import form, not_answered
from tests.bot.dashboard.visiting import HASH, NAME, ORIGIN, sign_in, token, visitor
from tests.bot.distress import ADDRESS, COMFORT, FAILED_CLOSED, QUESTION, happened, kept

PAGE = "/dashboard/incidents"
NOTE = "Spoke with him and his mother."


def numbers(html: str) -> list[int]:
    """The incidents that are listed."""
    return [int(number) for number in re.findall(rf'<h2><a href="{PAGE}/(\d+)">', html)]


# ---- who may ------------------------------------------------------------------------------------------------------


async def test_strangers_see_and_change_nothing(client: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store)
    for path in (PAGE, f"{PAGE}/{case.id}"):
        seen = await client.get(path)
        assert (seen.url.path, [step.status_code for step in seen.history]) == ("/dashboard/sign-in", [303])
        assert "self-harm" not in seen.text
    right = token((await client.get("/dashboard/sign-in")).text)
    for verb in ("seen", "close"):
        tried = await client.post(f"{PAGE}/{case.id}/{verb}", data={"token": right, "note": NOTE})
        assert tried.url.path == "/dashboard/sign-in"
    left = await kept(store, case.id)
    assert (left.state, left.seen_at) == (OPEN, None)


async def test_forms_need_the_sessions_own_token_and_origin(
    teacher: httpx.AsyncClient, app: FastAPI, store: Store
) -> None:
    case = await happened(store)
    right = await form(teacher)
    async with visitor(app) as other:
        foreign = token((await other.get("/dashboard/sign-in")).text)
    elsewhere = {"Origin": "http://evil.example"}
    for verb in ("seen", "close"):
        address = f"{PAGE}/{case.id}/{verb}"
        for forged in ({}, {"token": ""}, {"token": foreign}):
            assert (await teacher.post(address, data=forged | {"note": NOTE})).status_code == 403
        assert (await teacher.post(address, data=right | {"note": NOTE}, headers=elsewhere)).status_code == 403
    assert (await kept(store, case.id)).seen_at is None
    for verb in ("seen", "close"):
        address = f"{PAGE}/{case.id}/{verb}"
        assert (await teacher.post(address, data=right | {"note": NOTE}, headers={"Origin": ORIGIN})).status_code == 200
    assert (await kept(store, case.id)).state == CLOSED


# ---- what is seen ------------------------------------------------------------------------------------------------


async def test_list_shows_children_in_distress_first_and_nobodys_words(
    teacher: httpx.AsyncClient, store: Store
) -> None:
    child = await happened(store)
    failed = await happened(store, FAILED_CLOSED, address="2")
    await not_answered(store, "RuntimeError")
    html = (await teacher.get(PAGE)).text
    assert numbers(html)[0] == child.id
    assert failed.id in numbers(html)
    for shown in (
        "Thoughts of self-harm", "Nobody looks after it yet", ">WhatsApp<", "could not check",
        "A question that got no answer", f"{now():%d %b %Y}",
    ):  # fmt: skip
        assert shown in html
    for hidden in (QUESTION, "Ravi", "sister", COMFORT, ADDRESS, "98765", "4711"):
        assert hidden not in html


async def test_one_incident_shows_what_the_child_wrote_and_escapes_it(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store)
    html = (await teacher.get(f"{PAGE}/{case.id}")).text
    for shown in (
        QUESTION, "Thoughts of self-harm", ">WhatsApp<", "Speak with the child today", "I look after it", "Nobody yet.",
        f'href="/dashboard/answers/{(await kept(store, case.id)).answer_id}"',
    ):  # fmt: skip
        assert shown in html
    assert f"Written from <strong>{ADDRESS.removeprefix('whatsapp:')}</strong>" in html
    assert "<form" in html


async def test_who_was_alerted_and_how_often(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store)
    for contact in ("mailto:asha@school.example", "telegram:12", "mailto:asha@school.example"):
        await store.alerted(case.id, contact, following=now())
    html = (await teacher.get(f"{PAGE}/{case.id}")).text
    assert "asha@school.example: 2 times" in html
    assert "12: once" in html
    assert "3 alerts" in (await teacher.get(PAGE)).text


def test_alerts_are_told_by_adult_in_the_order_of_the_first() -> None:
    early, late = now(), now()
    alerts = [Alert("mailto:a@b", early), Alert("telegram:1", early), Alert("mailto:a@b", late)]
    assert [(adult.address, adult.times, adult.last) for adult in told(alerts)] == [("a@b", 2, late), ("1", 1, early)]


async def test_what_is_not_about_a_child_asks_for_no_talk(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store, FAILED_CLOSED)
    html = (await teacher.get(f"{PAGE}/{case.id}")).text
    assert "Speak with the child" not in html
    assert "Who was alerted" not in html
    assert "Close with this note" in html


async def test_nothing_to_look_after(teacher: httpx.AsyncClient) -> None:
    html = (await teacher.get(PAGE)).text
    assert "Nothing to look after" in html
    assert "<button" not in html.partition("<main")[2]
    assert "Nothing was closed yet" in (await teacher.get(PAGE, params={"show": "closed"})).text


@pytest.mark.parametrize("number", ["999", "0", "-1", "²", "x", "9" * 40, "1 or 1"])
async def test_what_is_no_incident_is_said_kindly(teacher: httpx.AsyncClient, number: str) -> None:
    address = f"{PAGE}/{number}"
    right = await form(teacher)
    for response in (
        await teacher.get(address),
        await teacher.post(f"{address}/seen", data=right),
        await teacher.post(f"{address}/close", data=right | {"note": NOTE}),
    ):
        assert response.status_code == 404
        assert "No such incident" in response.text


async def test_tile_and_navigation_lead_to_the_page(teacher: httpx.AsyncClient, store: Store) -> None:
    before = (await teacher.get("/dashboard")).text
    assert f'<li><a href="{PAGE}" >Incidents</a>' in before
    assert "need attention</a>" not in before
    await happened(store)
    assert f'<a href="{PAGE}"><strong>1</strong> need attention</a>' in (await teacher.get("/dashboard")).text
    assert f'<a href="{PAGE}" aria-current="page">Incidents</a>' in (await teacher.get(PAGE)).text


async def test_a_long_list_says_that_there_are_more(
    teacher: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.dashboard.incidents.SHOWN", 2)
    cases = [await happened(store, address=str(number)) for number in range(3)]
    html = (await teacher.get(PAGE)).text
    assert numbers(html) == [cases[2].id, cases[1].id]
    assert "These are 2; there are more." in html


# ---- looking after it --------------------------------------------------------------------------------------------


async def test_one_adult_looks_after_it(teacher: httpx.AsyncClient, app: FastAPI, store: Store) -> None:
    case = await happened(store)
    done = await teacher.post(f"{PAGE}/{case.id}/seen", data=await form(teacher))
    assert [step.status_code for step in done.history] == [303]
    assert "You look after this. Nobody else is alerted." in done.text
    assert "I look after it</button>" not in done.text
    seen = await kept(store, case.id)
    assert (seen.seen_by, seen.state, seen.next_alert_at) == (NAME, OPEN, None)
    assert f"{NAME} looks after it" in (await teacher.get(PAGE)).text

    await store.add_user("ravindra", HASH, "teacher")
    async with visitor(app, address="192.0.2.8") as colleague:
        await sign_in(colleague, "ravindra")
        late = await colleague.post(f"{PAGE}/{case.id}/seen", data=await form(colleague))
    assert late.status_code == 409
    assert "Somebody was quicker" in late.text
    assert (await kept(store, case.id)).seen_by == NAME


# ---- closing -----------------------------------------------------------------------------------------------------


async def test_it_is_closed_with_a_note_and_only_once(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store)
    address = f"{PAGE}/{case.id}/close"
    done = await teacher.post(address, data=await form(teacher) | {"note": f" {NOTE}\r\n<b>He\0 is well.</b> "})
    assert [step.status_code for step in done.history] == [303]
    assert "Closed. Thank you" in done.text
    assert "&lt;b&gt;He is well.&lt;/b&gt;" in done.text
    assert "<textarea" not in done.text
    closed = await kept(store, case.id)
    assert (closed.state, closed.closed_by, closed.note) == (CLOSED, NAME, f"{NOTE}\n<b>He is well.</b>")
    assert numbers((await teacher.get(PAGE)).text) == []
    listed = (await teacher.get(PAGE, params={"show": "closed"})).text
    assert numbers(listed) == [case.id]
    assert NOTE in listed

    again = await teacher.post(address, data=await form(teacher) | {"note": "Me too."})
    assert again.status_code == 409
    assert "closed already" in again.text
    assert (await kept(store, case.id)).note == closed.note


@pytest.mark.parametrize(("note", "hint"), [("", "in a few words"), (" \r\n", "in a few words"), ("x" * 4001, "4001")])
async def test_a_note_is_required(teacher: httpx.AsyncClient, store: Store, note: str, hint: str) -> None:
    case = await happened(store)
    response = await teacher.post(f"{PAGE}/{case.id}/close", data=await form(teacher) | {"note": note})
    assert response.status_code == 422
    assert re.search(rf'role="alert" id="problem">[^<]*{hint}', response.text)
    assert 'aria-describedby="problem"' in response.text
    assert note.strip() in response.text
    assert (await kept(store, case.id)).state == OPEN


@pytest.mark.parametrize(
    ("said", "outcome", "words"),
    [
        ({}, REAL, "It was right to alert."),  # of a page that was open since before this was asked
        ({"outcome": "real"}, REAL, "It was right to alert."),
        ({"outcome": "false_alarm"}, FALSE_ALARM, "False alarm: nothing was wrong."),
    ],
)
async def test_whoever_closes_it_says_whether_the_alarm_was_right(
    teacher: httpx.AsyncClient, store: Store, said: dict[str, str], outcome: str, words: str
) -> None:
    case = await happened(store)
    asked = (await teacher.get(f"{PAGE}/{case.id}")).text
    assert re.findall(r'name="outcome" value="(\w+)" (\w*)>', asked) == [("real", "checked"), ("false_alarm", "")]
    done = await teacher.post(f"{PAGE}/{case.id}/close", data=await form(teacher) | {"note": NOTE} | said)
    assert words in done.text
    assert 'name="outcome"' not in done.text
    assert (await kept(store, case.id)).outcome == outcome


async def test_a_form_handed_back_keeps_what_was_said_of_the_alarm(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store)
    said = {"note": "", "outcome": "false_alarm"}
    response = await teacher.post(f"{PAGE}/{case.id}/close", data=await form(teacher) | said)
    assert response.status_code == 422
    assert 'value="false_alarm" checked' in response.text
    assert 'value="real" checked' not in response.text


async def test_where_nobody_was_alarmed_it_is_not_asked(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await happened(store, FAILED_CLOSED)
    assert 'name="outcome"' not in (await teacher.get(f"{PAGE}/{case.id}")).text
    said = {"note": NOTE, "outcome": "false_alarm"}
    done = await teacher.post(f"{PAGE}/{case.id}/close", data=await form(teacher) | said)
    assert "Closed. Thank you" in done.text
    assert "False alarm" not in done.text
    assert (await kept(store, case.id)).outcome is None


async def test_what_was_tried_again_says_that_it_closed_by_itself(teacher: httpx.AsyncClient, store: Store) -> None:
    place = await not_answered(store, "RuntimeError")
    (case,) = await store.incidents()
    await store.try_again([place.message_id])
    assert "closed by itself" in (await teacher.get(f"{PAGE}/{case.id}")).text


@pytest.mark.parametrize("done", ["", "x", "<b>1</b>"])
async def test_made_up_addresses_claim_nothing(teacher: httpx.AsyncClient, store: Store, done: str) -> None:
    case = await happened(store)
    assert 'role="status"' not in (await teacher.get(f"{PAGE}/{case.id}", params={"done": done})).text
