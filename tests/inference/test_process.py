"""The real model process: started, streamed from, cancelled, killed and orphaned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from inference.adapters import AdapterCard, Shelf, model_sha256
from inference.engine import Engine
from inference.errors import AdapterRefused, EngineDied, EngineTimeout, ModelMissing
from inference.generation import Decoding, Generation, Message
from inference.process import EngineProcess
from inference.prompt import grounded

# One model process serves most tests: importing torch takes seconds. A test that kills it leaves it to be restarted.
pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
SECRET = "1234:not-for-the-model"
GREEDY = Decoding(temperature=0, max_new_tokens=24)
ENDLESS = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=400_000)
ENGLISH = grounded("What is the water cycle?", ["Water evaporates and falls as rain."])
HINDI = grounded("पौधे क्या बनाते हैं?", ["पौधे अपना भोजन बनाते हैं।"])

MakeAdapter = Callable[..., AdapterCard]


@pytest.fixture(scope="module")
def long_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model with so long a context that a generation goes on until somebody stops it."""
    folder = tmp_path_factory.mktemp("models") / "long"
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1_000_000}))
    return folder


@pytest.fixture(scope="module")
def module_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("adapters"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(long_base: Path, module_shelf: Shelf) -> AsyncIterator[EngineProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAHPATHI_TELEGRAM__TOKEN", SECRET)
        process = EngineProcess(long_base, module_shelf.roots, threads=1, dtype="float32")
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
    assert (info.dtype, info.device, info.context) == ("float32", "cpu", 1_000_000)
    assert info.parameters > 10_000
    assert engine.info == info


async def test_students_are_answered_in_turn_and_not_mixed(
    engine: EngineProcess, expected: Callable[[list[Message]], str]
) -> None:
    order: list[int] = []

    async def student(number: int, messages: list[Message]) -> str:
        text = (await ask(engine, messages)).text
        order.append(number)
        return text

    questions = [ENGLISH, HINDI, ENGLISH, HINDI]
    answers = await asyncio.gather(*(student(n, messages) for n, messages in enumerate(questions)))
    assert answers == [expected(messages) for messages in questions]
    assert order == [0, 1, 2, 3]


async def test_closing_the_iterator_stops_the_model(
    engine: EngineProcess, expected: Callable[[list[Message]], str]
) -> None:
    pid = await running(engine)
    async with contextlib.aclosing(engine.stream(ENGLISH, decoding=ENDLESS, adapter="base")) as pieces:
        async for _ in pieces:
            break
    assert (await ask(engine, HINDI)).text == expected(HINDI)  # 400,000 tokens later, had it gone on
    assert engine.pid == pid


async def test_a_cancelled_reader_stops_the_model(
    engine: EngineProcess, expected: Callable[[list[Message]], str]
) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async for _ in engine.stream(ENGLISH, decoding=ENDLESS, adapter="base"):
            started.set()

    reader, waiting = asyncio.create_task(read()), asyncio.create_task(ask(engine, HINDI))
    await started.wait()
    impatient = asyncio.create_task(ask(engine, ENGLISH))
    await asyncio.sleep(0)
    pid = engine.pid
    impatient.cancel()  # while it waits for its turn
    reader.cancel()
    assert (await waiting).text == expected(HINDI)
    assert engine.pid == pid
    with pytest.raises(asyncio.CancelledError):
        await impatient


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


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
async def test_it_is_given_no_secrets_and_a_lower_priority(engine: EngineProcess) -> None:
    pid = await running(engine)
    environment = environment_of(pid)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert SECRET not in environment.values()
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


async def test_a_process_killed_in_mid_answer_fails_that_answer_only(
    engine: EngineProcess, expected: Callable[[list[Message]], str], caplog: pytest.LogCaptureFixture
) -> None:
    pid = await running(engine)

    async def read() -> None:
        async for _ in engine.stream(ENGLISH, decoding=ENDLESS, adapter="base"):
            if not ended(pid):
                os.kill(pid, signal.SIGKILL)

    reader, waiting = asyncio.create_task(read()), asyncio.create_task(ask(engine, HINDI))
    with pytest.raises(EngineDied):
        await reader
    assert (await waiting).text == expected(HINDI)
    assert engine.pid != pid
    assert f"model process {pid} ended with status -9" in caplog.text


async def test_a_process_killed_before_the_first_word_is_replaced_in_silence(
    engine: EngineProcess, expected: Callable[[list[Message]], str], caplog: pytest.LogCaptureFixture
) -> None:
    pid = await running(engine)
    os.kill(pid, signal.SIGSTOP)  # so that it surely says nothing
    answer = asyncio.create_task(ask(engine, HINDI))
    await asyncio.sleep(0)  # the request is sent
    os.kill(pid, signal.SIGKILL)
    assert (await answer).text == expected(HINDI)
    assert engine.pid != pid
    assert "tried once more" in caplog.text


async def test_a_process_that_does_not_answer_in_time_is_ended(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await running(engine)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(engine, "_timeout", 0.2)
    with pytest.raises(EngineTimeout, match=r"0\.2 s"):
        await ask(engine)
    assert engine.info is None
    assert ended(pid)


async def test_closing_ends_an_answer_under_way(long_base: Path, module_shelf: Shelf) -> None:
    engine = EngineProcess(long_base, module_shelf.roots, threads=1, dtype="float32")
    started = asyncio.Event()

    async def read() -> None:
        async for _ in engine.stream(ENGLISH, decoding=ENDLESS, adapter="base"):
            started.set()

    reader = asyncio.create_task(read())
    await started.wait()
    pid = engine.pid or 0
    await engine.close()
    assert ended(pid)
    with pytest.raises(EngineDied):
        await reader
    with pytest.raises(EngineDied, match="closed"):
        await ask(engine)


async def test_a_request_that_kills_twice_is_given_up(
    long_base: Path, module_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = '"dtype":"float32","device":"cpu","parameters":1,"context":1,"base_sha256":"","adapters":[]'
    dies = f"""import sys; print('{{"event":"ready",{fields}}}', flush=True); sys.stdin.readline(); sys.exit(3)"""
    engine = EngineProcess(long_base, module_shelf.roots, threads=1)
    monkeypatch.setattr(engine, "_command", [sys.executable, "-c", dies])
    with pytest.raises(EngineDied):
        await ask(engine)
    await engine.close()


async def test_a_missing_model_is_said_at_once(tmp_path: Path, module_shelf: Shelf) -> None:
    engine = EngineProcess(tmp_path / "none", module_shelf.roots, threads=1)
    with pytest.raises(ModelMissing, match="sahpathi train pretrain"):
        await engine.start()
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


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
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
        outbox.send("text", id=1, text="क\\u2028")
    """)
    assert json.loads(done.stdout) == {"event": "text", "id": 1, "text": "क\u2028"}
    assert done.stderr == "noise\nmore noise"
