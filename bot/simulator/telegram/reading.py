"""Reads a Bot API call: GET or POST, as a query, a form, multipart or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from bot.simulator.config import Json
from bot.simulator.rules import Broken, found
from bot.simulator.telegram import rules
from bot.simulator.telegram.formatting import Unparsable, parse
from bot.simulator.telegram.methods import METHODS, Field, Type

_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no", ""})


async def given(request: Request) -> Json:
    """All parameters as they came, the body's before the query's."""
    params: Json = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            body = {}
        return params | (body if isinstance(body, dict) else {})
    async with request.form() as form:
        return params | {
            name: f"<{value.filename}>" if isinstance(value, UploadFile) else value for name, value in form.items()
        }


def read(method: str, params: Mapping[str, Any]) -> Json:
    """The documented parameters, each of its type; a text is plain, with its entities. Raises Broken."""
    values: Json = {}
    for field in METHODS[method]:
        value = params.get(field.name)
        if value is None or (value == "" and field.missing is not None):
            if field.missing is not None:
                raise Broken(rules.required(method, field.name, field.missing))
            continue
        values[field.name] = _converted(method, field, value)
    if "text" in values and "parse_mode" in values:
        try:
            values["text"], values["entities"] = parse(values["text"], values["parse_mode"])
        except Unparsable as error:
            raise Broken(rules.formatted(str(error)), found(values["text"])) from None
    return values


def _converted(method: str, field: Field, value: Any) -> Any:
    try:
        return _CONVERT[field.type](value)
    except ValueError:
        raise Broken(rules.readable(method, field.name, field.type.value), found(value)) from None


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not a number")  # noqa: TRY004  a value of the wrong kind, whatever its Python type
    return int(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("neither true nor false")
    return word in _TRUE


def _string(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError("not a text")  # noqa: TRY004  as above
    return str(value)


def _json(value: Any) -> Any:
    decoded = json.loads(value) if isinstance(value, str) and value else value
    if decoded and not isinstance(decoded, dict | list):
        raise ValueError("neither an object nor an array")
    return decoded or {}


_CONVERT = {
    Type.INTEGER: _integer,
    Type.STRING: _string,
    Type.BOOLEAN: _boolean,
    Type.CHAT: _string,
    Type.JSON: _json,
    Type.FILE: _string,
}
