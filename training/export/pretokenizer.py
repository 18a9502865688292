"""How llama.cpp cuts text into words before byte-pair encoding, and which of its ways is a tokenizer's own.

A GGUF file cannot hold the pattern of a tokenizer, only the name of one that llama.cpp knows. A pattern that differs
may still give the same tokens, because what the two cut differently was never merged in training. So the name is found
by trying: each pattern with the tokenizer's own merges, over real text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from training.errors import ExportError

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_BREAKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LETTERS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_MARKED_LETTERS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+"  # with the vowel signs of Devanagari
_MARKED_OTHERS = r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"

# llama.cpp's name of a pattern (tokenizer.ggml.pre) and the patterns, each applied to what the one before has left
# whole. The older a name, the more versions know it, so the first of equals is taken.
PATTERNS: Mapping[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (rf"{_LETTERS}|\p{{N}}{{1,3}}|{_OTHERS}|{_BREAKS}",),
    "qwen2": (rf"{_LETTERS}|\p{{N}}|{_OTHERS}|{_BREAKS}",),
    "qwen35": (rf"{_MARKED_LETTERS}|\p{{N}}|{_MARKED_OTHERS}|{_BREAKS}",),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-level BPE. `tokens` in order of id; `merges` are pairs joined by a space; `special` ids end no word."""

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    special: frozenset[int]


def vocabulary(tokenizer: Any) -> Vocabulary:
    """Read a tokenizer of transformers. Raises ExportError when it is not a byte-level BPE."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str()) if hasattr(tokenizer, "backend_tokenizer") else {}
    model = whole.get("model") or {}
    if model.get("type") != "BPE" or "ByteLevel" not in json.dumps(whole.get("pre_tokenizer")):
        raise ExportError(
            "its tokenizer is not a byte-level BPE, the only kind written here; for others use llama.cpp's own "
            "converter on what `sahpathi export merged` writes"
        )
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    special = frozenset(number for number, added in tokenizer.added_tokens_decoder.items() if added.special)
    return Vocabulary(tuple(by_id[number] for number in range(len(by_id))), tuple(merges), special)


def as_llama_cpp(vocabulary: Vocabulary, name: str) -> Tokenizer:
    """A tokenizer that cuts and merges as llama.cpp does with the pattern of that name. No normaliser: it has none."""
    merges = [(left, right) for left, _, right in (pair.partition(" ") for pair in vocabulary.merges)]
    tokenizer = Tokenizer(models.BPE(vocab={t: n for n, t in enumerate(vocabulary.tokens)}, merges=merges))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(vocabulary.tokens[n], special=True, normalized=False) for n in sorted(vocabulary.special)]
    )
    return tokenizer


def equal_share(tokenizer: Any, other: Tokenizer, texts: Sequence[str]) -> float:
    """The share of `texts` that both turn into the same tokens."""
    ours, theirs = (
        one.encode_batch_fast(list(texts), add_special_tokens=False) for one in (tokenizer.backend_tokenizer, other)
    )
    equal = [bool(one.ids == found.ids) for one, found in zip(ours, theirs, strict=True)]
    return sum(equal) / len(equal)


def best(tokenizer: Any, vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    """The name of the pattern that turns most of `texts` into the tokenizer's own tokens."""
    shares = {name: equal_share(tokenizer, as_llama_cpp(vocabulary, name), texts) for name in PATTERNS}
    return max(shares, key=lambda name: shares[name])
