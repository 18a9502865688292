"""Our engine behind OpenAI's API: asked by the official client, by our own, and by hand. The model process is real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
import uvicorn

from inference.adapters import AdapterCard, Shelf, model_sha256
from inference.engine import Engine
from inference.errors import AdapterRefused, EngineBusy, EngineTimeout, ModelMissing, PromptTooLong
from inference.generation import Decoding, Generation, Message
from inference.process import EngineProcess
from inference.prompt import grounded
from inference.remote import Patience, RemoteGenerator
from inference.remote_wire import RemoteBusy, RemoteRefused
from inference.server import create_app
from inference.server_answer import as_api_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-of-this-test"
USUAL = Decoding(temperature=0, max_new_tokens=12)
ENDLESS = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=400_000)
ENGLISH = grounded("What is the water cycle?", ["Water evaporates and falls as rain."])
HINDI = grounded("पौधे क्या बनाते हैं?", ["पौधे अपना भोजन बनाते हैं।"])

MakeAdapter = Callable[..., AdapterCard]


@pytest.fixture(scope="module")
def server_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("adapters"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(long_base: Path, server_shelf: Shelf) -> AsyncIterator[EngineProcess]:
    process = EngineProcess(long_base, server_shelf.roots, threads=1, dtype="float32")
    await process.start()
    yield process
    await process.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(engine: EngineProcess, server_shelf: Shelf) -> AsyncIterator[str]:
    """The address of the server, up to and without /v1."""
    app = create_app(engine, server_shelf, base="long", key=KEY, decoding=USUAL)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    running = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


@pytest_asyncio.fixture(loop_scope="module")
async def web(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def official(url: str) -> AsyncIterator[Any]:
    """The client that OpenAI publishes."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def remote(url: str) -> AsyncIterator[RemoteGenerator]:
    generator = RemoteGenerator(url, key=KEY, patience=Patience(connect=20, silence=60, whole=60))
    yield generator
    await generator.close()


@pytest.fixture(scope="module")
def expected(long_base: Path, server_shelf: Shelf) -> Callable[[list[Message]], Generation]:
    """What the base model answers, worked out in this process."""
    here = Engine(long_base, server_shelf, threads=1, dtype="float32")
    return lambda messages: here.generate(messages, decoding=USUAL, adapter="base", on_text=lambda _: True)


async def ask(generator: RemoteGenerator | EngineProcess, messages: list[Message] = ENGLISH, **how: Any) -> Generation:
    """The Generation of a whole stream, after checking that the pieces before it are its text."""
    items = [item async for item in generator.stream(messages, **({"decoding": USUAL} | how))]
    last = items.pop()
    assert isinstance(last, Generation)
    assert "".join(map(str, items)) == last.text
    return last


@pytest.mark.parametrize("messages", [ENGLISH, HINDI], ids=["english", "hindi"])
async def test_the_official_client_gets_a_whole_answer(
    official: Any, expected: Callable[[list[Message]], Generation], messages: list[Message]
) -> None:
    answer = await official.chat.completions.create(model="base", messages=messages)
    wanted = expected(messages)
    (choice,) = answer.choices
    assert choice.message.content == wanted.text
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == wanted.tokens == 12
    assert answer.model == "base"
    assert answer.sahpathi["confidence"] == pytest.approx(wanted.confidence, rel=1e-4)


async def test_the_official_client_gets_a_streamed_answer(
    official: Any, expected: Callable[[list[Message]], Generation]
) -> None:
    stream = await official.chat.completions.create(
        model="long", messages=HINDI, stream=True, max_tokens=5, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    *pieces, ended, usage = chunks
    text = "".join(piece.choices[0].delta.content for piece in pieces)
    assert expected(HINDI).text.startswith(text)
    assert len(text) > 2
    assert pieces[0].choices[0].delta.role == "assistant"
    assert ended.choices[0].finish_reason == "length"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 5)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_official_client_lists_the_models_and_understands_our_errors(official: Any) -> None:
    import openai

    assert [model.id async for model in official.models.list()][:2] == ["current", "long"]
    with pytest.raises(openai.NotFoundError) as missing:
        await official.chat.completions.create(model="gpt-9", messages=ENGLISH)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as refused:
        await official.chat.completions.create(model="current", messages=ENGLISH, logprobs=True)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "logprobs")
    with pytest.raises(openai.AuthenticationError):
        await official.with_options(api_key="another").models.list()


async def test_a_stop_string_ends_the_answer_before_it(
    official: Any, expected: Callable[[list[Message]], Generation]
) -> None:
    text = expected(ENGLISH).text
    stop = text[4:6]
    answer = await official.chat.completions.create(model="base", messages=ENGLISH, stop=["never", stop])
    assert answer.choices[0].message.content == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


async def test_decoding_is_what_is_asked_for(official: Any) -> None:
    async def write(**how: Any) -> str:
        answer = await official.chat.completions.create(model="base", messages=ENGLISH, **how)
        return str(answer.choices[0].message.content)

    hot = {"temperature": 2.0, "top_p": 1.0, "extra_body": {"top_k": 0, "repetition_penalty": 1.5}}
    first, again, other = await write(seed=1, **hot), await write(seed=1, **hot), await write(seed=2, **hot)
    assert first == again != other


GOOD = {"model": "current", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid_value", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value", "messages.0.role"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        ({"top_p": 0}, 400, "invalid_value", "top_p"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ({"n": 2}, 400, "unsupported_parameter", "n"),
        ({"tools": [{"type": "function"}]}, 400, "unsupported_parameter", "tools"),
        ({"presence_penalty": 0.5}, 400, "unsupported_parameter", "presence_penalty"),
        ({"min_q": 1}, 400, "unknown_parameter", "min_q"),
        ({"model": "../../etc/passwd"}, 404, "model_not_found", "model"),
        ({"model": "science-000000000000"}, 404, "model_not_found", "model"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(
    web: httpx.AsyncClient, change: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = await web.post("/v1/chat/completions", json=GOOD | change)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert param is None or error["param"] == param


async def test_what_is_no_request_at_all(web: httpx.AsyncClient) -> None:
    for body in (b"{", b"[]", b"\xff"):
        answer = await web.post("/v1/chat/completions", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
    large = await web.post("/v1/chat/completions", content=b" " * (1 << 21))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    for answer in (await web.get("/v1/nothing"), await web.get("/v1/chat/completions")):
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_turns_take_the_form_that_every_template_knows(
    web: httpx.AsyncClient, expected: Callable[[list[Message]], Generation]
) -> None:
    system, user = ENGLISH
    parts = [{"type": "text", "text": user["content"]}]
    spoken = [{"role": "user", "content": "Hello"}, {"role": "user", "content": parts}, {**system, "role": "developer"}]
    joined = [system, Message(role="user", content=f"Hello\n\n{user['content']}")]
    harmless = {"user": "x", "n": 1, "response_format": {"type": "text"}, "logit_bias": {}, "stop": None}
    answer = await web.post("/v1/chat/completions", json={"model": "base", "messages": spoken, **harmless})
    assert answer.json()["choices"][0]["message"]["content"] == expected(joined).text


async def test_without_the_key_only_the_health_is_told(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as web:
        for given in ("", KEY, "Bearer é"):
            encoded = [(b"authorization", given.encode())]
            assert (await web.get("/v1/models", headers=encoded)).status_code == 401
            assert (await web.post("/v1/chat/completions", json=GOOD, headers=encoded)).status_code == 401
        assert (await web.get("/healthz")).json() == {"status": "ok"}


async def test_our_client_gets_what_the_engine_says(
    remote: RemoteGenerator, engine: EngineProcess, expected: Callable[[list[Message]], Generation]
) -> None:
    there, here = await ask(remote, HINDI, adapter="base"), await ask(engine, HINDI, adapter="base")
    assert there.text == here.text == expected(HINDI).text
    assert there.confidence == pytest.approx(here.confidence, rel=1e-5)
    assert (there.tokens, there.stopped_by, there.adapter) == (12, "length", None)


async def test_the_adapter_comes_from_either_shelf(
    remote: RemoteGenerator,
    url: str,
    engine: EngineProcess,
    server_shelf: Shelf,
    shelf: Shelf,
    make_adapter: MakeAdapter,
    long_base: Path,
) -> None:
    base_sha256 = model_sha256(long_base)
    science = make_adapter(server_shelf, "science", base_sha256=base_sha256)
    other = make_adapter(server_shelf, "maths", seed=2, base_sha256=base_sha256)
    server_shelf.promote(science)
    # A service without a shelf of its own: the server's decides.
    assert {science.id, other.id} <= set(await remote.start())
    assert (await ask(remote, subject="science")).adapter == science.id
    assert (await ask(remote, subject="history")).adapter is None
    assert (await ask(remote, adapter=other.id)).adapter == other.id
    # A service with one, that promoted what the server did not.
    shelf.promote(make_adapter(shelf, "maths", seed=2, base_sha256=base_sha256))
    with_shelf = RemoteGenerator(url, key=KEY, shelf=shelf)
    answer = await ask(with_shelf, subject="maths")
    assert answer.adapter == other.id
    assert answer.text == (await ask(engine, adapter=other.id)).text
    assert answer.text != (await ask(with_shelf, adapter="base")).text
    await with_shelf.close()


async def until(true: Callable[[], object]) -> None:
    """Wait for it, for as long as a busy machine may need."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110  a server and a process of others have no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(url: str, engine: EngineProcess, stream: bool) -> None:
    endless = {"max_tokens": 400_000, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "stream": stream}
    body = json.dumps({"model": "base", "messages": ENGLISH, **endless}).encode()
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}"
    )
    writer.write(f"{head}\r\n\r\n".encode() + body)
    if stream:
        assert await reader.readuntil(b"data: ")
    await until(lambda: engine.under_way)
    pid = engine.pid
    writer.close()
    await until(lambda: not engine.under_way)  # 8,192 tokens later, which is the most, had it gone on
    assert engine.pid == pid


async def test_our_client_leaving_frees_the_slot(remote: RemoteGenerator, engine: EngineProcess) -> None:
    async with contextlib.aclosing(remote.stream(ENGLISH, decoding=ENDLESS, adapter="base")) as pieces:
        await anext(pieces)
    await until(lambda: not engine.under_way)  # 8,192 tokens later, which is the most, had it gone on


async def test_a_full_line_is_a_busy_server(engine: EngineProcess, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise EngineBusy.full(3)

    monkeypatch.setattr(engine, "_join", full)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as web:
        answer = await web.post("/v1/chat/completions", json=GOOD)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) >= 1
    impatient = RemoteGenerator(url, key=KEY, patience=Patience(tries=1))
    with pytest.raises(RemoteBusy):
        await ask(impatient)
    await impatient.close()


async def test_a_wrong_key_is_named(url: str) -> None:
    stranger = RemoteGenerator(url, key="another")
    with pytest.raises(RemoteRefused, match="SAHPATHI_GENERATOR_KEY"):
        await ask(stranger)
    await stranger.close()


async def test_a_process_that_dies_in_mid_answer_is_told_and_replaced(
    official: Any, engine: EngineProcess, url: str
) -> None:
    import openai

    stream = await official.chat.completions.create(model="base", messages=ENGLISH, stream=True, max_tokens=400_000)
    await anext(stream)
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(openai.APIError, match="the model process ended"):
        [piece async for piece in stream]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as web:
        await until(lambda: engine.info is None)
        assert (await web.get("/healthz")).status_code == 503
        await until(lambda: engine.info)  # nobody has asked for anything
        assert (await web.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (EngineTimeout("x"), 504, "timeout"),
        (PromptTooLong("x"), 400, "context_length_exceeded"),
        (AdapterRefused("x"), 404, "model_not_found"),
        (ModelMissing("x"), 500, "model_missing"),
    ],
)
async def test_errors_of_the_engine_in_the_form_of_the_api(error: Any, status: int, code: str) -> None:
    told = as_api_error(error)
    assert (told.status, told.body["error"]["code"], told.body["error"]["message"]) == (status, code, "x")
