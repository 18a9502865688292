"""The forward pass of the Llama family, with little between the matrix products.

On two cores, half the time of transformers' forward pass of a small model is Python. Here a layer is some fifteen calls
into torch, and these choices (docs/decisions/0022-own-decode-loop.md has the figures):

    weights     query, key and value in one matrix, gate and up in another; in bfloat16 laid out for oneDNN once
    hidden      the residual stream is float32 and has one element more, sqrt(hidden * eps): with it, the length of
                the stream is the root of RMSNorm, in one call
    RoPE        the rows of query and key lie so that the pairs that turn together are neighbours, that is complex
                numbers, and turning them is one multiplication
    cache       (row, position, key or value, head, dimension), so that both are written by one index
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from inference.executor import Span

Product = Callable[[torch.Tensor], torch.Tensor]  # (tokens, in) -> (tokens, out)

_FEW = 16  # tokens of a span
_STEADY_ROPE = {"default", "linear", "llama3", "yarn"}  # whose frequencies do not change with the length


def is_plain_llama(model: Any) -> bool:
    """Whether LlamaExecutor computes what this model does."""
    config = model.config
    return (
        type(model).__name__ == "LlamaForCausalLM"
        and config.hidden_act == "silu"
        and not (config.attention_bias or config.mlp_bias)
        and config.rope_parameters.get("rope_type", "default") in _STEADY_ROPE
        and model.lm_head.bias is None
    )


@dataclass(frozen=True, slots=True)
class _Layer:
    """The weights of one layer. Norms are float32 and hold sqrt(hidden), see _normed."""

    attention_norm: torch.Tensor
    qkv: Product
    output: Product
    mlp_norm: torch.Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the tokens of one pass stand.

    `places` are positions of the cache with rows and positions flattened, `turns` what RoPE multiplies with. `square`
    says where the tokens lie in (rows, longest span), None where all spans are equally long. `grouped`: the heads that
    share a key are queried as if they were further tokens, which is quicker for a few tokens, and slower for one.
    """

    rows: slice
    longest: int  # tokens of a span
    reach: int  # positions that are attended to
    places: torch.Tensor
    turns: torch.Tensor  # complex64 (tokens, 1, head / 2)
    mask: torch.Tensor | None  # added to the scores: (rows, 1, queries, reach)
    causal: bool
    grouped: bool
    square: torch.Tensor | None


class LlamaExecutor:
    """An Executor for a LlamaForCausalLM on its device and in its precision."""

    rewinds = True

    def __init__(self, model: Any, rows: int, context: int) -> None:
        config = model.config
        self.rows, self._context = rows, context
        self._heads, self._kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._head = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._dtype, self._device = model.dtype, model.device
        with torch.inference_mode():
            self._embeddings = model.model.embed_tokens.weight.detach()
            self._constant = (config.hidden_size * config.rms_norm_eps) ** 0.5
            self._layers = [self._read_layer(layer) for layer in model.model.layers]
            self._norm = _scaled(model.model.norm)
            self.together = 32 if _is_packed(model.lm_head.weight) else 6
            self._logits = _product(model.lm_head.weight.detach())
            self._turns = _turns(model.model.rotary_emb, context)
            self._positions = torch.arange(context, device=self._device)
            # Zeros of this size are pages that the system gives only when they are written to: what is never used
            # takes no memory. They must be numbers: a weight of nought does not make anything of a NaN.
            self._cache = torch.zeros(
                (len(self._layers), rows, context, 2, self._kv_heads, self._head),
                dtype=self._dtype,
                device=self._device,
            )
            self._flat = [layer.view(rows * context, -1) for layer in self._cache]

    @torch.inference_mode()
    def forward(self, spans: Sequence[Span], *, every: bool) -> torch.Tensor:
        plan = self._plan(spans)
        tokens = torch.tensor([token for span in spans for token in span.tokens], device=self._device)
        stream = functional.pad(self._embeddings[tokens].float(), (0, 1), value=self._constant)
        hidden = stream[:, :-1]  # a view: what is added to it is added to the stream
        for number, layer in enumerate(self._layers):
            hidden += self._attend(number, layer, self._normed(stream, hidden, layer.attention_norm), plan)
            gate, up = layer.gate_up(self._normed(stream, hidden, layer.mlp_norm)).chunk(2, dim=1)
            hidden += layer.down(functional.silu(gate).mul_(up))
        if not every:
            last = list(itertools.accumulate(len(span.tokens) for span in spans))
            stream = stream[[end - 1 for end in last]]
            hidden = stream[:, :-1]
        logits: torch.Tensor = self._logits(self._normed(stream, hidden, self._norm)).float()
        return logits

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        self._cache[:, target, :length] = self._cache[:, source, :length]

    @torch.inference_mode()
    def swap(self, one: int, other: int, length: int) -> None:
        for layer in self._cache:
            kept = layer[one, :length].clone()
            layer[one, :length] = layer[other, :length]
            layer[other, :length] = kept

    @torch.inference_mode()
    def clear(self, row: int) -> None:
        self._cache[:, row].zero_()

    def _normed(self, stream: torch.Tensor, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMSNorm: x / sqrt(mean(x^2) + eps) * w. The length of the stream is sqrt(hidden * (mean(x^2) + eps))."""
        length = torch.linalg.vector_norm(stream, dim=1, keepdim=True)
        normed: torch.Tensor = (hidden / length).mul_(weight).to(self._dtype)
        return normed

    def _attend(self, number: int, layer: _Layer, x: torch.Tensor, plan: _Plan) -> torch.Tensor:
        heads, kv_heads, head = self._heads, self._kv_heads, self._head
        found = layer.qkv(x).float()
        pairs = torch.view_as_complex(found.view(-1, heads + 2 * kv_heads, head // 2, 2))
        pairs[:, : heads + kv_heads] *= plan.turns
        found = found.to(self._dtype)
        self._flat[number].index_copy_(0, plan.places, found[:, heads * head :])
        query = found[:, : heads * head]
        if plan.square is not None:
            padded = query.new_zeros((plan.rows.stop - plan.rows.start) * plan.longest, heads * head)
            query = padded.index_copy_(0, plan.square, query)
        held = self._cache[number, plan.rows, : plan.reach].transpose(1, 3)  # (rows, kv heads, k or v, positions, head)
        query = query.reshape(-1, plan.longest, kv_heads, heads // kv_heads, head)
        query = query.permute(0, 2, 3, 1, 4).flatten(*((2, 3) if plan.grouped else (1, 2)))
        mixed = functional.scaled_dot_product_attention(
            query,
            held[:, :, 0],
            held[:, :, 1],
            attn_mask=plan.mask,
            is_causal=plan.causal,
            enable_gqa=heads != kv_heads and not plan.grouped,
        )
        mixed = mixed.view(-1, kv_heads, heads // kv_heads, plan.longest, head)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(-1, heads * head)
        return layer.output(mixed if plan.square is None else mixed.index_select(0, plan.square))

    def _plan(self, spans: Sequence[Span]) -> _Plan:
        lengths = [len(span.tokens) for span in spans]
        longest, reach = max(lengths), max(span.start + len(span.tokens) for span in spans)
        first = spans[0].row
        positions = [range(span.start, span.start + len(span.tokens)) for span in spans]
        flat = torch.tensor([at for run in positions for at in run], device=self._device)
        places = torch.tensor(
            [span.row * self._context + at for span, run in zip(spans, positions, strict=True) for at in run],
            device=self._device,
        )
        square = None
        if min(lengths) != longest:
            taken = [row * longest + n for row, length in enumerate(lengths) for n in range(length)]
            square = torch.tensor(taken, device=self._device)
        causal = len(spans) == 1 and spans[0].start == 0
        grouped = 1 < longest <= _FEW and not causal
        mask = None if causal or (len(spans) == 1 and longest == 1) else self._mask(spans, longest, reach)
        return _Plan(
            rows=slice(first, first + len(spans)),
            longest=longest,
            reach=reach,
            places=places,
            turns=self._turns[flat],
            mask=mask.repeat(1, 1, self._heads // self._kv_heads, 1) if mask is not None and grouped else mask,
            causal=causal and longest > 1,
            grouped=grouped,
            square=square,
        )

    def _mask(self, spans: Sequence[Span], longest: int, reach: int) -> torch.Tensor:
        """What is added to the scores: 0 for what a token may see, minus infinity for what comes after it."""
        starts = torch.tensor([span.start for span in spans], device=self._device)
        seen = starts[:, None] + self._positions[:longest]  # (rows, longest); what pads a span sees a little more
        hidden = self._positions[:reach] > seen[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=self._dtype, device=self._device).masked_fill_(hidden, float("-inf"))

    def _read_layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        query = _neighbours(attention.q_proj.weight, self._heads)
        key = _neighbours(attention.k_proj.weight, self._kv_heads)
        return _Layer(
            attention_norm=_scaled(layer.input_layernorm),
            qkv=_product(torch.cat([query, key, attention.v_proj.weight])),
            output=_product(attention.o_proj.weight.detach()),
            mlp_norm=_scaled(layer.post_attention_layernorm),
            gate_up=_product(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])),
            down=_product(mlp.down_proj.weight.detach()),
        )


def _scaled(norm: Any) -> torch.Tensor:
    weight: torch.Tensor = norm.weight.detach().float()
    return weight.mul(weight.numel() ** 0.5)


def _neighbours(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head in the order 0, h/2, 1, h/2 + 1, ...: transformers turns a row with the one h/2 further on.

    Query and key are both in this order, so their products are what they were.
    """
    split = weight.view(heads, 2, -1, weight.shape[1])  # (heads, half, pair, in)
    ordered: torch.Tensor = split.transpose(1, 2).reshape(weight.shape)
    return ordered


def _turns(rope: Any, context: int) -> torch.Tensor:
    """What RoPE multiplies a pair with at each position: complex64 (context, 1, head / 2)."""
    angles = torch.arange(context, device=rope.inv_freq.device).float()[:, None] * rope.inv_freq.float()
    return torch.polar(torch.full_like(angles, float(rope.attention_scaling)), angles).unsqueeze(1)


def _product(weight: torch.Tensor) -> Product:
    """x -> x @ weight.T, by whatever does it fastest here."""
    if _is_packed(weight):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 1)
        multiply = torch.ops.mkldnn._linear_pointwise.default

        def product(x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = multiply(x, packed, None, "none", [], None)
            return found

        return product
    kept = weight.contiguous()
    return lambda x: functional.linear(x, kept)


def _is_packed(weight: torch.Tensor) -> bool:
    """Whether oneDNN multiplies by this matrix from a layout of its own, as torch.compile also lets it.

    Then sixteen tokens take as long as one. In float32 that gains nothing.
    """
    known = bool(torch.backends.mkldnn.enabled) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and weight.dtype == torch.bfloat16 and weight.device.type == "cpu"
