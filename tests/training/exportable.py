"""A real Llama model with our own kind of tokenizer and a real LoRA adapter, made in a second, to be exported."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from inference.adapters import AdapterCard, Shelf, model_sha256, write_card
from training.base.tokenizer import build
from training.pairs.data import Example

QUESTIONS = [
    ("What is photosynthesis?", "Plants make their own food in the leaves by photosynthesis.", "en"),
    ("What do leaves give out?", "Water, carbon dioxide and sunlight are needed. Oxygen is given out.", "en"),
    ('Don\'t the 12 planets, or "8", move?', "They're 8; it's 'the' Sun they go round (in 365.25 days).", "sms"),
    ("पौधे अपना भोजन कैसे बनाते हैं?", "पौधे सूर्य के प्रकाश में अपना भोजन स्वयं बनाते हैं।", "hi"),
    ("जल चक्र क्या है?", "जल वाष्प बनता है, बादल बनते हैं और वर्षा होती है।", "hi"),
]
EXAMPLES = [
    Example(question=question, answer=answer, asked=asked, title="Science, Class 7", chapter=1)
    for question, answer, asked in QUESTIONS
]
README = "# A base model\n\n**Licence.** CC BY-SA 4.0, as the text it was made from.\n"


def make_base(folder: Path, *, seed: int = 1, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """Save a base model of 100 thousand parameters. The vocabulary has merges in both scripts."""
    texts = [text for question, answer, _ in QUESTIONS for text in (question, answer)]
    tokenizer = build([*texts, "Passages: [1] [2] system user assistant Question:"] * 3, 512, 512)
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.1,  # large, so that distributions are far from flat and the tests see differences
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 5,  # rows that no token has, as padded embeddings do
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
        **(shape | changes),
    )
    model = LlamaForCausalLM(config).to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


def make_adapter(base: Path, shelf: Shelf, *, base_sha256: str | None = None) -> AdapterCard:
    """Put a random LoRA adapter for general questions on the shelf, not promoted."""
    folder = shelf.roots[0] / "new"
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        adapted = get_peft_model(
            model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)  # PEFT starts B at zero, which would make every adapter the base model
    adapted.peft_config["default"].base_model_name_or_path = "base"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    write_card(
        folder,
        subject="general",
        base_sha256=base_sha256 or model_sha256(base),
        dataset_sha256="d" * 64,
        recipe={"rank": 4},
        scores={},
        examples=5,
        language="en",
    )
    return shelf.add(folder)
