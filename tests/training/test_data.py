from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data import Example, dataset_sha256, of_split, read
from training.errors import DatasetError


def write(folder: Path, *lines: object, name: str = "qa.jsonl") -> Path:
    path = folder / name
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def chat(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    "row",
    [
        chat("What is rain?", "Rain is water."),
        {"messages": [{"role": "system", "content": "Be kind."}, *chat("What is rain?", "Rain is water.")["messages"]]},  # type: ignore[misc]  # a list
        {"instruction": "What is rain?", "response": "Rain is water."},
        {"instruction": "What is rain?", "input": "", "output": "Rain is water."},
        {"input": "What is rain?", "output": "Rain is water."},
        {"question": "What is rain?", "answer": "Rain is water."},
        {"question": " What is rain? ", "output": "Rain is water.\n"},
    ],
)
def test_every_shape_gives_the_same_example(tmp_path: Path, row: object) -> None:
    assert read(write(tmp_path, row)) == [Example("What is rain?", "Rain is water.")]


def test_an_instruction_with_an_input_keeps_both(tmp_path: Path) -> None:
    row = {"instruction": "Name the verb.", "input": "Birds fly.", "output": "fly"}
    assert read(write(tmp_path, row))[0].question == "Name the verb.\nBirds fly."


def test_everything_optional_is_read(tmp_path: Path) -> None:
    about = {"title": "Science", "chapter": 2, "page": 5, "class": 7, "subject": "science", "language": "hi"}
    row = chat("q", "a") | about | {"facts": ["a"], "passages": ["one", "two"], "split": "dev", "kind": "why"}
    example = read(write(tmp_path, row))[0]
    assert (example.title, example.chapter, example.page, example.class_level) == ("Science", 2, 5, 7)
    assert (example.subject, example.language, example.split, example.kind) == ("science", "hi", "dev", "why")
    assert example.facts == ("a",)
    assert example.passages == ("one", "two")


MALFORMED = [
    ('{"question": "q", "answer": ', "JSON"),
    ("[1, 2]", "object"),
    ('"text"', "object"),
    ({"messages": "hello"}, "list"),
    ({"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "q"}]}, "roles"),
    ({"messages": [{"role": "user", "content": "q"}]}, "roles"),
    (chat("q", "  "), "empty"),
    ({"question": "", "answer": "a"}, "empty"),
    ({"question": "q", "answer": 7}, "text"),
    ({"question": "q", "answer": None}, "text"),
    ({"answer": "a"}, "question"),
    ({"question": "q"}, "exactly one"),
    ({"question": "q", "answer": "a", "output": "b"}, "exactly one"),
    (chat("q", "a") | {"split": "training"}, "split"),
    (chat("q", "a") | {"facts": "a"}, "facts"),
    (chat("q", "a") | {"passages": ["a", ""]}, "passages"),
    (chat("q", "a") | {"page": "5"}, "page"),
    (chat("q", "a") | {"page": True}, "page"),
]


@pytest.mark.parametrize(("line", "why"), MALFORMED)
def test_a_malformed_line_is_named_with_its_number(tmp_path: Path, line: object, why: str) -> None:
    path = write(tmp_path, chat("q", "a"), "", line, chat("q", "a"))
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert [(bad.path, bad.line) for bad in caught.value.bad] == [(path, 3)]
    assert why in caught.value.bad[0].why
    assert f"{path}:3: " in str(caught.value)


def test_all_malformed_lines_of_all_files_are_counted_and_twenty_listed(tmp_path: Path) -> None:
    write(tmp_path, *["{"] * 15, chat("q", "a"), name="a.jsonl")
    write(tmp_path, *["{"] * 10, name="b.jsonl")
    with pytest.raises(DatasetError) as caught:
        read(tmp_path)
    assert len(caught.value.bad) == 25
    message = str(caught.value)
    assert message.startswith("25 lines ")
    assert message.count("is not JSON") == 20
    assert "and 5 more" in message


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "qa.jsonl"
    path.write_bytes(json.dumps(chat("q", "a")).encode() + b'\n{"question": "\xff", "answer": "a"}\n')
    with pytest.raises(DatasetError, match=r"qa\.jsonl:2: is not UTF-8"):
        read(path)


def test_a_missing_file_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DatasetError, match="no \\*\\.jsonl"):
        read(tmp_path)


def test_the_hash_follows_content_and_not_order_or_shape(tmp_path: Path) -> None:
    one = read(write(tmp_path, chat("q", "a"), chat("r", "b"), name="one.jsonl"))
    two = read(write(tmp_path, {"input": "r", "output": "b"}, {"question": "q", "answer": "a"}, name="two.jsonl"))
    other = read(write(tmp_path, chat("q", "a"), chat("r", "B"), name="other.jsonl"))
    assert dataset_sha256(one) == dataset_sha256(two)
    assert dataset_sha256(one) != dataset_sha256(other)


def test_splits_are_told_apart() -> None:
    examples = [Example("1", "a"), Example("2", "a", split="dev"), Example("3", "a", split="test")]
    assert [example.question for example in of_split(examples, "dev", "test")] == ["2", "3"]
