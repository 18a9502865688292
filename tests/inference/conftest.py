"""A real Llama model, a real BPE tokenizer and real LoRA adapters, all small enough to make in a second."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from inference import prompt
from inference.adapters import AdapterCard, Shelf, model_sha256, write_card

SENTENCES = [
    "Plants make their own food in the leaves by photosynthesis.",
    "Water, carbon dioxide and sunlight are needed. Oxygen is given out.",
    "Question: What is the water cycle? Answer: water evaporates, forms clouds and falls as rain.",
    "Passages: 1 2 3 4 5 6 7 8 9 0 [1] [2] system user assistant",
    "पौधे सूर्य के प्रकाश में अपना भोजन स्वयं बनाते हैं।",
    "प्रकाश संश्लेषण में ऑक्सीजन निकलती है। जल चक्र क्या है?",
]


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(prompt.SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=prompt.END,
        pad_token=prompt.END_OF_TEXT,
        additional_special_tokens=[prompt.START],
        chat_template=prompt.CHAT_TEMPLATE,
    )


def _model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.4,  # large, so that the distributions are far from flat and the tests see differences
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the base model."""
    folder = tmp_path_factory.mktemp("models") / "base"
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    _model(len(tokenizer), seed=1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of the same shape with other weights."""
    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(base, folder)
    _model(len(_tokenizer()), seed=2).save_pretrained(folder)
    return folder


MakeAdapter = Callable[..., AdapterCard]


def _save_adapter(base: Path, folder: Path, seed: int) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
        adapted = get_peft_model(
            model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.2)  # PEFT starts B at zero, which would make every adapter the base model
    adapted.peft_config["default"].base_model_name_or_path = "base"
    adapted.save_pretrained(folder, save_embedding_layers=False)


@pytest.fixture
def make_adapter(base: Path, tmp_path: Path) -> MakeAdapter:
    """make_adapter(shelf, subject, seed=..., base_sha256=...): a random LoRA adapter in the shelf's first root."""

    def make(shelf: Shelf, subject: str = "general", *, seed: int = 1, base_sha256: str | None = None) -> AdapterCard:
        folder = shelf.roots[0] / f"new-{subject}-{seed}"
        _save_adapter(base, folder, seed)
        write_card(
            folder,
            subject=subject,
            base_sha256=base_sha256 or model_sha256(base),
            dataset_sha256="0" * 64,
            recipe={"rank": 4},
            scores={"loss": 1.5},
            examples=6,
            language="en",
        )
        return shelf.add(folder)

    return make


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty shelf: the operator's root, then the shipped one."""
    return Shelf(tmp_path / "own", tmp_path / "shipped")


@pytest.fixture(scope="module")
def long_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model with so long a context that a generation goes on for seconds unless somebody stops it."""
    folder = tmp_path_factory.mktemp("models") / "long"
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1_000_000}))
    return folder
