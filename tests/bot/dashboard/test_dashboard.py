"""Signing in and reviewing, over a real store and the real routes."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, update

from bot.dashboard import views
from bot.dashboard.auth import COOKIE, LIFETIME
from bot.ports import Answer, Inbound, Kind, Route
from bot.store import Store
from bot.tables import StoredAnswer, User
from tests.bot.dashboard.visiting import HASH, NAME, ORIGIN, PASSWORD, service, sign_in, token, visitor
from tests.served import WRITTEN


async def log(store: Store, question: str, answer: Answer = WRITTEN) -> str:
    """One answered question; returns the answer's id."""
    accepted = await store.accept(Inbound("web", question, "talk", Kind.TEXT, question))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    answer_id = uuid.uuid4().hex
    await store.commit_answer(work, accepted.conversation_id, lease, answer_id, answer, [])
    await store.release(accepted.conversation_id, lease)
    return answer_id


async def kept(store: Store, answer_id: str) -> StoredAnswer:
    answer = await store.answer(answer_id)
    assert answer is not None
    return answer


# ---- signing in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/answers/1", "?show=approved"])
async def test_strangers_are_sent_to_the_sign_in_page(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/dashboard{path}")
    assert response.url.path == "/dashboard/sign-in"
    assert [step.status_code for step in response.history] == [303]


async def test_session_cookie_is_kept_from_scripts_and_other_sites(client: httpx.AsyncClient) -> None:
    response = await sign_in(client)
    cookie = response.history[0].headers["set-cookie"].lower()
    assert cookie.startswith(COOKIE)
    for part in ("httponly", "samesite=lax", "path=/dashboard", f"max-age={LIFETIME}"):
        assert part in cookie
    assert "secure" not in cookie
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"].startswith("default-src 'self';")


async def test_cookie_stays_on_https_where_the_server_is_public(store: Store) -> None:
    async with visitor(service(store, https=True)) as client:
        assert "; secure" in (await client.get("/dashboard/sign-in")).headers["set-cookie"].lower()


async def test_wrong_password_and_unknown_name_look_the_same(client: httpx.AsyncClient) -> None:
    wrong = await sign_in(client, password="rain on a tin hat")
    unknown = await sign_in(client, name="nobody")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace(NAME, "nobody") == unknown.text
    assert "Name or password is not right" in unknown.text


async def test_guessing_is_slowed_down_for_one_address_only(client: httpx.AsyncClient, app: FastAPI) -> None:
    tries = [await sign_in(client, password="x") for _ in range(11)]
    assert [response.status_code for response in tries] == [401] * 10 + [429]
    right = await sign_in(client)
    assert right.status_code == 429
    assert "wait five minutes" in right.text
    async with visitor(app, address="192.0.2.8") as colleague:
        assert (await sign_in(colleague)).url.path == "/dashboard"


async def test_signing_in_forgives_earlier_mistakes(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        for _ in range(6):
            await sign_in(client, password="x")
        assert (await sign_in(client)).url.path == "/dashboard"


async def test_signing_in_starts_a_new_session(client: httpx.AsyncClient, app: FastAPI) -> None:
    await client.get("/dashboard/sign-in")
    planted = client.cookies[COOKIE]
    await sign_in(client)
    assert client.cookies[COOKIE] != planted
    async with visitor(app, cookie=planted) as other:
        assert (await other.get("/dashboard")).url.path == "/dashboard/sign-in"


async def test_signing_out(teacher: httpx.AsyncClient) -> None:
    page = await teacher.get("/dashboard")
    response = await teacher.post("/dashboard/sign-out", data={"token": token(page.text)})
    assert response.url.path == "/dashboard/sign-in"
    assert (await teacher.get("/dashboard")).url.path == "/dashboard/sign-in"


@pytest.mark.parametrize("tampered", ["", "x", "WyJhIiwibWVlcmEiLCIiXQ.aaaa.bbbb"])
async def test_made_up_cookies_are_worth_nothing(app: FastAPI, tampered: str) -> None:
    async with visitor(app, cookie=tampered) as other:
        assert (await other.get("/dashboard")).url.path == "/dashboard/sign-in"


async def test_a_new_password_or_a_removed_user_ends_the_session(teacher: httpx.AsyncClient, store: Store) -> None:
    for change in (update(User).values(password="another hash"), delete(User)):
        assert (await sign_in(teacher)).url.path == "/dashboard"
        async with store.writing() as session:  # the store has no verb for this yet
            await session.execute(change)
        assert (await teacher.get("/dashboard")).url.path == "/dashboard/sign-in"
        async with store.writing() as session:
            await session.execute(delete(User))
        await store.add_user(NAME, HASH, "teacher")


async def test_session_ends_after_its_lifetime(teacher: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await teacher.get("/dashboard")).url.path == "/dashboard"
    monkeypatch.setattr("bot.dashboard.auth.LIFETIME", -1)
    assert (await teacher.get("/dashboard")).url.path == "/dashboard/sign-in"


# ---- forms are ours ----------------------------------------------------------------------------------------------


async def test_review_needs_the_sessions_own_token_and_origin(
    teacher: httpx.AsyncClient, app: FastAPI, store: Store
) -> None:
    answer_id = await log(store, "Why?")
    address = f"/dashboard/answers/{answer_id}/approve"
    right = token((await teacher.get(f"/dashboard/answers/{answer_id}")).text)
    async with visitor(app) as other:
        foreign = token((await other.get("/dashboard/sign-in")).text)
    for form in ({}, {"token": ""}, {"token": foreign}, {"token": "é"}):
        assert (await teacher.post(address, data=form)).status_code == 403
    for origin in ("http://evil.example", "null", "http://school.evil.example"):
        response = await teacher.post(address, data={"token": right}, headers={"Origin": origin})
        assert response.status_code == 403
        assert "reload" in response.text
    assert (await kept(store, answer_id)).review is None
    await teacher.post(address, data={"token": right}, headers={"Origin": ORIGIN})
    assert (await kept(store, answer_id)).review == "approved"


@pytest.mark.parametrize("path", ["sign-in", "sign-out"])
async def test_other_forms_need_a_token_too(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(f"/dashboard/{path}", data={"name": NAME, "password": PASSWORD})
    assert response.status_code == 403


async def test_reviewing_without_signing_in_changes_nothing(client: httpx.AsyncClient, store: Store) -> None:
    answer_id = await log(store, "Why?")
    form = {"token": token((await client.get("/dashboard/sign-in")).text), "correction": "Nonsense."}
    for verb in ("approve", "correct", "reject", "retract"):
        response = await client.post(f"/dashboard/answers/{answer_id}/{verb}", data=form)
        assert response.url.path == "/dashboard/sign-in"
    assert (await kept(store, answer_id)).review is None


@pytest.mark.parametrize(("body", "status"), [(b"correction=" + b"x" * 200_000, 413), (b"\xff=1", 403)])
async def test_bodies_no_form_of_ours_sends(teacher: httpx.AsyncClient, store: Store, body: bytes, status: int) -> None:
    answer_id = await log(store, "Why?")
    assert (await teacher.post(f"/dashboard/answers/{answer_id}/correct", content=body)).status_code == status


# ---- the log -----------------------------------------------------------------------------------------------------


async def test_empty_log_says_so(teacher: httpx.AsyncClient) -> None:
    assert "No answers yet" in (await teacher.get("/dashboard")).text
    assert "Nothing left to review" in (await teacher.get("/dashboard?show=to-review")).text
    assert "No such answers" in (await teacher.get("/dashboard?show=approved")).text
    assert "This page is empty" in (await teacher.get("/dashboard?page=2")).text


async def test_list_shows_what_is_known_and_escapes_it(teacher: httpx.AsyncClient, store: Store) -> None:
    answer_id = await log(store, "<script>alert(1)</script>")
    assert await store.rate(1, answer_id, 1)
    html = (await teacher.get("/dashboard")).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert" not in html
    for shown in (
        WRITTEN.text, "Written by the model", "82% sure", "science-1a2b3c4d5e6f", "👍", "To review",
        "Science, Class 7 · Photosynthesis, How Plants Make Food · page 2",
    ):  # fmt: skip
        assert shown in html
    assert re.search(r"<strong>1</strong>\s*answered", html)


async def test_filters_and_pages(teacher: httpx.AsyncClient, store: Store) -> None:
    quoted = replace(WRITTEN, route=Route.QUOTED)
    ids = [await log(store, f"Question {n}?", quoted if n % 2 else WRITTEN) for n in range(views.PAGE_SIZE + 2)]
    await store.review(ids[0], by=NAME)
    await store.review(ids[1], by=NAME, correction="Better.")

    async def questions(query: str) -> list[str]:
        return re.findall(r">Question (\d+)\?<", (await teacher.get(f"/dashboard?{query}")).text)

    newest_first = [str(n) for n in reversed(range(views.PAGE_SIZE + 2))]
    assert await questions("") == newest_first[: views.PAGE_SIZE]
    assert await questions("page=2") == ["1", "0"]
    assert await questions("show=to-review&page=1") == newest_first[:-2]
    assert await questions("show=approved") == ["0"]
    assert await questions("show=corrected") == ["1"]
    assert await questions("show=corrected&route=generated") == []
    assert len(await questions("route=quoted")) == (views.PAGE_SIZE + 2) // 2
    for nonsense in ("show=x&route=y&page=z", "page=-1", "page=0", "page=²"):
        assert await questions(nonsense) == newest_first[: views.PAGE_SIZE]
    assert await questions("page=" + "9" * 40) == newest_first[: views.PAGE_SIZE]
    assert await questions("page=999999999") == []
    first, second = [(await teacher.get(f"/dashboard?page={n}")).text for n in (1, 2)]
    assert ('rel="next"' in first, 'rel="prev"' in first) == (True, False)
    assert ('rel="next"' in second, 'rel="prev"' in second) == (False, True)


def test_addresses_of_the_list() -> None:
    listing = views.Listing("approved", "quoted", 3)
    assert listing.address(page=4) == "/dashboard?show=approved&route=quoted&page=4"
    assert listing.address(show="all") == "/dashboard?route=quoted"
    assert views.Listing.of({"show": "approved", "route": "quoted", "page": "3"}) == listing


# ---- reviewing ---------------------------------------------------------------------------------------------------


async def test_teacher_approves_and_goes_on_to_the_next(teacher: httpx.AsyncClient, store: Store) -> None:
    other, answer_id = await log(store, "First?"), await log(store, "Second?")
    address = f"/dashboard/answers/{answer_id}"
    page = await teacher.get(address)
    assert WRITTEN.sources[0].quote in page.text
    done = await teacher.post(f"{address}/approve", data={"token": token(page.text)})
    assert "Approved." in done.text
    assert f'href="/dashboard/answers/{other}">Next to review' in done.text
    answer = await kept(store, answer_id)
    assert (answer.review, answer.reviewed_by, answer.correction) == ("approved", NAME, None)


async def test_teacher_corrects_and_later_approves_the_original(teacher: httpx.AsyncClient, store: Store) -> None:
    answer_id = await log(store, "Why?")
    address = f"/dashboard/answers/{answer_id}"
    form = {"token": token((await teacher.get(address)).text)}
    text = " पहला वाक्य।\r\nदूसरा <b>वाक्य</b>। "
    done = await teacher.post(f"{address}/correct", data=form | {"correction": text})
    assert "Your correction is saved." in done.text
    answer = await kept(store, answer_id)
    assert (answer.review, answer.correction) == ("corrected", "पहला वाक्य।\nदूसरा <b>वाक्य</b>।")
    assert "दूसरा &lt;b&gt;वाक्य&lt;/b&gt;।</textarea>" in done.text  # prefilled with what was saved
    await teacher.post(f"{address}/approve", data=form)
    answer = await kept(store, answer_id)
    assert (answer.review, answer.correction) == ("approved", None)


async def test_teacher_rejects_and_takes_the_verdict_back(teacher: httpx.AsyncClient, store: Store) -> None:
    answer_id = await log(store, "Why?")
    address = f"/dashboard/answers/{answer_id}"
    page = (await teacher.get(address)).text
    assert "not to be given again" in page
    assert "Take the verdict back" not in page  # nobody has given one
    form = {"token": token(page)}
    assert "it is not given again" in (await teacher.post(f"{address}/reject", data=form)).text
    answer = await kept(store, answer_id)
    assert (answer.review, answer.reviewed_by, answer.correction) == ("rejected", NAME, None)
    assert address in (await teacher.get("/dashboard", params={"show": "rejected"})).text
    assert "The verdict is taken back" in (await teacher.post(f"{address}/retract", data=form)).text
    answer = await kept(store, answer_id)
    assert (answer.review, answer.reviewed_by) == (None, None)
    assert (await teacher.post(f"{address}/retract", data=form)).status_code == 404


@pytest.mark.parametrize(
    ("correction", "says"),
    [
        ("", "Write what the answer should have said"),
        (" \r\n ", "Write what the answer should have said"),
        (f" {WRITTEN.text}\r\n", "already says"),
        ("long " * 1000, "4999 characters; 4000 is the most"),
    ],
)
async def test_unusable_correction_is_handed_back_kindly(
    teacher: httpx.AsyncClient, store: Store, correction: str, says: str
) -> None:
    answer_id = await log(store, "Why?")
    address = f"/dashboard/answers/{answer_id}"
    form = {"token": token((await teacher.get(address)).text), "correction": correction}
    response = await teacher.post(f"{address}/correct", data=form)
    assert response.status_code == 422
    assert says in response.text
    assert f"\n{correction.strip()}</textarea>" in response.text
    assert (await kept(store, answer_id)).review is None


async def test_unknown_answer(teacher: httpx.AsyncClient) -> None:
    page = await teacher.get("/dashboard")
    assert (await teacher.get("/dashboard/answers/nothing")).status_code == 404
    response = await teacher.post(
        "/dashboard/answers/nothing/correct", data={"token": token(page.text), "correction": "Better."}
    )
    assert response.status_code == 404


async def test_static_files(client: httpx.AsyncClient) -> None:
    html = (await client.get("/dashboard/sign-in")).text
    for address in re.findall(r'(?:href|src)="(/dashboard/static/[^"]+)"', html):
        response = await client.get(address)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert re.search(r"<script(?! src=\"/dashboard/static/)|<style|\sstyle=|\son\w+=", html) is None
