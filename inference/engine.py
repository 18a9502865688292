"""Our engine: transformers and peft in this process, one generation at a time, text as it is written."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import AutoTokenizer

from inference import prompt
from inference.adapters import AdapterCard, Shelf
from inference.errors import ModelMissing, PromptTooLong
from inference.generation import Decoding, Generation, Message
from inference.sampling import RawDistribution, Watcher, generation_config, processors
from inference.text import Detokeniser, StopFilter
from inference.weights import Models, local_folder

logger = logging.getLogger(__name__)


class Engine:
    """A base model with its adapters. Not safe for threads: whoever owns it calls it from one thread.

    `base` is a folder or a model's name on the hub; `dtype` is "auto", "float32" or "bfloat16"; `copies` is how many
    models, each with its adapter merged in, are kept in memory. Raises ModelMissing.
    """

    def __init__(
        self,
        base: Path | str,
        shelf: Shelf,
        *,
        threads: int,
        dtype: str = "auto",
        copies: int = 4,
        device: str | None = None,
    ) -> None:
        if dtype not in {"auto", "float32", "bfloat16"}:
            raise ValueError(f"dtype must be auto, float32 or bfloat16 (float16 is slow on processors), got {dtype!r}")
        torch.set_num_threads(threads)
        folder = local_folder(base)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = _load_tokenizer(folder)
        self._models = Models(folder, shelf, dtype=dtype, device=self.device, limit=copies)
        self.dtype, self.base_sha256 = self._models.dtype, self._models.base_sha256
        model = self._models.get(None)
        text_config = model.config.get_text_config()
        self.context = int(getattr(text_config, "max_position_embeddings", 2048))  # tokens of prompt and answer
        self.parameters = int(model.num_parameters())
        self.shelf = shelf
        self._stops = _stop_tokens(self._tokenizer, model.generation_config.eos_token_id)
        self._special = _special_tokens(self._tokenizer)
        self._system_role = self._takes_system_role()
        logger.info("%d parameters in %s on %s, context %d", self.parameters, self.dtype, self.device, self.context)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of the prompt that these messages make."""
        return len(self._encode(messages))

    def generate(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        on_text: Callable[[str], bool],
        adapter: str = "current",
        subject: str | None = None,
        conversation: str | None = None,
    ) -> Generation:
        """Write an answer. `on_text` is called at every token with what is new (maybe "") and returns whether to go on.

        The adapter is chosen once, at the start; "current" is the one promoted for `subject`, or the canary where it
        takes this `conversation`. Messages that do not fit lose passages, then earlier turns (prompt.shortened). Raises
        PromptTooLong when the rest is still too long, AdapterRefused when the adapter may not be served.
        """
        started = time.perf_counter()
        card = self._card(adapter, subject, conversation)
        model = self._models.get(card)
        ids = self._fit(messages, decoding.max_new_tokens)
        raw = RawDistribution()
        watcher = Watcher(raw, self._stops, Detokeniser(self._decode), StopFilter(prompt.STOP_MARKERS), on_text)
        torch.manual_seed(secrets.randbits(63) if decoding.seed is None else decoding.seed)
        inputs = torch.tensor([ids], device=self.device)
        with torch.no_grad():
            model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                generation_config=generation_config(
                    decoding, min(decoding.max_new_tokens, self.context - len(ids)), padding=next(iter(self._stops))
                ),
                logits_processor=processors(decoding, raw, len(ids)),
                stopping_criteria=[watcher],
            )
        return Generation(
            text=watcher.finish(),
            confidence=watcher.confidence,
            tokens=watcher.tokens,
            stopped_by=watcher.stopped_by,
            seconds=time.perf_counter() - started,
            adapter=card.id if card else None,
        )

    def _card(self, adapter: str, subject: str | None, conversation: str | None) -> AdapterCard | None:
        if adapter == "base":
            return None
        if adapter == "current":
            return self.shelf.current(subject, base_sha256=self.base_sha256, conversation=conversation)
        return self.shelf.find(adapter)

    def _fit(self, messages: Sequence[Message], max_new_tokens: int) -> list[int]:
        """The prompt's tokens, with room left for the answer: all of it, or half of the context if it asks for more."""
        room = self.context - min(max_new_tokens, self.context // 2)
        rest: list[Message] | None = list(messages)
        while rest is not None:
            ids = self._encode(rest)
            if len(ids) <= room:
                return ids
            rest = prompt.shortened(rest)
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens and the model has room for {room} beside the answer; "
            "shorten the question or use smaller passages"
        )

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        turns = [Message(role=message["role"], content=self._clean(message["content"])) for message in messages]
        encoded = self._apply_template(turns if self._system_role else prompt.without_system(turns))
        return [int(token) for token in encoded["input_ids"]]

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

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelMissing.at(folder, f"the tokenizer there cannot be loaded ({error})") from error
    if tokenizer.chat_template is None:
        tokenizer.chat_template = prompt.PLAIN_TEMPLATE
    return tokenizer


def _stop_tokens(tokenizer: Any, model_end: int | list[int] | None) -> dict[int, str]:
    """Token ids that end an answer, by what it is then said to be stopped by."""
    ends = [tokenizer.eos_token_id, *(model_end if isinstance(model_end, list) else [model_end])]
    stops = {int(token): "end" for token in ends if token is not None}
    known = tokenizer.get_vocab()
    for marker in prompt.SPECIAL_TOKENS:
        if marker in known:
            stops.setdefault(known[marker], "marker" if marker == prompt.START else "end")
    return stops


def _special_tokens(tokenizer: Any) -> list[str]:
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted({*added, *tokenizer.all_special_tokens}, key=len, reverse=True)
