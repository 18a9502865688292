"""Initial weights that can already copy: an induction circuit laid into an untrained Llama model.

A model trained from nothing learns to copy from its context only after tens of millions of tokens, more than two
processor cores read in an hour. The circuit that does it is known (Olsson et al. 2022, "In-context Learning and
Induction Heads"), so one is laid down before training, which then shapes it like every other weight. The idea of
starting attention near what it will become is Trockman and Kolter's (2023, "Mimetic Initialization of Self-Attention
Layers"). LOG.md has what it gains.

The hidden state is read as three parts: the token's content, a copy of the previous token's content, and one constant.

    layer 0    a head attends to the position before (RoPE turns its query by one step) and copies the content found
               there into the second part
    others     a head looks for earlier positions whose previous token is the current one, and adds the content found
               there, the token that followed, to the first part

All other attention outputs and the MLPs' outputs start at zero, so that the circuit is not drowned in noise. Embeddings
are built from the token's letters, so that "Plant", " plant" and " plants" start alike and the circuit bridges them.
"""

from __future__ import annotations

import math
from typing import Any

import torch

_SCALE = 0.06  # of an embedding's elements: small enough to learn, large enough to survive the first updates
_OWN = 0.6  # how far a token's embedding departs from what its letters give
_NEAR = 0.05  # radians a position: planes that turn at least this fast tell neighbours apart
_PREVIOUS_MARGIN, _MATCH_MARGIN = 8.0, 12.0  # by how much the wanted position leads, in logits
_GAIN = 10.0  # how loudly the following token is added, against the current one


@torch.no_grad()
def lay_circuit(model: Any, tokenizer: Any, seed: int) -> None:
    """Overwrite the initial weights of a LlamaForCausalLM with tied embeddings. It needs two layers or more."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    head = config.hidden_size // config.num_attention_heads
    span = min(head, config.hidden_size // 4) - 1
    content = config.hidden_size - span - 1
    embeddings = model.model.embed_tokens.weight
    embeddings.zero_()
    embeddings[:, :content] = _SCALE * letter_vectors(tokenizer, content, generator)
    norm = _SCALE * math.sqrt(content)
    embeddings[:, -1] = norm  # the constant
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    frequencies = model.model.rotary_emb.inv_freq.tolist()
    project = _orthonormal(span, content, generator)
    # What the norm before attention scales each part to, in a layer that sees `parts` parts of equal length.
    first, later = (math.sqrt(config.hidden_size / parts) for parts in (2, 3))
    _lay_previous(model.model.layers[0].self_attn, head, project, frequencies, first)
    for layer in model.model.layers[1:]:
        gain = _GAIN * norm / (len(model.model.layers) - 1)
        _lay_match(layer.self_attn, head, project, frequencies, later, gain, config.max_position_embeddings, generator)


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


def _lay_previous(attention: Any, head: int, project: torch.Tensor, frequencies: list[float], part: float) -> None:
    """Head 0 attends to the position before: query and key are the constant, the query turned back by one step."""
    planes = [n for n, frequency in enumerate(frequencies) if frequency > _NEAR] or [0]
    lead = sum(1 - math.cos(frequencies[n]) for n in planes)  # of distance 1 over 0 and 2, for unit vectors
    weight = math.sqrt(_PREVIOUS_MARGIN * math.sqrt(head) / lead) / part
    query, key = attention.q_proj.weight[:head], attention.k_proj.weight[:head]
    query.zero_()
    key.zero_()
    for n in planes:
        key[n, -1] = weight
        query[n, -1] = weight * math.cos(-frequencies[n])
        query[n + head // 2, -1] = weight * math.sin(-frequencies[n])
    span, content = project.shape
    attention.v_proj.weight[:head].zero_()
    attention.v_proj.weight[:span, :content] = project
    # Written at the length of the content itself, whatever the norm and the projection made of it.
    written = _SCALE * math.sqrt(content) / (part * math.sqrt(span / content))
    attention.o_proj.weight[content : content + span, :span] = written * torch.eye(span)


def _lay_match(
    attention: Any,
    head: int,
    project: torch.Tensor,
    frequencies: list[float],
    part: float,
    gain: float,
    context: int,
    generator: torch.Generator,
) -> None:
    """Head 0 matches the current token's content with the copies of previous tokens and reads the content it finds.

    Only planes that hardly turn within the context are used: a match counts the same wherever it stands.
    """
    span, content = project.shape
    slow = [n for n, frequency in enumerate(frequencies) if frequency * context < 1.2] or [head // 2 - 1]
    planes = [*slow, *(n + head // 2 for n in slow)][:span]
    used = len(planes)
    lengths = part * math.sqrt(used / content) * part * math.sqrt(used / span)
    weight = math.sqrt(_MATCH_MARGIN * math.sqrt(head) / lengths)
    query, key = attention.q_proj.weight[:head], attention.k_proj.weight[:head]
    query.zero_()
    key.zero_()
    for plane, coordinate in zip(planes, torch.randperm(span, generator=generator).tolist(), strict=False):
        query[plane, :content] = weight * project[coordinate]
        key[plane, content + coordinate] = weight
    width = min(head, content)
    read = _orthonormal(width, content, generator)
    attention.v_proj.weight[:head].zero_()
    attention.v_proj.weight[:width, :content] = read
    attention.o_proj.weight[:content, :width] = gain / (part * math.sqrt(width / content)) * read.T


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    columnwise: torch.Tensor = torch.linalg.qr(torch.randn(columns, rows, generator=generator)).Q
    return columnwise.T
