"""The Llama model of a pretraining run: its untrained weights, and its folder once it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from training.base.initial import lay_circuit

if TYPE_CHECKING:
    from training.base.pretrain import PretrainArguments

SHARD = "14MB"  # repositories and their mirrors refuse large files


def build_model(args: PretrainArguments, tokenizer: Any) -> Any:
    """The untrained model, in float32. The same for the same arguments and tokenizer."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.feed_forward,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads,
        max_position_embeddings=args.context,
        rope_parameters={"rope_type": "default", "rope_theta": args.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(args.seed)
    model = LlamaForCausalLM(config)
    if args.copying:
        lay_circuit(model, tokenizer, args.seed)
    return model


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write config, weights (bfloat16, safetensors) and tokenizer. `model` is converted in place."""
    disable_progress_bar()
    model.to("cpu", torch.bfloat16).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    for old in folder.glob("*.safetensors*"):
        old.unlink()
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        if path.is_file():
            path.chmod(0o644)  # safetensors writes 0600; the service may run under another account
