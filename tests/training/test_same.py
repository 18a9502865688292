"""The threshold for "the same question", fitted and measured on groups of questions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rag.same import Reader, Threshold
from training.classifiers.same import CAUTIOUS, DIFFERENCES, Group, Put, fit, load, pairs
from training.errors import CorpusError, DatasetError
from training.evals.same import NEAR, SAME, VECTOR, WORDS, by_vector, measure, repeated

DATA = Path(__file__).resolve().parents[2] / "data"
SHIPPED = DATA / "same"

HEAT = Group(
    "heat",
    "dev",
    (Put("What is heat?", "en"), Put("Define heat.", "en"), Put("heat kya hai", "hinglish")),
    ((Put("What is force?", "en"), "entity"), (Put("Why is heat useful?", "en"), "asking")),
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load(DATA / "glossary", SHIPPED)


def test_the_shipped_groups_are_whole_and_stand_in_one_split_each() -> None:
    groups = load(SHIPPED)
    judged = list(pairs(groups))
    assert len({group.name for group in groups}) == len(groups)
    assert {group.split for group in groups} == {"train", "dev", "test"}
    assert sum(not pair.differs for pair in judged) >= 300
    assert sum(len(group.near) for group in groups) >= 400
    assert {pair.differs for pair in judged} == {"", *DIFFERENCES}
    texts = [put.text for group in groups for put in (*group.same, *(put for put, _ in group.near))]
    held = {text: group.split for group in groups for text in (put.text for put in group.same)}
    assert len(held) == sum(len(group.same) for group in groups)
    assert all(text.strip() == text and text for text in texts)


def test_held_out_questions_are_recognised_and_near_misses_are_not(reader: Reader) -> None:
    held_out = [group for group in load(SHIPPED) if group.split == "test"]
    rows = {(row.pairs, row.kind): row for row in measure(held_out, reader, Threshold.load(SHIPPED / "threshold.json"))}
    assert rows[NEAR, ""].share <= 0.005
    assert rows[SAME, ""].share >= 0.8
    assert rows[SAME, "en-sms"].share >= 0.85
    assert rows[SAME, ""].low < rows[SAME, ""].share < rows[SAME, ""].high


def test_the_threshold_is_the_lowest_that_keeps_near_misses_out(reader: Reader) -> None:
    assert fit([HEAT], reader) == Threshold(CAUTIOUS)
    taken = Group("bad", "dev", HEAT.same, ((Put("wat is heat", "sms"), "entity"),))  # no near miss at all
    with pytest.raises(CorpusError, match=r"apart\.tsv"):
        fit([taken], reader)
    with pytest.raises(CorpusError, match="near misses"):
        fit([Group("none", "dev", HEAT.same, ())], reader)


def test_a_stream_of_questions_counts_what_was_at_hand(reader: Reader) -> None:
    found = repeated([HEAT], reader, Threshold(CAUTIOUS))
    assert (found.questions, found.hits, found.false) == (5, 1, 0)  # "Define heat."; Hinglish has a store of its own
    wrong = Group("bad", "dev", HEAT.same[:1], ((Put("Define heat.", "en"), "entity"),))
    assert repeated([wrong], reader, Threshold(CAUTIOUS)).false == 1


def test_a_vector_alone_takes_the_threshold_of_what_it_was_fitted_on() -> None:
    def embed(texts: list[str]) -> np.ndarray:
        angles = {"What is heat?": 0.0, "Define heat.": 0.1, "heat kya hai": 0.2, "What is force?": 0.15}
        turned = np.array([angles.get(text, 1.5) for text in texts], dtype=np.float32)
        return np.stack([np.cos(turned), np.sin(turned)], axis=1)

    rows = {(row.pairs, row.kind): row for row in by_vector([HEAT], [HEAT], embed)}  # type: ignore[arg-type]  # as lists
    assert {row.judge for row in rows.values()} == {VECTOR} != {WORDS}
    assert rows[NEAR, ""].hits == 0
    assert rows[SAME, ""].hits == 0  # the nearest near miss is nearer than any of the same


def test_bad_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no questions"):
        load(tmp_path)
    good = {"asked": "en", "text": "What is heat?"}
    row = {"group": "g", "split": "dev", "same": [good, good], "near": [good | {"differs": "mood"}]}
    lines = [json.dumps(row), json.dumps(row | {"near": [], "same": [good]}), "{", json.dumps({"group": "g"})]
    (tmp_path / "bad.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        load(tmp_path)
    assert [line.line for line in caught.value.bad] == [1, 2, 3, 4]
