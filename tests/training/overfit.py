"""LoRA adapters made by a plain loop of a few steps: some know nothing, others have learned a text by heart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.adapters import AdapterCard, Shelf, model_sha256, write_card
from inference.generation import Message
from inference.prompt import CHAT_TEMPLATE, grounded
from training.pairs.data import Example


def overfit(
    base: Path, shelf: Shelf, examples: Sequence[Example], *, steps: int = 40, seed: int = 1, noise: float = 0.0
) -> AdapterCard:
    """Put a general adapter on the shelf that has read all `examples` at each of `steps`, not promoted.

    `noise` is the deviation of random weights put in first: with it and no step, the adapter differs from the base.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    learned = [weights for name, weights in adapted.named_parameters() if "lora_" in name]
    with torch.no_grad():
        for weights in learned if noise else []:
            weights.normal_(std=noise)
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    texts = [_tokens(tokenizer, example) for example in examples]
    for _ in range(steps):
        loss = torch.stack([adapted(input_ids=ids, labels=labels).loss for ids, labels in texts]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _added(adapted, base, shelf, len(examples))


def _tokens(tokenizer: Any, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens of question and answer, and the labels: the answer alone is learned."""
    said = [*grounded(example.question, example.passages), Message(role="assistant", content=example.answer)]
    ids = tokenizer.apply_chat_template(said, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    tokens, mask = (torch.tensor([ids[name]]) for name in ("input_ids", "assistant_masks"))
    return tokens, tokens.where(mask.bool(), -100)


def _added(adapted: Any, base: Path, shelf: Shelf, examples: int) -> AdapterCard:
    folder = shelf.roots[0] / ".new"
    adapted.peft_config["default"].base_model_name_or_path = "base"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    write_card(
        folder, subject="general", base_sha256=model_sha256(base), dataset_sha256="0" * 64, recipe={"rank": 16},
        scores={"held_out_loss": 0.1, "key_facts": 0.1, "base_key_facts": 0.2}, examples=examples, language="en",
    )  # fmt: skip
    return shelf.add(folder)
