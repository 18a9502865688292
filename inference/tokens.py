"""From messages to the model's tokens and back, whichever model it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from inference import prompt
from inference.errors import ModelMissing, PromptTooLong
from inference.generation import Message


class Tokeniser:
    """The tokenizer of the base model with its chat template.

    `stops` are the token ids that end an answer, by what it is then said to be stopped by; `ends` are those that the
    model's own configuration names. Raises ModelMissing.
    """

    def __init__(self, folder: Path, ends: Sequence[int]) -> None:
        self._tokenizer = _load(folder)
        self.stops = _stops(self._tokenizer, ends)
        self._special = _special(self._tokenizer)
        self._system_role = self._takes_system_role()
        self.decode = _decoder(self._tokenizer)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens."""
        turns = [Message(role=message["role"], content=self._clean(message["content"])) for message in messages]
        encoded = self._apply_template(turns if self._system_role else prompt.without_system(turns))
        return [int(token) for token in encoded["input_ids"]]

    def fit(self, messages: Sequence[Message], room: int) -> list[int]:
        """The prompt's tokens, without as many passages and earlier turns as it takes. Raises PromptTooLong."""
        rest: list[Message] | None = list(messages)
        while rest is not None:
            ids = self.encode(rest)
            if len(ids) <= room:
                return ids
            rest = prompt.shortened(rest)
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens and the model has room for {room} beside the answer; "
            "shorten the question or use smaller passages"
        )

    def _apply_template(self, messages: Sequence[Message]) -> Any:
        # enable_thinking: models of the Qwen family would otherwise think aloud in front of the student.
        return self._tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=True, return_dict=True, enable_thinking=False
        )

    def _takes_system_role(self) -> bool:
        try:
            self._apply_template([Message(role="system", content="a"), Message(role="user", content="b")])
        except TemplateError:
            return False
        return True

    def _clean(self, text: str) -> str:
        """Text that no tokenizer chokes on (lone surrogates) and that cannot end a turn, whichever model is served."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for token in self._special:
            text = text.replace(token, " ")
        return text


def _load(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelMissing.at(folder, f"the tokenizer there cannot be loaded ({error})") from error
    if tokenizer.chat_template is None:
        tokenizer.chat_template = prompt.PLAIN_TEMPLATE
    return tokenizer


def _stops(tokenizer: Any, ends: Sequence[int]) -> dict[int, str]:
    stops = {int(token): "end" for token in (tokenizer.eos_token_id, *ends) if token is not None}
    known = tokenizer.get_vocab()
    for marker in prompt.SPECIAL_TOKENS:
        if marker in known:
            stops.setdefault(known[marker], "marker" if marker == prompt.START else "end")
    return stops


def _special(tokenizer: Any) -> list[str]:
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True)


def _decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """Tokens to text without special tokens. The tokenizer's Rust part alone: the rest takes ten times as long."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return lambda tokens: str(fast.decode(tokens, skip_special_tokens=True))
    return lambda tokens: str(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))
