"""The real model process: started, streamed from by many at once, cancelled, killed, hung and orphaned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from inference.adapters import AdapterCard, Shelf, model_sha256
from inference.engine import Engine
from inference.errors import AdapterRefused, EngineBusy, EngineDied, EngineTimeout, ModelMissing
from inference.generation import Decoding, Generation, Message
from inference.line import Line
from inference.pipe import Limits
from inference.process import EngineProcess
from inference.prompt import grounded

# One model process serves most tests: importing torch takes seconds. A test that kills it leaves it to be restarted.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
SECRET = "1234:not-for-the-model"
GREEDY = Decoding(temperature=0, max_new_tokens=24)
ENDLESS = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=400_000)
SLOTS = 4
ENGLISH = grounded("What is the water cycle?", ["Water evaporates and falls as rain."])
HINDI = grounded("पौधे क्या बनाते हैं?", ["पौधे अपना भोजन बनाते हैं।"])

MakeAdapter = Callable[..., AdapterCard]


@pytest.fixture(scope="module")
def module_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("adapters"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(long_base: Path, module_shelf: Shelf) -> AsyncIterator[EngineProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAHPATHI_TELEGRAM__TOKEN", SECRET)
        process = EngineProcess(long_base, module_shelf.roots, threads=1, dtype="float32", slots=SLOTS)
    yield process
    await process.close()


@pytest.fixture(scope="module")
def expected(long_base: Path, module_shelf: Shelf) -> Callable[[list[Message]], str]:
    """What the base model answers, worked out in this process."""
    here = Engine(long_base, module_shelf, threads=1, dtype="float32")
    return lambda messages: here.generate(messages, decoding=GREEDY, adapter="base", on_text=lambda _: True).text


async def ask(
    engine: EngineProcess,
    messages: list[Message] = ENGLISH,
    *,
    decoding: Decoding = GREEDY,
    adapter: str = "base",
) -> Generation:
    """The Generation of a whole stream, after checking that the pieces before it are its text."""
    items = [item async for item in engine.stream(messages, decoding=decoding, adapter=adapter)]
    last = items.pop()
    assert isinstance(last, Generation)
    assert "".join(map(str, items)) == last.text
    return last


@asynccontextmanager
async def writing(engine: EngineProcess) -> AsyncIterator[AsyncGenerator[str | Generation, None]]:
    """An answer of thousands of tokens, of which the first piece has come. Closing it stops the model."""
    stream = engine.stream(ENGLISH, decoding=ENDLESS, adapter="base")
    async with contextlib.aclosing(stream):
        await anext(stream)
        yield stream


async def alone(engine: EngineProcess, neighbour: AsyncGenerator[str | Generation, None]) -> None:
    """Check that all but `neighbour`, which is the oldest of equals, are stopped before it has come to its end."""
    while engine.under_way > 1:
        assert isinstance(await anext(neighbour), str)
    assert isinstance(await anext(neighbour), str)


async def idle(engine: EngineProcess) -> None:
    """Wait until the process has nothing to do."""
    async with asyncio.timeout(60):
        while engine.under_way:  # noqa: ASYNC110  nothing in the product needs such an event
            await asyncio.sleep(0.005)


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to take note."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def running(engine: EngineProcess) -> int:
    """The id of the model process, started if need be."""
    await engine.start()
    assert engine.pid
    return engine.pid


@pytest.mark.parametrize("messages", [ENGLISH, HINDI], ids=["english", "hindi"])
async def test_it_answers_what_the_engine_answers(
    engine: EngineProcess, expected: Callable[[list[Message]], str], messages: list[Message]
) -> None:
    generation = await ask(engine, messages)
    assert generation.text == expected(messages)
    assert (generation.tokens, generation.stopped_by, generation.adapter) == (24, "length", None)


async def test_it_says_what_it_is(engine: EngineProcess) -> None:
    info = await engine.start()
    assert (info.dtype, info.device, info.slots) == ("float32", "cpu", SLOTS)
    assert info.context > 1000
    assert info.parameters > 10_000
    assert engine.info == info


async def test_students_are_answered_side_by_side_and_not_mixed(
    engine: EngineProcess, expected: Callable[[list[Message]], str]
) -> None:
    async with writing(engine) as pieces:  # an answer without end holds up nobody, though its reader is slow
        questions = [ENGLISH, HINDI] * 10
        answers = await asyncio.gather(*(ask(engine, messages) for messages in questions))
        assert [answer.text for answer in answers] == [expected(messages) for messages in questions]
        assert await anext(pieces)
        assert engine.under_way == 1
    await idle(engine)


async def test_who_finds_no_slot_waits_for_one(
    engine: EngineProcess, expected: Callable[[list[Message]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with full(engine) as first:
        waiting = asyncio.create_task(ask(engine, HINDI))
        gone = asyncio.create_task(ask(engine, ENGLISH))
        await asyncio.sleep(0)
        assert engine.waiting == 2
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert engine.waiting == 1
        monkeypatch.setattr(engine, "_patience", 0.05)
        with pytest.raises(EngineBusy, match=r"no turn within 0\.05 s"):
            await ask(engine, ENGLISH)
        await first.aclose()
        assert (await waiting).text == expected(HINDI)
    await idle(engine)


async def test_who_finds_the_line_full_is_told_at_once(engine: EngineProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_line", Line(1))
    async with full(engine) as first:
        waiting = asyncio.create_task(ask(engine, HINDI))
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy, match="1 requests wait already"):
            await ask(engine, ENGLISH)
        await first.aclose()
        await waiting
    await idle(engine)


@asynccontextmanager
async def full(engine: EngineProcess) -> AsyncIterator[AsyncGenerator[str | Generation, None]]:
    """Every slot taken by an answer without end; one of them, to be closed by the test."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(writing(engine)) for _ in range(SLOTS)]
        assert engine.under_way == SLOTS
        yield streams[0]


async def test_closing_the_iterator_stops_the_model(engine: EngineProcess) -> None:
    pid = await running(engine)
    async with writing(engine) as neighbour:
        async with writing(engine):
            pass
        await alone(engine, neighbour)
    await idle(engine)
    assert engine.pid == pid


async def test_a_cancelled_reader_stops_the_model(engine: EngineProcess) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async for _ in engine.stream(ENGLISH, decoding=ENDLESS, adapter="base"):
            started.set()

    pid = await running(engine)
    async with writing(engine) as neighbour:
        reader = asyncio.create_task(read())
        await started.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await alone(engine, neighbour)
    await idle(engine)
    assert engine.pid == pid


async def test_a_promotion_is_served_without_a_restart(
    engine: EngineProcess, module_shelf: Shelf, make_adapter: MakeAdapter, long_base: Path
) -> None:
    before = await ask(engine, adapter="current")
    pid = engine.pid
    card = make_adapter(module_shelf, base_sha256=model_sha256(long_base))
    module_shelf.promote(card)
    after = await ask(engine, adapter="current")
    assert (before.adapter, after.adapter) == (None, card.id)
    assert before.text != after.text
    assert (await ask(engine, adapter="base")).text == before.text
    assert engine.pid == pid


async def test_a_refusal_is_an_answer_and_not_the_end(engine: EngineProcess) -> None:
    pid = await running(engine)
    with pytest.raises(AdapterRefused, match="no adapter 'science-000000000000'"):
        await ask(engine, adapter="science-000000000000")
    await ask(engine)
    assert engine.pid == pid


async def test_it_is_given_no_secrets_and_a_lower_priority(engine: EngineProcess) -> None:
    pid = await running(engine)
    environment = environment_of(pid)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert SECRET not in environment.values()
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


async def test_who_takes_too_long_is_given_up_and_the_others_go_on(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await running(engine)
    async with writing(engine) as neighbour:
        # Short beside the whole answer, which ends with the engine's context: a fast machine writes that in 0.2 s.
        monkeypatch.setattr(engine, "_timeout", 0.01)
        with pytest.raises(EngineTimeout, match=r"0\.01 s"):
            await ask(engine, decoding=ENDLESS)
        await alone(engine, neighbour)
    await idle(engine)
    assert engine.pid == pid


SABOTAGED = """
    import os, time
    from inference.child import main
    from inference.engine import Engine

    add, step, asked = Engine.add, Engine.step, []

    def noting_add(engine, request, listener):
        add(engine, request, listener)
        asked.append(request.messages[-1]["content"])

    def fragile_step(engine):
        if any("poison" in content for content in asked):
            os._exit(3)
        if any("heavy" in content for content in asked):
            step(engine)
            asked.clear()
            time.sleep(4)  # as a large model that is loaded
        step(engine)

    Engine.add, Engine.step = noting_add, fragile_step
    main()
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fragile(long_base: Path, module_shelf: Shelf) -> AsyncIterator[EngineProcess]:
    """An engine that dies of the word "poison", takes long over "heavy", and may be silent for 2 seconds only."""
    process = EngineProcess(long_base, module_shelf.roots, threads=1, dtype="float32")
    words = process._command.index("-m")
    process._command[words : words + 2] = ["-c", textwrap.dedent(SABOTAGED)]
    process._limits = Limits(start=180, silence=2)
    yield process
    await process.close()


async def test_a_poisonous_request_is_given_up_and_its_neighbours_are_answered(
    fragile: EngineProcess, expected: Callable[[list[Message]], str], caplog: pytest.LogCaptureFixture
) -> None:
    await fragile.start()
    questions = [ENGLISH, HINDI, ENGLISH, HINDI]
    asked = [ask(fragile, messages) for messages in (grounded("poison", []), *questions)]
    poisoned, *answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(poisoned, EngineDied)
    assert [getattr(answer, "text", answer) for answer in answers] == [expected(messages) for messages in questions]
    assert "died under 5 requests" in caplog.text
    assert caplog.text.count("ended with status 3") == 2


async def test_a_process_that_hangs_is_ended_and_what_it_had_not_begun_is_repeated(
    fragile: EngineProcess, expected: Callable[[list[Message]], str], caplog: pytest.LogCaptureFixture
) -> None:
    pid = await running(fragile)
    async with writing(fragile) as begun:
        os.kill(pid, signal.SIGSTOP)
        answers = [asyncio.create_task(ask(fragile, messages)) for messages in (HINDI, ENGLISH, HINDI)]
        await asyncio.sleep(0)  # the requests are sent
        assert fragile.under_way == 4
        with pytest.raises(EngineDied):
            async for _ in begun:
                pass
    texts = [answer.text for answer in await asyncio.gather(*answers)]
    assert texts == [expected(HINDI), expected(ENGLISH), expected(HINDI)]
    assert ended(pid)
    assert fragile.pid != pid
    for said in (f"model process {pid} hangs", f"model process {pid} ended with status -9", "died under 3 requests"):
        assert said in caplog.text


async def test_a_process_that_loads_a_model_does_not_hang(fragile: EngineProcess) -> None:
    pid = await running(fragile)
    async with writing(fragile) as neighbour:
        await ask(fragile, grounded("heavy", []))
        assert isinstance(await anext(neighbour), str)
    assert fragile.pid == pid
    await idle(fragile)


async def test_closing_ends_an_answer_under_way_and_those_that_wait(engine: EngineProcess) -> None:
    async with full(engine) as begun:  # the last test of this engine
        waiting = asyncio.create_task(ask(engine))
        await asyncio.sleep(0)
        assert engine.waiting == 1
        pid = engine.pid or 0
        await engine.close()
        assert ended(pid)
        with pytest.raises(EngineDied):
            async for _ in begun:
                pass
        with pytest.raises(EngineDied, match="closed"):
            await waiting
    with pytest.raises(EngineDied, match="closed"):
        await ask(engine)


async def test_closing_ends_a_start_under_way(long_base: Path, module_shelf: Shelf) -> None:
    engine = EngineProcess(long_base, module_shelf.roots, threads=1)
    starting, waiting = asyncio.create_task(engine.start()), asyncio.create_task(ask(engine))
    await asyncio.sleep(0.05)
    await engine.close()
    for task in (starting, waiting):
        with pytest.raises(EngineDied, match="closed"):
            await task


async def test_a_request_that_kills_twice_is_given_up(
    long_base: Path, module_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = '"dtype":"float32","device":"cpu","parameters":1,"context":1,"slots":1,"base_sha256":"","adapters":[]'
    dies = f"""import sys; print('{{"event":"ready",{fields}}}', flush=True); sys.stdin.readline(); sys.exit(3)"""
    engine = EngineProcess(long_base, module_shelf.roots, threads=1)
    monkeypatch.setattr(engine, "_command", [sys.executable, "-c", dies])
    with pytest.raises(EngineDied):
        await ask(engine)
    await engine.close()


async def test_a_missing_model_is_said_at_once_and_to_everybody(tmp_path: Path, module_shelf: Shelf) -> None:
    engine = EngineProcess(tmp_path / "none", module_shelf.roots, threads=1)
    errors = await asyncio.gather(engine.start(), ask(engine), ask(engine, HINDI), return_exceptions=True)
    assert all(isinstance(error, ModelMissing) and "sahpathi train pretrain" in str(error) for error in errors)
    assert engine.waiting == 0
    await engine.close()


async def test_an_incomplete_model_is_said_by_the_process(tmp_path: Path, module_shelf: Shelf) -> None:
    (tmp_path / "config.json").write_text("{}")
    engine = EngineProcess(tmp_path, module_shelf.roots, threads=1)
    with pytest.raises(ModelMissing, match=r"tokenizer\.json"):
        await engine.warm_up()
    assert engine.pid is None
    await engine.close()


SERVICE = """
    import asyncio, sys
    from pathlib import Path
    from inference.generation import Decoding, Message
    from inference.process import EngineProcess

    async def main():
        engine = EngineProcess(Path(sys.argv[1]), [Path(sys.argv[2])], threads=1, dtype="float32")
        await engine.start()
        if sys.argv[3] == "idle":
            print(engine.pid, flush=True)
            await asyncio.sleep(3600)
        decoding = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=400_000)
        async for _ in engine.stream([Message(role="user", content="Hi")], decoding=decoding):
            print(engine.pid, flush=True)

    asyncio.run(main())
"""


async def orphaned(*arguments: str) -> None:
    """Start a service, kill it, and wait until its model process has ended."""
    command = [sys.executable, "-c", textwrap.dedent(SERVICE), *arguments]
    service = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
    assert service.stdout
    watched = os.pidfd_open(int(await service.stdout.readline()))
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(watched, gone.set)  # readable once that process has ended
    assert not gone.is_set()
    service.kill()
    try:
        async with asyncio.timeout(60):
            await gone.wait()
    finally:
        asyncio.get_running_loop().remove_reader(watched)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(watched, signal.SIGKILL)  # a failing test leaves nothing behind either
        os.close(watched)
        await service.communicate()


async def test_it_does_not_outlive_a_service_that_is_killed(long_base: Path, tmp_path: Path) -> None:
    """SIGKILL gives the service no chance to clean up, whether its model process is idle or in an endless answer."""
    await asyncio.gather(*(orphaned(str(long_base), str(tmp_path), state) for state in ("idle", "writing")))


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)


async def test_the_service_does_not_import_torch_through_it() -> None:
    heavy = run("import sys, inference.process; print({'torch', 'transformers', 'peft'} & set(sys.modules))").stdout
    assert heavy == "set()\n"


async def test_what_libraries_print_does_not_reach_the_events() -> None:
    done = run("""
        import os
        from inference.child import Outbox, _private_stdout
        outbox = Outbox(_private_stdout())
        print("noise", flush=True)
        os.write(1, b"more noise")
        outbox.text(1, "क\\u2028")
        outbox.flush()
    """)
    assert json.loads(done.stdout) == {"event": "text", "id": 1, "text": "क\u2028"}
    assert done.stderr == "noise\nmore noise"
