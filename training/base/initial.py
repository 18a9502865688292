"""Initial weights that can already copy: an induction circuit laid into an untrained Llama model.

A model trained from nothing learns to copy from its context only after tens of millions of tokens, more than two
processor cores read in an hour. The circuit that does it is known (Olsson et al. 2022, "In-context Learning and
Induction Heads"), so one is laid down before training, which then shapes it like every other weight. The idea of
starting attention near what it will become is Trockman and Kolter's (2023, "Mimetic Initialization of Self-Attention
Layers"). LOG.md has what it gains.

The hidden state is read as four parts: the token's content, copies of the content of the token before and of the one
before that, and one constant.

    layer 0    one head attends to the position before, another to the one before that (RoPE turns their queries by one
               and by two steps); each copies the content found there into its part
    others     a head looks for earlier positions that follow the same two tokens as the next one will, and adds the
               content found there, the token that came next, to the first part

All other attention outputs and the MLPs' outputs start at zero, so that the circuit is not drowned in noise. Embeddings
are built from the token's letters, so that "Plant", " plant" and " plants" start alike and the circuit bridges them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

_SCALE = 0.06  # of an embedding's elements: small enough to learn, large enough to survive the first updates
_OWN = 0.6  # how far a token's embedding departs from what its letters give
_NEAR = 0.05  # radians a position: planes that turn at least this fast tell neighbours apart
_PREVIOUS_MARGIN, _MATCH_MARGIN = 8.0, 12.0  # by how much the wanted position leads, in logits
_BEFORE = 1.0  # weight of the token before the current one in a match
_GAIN = 10.0  # how loudly the following token is added, against the current one


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the parts of the hidden state begin, and how content is projected into the two copies of it."""

    head: int  # dimensions of an attention head
    content: int  # the first part; then `span` dimensions for the token before, `span` for the one before that, one
    span: int
    norm: float  # the length of each part of an embedding or a copy
    project: torch.Tensor  # (span, content), orthonormal rows
    frequencies: tuple[float, ...]  # of RoPE's planes, in radians a position
    kv_of: tuple[int, ...]  # the key and value head that each query head shares


@torch.no_grad()
def lay_circuit(model: Any, tokenizer: Any, seed: int) -> None:
    """Overwrite the initial weights of a LlamaForCausalLM with tied embeddings, two layers and two heads or more."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    head = config.hidden_size // config.num_attention_heads
    span = min(head, config.hidden_size // 4) - 1
    content = config.hidden_size - 2 * span - 1
    layout = _Layout(
        head=head,
        content=content,
        span=span,
        norm=_SCALE * math.sqrt(content),
        project=_orthonormal(span, content, generator),
        frequencies=tuple(model.model.rotary_emb.inv_freq.tolist()),
        kv_of=tuple(h * config.num_key_value_heads // config.num_attention_heads for h in range(2)),
    )
    embeddings = model.model.embed_tokens.weight
    embeddings.zero_()
    embeddings[:, :content] = _SCALE * letter_vectors(tokenizer, content, generator)
    embeddings[:, -1] = layout.norm  # the constant
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    # What the norm before attention scales each part to: it makes the whole sqrt(hidden) long, whatever its parts.
    first, later = (math.sqrt(config.hidden_size / parts) for parts in (2, 4))
    for distance in (1, 2):
        _lay_copy(model.model.layers[0].self_attn, layout, first, distance)
    for layer in model.model.layers[1:]:
        gain = _GAIN * layout.norm / (len(model.model.layers) - 1)
        _lay_match(layer.self_attn, layout, later, gain, config.max_position_embeddings, generator)


def letter_vectors(tokenizer: Any, dimension: int, generator: torch.Generator) -> torch.Tensor:
    """A vector for each token, shape (vocabulary, dimension), elements of size 1: close for tokens with like letters.

    Words are summed from their letter n-grams (Bojanowski et al. 2017), without case and without the space before.
    """
    known: dict[str, torch.Tensor] = {}

    def vector(gram: str) -> torch.Tensor:
        if gram not in known:
            known[gram] = torch.randn(dimension, generator=generator)
        return known[gram]

    rows = torch.randn(len(tokenizer), dimension, generator=generator)
    for token in range(len(tokenizer)):
        word = tokenizer.decode([token]).strip().lower()
        if len(word) > 1 and word.isalpha():
            marked = f"<{word}>"
            grams = [word, word, *(marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1))]
            common = torch.stack([vector(gram) for gram in grams]).sum(dim=0)
            common *= math.sqrt(dimension) / common.norm()
            rows[token] = math.sqrt(1 - _OWN**2) * common + _OWN * rows[token]
    scaled: torch.Tensor = rows * math.sqrt(dimension) / rows.norm(dim=1, keepdim=True)
    return scaled


def _lay_copy(attention: Any, layout: _Layout, part: float, distance: int) -> None:
    """A head that attends `distance` positions back: query and key are the constant, the query turned back so far."""
    head, span, content = layout.head, layout.span, layout.content
    planes = [n for n, frequency in enumerate(layout.frequencies) if frequency > _NEAR] or [0]
    lead = sum(1 - math.cos(layout.frequencies[n]) for n in planes)  # over the next positions, for unit vectors
    weight = math.sqrt(_PREVIOUS_MARGIN * math.sqrt(head) / lead) / part
    at, shared = (distance - 1) * head, layout.kv_of[distance - 1] * head
    query, key = attention.q_proj.weight[at : at + head], attention.k_proj.weight[shared : shared + head]
    query.zero_()
    key.zero_()
    for n in planes:
        key[n, -1] = weight
        query[n, -1] = weight * math.cos(-distance * layout.frequencies[n])
        query[n + head // 2, -1] = weight * math.sin(-distance * layout.frequencies[n])
    value = attention.v_proj.weight[shared : shared + head]
    value.zero_()
    value[:span, :content] = layout.project
    # Written at the length of the content itself, whatever the norm and the projection made of it.
    written = layout.norm / (part * math.sqrt(span / content))
    begin = content + (distance - 1) * span
    attention.o_proj.weight[begin : begin + span, at : at + span] = written * torch.eye(span)


def _lay_match(
    attention: Any, layout: _Layout, part: float, gain: float, context: int, generator: torch.Generator
) -> None:
    """Head 0 compares the current token and the one before it with the two tokens before each earlier position.

    Only planes that hardly turn within the context are used: a match counts the same wherever it stands. The copies of
    both tokens share them, each in an order of its own, so that the two matches add up and chance matches do not.
    """
    head, span, content = layout.head, layout.span, layout.content
    slow = [n for n, frequency in enumerate(layout.frequencies) if frequency * context < 1.2] or [head // 2 - 1]
    planes = [*slow, *(n + head // 2 for n in slow)][:span]
    lengths = part * math.sqrt(len(planes) / content) * part * math.sqrt(len(planes) / span)
    weight = math.sqrt(_MATCH_MARGIN * math.sqrt(head) / lengths)
    query, key = attention.q_proj.weight[:head], attention.k_proj.weight[:head]
    query.zero_()
    key.zero_()
    orders = (torch.randperm(span, generator=generator).tolist() for _ in range(2))
    for plane, now, before in zip(planes, *orders, strict=False):
        query[plane, :content] = weight * layout.project[now]
        key[plane, content + now] = weight
        query[plane, content + before] = _BEFORE * weight
        key[plane, content + span + before] = _BEFORE * weight
    width = min(head, content)
    read = _orthonormal(width, content, generator)
    attention.v_proj.weight[:head].zero_()
    attention.v_proj.weight[:width, :content] = read
    attention.o_proj.weight[:content, :width] = gain / (part * math.sqrt(width / content)) * read.T


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    columnwise: torch.Tensor = torch.linalg.qr(torch.randn(columns, rows, generator=generator)).Q
    return columnwise.T
