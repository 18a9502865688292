"""Byte-level BPE with the special tokens and the chat template of `inference.prompt`.

Byte-level: every text can be written, Devanagari included, with no unknown token. Digits stand alone, so that a number
is read the same way wherever it occurs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.prompt import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL_TOKENS
from training.base.corpus import chapters, prose
from training.errors import RecipeError

logger = logging.getLogger(__name__)

_BYTES = 256


@dataclass(frozen=True, slots=True)
class TokenizerArguments:
    """How the tokenizer is trained. Raises RecipeError.

    textbooks:   folder of textbook chapters
    corpus:      folder whose prose/*.jsonl[.xz] is read as well, or None
    output:      folder the tokenizer is saved to: the base model's
    vocabulary:  number of tokens, the special ones and the 256 bytes included
    context:     longest prompt and answer, in tokens, that the model will read
    """

    textbooks: Path
    output: Path
    corpus: Path | None = None
    vocabulary: int = 4096
    context: int = 1024

    def __post_init__(self) -> None:
        if self.vocabulary < _BYTES + len(SPECIAL_TOKENS):
            raise RecipeError(f"vocabulary must hold 256 bytes and the special tokens, got {self.vocabulary}")
        if self.context < 1:
            raise RecipeError(f"context must be positive, got {self.context}")


def train_tokenizer(args: TokenizerArguments) -> Any:
    """Train the tokenizer, save it to `args.output` and return it (a PreTrainedTokenizerFast)."""
    texts = [chapter.text for chapter in chapters(args.textbooks)]
    tokenizer = build([*texts, *(prose(args.corpus) if args.corpus else ())], args.vocabulary, args.context)
    args.output.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(args.output)
    logger.info("tokenizer of %d tokens saved to %s", len(tokenizer), args.output)
    return tokenizer


def build(texts: Iterable[str], vocabulary: int, context: int) -> Any:
    """A tokenizer learned from `texts`. A small text may yield fewer tokens than `vocabulary`."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    # Words with the space before them, single digits, runs of punctuation, white space: the shape of GPT-2's pattern.
    words = Regex(r"'(?:s|t|re|ve|m|ll|d)| ?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        chat_template=CHAT_TEMPLATE,
        eos_token=END,
        pad_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
