from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.errors import DatasetError
from training.pairs.sameness import normalised
from training.pairs.splits import side
from training.tuning.preferences import (
    Logged,
    Preference,
    from_corrections,
    from_ratings,
    preferences_sha256,
    read,
    read_votes,
    with_passages,
)

PASSAGES = ("Soil is the top layer of the earth.",)


def logged(question: str = "What is soil?", text: str = "Soil is dirt.", **changes: Any) -> Logged:
    given: dict[str, Any] = {"passages": PASSAGES, "subject": "science", "language": "en", **changes}
    return Logged(question=question, text=text, **given)


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "some.jsonl"
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_correction_is_preferred_over_what_the_model_said() -> None:
    [found] = from_corrections([logged(correction="Soil is the top layer of the earth."), logged(approved=True)])
    assert found == Preference(
        question="What is soil?",
        chosen="Soil is the top layer of the earth.",
        rejected="Soil is dirt.",
        passages=PASSAGES,
        split=found.split,
        subject="science",
        language="en",
        source="correction",
    )


def test_the_same_correction_twice_counts_once() -> None:
    row = logged(correction="Soil is the top layer.")
    assert len(from_corrections([row, row, replace(row, text="Soil is mud.")])) == 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (logged(correction="Soil  is dirt. "), "the chosen answer is the rejected one"),
        (logged(correction="  "), "the chosen answer is empty"),
        (logged(text="", correction="Soil."), "the rejected answer is empty"),
        (logged(question=" ", correction="Soil."), "the question is empty"),
        (logged(correction="Soil.<|im_end|>"), "which ends an answer"),
    ],
)
def test_a_correction_that_cannot_be_used_is_named(row: Logged, why: str) -> None:
    with pytest.raises(DatasetError, match=why) as caught:
        from_corrections([logged(correction="Good."), row])
    assert [bad.line for bad in caught.value.bad] == [2]


def test_personal_data_is_masked_and_results_are_not() -> None:
    question = "my number is 9876543210, call me. What is 5 x 5?"
    [found] = from_corrections([logged(question, "Write to asha@school.in", correction="9876543210")])
    assert "[phone]" in found.question
    assert "9876543210" not in found.question
    assert found.rejected == "Write to [email]"
    assert found.chosen == "9876543210"  # ten digits alone are a result in an answer


def test_the_split_is_that_of_the_reviewed_answers() -> None:
    questions = [f"What is thing {n}?" for n in range(60)]
    mine = [one.split for one in from_corrections([logged(question, correction="Good.") for question in questions])]
    assert mine == [side(normalised(question)) for question in questions]
    assert len(set(mine)) > 1


def test_an_answer_rated_up_is_preferred_over_one_rated_down_to_nearly_the_same_question() -> None:
    good, bad = "Soil is the top layer of the earth.", "Soil is dirt."
    rows = [logged("what is soil", good, rating=1), logged("Please explain soil!", bad, rating=-1)]
    [found] = from_ratings(rows)
    assert (found.question, found.chosen, found.rejected) == ("what is soil", good, bad)
    assert found.source == "rating"


@pytest.mark.parametrize(
    "other",
    [
        logged("What is clay?", rating=-1),
        logged("Why is soil?", rating=-1),
        logged("What is not soil?", rating=-1),
        logged("What are 2 soils?", rating=-1),
        logged(passages=("Another page.",), rating=-1),
        logged(rating=0),
        logged(rating=1),
        logged(rating=-1, approved=True),
        logged(rating=-1, correction="Soil is earth."),
        logged(text="Soil is the top layer.", rating=-1),
    ],
)
def test_other_ratings_make_no_preference(other: Logged) -> None:
    assert from_ratings([logged(text="Soil is the top layer.", rating=1), other]) == []


def test_thumbs_on_the_same_words_are_added_up() -> None:
    mixed = [logged(rating=-1), logged(rating=1), logged(rating=1)]
    assert from_ratings([logged(text="Soil is earth.", rating=1), *mixed]) == []
    [found] = from_ratings([logged(text="Soil is mud.", rating=-1), *mixed])
    assert found.chosen == "Soil is dirt."


def test_what_a_teacher_corrected_is_no_example_however_many_liked_it() -> None:
    liked = logged(rating=1, correction="Soil is the top layer.")
    assert from_ratings([liked, logged(text="Soil is mud.", rating=-1)]) == []


def test_votes_make_preferences_and_ties_are_counted(tmp_path: Path) -> None:
    row = {"question": "What is soil?", "a": "Earth.", "b": "Mud.", "passages": list(PASSAGES), "subject": "science"}
    same = {**row, "b": "Earth.", "vote": "tie"}
    votes = read_votes(write(tmp_path, {**row, "vote": "a"}, same, "", {**row, "vote": "b"}, {**row, "vote": "tie"}))
    assert [(one.chosen, one.rejected) for one in votes.preferences] == [("Earth.", "Mud."), ("Mud.", "Earth.")]
    assert votes.ties == 2
    assert {(one.passages, one.subject, one.source) for one in votes.preferences} == {(PASSAGES, "science", "vote")}


def test_files_may_say_prompt_or_question_and_name_their_split(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"prompt": "What is soil?", "chosen": "Earth.", "rejected": "Mud.", "split": "dev"},
        {"question": "What is clay?", "chosen": "Fine soil.", "rejected": "Sand.", "language": "hi"},
    )
    first, second = read(path)
    assert (first.question, first.split, first.source) == ("What is soil?", "dev", "file")
    assert (second.question, second.subject, second.language) == ("What is clay?", "general", "hi")


def test_every_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    good = {"question": "q", "chosen": "a", "rejected": "b"}
    bad = {
        "is not JSON": "{",
        "must be a JSON object": "[1]",
        "it has neither": {"chosen": "a", "rejected": "b"},
        "question and prompt": {**good, "prompt": "q"},
        "'chosen' is missing": {"question": "q", "rejected": "b"},
        "'rejected' must be text, not list": {**good, "rejected": ["b"]},
        "the rejected answer is empty": {**good, "rejected": " "},
        "the chosen answer is the rejected one": {**good, "rejected": "a"},
        "must be train, dev or test": {**good, "split": "held-out"},
        '"passages" must be a list of texts': {**good, "passages": "one"},
    }
    path = write(tmp_path, good, *bad.values())
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert [(one.path, one.line) for one in caught.value.bad] == [(path, line) for line in range(2, len(bad) + 2)]
    for why, found in zip(bad, caught.value.bad, strict=True):
        assert why in str(found)


def test_a_vote_for_neither_and_a_file_that_is_not_there_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"question": "q", "a": "x", "b": "y", "vote": "c"})
    with pytest.raises(DatasetError, match='"vote" must be "a", "b" or "tie"') as caught:
        read_votes(path, tmp_path / "none.jsonl")
    assert [str(bad).startswith(str(name)) for bad, name in zip(caught.value.bad, [path, tmp_path], strict=True)]
    assert caught.value.bad[1].line == 0


def test_passages_are_retrieved_where_there_are_none(caplog: pytest.LogCaptureFixture) -> None:
    bare = Preference("q", "a", "b")
    own = replace(bare, passages=("mine",))
    unknown = replace(bare, question="unknown")
    found = with_passages([bare, own, unknown], lambda question: ["theirs"] if question == "q" else [])
    assert [one.passages for one in found] == [("theirs",), ("mine",)]
    assert "1 of 3 preferences left out" in caplog.text


def test_the_hash_is_of_what_is_said_and_not_of_its_order() -> None:
    one, other = Preference("q", "a", "b"), Preference("q", "b", "a")
    assert preferences_sha256([one, other]) == preferences_sha256([other, one])
    assert preferences_sha256([one]) != preferences_sha256([other])
