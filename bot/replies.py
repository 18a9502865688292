"""Everything the tutor says that no model and no book wrote, in the student's language (data/locales)."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT = "en"


class Replies:
    """The replies of every locale. A key that English lacks is a mistake in our code and raises KeyError."""

    def __init__(
        self, texts: Mapping[str, Mapping[str, Sequence[str]]], fixed: Mapping[str, str] | None = None
    ) -> None:
        self._texts = texts
        self._fixed = dict(fixed or {})

    @classmethod
    def load(cls, folder: Path, fixed: Mapping[str, str] | None = None) -> Replies:
        """Reads every `<language>.json` of `folder`. `fixed` holds values known at start-up, such as helpline numbers.

        Raises ValueError naming the file that cannot be used.
        """
        texts = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
        if DEFAULT not in texts:
            raise ValueError(f"{folder} holds no {DEFAULT}.json: the replies cannot be loaded")
        return cls(texts, fixed)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._texts)

    def has(self, key: str) -> bool:
        """Whether there is such a reply: for keys made of data, such as a subject's name."""
        return key in self._texts[DEFAULT]

    def say(self, key: str, language: str, /, **values: object) -> str:
        """The reply `key` in `language`, or in English where that language lacks it, with `values` filled in.

        Where there are several wordings, one of them: whoever is refused twice need not read the same words twice.
        """
        wordings = self._texts.get(language, {}).get(key) or self._texts[DEFAULT][key]
        return random.choice(wordings).format_map({**self._fixed, **values})


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    given = content.items() if isinstance(content, dict) else ()
    replies = {key: tuple(held) if isinstance(held, list) else (held,) for key, held in given}
    if not replies or not all(
        held and all(isinstance(text, str) and text for text in held) for held in replies.values()
    ):
        raise ValueError(f"{path} must map every key to a text or a list of texts")
    return replies
