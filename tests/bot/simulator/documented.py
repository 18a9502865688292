"""The facts of the providers' machine-readable specifications that the rule tables are held against, in a few pages.

    python -m tests.bot.simulator.documented FOLDER

writes them anew from the specifications in FOLDER. They keep the shape of the originals, without a word of their prose.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bot.simulator.cloud.objects import OBJECTS as CLOUD_OBJECTS
from bot.simulator.telegram.methods import METHODS, OBJECTS

Json = dict[str, Any]
FACTS = Path(__file__).parent / "documented"
MESSAGES = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
FORM = "application/x-www-form-urlencoded"
LIMITS = ("maxLength", "maxItems", "$ref")


def telegram(spec: Json) -> Json:
    """The fields of the methods and types that the simulator plays."""
    sent = {"Message", "User", "Chat"}
    methods = {
        name: {
            "fields": [{key: field[key] for key in ("name", "types", "required")} for field in given.get("fields", ())]
        }
        for name, given in spec["methods"].items()
        if name in METHODS
    }
    types = {
        name: {"fields": [{"name": field["name"]} for field in given.get("fields", ())]}
        for name, given in spec["types"].items()
        if name in sent | OBJECTS.keys()
    }
    return {"methods": methods, "types": types}


def twilio(spec: Json) -> Json:
    """The parameters of a message made and of messages listed, and the fields of the answers."""
    path = spec["paths"][MESSAGES]
    form = path["post"]["requestBody"]["content"][FORM]["schema"]
    listed = path["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    query = [{"name": given["name"], "in": given["in"]} for given in path["get"]["parameters"]]
    message = "api.v2010.account.message"
    return {
        "paths": {
            MESSAGES: {
                "post": {"requestBody": {"content": {FORM: {"schema": _names(form)}}}},
                "get": {
                    "parameters": query,
                    "responses": {"200": {"content": {"application/json": {"schema": _names(listed)}}}},
                },
            }
        },
        "components": {"schemas": {message: _names(spec["components"]["schemas"][message])}},
    }


def cloud(spec: Json) -> Json:
    """The schemas of the objects that are checked, and those they refer to: fields and limits."""
    schemas, wanted, kept = spec["components"]["schemas"], {name.split(".")[0] for name in CLOUD_OBJECTS}, {}
    while missing := {name for name in wanted if name in schemas and name not in kept}:
        for name in missing:
            kept[name] = _pruned(schemas[name])
        wanted = {found.rpartition("/")[2] for found in _references(kept)}
    return {"components": {"schemas": dict(sorted(kept.items()))}}


def _names(schema: Json) -> Json:
    return {"properties": {name: {} for name in schema["properties"]}}


def _pruned(schema: Json) -> Json:
    kept: Json = {key: schema[key] for key in LIMITS if key in schema}
    if "properties" in schema:
        kept["properties"] = {name: _pruned(inner) for name, inner in schema["properties"].items()}
    if "items" in schema:
        kept["items"] = _pruned(schema["items"])
    return kept | {key: [_pruned(inner) for inner in schema[key]] for key in ("oneOf", "allOf") if key in schema}


def _references(found: object) -> set[str]:
    if isinstance(found, Mapping):
        own = {found["$ref"]} if isinstance(found.get("$ref"), str) else set()
        return own.union(*(_references(inner) for inner in found.values()))
    return set[str]().union(*(_references(inner) for inner in found)) if isinstance(found, list) else set()


SPECIFICATIONS: dict[str, Callable[[Json], Json]] = {
    "telegram_bot_api.json": telegram,
    "twilio_api_v2010.json": twilio,
    "whatsapp_business_messaging_api_v23.0.yaml": cloud,
}


def read(path: Path) -> Json:
    """A specification, in JSON or YAML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        loaded: Json = json.loads(text)
    else:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a megabyte, too slow to read in Python
        loaded = yaml.load(text, Loader=loader)  # noqa: S506  both are safe loaders
    return loaded


def facts(name: str) -> Json:
    """The facts kept of one specification."""
    return read((FACTS / name).with_suffix(".json"))


def main(folder: Path) -> None:
    FACTS.mkdir(exist_ok=True)
    for name, take in SPECIFICATIONS.items():
        kept = json.dumps(take(read(folder / name)), indent=1, ensure_ascii=False)
        (FACTS / name).with_suffix(".json").write_text(kept + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
