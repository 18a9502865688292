from __future__ import annotations

import json
import lzma
import random
from pathlib import Path
from typing import Any

import pytest

from training.base.corpus import chapters
from training.base.grounded import NOT_IN_PASSAGES, Maker, Shares
from training.base.pretrain import pretrain
from training.base.reading import reading
from training.errors import CorpusError, DatasetError, TrainingError
from training.records.progress import Progress

TALE = "The fox lived in a den. He was hoarse because he barked all night. The hen slept in the barn."
WIKI = "Jaipur is a city in Rajasthan. It was founded in 1727 by Jai Singh II."
TERMS = [
    ("veto", "The power of the president to reject a law"),
    ("majority rule", "a principle of democracy"),
    ("taxes", "money that people pay to the government"),
    ("senate (upper house)", "a house of a parliament;"),
    ("ballot", "a paper on which a vote is cast"),
    ("census", "a count of all people of a country"),
]
PROSE = """\
Sources of energy

Energy is the ability to do work in the world around us. A moving bus has energy because it moves along the road.

- a list is no prose

| nor is | a table

Heat flows from a hot body to a cold body when they touch. A thermometer is an instrument that measures temperature."""
STORY = "मोरू को पेड़ों पर चढ़ना अच्छा लगता था। वह रोज़ नदी के किनारे पतंग उड़ाता था। उसकी बहन गुड़िया घर में किताब पढ़ती थी।"


def row(context: str, question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {
        "context": context, "question": question, "answer": answer, "answers": [answer], "unanswerable": False,
        "split": "train", **more,
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(lzma.compress(text) if path.suffix == ".xz" else text)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    tales = [
        row(TALE, "Why was the fox hoarse?", "he barked all night", explicit=True),
        row(TALE, "Why was the fox sad?", "he was lonely", explicit=False),
        row(TALE, "Where did the hen sleep?", "in the barn", explicit=True, split="test"),
        row(TALE, "Who was the sheep?", "the wolf", explicit=True),  # the tale does not say
    ]
    write(folder / "qa" / "fairytaleqa.jsonl.xz", tales)
    asked = row(WIKI, "when was jaipur founded", "1727", sentence="It was founded in 1727 by Jai Singh II. ")
    write(folder / "qa" / "qed_nq_dev.jsonl", [asked | {"split": "validation"}])
    glossary = [row("", "", definition, term=term, book="Civics") for term, definition in TERMS]
    write(folder / "qa" / "openstax_glossary.jsonl.xz", glossary)
    write(folder / "qa" / "xquad_en.jsonl", [row("A secret test.", "What?", "secret", split="test")])
    write(folder / "prose" / "siyavula_natural_sciences_gr7_9.jsonl.xz", [{"text": PROSE}] * 3)
    write(folder / "prose" / "stories_hi.jsonl", [{"text": STORY}])
    write(folder / "prose" / "wikipedia_en_tier1.jsonl", [{"text": "A city is a large town. It has many streets."}])
    return folder


def test_the_answer_is_the_sentence_of_the_passage_that_holds_it(corpus: Path) -> None:
    found = reading(corpus)
    answers = {
        asked.question: " ".join(found.runs[asked.run][asked.start : asked.stop])
        for of_set in found.asked
        for asked in of_set
    }
    assert answers["Why was the fox hoarse?"] == "He was hoarse because he barked all night."
    assert answers["when was jaipur founded"] == "It was founded in 1727 by Jai Singh II."
    assert answers["What is veto?"] == "Veto: The power of the president to reject a law."
    assert answers["Define taxes."] == "Taxes: money that people pay to the government."
    assert answers["What do you mean by senate?"] == "Senate (upper house): a house of a parliament."
    assert len(answers) == 2 + len(TERMS)  # nothing of a test split, nothing that the passage does not say


def test_prose_is_read_without_lists_and_under_its_headings(corpus: Path) -> None:
    prose = reading(corpus).prose
    assert prose is not None
    assert prose["en"][0].heading == "Sources of energy"
    assert prose["en"][0].run[0] == "Energy is the ability to do work in the world around us."
    assert [section.defines for section in prose["hi"]] == [False]
    text = " ".join(sentence for section in prose["en"] for sentence in section.run)
    assert "list" not in text
    assert "table" not in text
    assert "city" not in text  # an encyclopaedia is read as plain text alone


def test_a_sample_is_bounded_and_always_the_same(corpus: Path) -> None:
    long = [
        {"text": f"Chapter {n} tells of rain and rivers.\n\nIt was written by a teacher number {n} of many."}
        for n in range(90)
    ]
    write(corpus / "prose" / "stories_en.jsonl", long)
    some = reading(corpus, sample=7)
    assert some.prose is not None
    assert len([section for section in some.prose["en"] if not section.defines]) == 7
    assert some == reading(corpus, sample=7)


def test_documents_come_from_every_source(corpus: Path, textbooks: Path) -> None:
    maker = Maker(chapters(textbooks), reading=reading(corpus), disguised=0.0)
    rng = random.Random(1)
    made = [maker.make(rng, rng.randint(20, 100)) for _ in range(400)]
    for document in made:
        held = any(document.answer in passage for passage in document.passages)
        assert held != (document.answer == NOT_IN_PASSAGES), document
    answers = {document.answer.split()[0] for document in made}
    assert {"He", "Veto:", "Energy", "Photosynthesis"} <= answers
    only = Maker(chapters(textbooks), reading=reading(corpus), disguised=0.0, shares=Shares(0, 0, 1, 0))
    assert {only.make(rng, 60).answer.split()[0] for _ in range(50)} <= {
        *("He", "It", "Veto:", "Majority", "Taxes:", "Senate", "Ballot:", "Census:", "I")
    }


def test_a_corpus_without_any_of_it_is_an_empty_one(tmp_path: Path) -> None:
    assert reading(tmp_path).sha256 == ""
    assert reading(tmp_path).asked == ()


@pytest.mark.parametrize(
    ("content", "error"), [(b"{}\n", DatasetError), (b"no json\n", DatasetError), (b"[]\n", DatasetError)]
)
def test_a_broken_row_is_named(corpus: Path, content: bytes, error: type[TrainingError]) -> None:
    (corpus / "qa" / "qed_nq_dev.jsonl").write_bytes(content)
    with pytest.raises(error, match=r"qed_nq_dev\.jsonl:1: "):
        reading(corpus)


def test_a_broken_file_is_named(corpus: Path) -> None:
    path = corpus / "qa" / "fairytaleqa.jsonl.xz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="fetch it again"):
        reading(corpus)


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


def test_a_checkpoint_with_another_corpus_is_refused(tmp_path: Path, corpus: Path, pretraining: Any) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 3:
            raise Killed

    args = pretraining(tmp_path, corpus=corpus)
    with pytest.raises(Killed):
        pretrain(args, on_progress=kill)
    # The prose, and with it the plain text, is the same.
    write(corpus / "qa" / "qed_nq_dev.jsonl", [row(WIKI, "what is jaipur", "a city", sentence="Jaipur is a city.")])
    with pytest.raises(TrainingError, match="other data"):
        pretrain(args)
