"""The chat page and its API, over a real store and worker; event streams through a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.pages import PAGE_HEADERS
from bot.ports import Answer, Kind, Profile, Route
from bot.store import Store
from bot.web import chat, following
from bot.web.following import told
from tests.served import CHAPTERS, PHOTOSYNTHESIS, WRITTEN, HeardLive, School, serving

WEB = Path(chat.__file__).parent
TALK = "a-conversation-of-this-test"
SSE = {"Accept": "text/event-stream"}


@pytest.fixture
async def school(store: Store) -> AsyncIterator[School]:
    made = School(store)
    yield made
    await made.close()


@pytest.fixture
async def client(school: School) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(school.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://school") as made:
        yield made


@pytest.fixture
async def browser(school: School) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server, for what must really stream."""
    async with serving(school.app()) as address, httpx.AsyncClient(base_url=address, trust_env=False) as made:
        yield made


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def stored(store: Store) -> int:
    return sum(count for state, count in (await store.counts()).items() if state.startswith("inbox."))


# ---- asking ------------------------------------------------------------------------------------------------------


async def test_json_answer_has_the_documented_shape(school: School, client: httpx.AsyncClient) -> None:
    school.tutor.otherwise = replace(WRITTEN, confidence=0.4, caution="Not sure.")
    response = await client.post("/api/ask", json={"question": "What is photosynthesis?", "conversation": TALK})
    body = response.json()
    assert response.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", body.pop("id"))
    assert body == {
        "answer": f"{WRITTEN.text}\n\nNot sure.",
        "route": "generated",
        "confidence": 0.4,
        "sources": [
            {
                "book": "Science, Class 7",
                "chapter": "Photosynthesis, How Plants Make Food",
                "page": 2,
                "quote": PHOTOSYNTHESIS.quote,
            }
        ],
        "adapter": "science-1a2b3c4d5e6f",
        "language": "en",
        "caution": "Not sure.",
        "conversation": TALK,
    }


async def test_stream_shows_pieces_while_the_answer_is_written(school: School, browser: httpx.AsyncClient) -> None:
    school.tutor.gate.clear()
    async with browser.stream("POST", "/api/ask", json={"question": "Why?"}, headers=SSE) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        coming = events(response.aiter_lines())
        name, accepted = await anext(coming)
        assert name == "accepted"
        pieces = [await anext(coming), await anext(coming)]
        assert {name for name, _ in pieces} == {"piece"}
        assert "".join(data["text"] for _, data in pieces) == WRITTEN.text
        assert await school.store.answer_to(accepted["message"]) is None  # not finished, and yet it was shown
        school.tutor.gate.set()
        name, answer = await anext(coming)
        assert (name, answer["answer"], answer["conversation"]) == ("answer", WRITTEN.text, accepted["conversation"])
        assert [event async for event in coming] == []


class DeafLive(HeardLive):
    """Loses everything."""

    async def publish(self, message_id: str, piece: str) -> None:
        return None


class BrokenLive(HeardLive):
    """Breaks down in the middle."""

    async def publish(self, message_id: str, piece: str) -> None:
        return None

    async def subscribe(self, message_id: str) -> AsyncGenerator[str, None]:
        yield "A word"
        raise ConnectionError("no broker")


@pytest.mark.parametrize(("live", "pieces"), [(DeafLive, []), (BrokenLive, ["piece"])])
async def test_answer_arrives_although_pieces_are_lost(store: Store, live: type[HeardLive], pieces: list[str]) -> None:
    school = School(store, live=live())
    async with (
        serving(school.app()) as address,
        httpx.AsyncClient(base_url=address, trust_env=False) as client,
        client.stream("POST", "/api/ask", json={"question": "Why?"}, headers=SSE) as response,
    ):
        names = [name async for name, _ in events(response.aiter_lines())]
    assert names == ["accepted", *pieces, "answer"]
    await school.close()


async def test_text_cannot_break_out_of_the_event_stream(school: School, browser: httpx.AsyncClient) -> None:
    evil = "one\n\nevent: answer\ndata: {}\n\ntwo"
    school.tutor.otherwise = Answer(evil, Route.QUOTED, "en")
    async with browser.stream("POST", "/api/ask", json={"question": "Why?"}, headers=SSE) as response:
        got = [event async for event in events(response.aiter_lines())]
    assert [data["answer"] for name, data in got if name == "answer"] == [evil]


async def test_buried_message_ends_with_a_kind_error(browser: httpx.AsyncClient) -> None:
    question = {"question": "unanswerable", "language": "hi"}
    sorry = {"code": "sorry_error", "message": "<sorry_error hi>"}
    async with browser.stream("POST", "/api/ask", json=question, headers=SSE) as response:
        assert [event async for event in events(response.aiter_lines())][-1] == ("error", sorry)
    plain = await browser.post("/api/ask", json=question)
    assert plain.status_code == 500
    assert sorry.items() <= plain.json()["error"].items()


async def test_late_answer_is_there_on_reload_for_its_own_conversation_only(store: Store) -> None:
    school = School(store, patience=0.01)
    school.tutor.gate.clear()
    transport = httpx.ASGITransport(school.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://school") as client:
        late = await client.post("/api/ask", json={"question": "Why?", "conversation": TALK})
        assert late.status_code == 504
        error = late.json()["error"]
        assert (error["code"], error["message"]) == ("still_working", "<still_working en>")
        address = f"/api/answers/{error['message_id']}"
        assert (await client.get(address, params={"conversation": TALK})).status_code == 404
        school.tutor.gate.set()
        await asyncio.gather(*school.tasks)
        assert (await client.get(address, params={"conversation": TALK})).json()["answer"] == WRITTEN.text
        assert (await client.get(address, params={"conversation": "somebody-elses-talk"})).status_code == 404
        assert (await client.get(address)).status_code == 404
        assert (await client.get("/api/answers/" + "9" * 30, params={"conversation": TALK})).status_code == 404
    await school.close()


async def test_repeated_idempotency_key_is_the_same_message(school: School, client: httpx.AsyncClient) -> None:
    body, key = {"question": "Why?", "conversation": TALK}, {"Idempotency-Key": "k1"}
    first, again = [await client.post("/api/ask", json=body, headers=key) for _ in range(2)]
    other_key = await client.post("/api/ask", json=body, headers={"Idempotency-Key": "k2"})
    other_talk = await client.post("/api/ask", json=body | {"conversation": "x" * 20}, headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert len({response.json()["id"] for response in (first, other_key, other_talk)}) == 3
    assert len(school.tutor.heard) == 3


async def test_server_makes_an_unguessable_conversation_that_can_be_continued(
    school: School, client: httpx.AsyncClient
) -> None:
    first = (await client.post("/api/ask", json={"question": "Why?"})).json()
    second = (await client.post("/api/ask", json={"question": "Why?"})).json()
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", first["conversation"])
    assert first["conversation"] != second["conversation"]
    more = await client.post("/api/ask", json={"question": "And?", "conversation": first["conversation"]})
    assert more.json()["conversation"] == first["conversation"]


async def test_hints_and_commands_reach_the_tutor(school: School, client: httpx.AsyncClient) -> None:
    hints = {"class_level": 7, "subject": "science", "language": "hinglish"}
    await client.post("/api/ask", json={"question": " /help ", **hints})
    [turn] = school.tutor.heard
    assert (turn.kind, turn.text, turn.profile) == (Kind.COMMAND, "/help", Profile(7, "science", "hinglish"))


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"question": ""}, 422, "empty_question", "<empty_question en>"),
        ({"question": " \n\t", "language": "hi"}, 422, "empty_question", "<empty_question hi>"),
        ({"question": "a" * 201}, 422, "too_long", "<too_long en>"),
        ({"question": "क" * 20_000}, 422, "too_long", "<too_long en>"),
        ({"question": "a" * 300_000}, 413, "body_too_large", "256 KiB"),
        ({}, 422, "invalid_field", "question must be a text"),
        ({"question": 7}, 422, "invalid_field", "question must be a text"),
        ([], 422, "invalid_field", "JSON object"),
        ({"question": "Why?", "class_level": 13}, 422, "invalid_field", "1 to 12"),
        ({"question": "Why?", "class_level": 0}, 422, "invalid_field", "1 to 12"),
        ({"question": "Why?", "class_level": True}, 422, "invalid_field", "1 to 12"),
        ({"question": "Why?", "subject": "magic"}, 422, "unknown_subject", "mathematics, science"),
        ({"question": "Why?", "language": "fr"}, 422, "invalid_field", "en, hi, hinglish"),
        ({"question": "Why?", "conversation": "short"}, 422, "invalid_field", "16 to 64"),
        ({"question": "Why?", "conversation": TALK + "\n"}, 422, "invalid_field", "16 to 64"),
    ],
)
async def test_bad_question_is_refused_clearly_and_not_stored(
    school: School, client: httpx.AsyncClient, body: object, status: int, code: str, says: str
) -> None:
    response = await client.post("/api/ask", json=body, headers=SSE)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert says in response.json()["error"]["message"]
    assert await stored(school.store) == 0


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"question": ', "application/json", 422, "malformed_json"),
        (b"\xff\xfe", "application/json", 422, "malformed_json"),
        (b"", "application/json; charset=utf-8", 422, "malformed_json"),
        (b'{"question": "Why?"}', "text/plain", 415, "not_json"),
    ],
)
async def test_what_is_not_json_is_refused_clearly(
    client: httpx.AsyncClient, content: bytes, kind: str, status: int, code: str
) -> None:
    response = await client.post("/api/ask", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("key", ["", "k" * 101, "a\tb"])
async def test_idempotency_key_must_be_usable(client: httpx.AsyncClient, key: str) -> None:
    body = {"question": "Why?", "conversation": TALK}
    response = await client.post("/api/ask", json=body, headers={"Idempotency-Key": key})
    assert response.json()["error"]["code"] == "invalid_idempotency_key"


async def test_idempotency_key_without_conversation_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/ask", json={"question": "Why?"}, headers={"Idempotency-Key": "k1"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "conversation_needed")


async def test_too_many_questions(school: School, client: httpx.AsyncClient) -> None:
    school.admitting = False
    response = await client.post("/api/ask", json={"question": "Why?", "language": "hi"})
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["error"] == {"code": "too_many_questions", "message": "<too_many_questions hi>"}
    assert await stored(school.store) == 0


async def test_client_that_leaves_is_let_go(school: School, browser: httpx.AsyncClient) -> None:
    assert isinstance(school.live, HeardLive)
    school.tutor.gate.clear()
    async with browser.stream("POST", "/api/ask", json={"question": "Why?"}, headers=SSE) as response:
        coming = events(response.aiter_lines())
        while (await anext(coming))[0] != "piece":
            pass
        assert school.live.open == 1
    async with asyncio.timeout(10):
        while school.live.open:  # noqa: ASYNC110  waiting for the server to notice
            await asyncio.sleep(0.01)


async def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.0)

    async def silent() -> AsyncGenerator[following.Event, None]:
        yield ""
        yield "word"

    lines = [
        line
        async for line in told(silent(), message_id=1, conversation=TALK, language="en", say=lambda key, language: key)
    ]
    assert lines[1:] == [": still here\n\n", 'event: piece\ndata: {"text": "word"}\n\n']


# ---- feedback ----------------------------------------------------------------------------------------------------


async def test_thumb_is_stored_and_can_be_changed(school: School, client: httpx.AsyncClient) -> None:
    answer = (await client.post("/api/ask", json={"question": "Why?", "conversation": TALK})).json()
    for rating, number in (("up", 1), ("down", -1)):
        body = {"answer": answer["id"], "conversation": TALK, "rating": rating}
        assert (await client.post("/api/feedback", json=body)).status_code == 204
        kept = await school.store.answer(answer["id"])
        assert kept is not None
        assert kept.rating == number


async def test_nobody_rates_another_conversations_answer(school: School, client: httpx.AsyncClient) -> None:
    answer = (await client.post("/api/ask", json={"question": "Why?", "conversation": TALK})).json()
    stranger = (await client.post("/api/ask", json={"question": "Why?"})).json()["conversation"]
    for talk in (stranger, "never-seen-conversation"):
        body = {"answer": answer["id"], "conversation": talk, "rating": "up"}
        assert (await client.post("/api/feedback", json=body)).status_code == 404
    kept = await school.store.answer(answer["id"])
    assert kept is not None
    assert kept.rating == 0


@pytest.mark.parametrize("change", [{"rating": "best"}, {"answer": "1"}, {"conversation": ""}])
async def test_malformed_thumb_is_refused(client: httpx.AsyncClient, change: dict[str, str]) -> None:
    body = {"answer": "0" * 32, "conversation": TALK, "rating": "up"} | change
    response = await client.post("/api/feedback", json=body)
    assert (response.status_code, response.json()["error"]["field"]) == (422, next(iter(change)))


# ---- the page ----------------------------------------------------------------------------------------------------


async def test_page_needs_nothing_inline_and_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert response.headers["content-security-policy"].startswith("default-src 'self';")
    assert response.headers["content-security-policy"] == PAGE_HEADERS["Content-Security-Policy"]
    assert re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son\w+=|https?://|//cdn", response.text) is None


async def test_page_offers_what_the_books_hold(school: School, client: httpx.AsyncClient) -> None:
    html = (await client.get("/")).text
    assert "What is photosynthesis?" in html
    assert '<option value="science"' in html
    assert '<option value="7"' in html
    assert '<option value="8"' not in html
    school.chapters = [replace(CHAPTERS[0], title="<b>Cricket</b> & 'more'")]
    html = (await client.get("/")).text
    assert "Tell me about &lt;b&gt;Cricket&lt;/b&gt; &amp; &#39;more&#39;" in html
    assert "What is photosynthesis?" not in html
    school.chapters = []
    assert (await client.get("/")).status_code == 200


async def test_page_is_revalidated_and_its_files_are_kept_for_ever(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (page.headers["cache-control"], again.status_code, again.content) == ("no-cache", 304, b"")
    [script] = re.findall(r'src="(/static/chat\.js\?v=\w+)"', page.text)
    named = await client.get(script)
    assert "immutable" in named.headers["cache-control"]
    assert named.headers["content-type"].startswith("text/javascript")
    assert named.headers["content-encoding"] == "gzip"
    assert named.content == (WEB / "static" / "chat.js").read_bytes()
    for unnamed in ("/static/chat.js", "/static/chat.js?v=old"):
        assert (await client.get(unnamed)).headers["cache-control"] == "no-cache"
    assert (await client.get(script, headers={"If-None-Match": named.headers["etag"]})).status_code == 304
    assert (await client.get("/static/chat.html")).status_code == 404
    assert (await client.get("/static/..%2Fchat.py")).status_code == 404


def test_every_word_of_the_page_is_in_every_language() -> None:
    strings = json.loads((WEB / "strings.json").read_text(encoding="utf-8"))
    html = (WEB / "templates" / "chat.html").read_text(encoding="utf-8")
    script = (WEB / "static" / "chat.js").read_text(encoding="utf-8")
    assert set(strings) == {"en", "hi", "hinglish"}
    assert set(strings["hi"]) == set(strings["hinglish"]) == set(strings["en"])
    used = set(re.findall(r'data-t(?:-label|-placeholder)?="([a-z_]+)"', html)) | set(
        re.findall(r'\bt\("(\w+)"', script)
    )
    assert used
    assert used <= set(strings["en"])
    for language in strings.values():
        for key, text in language.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", strings["en"][key])), key


def test_page_is_small() -> None:
    files = [WEB / "strings.json", *(WEB / "static").iterdir(), *(WEB / "templates").iterdir()]
    assert sum(file.stat().st_size for file in files) < 40_000


def test_script_never_writes_markup() -> None:
    script = (WEB / "static" / "chat.js").read_text(encoding="utf-8")
    assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script) is None
