"""From a teacher's correction to the adapter that answers: ask, correct, build, train, promote, ask again, go back."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from bot.compose import opened_store
from bot.settings import Settings
from inference.adapters import Shelf
from inference.prompt import CHAT_TEMPLATE, grounded
from tests.prefork import forked
from tests.service import Service, environment, run
from training.pairs.data import Example, of_split, read

QUESTIONS = (
    "What is photosynthesis?", "What is chlorophyll?", "What is a cell?", "What is force?", "What is an echo?",
    "What is friction?",
)  # fmt: skip
QUICK = """\
sft:
  base: unused
  adapters: unused
  rank: 8
  alpha: 16
  epochs: 4
  batch: 2
"""


def sahpathi(home: Path, *arguments: str) -> Any:
    """What a command says, read as JSON where it is JSON."""
    result = run(*arguments, env=environment(home), cwd=home.parent, start=forked, timeout=600)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


async def correct_everything(home: Path) -> int:
    """What a teacher does on the dashboard: approve the first answer, correct the others."""
    async with opened_store(Settings.load(home=home)) as store:
        waiting = await store.answers(review=None)
        for number, answer in enumerate(waiting):
            text = None if number == 0 else f"{answer.text} Read the page again at home."
            assert await store.review(answer.id, by="asha", correction=text)
        return len(waiting)


def nats(adapter: Path, examples: list[Example]) -> float:
    """The mean loss of the examples' answers, a token, with their own passages: the lower, the likelier."""
    base = Settings.load().model.base
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, local_files_only=True), adapter).eval()
    total, count = 0.0, 0
    for example in examples:
        said = [*grounded(example.question, example.passages), {"role": "assistant", "content": example.answer}]
        encoded = tokenizer.apply_chat_template(
            said, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
        )
        ids, answer = encoded["input_ids"], encoded["assistant_masks"][0].bool()[1:]
        logits = model(input_ids=ids).logits[0, :-1]
        total += float(cross_entropy(logits[answer], ids[0, 1:][answer], reduction="sum"))
        count += int(answer.sum())
    return total / count


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT's use
def test_a_correction_becomes_an_adapter_that_answers(home: Path, tmp_path: Path, processes: ExitStack) -> None:
    service = Service(home)
    processes.callback(service.stop)
    service.start()
    for question in QUESTIONS:
        assert service.ask(question)["route"] in {"generated", "quoted"}
    assert asyncio.run(correct_everything(home)) == len(QUESTIONS)

    # Building and training run beside the service: neither needs the other to stop.
    built = sahpathi(home, "data", "build", "--no-self", "--passages", "0", "--json")
    assert built["examples"] == len(QUESTIONS)
    recipe = tmp_path / "quick.yaml"
    recipe.write_text(QUICK, encoding="utf-8")
    said = sahpathi(home, "train", "sft", "--data", built["id"], "--recipe", str(recipe), "--progress", "json")
    events = [json.loads(line) for line in said.splitlines()]
    assert [events[0]["event"], events[-1]["event"], events[-1]["stopped"]] == ["started", "finished", "complete"]
    (trained,) = [row for row in sahpathi(home, "adapters", "list", "--json") if row["id"] == events[-1]["adapter"]]
    assert trained["examples"] == built["counts"]["split"]["train"]
    assert not trained["current"]
    (the_run,) = sahpathi(home, "runs", "list", "--json")
    assert the_run["adapter"] == trained["id"]
    assert "<svg" in (home / "runs" / the_run["run"] / "report.html").read_text(encoding="utf-8")

    shelf = Shelf(home / "adapters", Settings.load().adapters)
    before = shelf.current("general")
    assert before is not None
    corrected = [one for one in of_split(read(Path(built["folder"])), "train") if "Read the page again" in one.answer]
    assert nats(shelf.folder(trained["id"]), corrected) < nats(shelf.folder(before.id), corrected)

    # Such a short run does not pass the gate, as tests/bot/cli/test_adapters.py shows: it is overruled.
    sahpathi(home, "adapters", "promote", trained["id"], "--by", "Asha", "--reason", "a drill")
    assert shelf.current("general") == shelf.find(trained["id"])
    # The running service serves it from the next question on; generated answers name it.
    assert {service.ask(question)["adapter"] for question in QUESTIONS} <= {trained["id"], None}

    sahpathi(home, "adapters", "rollback", "--by", "Asha")
    assert shelf.current("general") == before
    assert {service.ask(question)["adapter"] for question in QUESTIONS} <= {before.id, None}
    assert service.stop() == 0
