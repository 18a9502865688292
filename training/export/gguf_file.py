"""One GGUF file, for llama.cpp and all that is built on it: weights, tokenizer, chat template, where it comes from.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only the Llama architecture is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from training.errors import ExportError
from training.export.check import Logits, Tolerance, from_model
from training.export.pretokenizer import Vocabulary, as_llama_cpp, best, equal_share, vocabulary

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

# The shipped model comes to 0.0005, 0.004, 0.02 and 0.26, with 99% equal, of q4_0 94%; with the rows of its heads in
# the wrong order, to 1.5 and 22%.
TOLERANCE: Mapping[str, Tolerance] = {
    "f16": Tolerance(difference=0.02, equal=0.98),
    "bf16": Tolerance(difference=0.1, equal=0.9),
    "q8_0": Tolerance(difference=0.1, equal=0.9),
    "q4_0": Tolerance(difference=0.5, equal=0.75),
}
TEXTS_ALIKE = 0.95  # share of texts that llama.cpp must read as the same tokens
ARCHITECTURE = "sahpathi"  # prefix of the keys that are ours alone

_GENERATION = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


def write(
    model: Any, tokenizer: Any, path: Path, precision: str, about: Mapping[str, str], texts: Sequence[str]
) -> None:
    """Write `model` (float32) to `path`. `texts` are what the pre-tokenizer's name is found with.

    Raises ExportError for an architecture or a tokenizer that is not mapped; OSError when the disk is full.
    """
    from gguf import GGUFWriter

    refuse_unmapped(model)
    words = vocabulary(tokenizer)
    writer = GGUFWriter(path, "llama")
    try:
        _add_origin(writer, precision, about)
        _add_shape(writer, model.config)
        _add_tokenizer(writer, tokenizer, words, best(tokenizer, words, texts), int(model.config.vocab_size))
        _add_tensors(writer, model, precision)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def read(path: Path) -> Logits:
    """The logits of what was written, read back by transformers and computed in float32."""
    with redirect_stderr(StringIO()):  # a progress bar that has no switch
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return from_model(model.eval())


def texts_alike(path: Path, tokenizer: Any, texts: Sequence[str]) -> float:
    """The share of texts that the file's vocabulary, merges and pre-tokenizer turn into the tokenizer's own tokens.

    Raises ExportError below TEXTS_ALIKE.
    """
    from gguf import GGUFReader, TokenType

    reader = GGUFReader(path)
    types = _field(reader, "tokenizer.ggml.token_type")
    special = frozenset(number for number, kind in enumerate(types) if kind == TokenType.CONTROL)
    words = Vocabulary(
        tuple(_field(reader, "tokenizer.ggml.tokens")), tuple(_field(reader, "tokenizer.ggml.merges")), special
    )
    share = equal_share(tokenizer, as_llama_cpp(words, _field(reader, "tokenizer.ggml.pre")), texts)
    if share < TEXTS_ALIKE:
        raise ExportError(
            f"llama.cpp would read only {share:.1%} of the texts as the same tokens, and the file is not kept: it "
            "knows no pre-tokenizer like this model's"
        )
    return share


def refuse_unmapped(model: Any) -> None:
    """Raise ExportError unless every part of the model has its place in GGUF's Llama architecture."""
    config = model.config
    if config.model_type != "llama":
        raise ExportError(
            f"the architecture {config.model_type} is not written to GGUF here, only llama; use llama.cpp's own "
            "converter on what `sahpathi export merged` writes"
        )
    rope = dict(getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    unmapped = {
        f"rope type {rope}": rope != "default",
        "attention biases": config.attention_bias,
        "MLP biases": config.mlp_bias,
        f"activation {config.hidden_act}": config.hidden_act != "silu",
    }
    if found := [name for name, there in unmapped.items() if there]:
        raise ExportError(f"a Llama model with {' and '.join(found)} is not written to GGUF here")


def plain_template(template: str) -> str:
    """A chat template without transformers' own `{% generation %}`, which other readers of Jinja do not know."""
    return _GENERATION.sub(lambda m: f"{{%{m[1]} {'endif' if m[2] else 'if true'} {m[3]}%}}", template)


def _add_origin(writer: GGUFWriter, precision: str, about: Mapping[str, str]) -> None:
    from gguf import GGML_QUANT_VERSION, GGUFType, LlamaFileType

    writer.add_type(GGUFType.MODEL)
    writer.add_name(about["name"])
    writer.add_license(about["licence"])  # an empty one is left out
    writer.add_file_type(LlamaFileType[f"MOSTLY_{precision.upper()}"])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    for key in ("adapter", "adapter_sha256", "base_sha256", "dataset_sha256"):
        writer.add_string(f"{ARCHITECTURE}.{key}", about[key])


def _add_shape(writer: GGUFWriter, config: Any) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _add_tokenizer(writer: GGUFWriter, tokenizer: Any, words: Vocabulary, pre: str, size: int) -> None:
    """Rows of the embedding beyond the last token get a token that no text contains."""
    from gguf import TokenType

    padding = [f"[unused {number}]" for number in range(len(words.tokens), size)]
    types = [TokenType.CONTROL if n in words.special else TokenType.NORMAL for n in range(len(words.tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*words.tokens, *padding])
    writer.add_token_types([*types, *[TokenType.UNUSED] * len(padding)])
    writer.add_token_merges(list(words.merges))
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_eot_token_id(tokenizer.eos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(value=False)  # the chat template writes what opens a prompt
    writer.add_chat_template(plain_template(tokenizer.chat_template))


def _add_tensors(writer: GGUFWriter, model: Any, precision: str) -> None:
    from gguf import MODEL_ARCH, get_tensor_name_map
    from gguf.quants import quantize

    config = model.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp then takes the embedding for it
        place = names.get_name(name, try_suffixes=(".weight",))
        if place is None:
            raise ExportError(f"the tensor {name} has no place in GGUF's Llama architecture")
        values = tensor.float().numpy()
        turned = heads.get(name.split(".")[-2])
        values = _interleaved(values, turned) if turned else values
        kind = _kind(place, values, precision)
        writer.add_tensor(place, quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)


def _interleaved(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """The rows of each head in the order of llama.cpp, whose RoPE turns neighbours; transformers' turns halves."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, rows, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _kind(name: str, values: np.ndarray[Any, Any], precision: str) -> GGMLQuantizationType:
    """How a tensor is stored. As llama.cpp's own quantiser: norms in full, and what makes the logits in eight bits."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if values.ndim == 1:
        return GGMLQuantizationType.F32
    wanted = GGMLQuantizationType[precision.upper()]
    if wanted is GGMLQuantizationType.Q4_0 and name in {"token_embd.weight", "output.weight"}:
        wanted = GGMLQuantizationType.Q8_0
    block, _ = GGML_QUANT_SIZES[wanted]
    return wanted if values.shape[-1] % block == 0 else GGMLQuantizationType.F16


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ExportError(f"{key} is missing in the file that was written, and it is not kept")
    return field.contents()
