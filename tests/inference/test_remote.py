"""The client of other servers, against sockets that misbehave in every way, and against a server nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.adapters import AdapterCard, Shelf
from inference.errors import AdapterRefused, EngineBusy, EngineTimeout, InferenceError, PromptTooLong
from inference.generation import Decoding, Generation, Message
from inference.prompt import SYSTEM, grounded
from inference.remote import Patience, RemoteGenerator
from inference.remote_breaker import Breaker
from inference.remote_models import Naming
from inference.remote_reading import UNKNOWN_CONFIDENCE
from inference.remote_wire import RemoteBroken, RemoteBusy, RemoteRefused, RemoteUnavailable

QUESTION = "Where does the fox sleep?"  # the words of a child, which no error and no log may repeat
ASKED = grounded(QUESTION, ["The fox sleeps in a den.", "Foxes hunt at night."])
KEY = "sk-not-to-be-logged"
GREEDY = Decoding(temperature=0, max_new_tokens=8)
CALM = Patience(connect=20, silence=20, whole=30, backoff=0.01)  # of a machine that may be busy
SHORT = Patience(silence=0.2, whole=20)

MakeAdapter = Callable[..., AdapterCard]
Reply = Callable[["Call"], Awaitable[None]]


class Call:
    """One request as a server of the tests receives it, and the socket to answer it on."""

    def __init__(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.strip().split("\r\n")
        self.path = first.split()[1]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.body: dict[str, Any] = {}
        self._reader = reader
        self._writer = writer

    async def read(self) -> None:
        if length := int(self.headers.get("content-length", 0)):
            self.body = json.loads(await self._reader.readexactly(length))

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int, told: object, **headers: str) -> None:
        body = json.dumps(told).encode()
        lines = [f"HTTP/1.1 {status} Told", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def begin(self) -> None:
        """A stream of events that ends with the connection."""
        await self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")

    async def event(self, told: object) -> None:
        await self.raw(b"data: " + (told if isinstance(told, str) else json.dumps(told)).encode() + b"\n\n")

    async def piece(self, text: str, logprob: float | None = None) -> None:
        logprobs = None if logprob is None else {"content": [{"token": text, "logprob": logprob}]}
        await self.event({"choices": [{"delta": {"content": text}, "logprobs": logprobs, "finish_reason": None}]})

    async def end(self, finish: str = "stop", **more: object) -> None:
        await self.event({"choices": [{"delta": {}, "finish_reason": finish, **more}]})
        await self.event("[DONE]")

    async def closed(self) -> None:
        """Wait until the client has gone."""
        assert await self._reader.read() == b""


class Server:
    """Answers every chat completion as `reply` does, and lists `models`. What it was asked is in `asked`."""

    def __init__(self) -> None:
        self.url = ""
        self.models: list[dict[str, str]] = [{"id": "school-model"}]
        self.asked: list[Call] = []
        self.other: list[Call] = []
        self.replies: list[Reply] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                call = Call(head, reader, writer)
                await call.read()
                if call.path != "/v1/chat/completions":
                    self.other.append(call)
                    await self.elsewhere(call)
                    continue
                self.asked.append(call)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                await reply(call)
                break
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def elsewhere(self, call: Call) -> None:
        await call.answer(200, {"data": self.models})


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()


@asynccontextmanager
async def client(url: str, **how: Any) -> AsyncIterator[RemoteGenerator]:
    generator = RemoteGenerator(url, **({"patience": CALM} | how))
    try:
        yield generator
    finally:
        await generator.close()


async def ask(generator: RemoteGenerator, messages: list[Message] = ASKED, **how: Any) -> Generation:
    """The Generation of a whole stream, after checking that the pieces before it are its text."""
    items = [item async for item in generator.stream(messages, **({"decoding": GREEDY} | how))]
    last = items.pop()
    assert isinstance(last, Generation)
    assert "".join(map(str, items)) == last.text
    return last


async def fine(call: Call) -> None:
    await call.begin()
    for word in (" In", " a", " den."):
        await call.piece(word)
    await call.end()


def status(number: int, told: object = None, **headers: str) -> Reply:
    async def reply(call: Call) -> None:
        await call.answer(number, told or {"error": {"message": f"no: {QUESTION}", "code": "nope"}}, **headers)

    return reply


async def failing(generator: RemoteGenerator, kind: type[InferenceError], **how: Any) -> str:
    """The message of the error, which must not repeat the question or the key."""
    with pytest.raises(kind) as raised:
        await ask(generator, **how)
    assert type(raised.value) is kind
    assert "fox" not in str(raised.value).lower()
    assert KEY not in str(raised.value)
    return str(raised.value)


async def test_an_answer_and_what_is_known_of_it(server: Server) -> None:
    async def reply(call: Call) -> None:
        await call.begin()
        await call.raw(b": keep-alive\n\n")
        await call.event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
        await call.piece(" पौधे", math.log(0.5))
        await call.piece("\u2028 grow.", math.log(0.125))  # httpx's own lines would end at it
        await call.event({"choices": [{"delta": {}, "finish_reason": "length"}]})
        await call.event({"choices": [], "usage": {"completion_tokens": 7}})
        await call.event("[DONE]")

    server.replies = [reply]
    async with client(f"{server.url}/v1/", key=KEY) as generator:
        assert await generator.start() == ("school-model",)
        answer = await ask(generator, decoding=Decoding(temperature=0.5, top_k=9, top_p=0.8, max_new_tokens=7, seed=3))
    assert answer.text == "पौधे\u2028 grow."
    assert answer.confidence == pytest.approx(0.25)
    assert (answer.tokens, answer.stopped_by, answer.adapter) == (7, "length", None)
    (call,) = server.asked
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert {**call.body, "messages": None} == {
        "model": "school-model",
        "messages": None,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 9,
        "min_p": 0.0,
        "max_tokens": 7,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["<|im_start|>", "\nQuestion:", "\nPassages:", "\n### Question:"],
        "logprobs": True,
        "top_logprobs": 1,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert call.body["messages"] == ASKED


async def test_what_a_server_does_not_tell_is_unknown(server: Server) -> None:
    server.replies = [fine]
    async with client(server.url) as generator:
        answer = await ask(generator)
    assert (answer.text, answer.tokens, answer.stopped_by) == ("In a den.", 3, "end")
    assert answer.confidence == UNKNOWN_CONFIDENCE


async def test_a_marker_ends_the_answer_and_the_work(server: Server) -> None:
    gone = asyncio.Event()

    async def reply(call: Call) -> None:
        await call.begin()
        for word in ("A den.", "\nQues", "tion: And the hare?", " more"):
            await call.piece(word)
        await call.closed()
        gone.set()

    server.replies = [reply]
    async with client(server.url) as generator:
        answer = await ask(generator)
        await asyncio.wait_for(gone.wait(), 5)
    assert (answer.text, answer.stopped_by) == ("A den.", "marker")


async def test_closing_the_iterator_hangs_up(server: Server) -> None:
    gone = asyncio.Event()

    async def reply(call: Call) -> None:
        await call.begin()
        await call.piece("A")
        await call.closed()
        gone.set()

    server.replies = [reply]
    async with client(server.url) as generator:
        async with aclosing(generator.stream(ASKED, decoding=GREEDY)) as pieces:
            assert await anext(pieces) == "A"
        await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize("bad", [status(502), status(503), status(504), status(429, retry_after="0")], ids="2349")
async def test_it_tries_again_before_the_first_word(server: Server, bad: Reply) -> None:
    async def hang_up(call: Call) -> None:
        pass

    server.replies = [bad, hang_up, fine]
    async with client(server.url) as generator:
        assert (await ask(generator)).text == "In a den."
    assert len(server.asked) == 3


async def test_it_never_tries_again_after_the_first_word(server: Server) -> None:
    async def cut(call: Call) -> None:
        await call.begin()
        await call.piece("In")

    server.replies = [cut]
    async with client(server.url) as generator:
        assert "in the middle" in await failing(generator, RemoteBroken)
    assert len(server.asked) == 1


async def test_it_waits_as_long_as_it_is_told_and_not_beyond_its_deadline(server: Server) -> None:
    server.replies = [status(429, retry_after="0.2"), fine]
    loop = asyncio.get_running_loop()
    async with client(server.url) as generator:
        began = loop.time()
        await ask(generator)
        assert loop.time() - began >= 0.2
        server.replies = [status(503, retry_after="3600")]
        error = await failing(generator, RemoteBusy)
        assert loop.time() - began < 60
    assert "busy" in error
    assert issubclass(RemoteBusy, EngineBusy)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (500, RemoteBroken, "500 nope"),
        (401, RemoteRefused, "SAHPATHI_GENERATOR_KEY"),
        (404, RemoteRefused, "SAHPATHI_GENERATOR_MODEL"),
        (400, RemoteRefused, "400 nope"),
        (200, RemoteBroken, "does not stream"),
    ],
)
async def test_what_would_fail_again_is_not_tried_again(
    server: Server, number: int, kind: type[InferenceError], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.replies = [status(number)]
    async with client(server.url, key=KEY) as generator:
        assert words in await failing(generator, kind)
    assert len(server.asked) == 1
    assert KEY not in caplog.text
    assert "fox" not in caplog.text


async def test_a_refused_connection(server: Server) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://me:{KEY}@127.0.0.1:{taken.getsockname()[1]}"
        async with client(url) as generator:
            assert "cannot be reached (ConnectError)" in await failing(generator, RemoteUnavailable)
            with pytest.raises(RemoteUnavailable):
                await generator.start()


@pytest.mark.parametrize("said", [b"", b": waiting\n\n" * 3, b'data: {"choices": [{"delta": {}}]}\n\n'])
async def test_a_silent_server_is_given_up(server: Server, said: bytes) -> None:
    async def stall(call: Call) -> None:
        await call.begin()
        await call.raw(said)
        await call.closed()

    server.replies = [stall]
    async with client(server.url, patience=SHORT) as generator:
        assert "in time" in await failing(generator, EngineTimeout)
    assert len(server.asked) == 1


async def test_a_server_that_stalls_in_the_middle_is_given_up(server: Server) -> None:
    async def stall(call: Call) -> None:
        await call.begin()
        await call.piece("In")
        await call.closed()

    server.replies = [stall]
    async with client(server.url, patience=SHORT) as generator:
        pieces = generator.stream(ASKED, decoding=GREEDY)
        assert await anext(pieces) == "In"
        with pytest.raises(EngineTimeout):
            await anext(pieces)


async def test_a_server_that_dribbles_has_a_deadline_too(server: Server) -> None:
    async def dribble(call: Call) -> None:
        await call.begin()
        while True:
            await call.piece("so ")
            await asyncio.sleep(0.05)

    server.replies = [dribble]
    async with client(server.url, patience=Patience(silence=20, whole=0.4)) as generator:
        await failing(generator, EngineTimeout)


@pytest.mark.parametrize(
    "garbage",
    ["{", "[]", "null", '{"choices": 3}', '{"choices": [{"delta": "x"}]}', '{"error": "Where does the fox sleep?"}'],
)
async def test_garbage_is_an_error_of_ours(server: Server, garbage: str) -> None:
    async def reply(call: Call) -> None:
        await call.begin()
        await call.event(garbage)

    server.replies = [reply]
    async with client(server.url) as generator:
        await failing(generator, RemoteBroken)


async def test_a_line_without_end_is_not_kept(server: Server) -> None:
    async def reply(call: Call) -> None:
        await call.begin()
        for _ in range(40):
            await call.raw(b"x" * (1 << 16))

    server.replies = [reply]
    async with client(server.url) as generator:
        assert "without end" in await failing(generator, RemoteBroken)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Unexpected keys in the request: {'top_k', 'min_p'}", "top_k"),
        ("body.min_p: Extra inputs are not permitted", "min_p"),
        ("Unsupported fields in the request: {'logprobs'}", "logprobs"),
        ("stream_options is not allowed", "stream_options"),
    ],
)
async def test_what_a_server_does_not_know_is_left_out_from_then_on(server: Server, message: str, field: str) -> None:
    async def strict(call: Call) -> None:
        await (call.answer(400, {"error": {"message": message}}) if field in call.body else fine(call))

    server.replies = [strict]
    async with client(server.url) as generator:
        await ask(generator)
        await ask(generator)
    assert [field in call.body for call in server.asked] == [True, False, False]


async def test_a_model_without_a_system_line(server: Server) -> None:
    async def gemma(call: Call) -> None:
        has = call.body["messages"][0]["role"] == "system"
        await (call.answer(400, {"error": {"message": "System role not supported"}}) if has else fine(call))

    server.replies = [gemma]
    async with client(server.url) as generator:
        await ask(generator)
    (turn,) = server.asked[-1].body["messages"]
    assert turn["content"].startswith(SYSTEM)


async def test_a_prompt_that_does_not_fit_loses_its_last_passage(server: Server) -> None:
    async def small(call: Call) -> None:
        long = len(call.body["messages"][-1]["content"]) > 80
        told = {"error": {"message": "request (90 tokens) exceeds the available context size (80 tokens)"}}
        await (call.answer(400, told) if long else fine(call))

    server.replies = [small]
    async with client(server.url) as generator:
        await ask(generator)
        content = server.asked[-1].body["messages"][-1]["content"]
        assert content == f"Passages:\n[1] The fox sleeps in a den.\n\nQuestion: {QUESTION}"
        with pytest.raises(PromptTooLong):
            await ask(generator, grounded("x" * 100, []))


async def test_the_breaker_opens_and_lets_one_try(server: Server) -> None:
    now = [0.0]
    server.replies = [status(500)]
    async with client(server.url, breaker=Breaker(failures=2, rest=10, clock=lambda: now[0])) as generator:
        await failing(generator, RemoteBroken)
        await failing(generator, RemoteBroken)
        assert "left alone" in await failing(generator, RemoteUnavailable)
        assert len(server.asked) == 2
        now[0] = 11
        await failing(generator, RemoteBroken)  # the one that tries
        assert "left alone" in await failing(generator, RemoteUnavailable)
        now[0] = 22
        server.replies = [fine]
        answers = await asyncio.gather(ask(generator), ask(generator), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["Generation", "RemoteUnavailable"]
        await ask(generator)
    assert len(server.asked) == 5


async def test_refusals_and_full_queues_do_not_open_the_breaker(server: Server) -> None:
    async with client(server.url, breaker=Breaker(failures=1), patience=Patience(tries=1)) as generator:
        for number, kind in ((429, RemoteBusy), (400, RemoteRefused), (503, RemoteUnavailable)):
            server.replies = [status(number)]
            await failing(generator, kind)
        assert "left alone" in await failing(generator, RemoteUnavailable)


async def test_a_trial_that_its_caller_gives_up_leaves_the_next_one_to_try() -> None:
    now = [0.0]
    breaker = Breaker(failures=1, rest=10, clock=lambda: now[0])
    with pytest.raises(RemoteBroken), breaker.attempt():
        raise RemoteBroken("no")
    now[0] = 11
    with pytest.raises(asyncio.CancelledError), breaker.attempt():
        raise asyncio.CancelledError
    assert not breaker.open
    with contextlib.suppress(GeneratorExit), breaker.attempt() as attempt:
        attempt.answered = True
        raise GeneratorExit
    with pytest.raises(RemoteBroken), breaker.attempt():  # closed again: it takes a failure to open
        raise RemoteBroken("no")
    assert breaker.open


async def test_the_promoted_adapter_is_asked_for_by_its_id(
    server: Server, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    science, general = make_adapter(shelf, "science"), make_adapter(shelf, seed=2)
    shelf.promote(science)
    shelf.promote(general)
    server.replies = [fine]
    server.models = [{"id": "school-model"}, {"id": science.id}]
    async with client(server.url, shelf=shelf, naming=Naming(named={general.id: "sahpathi-general"})) as generator:
        assert (await ask(generator, subject="science")).adapter == science.id
        assert (await ask(generator, subject="history")).adapter == general.id
        assert (await ask(generator, adapter="base")).adapter is None
        assert (await ask(generator, adapter=science.id)).adapter == science.id
        with pytest.raises(AdapterRefused, match="no adapter 'maths-000000000000'"):
            await ask(generator, adapter="maths-000000000000")
    assert [call.body["model"] for call in server.asked] == [
        science.id, "sahpathi-general", "school-model", science.id
    ]  # fmt: skip


async def test_what_the_server_does_not_have_is_answered_by_the_model_named_for_it(
    server: Server, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    shelf.promote(make_adapter(shelf, "science"))
    server.replies = [fine]
    naming = Naming(default="gemma3:1b", named={"maths": "sahpathi-maths"})
    async with client(server.url, shelf=shelf, naming=naming) as generator:
        assert (await ask(generator, subject="science")).adapter is None
        assert (await ask(generator, subject="maths")).adapter == "sahpathi-maths"
    assert [call.body["model"] for call in server.asked] == ["gemma3:1b", "sahpathi-maths"]


async def test_an_adapter_for_another_base_model_is_passed_over(
    server: Server, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    card = make_adapter(shelf)
    shelf.promote(card)
    server.replies = [fine]
    server.models = [{"id": "school-model"}, {"id": card.id}]
    async with client(server.url, shelf=shelf, base_sha256="f" * 64) as generator:
        assert (await ask(generator)).adapter is None


class Loading(Server):
    """As vLLM with --enable-lora: adapters are loaded by its own route, and then there is a model of that name."""

    able = True

    async def elsewhere(self, call: Call) -> None:
        if call.path != "/v1/load_lora_adapter":
            await super().elsewhere(call)
        elif self.able:
            self.models.append({"id": call.body["lora_name"]})
            await call.answer(200, "Success: LoRA adapter added successfully.")
        else:
            await call.answer(404, {"detail": "Not Found"})


@pytest.mark.parametrize("able", [True, False])
async def test_vllm_is_told_to_load_an_adapter_once(
    able: bool, shelf: Shelf, make_adapter: MakeAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    card = make_adapter(shelf)
    shelf.promote(card)
    server = Loading()
    server.able = able
    server.replies = [fine]
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with client(url, shelf=shelf, naming=Naming(folder="/srv/adapters/")) as generator:
            answers = await asyncio.gather(*(ask(generator) for _ in range(3)))
    loads = [call.body for call in server.other if call.path == "/v1/load_lora_adapter"]
    assert loads == [{"lora_name": card.id, "lora_path": f"/srv/adapters/{card.id}"}]
    assert {answer.adapter for answer in answers} == {card.id if able else None}
    assert caplog.text.count("cannot load adapter") == (0 if able else 1)


async def test_an_altered_adapter_is_not_loaded(server: Server, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    card = make_adapter(shelf)
    shelf.promote(card)
    weights = shelf.folder(card.id) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    async with client(server.url, shelf=shelf, naming=Naming(folder="/srv/adapters")) as generator:
        with pytest.raises(AdapterRefused, match="altered"):
            await ask(generator)
    assert [call.path for call in server.other] == ["/v1/models"]


async def test_a_server_that_lists_nothing_needs_a_name(server: Server) -> None:
    server.replies = [fine]
    server.models = []
    async with client(server.url) as generator:
        assert "SAHPATHI_GENERATOR_MODEL" in await failing(generator, RemoteRefused)
    async with client(server.url, naming=Naming(default="m")) as generator:
        await ask(generator)


@pytest.fixture(scope="module")
def transformers_serve(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve`, which takes few of the fields, on the tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(log.parent)}
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as said, subprocess.Popen(
        [str(Path(sys.executable).with_name("transformers")), "serve", str(base), "--port", str(port), "--host",
         "127.0.0.1", "--device", "cpu"], env=environment, stdout=said, stderr=said
    ) as process:  # fmt: skip
        try:
            _wait_for(f"{url}/health", process, log)
            yield url
        finally:
            process.kill()


async def test_transformers_serve_answers_what_the_model_answers(transformers_serve: str, base: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    ids = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**ids, max_new_tokens=8, do_sample=False)[0, ids["input_ids"].shape[1] :]
    expected = tokenizer.decode(written, skip_special_tokens=True).strip()
    patience = Patience(connect=20, silence=60, whole=60)
    async with client(transformers_serve, naming=Naming(default=str(base)), patience=patience) as generator:
        first, *others = [await ask(generator) for _ in range(2)]
        assert first.text == expected
        assert others == [replace(first, seconds=others[0].seconds)]
        assert (first.tokens, first.confidence) == (8, UNKNOWN_CONFIDENCE)
        async with aclosing(generator.stream(ASKED, decoding=GREEDY)) as pieces:
            await anext(pieces)
        assert (await ask(generator)).text == expected


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
