from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from inference.generation import Message
from inference.prompt import END, PLAIN_TEMPLATE, grounded
from training.errors import TrainingError
from training.pairs.template import IGNORED, Template
from training.tuning.lora import Trainee
from training.tuning.sft import SftArguments

CONVERSATION = [*grounded("What is sound?", ["Sound is energy."]), Message(role="assistant", content="It is energy.")]

# as many models have it: nothing marks the assistant's words
UNMARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + UNMARKED


@pytest.fixture
def bare(base: Path, tmp_path: Path) -> Path:
    """The base model without a chat template."""
    folder = shutil.copytree(base, tmp_path / "bare", ignore=shutil.ignore_patterns("work", "chat_template.jinja"))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("chat_template", None)
    path.write_text(json.dumps(config), encoding="utf-8")
    return Path(folder)


def learned(template: Template) -> str:
    encoded = template.encode(CONVERSATION)
    return str(template.tokenizer.decode([label for label in encoded.labels if label != IGNORED]))


def test_the_bases_own_template_is_kept(base: Path) -> None:
    template = Template(base)
    assert template.stored is None
    assert learned(template) == "It is energy." + END
    encoded = template.encode(CONVERSATION)
    prompt = template.prompt(CONVERSATION[:-1])
    assert encoded.ids[: len(prompt)] == prompt
    assert encoded.learned == sum(label != IGNORED for label in encoded.labels)


def test_without_marks_the_answer_begins_where_the_prompt_ends(bare: Path) -> None:
    (bare / "chat_template.jinja").write_text(UNMARKED, encoding="utf-8")
    assert learned(Template(bare)) == "It is energy." + END + "\n"
    assert learned(Template(bare, answer_only=False)).startswith("<|im_start|>system")


def test_a_template_without_a_system_role_opens_the_question_with_it(bare: Path) -> None:
    (bare / "chat_template.jinja").write_text(WITHOUT_SYSTEM, encoding="utf-8")
    template = Template(bare)
    text = template.tokenizer.decode(template.encode(CONVERSATION).ids)
    assert text.startswith("<|im_start|>user\n" + CONVERSATION[0]["content"])
    assert learned(template) == "It is energy." + END + "\n"


def test_a_base_without_a_template_gets_one_that_the_adapter_keeps(bare: Path, tmp_path: Path) -> None:
    trainee = Trainee(SftArguments(bare, tmp_path / "adapters", rank=2, alpha=4, device="cpu", threads=1))
    template = trainee.template
    text = str(template.tokenizer.decode(template.encode(CONVERSATION).ids))
    assert "### Question:\nPassages:" in text
    assert text.rstrip().endswith("### Answer:\nIt is energy." + template.tokenizer.eos_token)
    assert learned(template) == "It is energy." + template.tokenizer.eos_token
    folder = tmp_path / "adapter"
    folder.mkdir()
    trainee.save(folder)
    assert (folder / "chat_template.jinja").read_text(encoding="utf-8") == PLAIN_TEMPLATE


def test_a_tokenizer_that_cannot_end_an_answer_is_refused(bare: Path) -> None:
    path = bare / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["eos_token"] = None
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TrainingError, match="no end-of-text token"):
        Template(bare)
