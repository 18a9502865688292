from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from inference.generation import Message
from inference.prompt import END, grounded
from rag.phonetic import is_devanagari
from training.errors import DatasetError
from training.pairs.conversations import build
from training.pairs.curate import masked
from training.pairs.data import SELF, Example, as_row, dataset_sha256, of_split, read, scan


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


def test_a_dialogue_is_one_example_with_its_earlier_turns(tmp_path: Path) -> None:
    turns = [*chat("What is air?", "A mixture.")["messages"], *chat("Of what?", "Of gases.")["messages"]]  # type: ignore[misc]  # lists
    system = {"role": "system", "content": "Be kind."}
    expected = [Example("Of what?", "Of gases.", earlier=(("What is air?", "A mixture."),))]
    assert read(write(tmp_path, {"messages": turns})) == expected
    assert read(write(tmp_path, {"messages": [system, *turns]})) == expected


@pytest.mark.parametrize(
    "roles",
    [
        "user assistant user",
        "user assistant assistant user",
        "user user assistant assistant",
        "system",
        "user system",
        "user tool",
        "",
    ],
)
def test_a_conversation_whose_turns_do_not_alternate_is_named(tmp_path: Path, roles: str) -> None:
    messages = [{"role": role, "content": "text"} for role in roles.split()]
    with pytest.raises(DatasetError, match=r"qa\.jsonl:1: the roles"):
        read(write(tmp_path, {"messages": messages}))


def test_lines_of_notes_say_nothing_and_keep_the_count(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff// how to fill this in", "  // indented", chat("q", "a"), "{")
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert [bad.line for bad in caught.value.bad] == [4]
    assert [line.number for line in scan(path).lines] == [3]


def test_a_draft_counts_once_it_is_approved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    draft = chat("q", "a") | {"kind": "draft"}
    path = write(tmp_path, draft, draft | {"approved": False}, draft | {"approved": True})
    assert read(path) == [Example("q", "a", kind="reviewed")]
    assert "2 drafts left out" in caplog.text
    with pytest.raises(DatasetError, match="true or false"):
        read(write(tmp_path, draft | {"approved": "yes"}))


def test_whether_a_line_names_its_split_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, chat("q", "a"), chat("r", "a") | {"split": "train"}, chat("s", "a") | {"split": None})
    assert [line.decided for line in scan(path).lines] == [False, True, False]


def test_what_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    examples = [
        Example("q", "a"),
        Example(
            "प्रश्न?", "उत्तर।", ("one", "two"), ("fact",), "test", "hi", "science", "why", "Science", 1, 2, 7, "hinglish",
            "near", (("Science", 3), ("विज्ञान", 4)), (("q1", "a1"), ("q2", "a2")),
        ),
    ]  # fmt: skip
    assert read(write(tmp_path, *map(as_row, examples))) == examples


def test_a_hash_from_before_there_were_dialogues_still_stands() -> None:
    said = asdict(Example("q", "a"))
    del said["earlier"]
    old = hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    assert dataset_sha256([Example("q", "a")]) == old
    assert dataset_sha256([Example("q", "a", earlier=(("b", "c"),))]) != old


def test_dialogues_become_conversations_as_at_serving_time() -> None:
    dialogue = Example("Of what?", "Of gases.", ("Air is a mixture.",), earlier=(("What is air?", "A mixture."),))
    (conversation,) = build([dialogue], lambda _: ())
    history = [Message(role="user", content="What is air?"), Message(role="assistant", content="A mixture.")]
    assert conversation[:-1] == grounded("Of what?", ["Air is a mixture."], history)
    assert conversation[-1] == Message(role="assistant", content="Of gases.")


def test_every_answer_of_a_dialogue_is_learned(base: Path) -> None:
    dialogue = Example("Of what?", "Of gases.", ("Air is a mixture.",), earlier=(("What is air?", "A mixture."),))
    tokenizer = AutoTokenizer.from_pretrained(base)
    encoded = tokenizer.apply_chat_template(
        build([dialogue], lambda _: ())[0], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    learned = [n for n, chosen in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if chosen]
    assert tokenizer.decode(learned) == f"A mixture.{END}Of gases.{END}"


def test_what_is_asked_about_the_tutor_needs_no_passages_and_is_never_refused() -> None:
    about_itself = Example("Who are you?", "Sahpathi.", kind=SELF)
    others = [Example(f"q{n}", "a", (f"p{n}",), chapter=n) for n in range(3)]
    conversations = build([about_itself, *others], lambda _: ["never"], unanswerable=1.0)
    assert conversations[0] == [*grounded("Who are you?", ()), Message(role="assistant", content="Sahpathi.")]
    asked = [messages[-2]["content"] for messages in conversations]
    assert len(asked) == 7
    assert sum("Who are you?" in question for question in asked) == 1


def test_the_template_reads_without_a_complaint() -> None:
    found = scan(Path(__file__).parents[2] / "training" / "pairs" / "template.jsonl")
    assert not found.bad
    assert len(found.lines) == 5
    assert any(line.example.earlier for line in found.lines)


def test_the_pairs_about_the_tutor_itself_say_so_in_three_languages() -> None:
    pairs = read(Path(__file__).parents[2] / "data" / "qa-self")
    assert {pair.kind for pair in pairs} == {SELF}
    assert {pair.split for pair in pairs} == {"train"}
    assert {asked: sum(pair.asked == asked for pair in pairs) for asked in ("en", "hi", "hinglish")} == {
        "en": 11,
        "hi": 9,
        "hinglish": 10,
    }
    assert all(is_devanagari(pair.answer) == (pair.asked == "hi") for pair in pairs)
    assert [pair for pair in pairs if masked(pair, Counter()) != pair] == []
