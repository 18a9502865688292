"""The rules of choosing, against those of transformers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from inference.generation import Decoding
from inference.sampling import Chooser

VOCABULARY = 12


def logits_of(seed: int) -> torch.Tensor:
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 2


def chooser_after(decoding: Decoding, answer: Sequence[int]) -> Chooser:
    chooser = Chooser(decoding)
    for token in answer:
        chooser.take(token)
    return chooser


def choose(chooser: Chooser, logits: torch.Tensor) -> int:
    return chooser.choose(logits, int(logits.argmax()))


def expected(decoding: Decoding, answer: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """The chances of all tokens as transformers' processors leave them."""
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1 and answer:
        processors.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
    if decoding.no_repeat_ngram and answer:
        processors.append(NoRepeatNGramLogitsProcessor(decoding.no_repeat_ngram))
    if decoding.temperature:
        processors.append(TemperatureLogitsWarper(decoding.temperature))
        if decoding.top_k:
            processors.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            processors.append(TopPLogitsWarper(decoding.top_p))
    scores: torch.Tensor = processors(torch.tensor([list(answer)]), logits.clone().unsqueeze(0))[0]
    return scores.softmax(dim=0)


@pytest.mark.parametrize("penalty", [1.0, 1.2, 3.0])
@pytest.mark.parametrize("ngram", [0, 1, 2, 3])
def test_greedy_takes_what_transformers_takes(penalty: float, ngram: int) -> None:
    decoding = Decoding(temperature=0, repetition_penalty=penalty, no_repeat_ngram=ngram)
    for seed in range(60):
        answer = torch.randint(4, (seed % 9,), generator=torch.Generator().manual_seed(seed)).tolist()
        logits = logits_of(seed)
        wanted = int(expected(decoding, answer, logits).argmax())
        assert choose(chooser_after(decoding, answer), logits) == wanted


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0, no_repeat_ngram=0),
        Decoding(temperature=0.7, top_k=4, top_p=1.0, repetition_penalty=1.0, no_repeat_ngram=0),
        Decoding(temperature=1.5, top_k=0, top_p=0.8, repetition_penalty=1.0, no_repeat_ngram=0),
        Decoding(temperature=0.9, top_k=6, top_p=0.7, repetition_penalty=1.3, no_repeat_ngram=2),
        Decoding(temperature=0.9, top_k=50, top_p=0.05, repetition_penalty=1.3, no_repeat_ngram=2),
    ],
    ids=["all", "top k", "top p", "everything", "one left"],
)
def test_chance_is_what_transformers_leaves_to_it(decoding: Decoding) -> None:
    answer, logits, draws = [3, 5, 3], logits_of(4), 4000
    chances = expected(decoding, answer, logits)
    chooser = chooser_after(replace(decoding, seed=1), answer)
    drawn = Counter(choose(chooser, logits) for _ in range(draws))
    assert {token for token in drawn if chances[token] == 0} == set()
    for token in range(VOCABULARY):
        chance = float(chances[token])
        assert abs(drawn[token] / draws - chance) < 4 * math.sqrt(chance * (1 - chance) / draws) + 1e-6


def test_equal_scores_at_the_border_of_top_k_all_stay() -> None:
    logits = torch.tensor([2.0, 1.0, 1.0, 0.0])
    decoding = Decoding(temperature=1, top_k=2, top_p=1.0, repetition_penalty=1, no_repeat_ngram=0, seed=1)
    chooser = Chooser(decoding)
    assert {choose(chooser, logits) for _ in range(200)} == {0, 1, 2}


def test_each_answer_has_a_chance_of_its_own() -> None:
    decoding = Decoding(temperature=1.0, seed=5)
    one, other, disturbance = Chooser(decoding), Chooser(decoding), Chooser(replace(decoding, seed=6))
    drawn = []
    for seed in range(20):
        logits = logits_of(seed)
        drawn.append((choose(one, logits), choose(disturbance, logits), choose(other, logits)))
    assert [first for first, _, _ in drawn] == [last for _, _, last in drawn]
    assert [first for first, _, _ in drawn] != [between for _, between, _ in drawn]


def test_the_logits_are_left_as_they_are() -> None:
    logits = logits_of(1)
    before = logits.clone()
    choose(chooser_after(Decoding(no_repeat_ngram=1), [1, 2, 3]), logits)
    assert torch.equal(logits, before)
