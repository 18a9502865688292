"""Recipes: training runs written down as YAML, loaded into the argument classes with an error for every wrong key."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from training.base.pretrain import PretrainArguments
from training.base.tokenizer import TokenizerArguments
from training.classifiers.safety_arguments import SafetyArguments
from training.errors import RecipeError
from training.tuning.dpo import DpoArguments
from training.tuning.grpo import GrpoArguments
from training.tuning.sft import SftArguments

RECIPES = Path(__file__).parent / "recipes"

Arguments = TokenizerArguments | PretrainArguments | SftArguments | DpoArguments | GrpoArguments | SafetyArguments

_SECTIONS: dict[str, type[Arguments]] = {
    "tokenizer": TokenizerArguments,
    "pretrain": PretrainArguments,
    "sft": SftArguments,
    "dpo": DpoArguments,
    "grpo": GrpoArguments,
    "safety": SafetyArguments,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe file holds; None for the sections it does not have."""

    tokenizer: TokenizerArguments | None = None
    pretrain: PretrainArguments | None = None
    sft: SftArguments | None = None
    dpo: DpoArguments | None = None
    grpo: GrpoArguments | None = None
    safety: SafetyArguments | None = None


def recipe(name_or_path: str | Path, **overrides: object) -> Recipe:
    """The shipped recipe of that name ("base-cpu", "adapter-cpu"), or the one in a file.

    `overrides` replace the recipe's values in every section that has such an argument; those that are None are passed
    over. Paths in a recipe are relative to the working directory. Raises RecipeError.
    """
    path = _find(name_or_path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe ({error})") from error
    if not isinstance(raw, dict) or not raw or not set(raw) <= set(_SECTIONS):
        raise RecipeError(f"{path}: a recipe has the sections {', '.join(_SECTIONS)} (one or more) and nothing else")
    given = {name: value for name, value in overrides.items() if value is not None}
    known = {field.name for kind in _SECTIONS.values() for field in dataclasses.fields(kind)}
    if unknown := sorted(set(given) - known):
        raise RecipeError(f"no section of a recipe has {', '.join(unknown)}")
    sections: dict[str, Any] = {name: _arguments(path, name, values, given) for name, values in raw.items()}
    return Recipe(**sections)


def names() -> list[str]:
    """The recipes that are shipped."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _find(name_or_path: str | Path) -> Path:
    shipped = RECIPES / f"{name_or_path}.yaml"
    if isinstance(name_or_path, str) and name_or_path in names():
        return shipped
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    raise RecipeError(f"{name_or_path}: neither a file nor one of the shipped recipes ({', '.join(names())})")


def _arguments(path: Path, section: str, values: object, overrides: Mapping[str, object]) -> Arguments:
    kind = _SECTIONS[section]
    where = f"{path}: {section}"
    if not isinstance(values, dict):
        raise RecipeError(f"{where} must be lines of the form key: value")
    types = typing.get_type_hints(kind)
    if unknown := sorted(str(key) for key in set(values) - set(types)):
        raise RecipeError(f"{where} has no {', '.join(unknown)}; it has {', '.join(types)}")
    merged = {**values, **{name: value for name, value in overrides.items() if name in types}}
    converted: dict[str, Any] = {
        name: _value(f"{path}: {section}.{name}", types[name], value) for name, value in merged.items()
    }
    required = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    if missing := sorted(required - set(converted)):
        raise RecipeError(f"{where} lacks {', '.join(missing)}")
    try:
        return kind(**converted)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _value(where: str, wanted: Any, value: object) -> object:
    """`value` as the type an argument wants. Numbers are lenient: to YAML 8e-4 is text and 1 a whole number."""
    options = typing.get_args(wanted) or (wanted,)
    if value is None and type(None) in options:
        return None
    if Path in options and isinstance(value, str | Path):
        return Path(value)
    if bool in options or isinstance(value, bool):
        if bool in options and isinstance(value, bool):
            return value
    elif float in options and isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            pass
    elif type(value) in options:
        return value
    expected = " or ".join(option.__name__ for option in options)
    raise RecipeError(f"{where} must be of type {expected}, got {value!r}")
