from __future__ import annotations

from pathlib import Path

import pytest

from training.errors import RecipeError
from training.recipe import names, recipe

SFT = "sft:\n  base: data/models/base\n  adapters: data/adapters\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_recipes_load() -> None:
    assert names() == [
        "adapter-cpu", "base-cpu", "classic", "dpo-cpu", "grpo", "pretrain-10m", "pretrain-accelerator", "safety-cpu",
    ]  # fmt: skip
    assert recipe("safety-cpu").safety is not None
    small, large, adapter = recipe("pretrain-10m"), recipe("pretrain-accelerator"), recipe("adapter-cpu")
    assert small.tokenizer is not None
    assert small.pretrain is not None
    assert small.tokenizer.output == small.pretrain.output
    assert small.tokenizer.context == small.pretrain.context
    assert large.pretrain is not None
    assert large.pretrain.hidden > small.pretrain.hidden
    assert adapter.sft is not None
    assert adapter.sft.base == small.pretrain.output


def test_overrides_reach_every_section_that_has_them_and_none_is_passed_over() -> None:
    changed = recipe("base-cpu", output=Path("elsewhere"), threads=3, steps=None)
    assert changed.tokenizer is not None
    assert changed.pretrain is not None
    assert changed.tokenizer.output == changed.pretrain.output == Path("elsewhere")
    assert changed.pretrain.threads == 3
    plain = recipe("base-cpu").pretrain
    assert plain is not None
    assert changed.pretrain.steps == plain.steps


def test_numbers_are_read_as_the_argument_wants_them(tmp_path: Path) -> None:
    found = recipe(write(tmp_path, SFT + "  learning_rate: 2e-4\n  dropout: 0\n")).sft
    assert found is not None
    assert found.learning_rate == 2e-4
    assert found.dropout == 0.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (SFT + "  epoch: 3\n", "sft has no epoch"),
        (SFT + "  epochs: three\n", "sft.epochs must be of type int"),
        (SFT + "  epochs: 2.5\n", "sft.epochs must be of type int"),
        (SFT + "  epochs: true\n", "sft.epochs must be of type int"),
        (SFT + "  rslora: 1\n", "sft.rslora must be of type bool"),
        (SFT + "  learning_rate: fast\n", "sft.learning_rate must be of type float"),
        (SFT + "  epochs: 0\n", "must be 1 or more"),
        ("sft:\n  base: x\n", "sft lacks adapters"),
        ("sft: 3\n", "key: value"),
        ("dpo:\n  base: x\n", "dpo lacks adapters"),
        ("ppo:\n  base: x\n", "sections"),
        ("- sft\n", "sections"),
        ("", "sections"),
        ("sft: [", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path: Path, text: str, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RecipeError, match=why) as caught:
        recipe(path)
    assert str(path) in str(caught.value)


def test_an_unknown_recipe_and_an_unknown_override_are_errors() -> None:
    with pytest.raises(RecipeError, match="adapter-cpu, base-cpu, classic"):
        recipe("base-gpu")
    with pytest.raises(RecipeError, match="no section of a recipe has epoch"):
        recipe("adapter-cpu", epoch=3)
