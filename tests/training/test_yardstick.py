"""The yardstick on a miniature of the corpus: three paragraphs in two languages among a few others."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from training.errors import CorpusError
from training.evals.yardstick import PROSE_EN, PROSE_HI, load, measure

GLOSSARY = Path(__file__).parents[2] / "data" / "glossary"
ENGLISH = (
    "Copper is a metal that conducts heat and electricity very well, so wires are made of copper.",
    "The tiger is the national animal of India and lives in forests and in the swamps of the Sundarbans.",
    "Rain falls when drops of water in a cloud become so heavy that the air cannot hold them up.",
)
HINDI = (
    "ताँबा एक धातु है जो ऊष्मा और विद्युत की सुचालक है, इसलिए तार ताँबे के बनते हैं।",
    "बाघ भारत का राष्ट्रीय पशु है और सुंदरबन के जंगलों में रहता है।",
    "वर्षा तब होती है जब बादल में जल की बूँदें भारी हो जाती हैं।",
)
ASKED = {
    "en": ("Which metal are wires made of?", "Where does the tiger live?", "When does rain fall?"),
    "hi": ("तार किस धातु के बनते हैं?", "बाघ कहाँ रहता है?", "वर्षा कब होती है?"),
}
WORDS_OF_FILLER = 45


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for language, paragraphs in (("en", ENGLISH), ("hi", HINDI)):
        rows = [
            {"context": paragraph, "question": question, "answer": "-"}
            for paragraph, question in zip(paragraphs, ASKED[language], strict=True)
        ]
        write(tmp_path / "qa" / f"xquad_{language}.jsonl.xz", rows)
    for name in (*PROSE_EN, *PROSE_HI):
        fillers = [" ".join(f"{name}{n}x{word}" for word in range(WORDS_OF_FILLER)) for n in range(4)]
        texts = fillers if name == PROSE_EN[0] else [f"{ENGLISH[0]} " * 3]
        write(tmp_path / "prose" / f"{name}.jsonl.xz", [{"text": text} for text in texts])
    return tmp_path


def test_paragraphs_are_hidden_among_prose_that_repeats_none_of_them(corpus: Path) -> None:
    yardstick = load(corpus, distractors=3)
    assert [passage.book for passage in yardstick.english] == ["XQuAD, English"] * 3 + ["Prose, en"] * 3
    assert sum(passage.book == "XQuAD, Hindi" for passage in yardstick.hindi) == 3
    assert [(e.title, e.page) for e in yardstick.across] == [("XQuAD, English", n) for n in (1, 2, 3)]
    everything = load(corpus, distractors=100)
    assert sum(ENGLISH[0] in passage.text for passage in everything.english) == 1


async def test_each_row_is_measured_by_each_search(corpus: Path, tmp_path: Path) -> None:
    scores = await measure(
        load(corpus, distractors=4),
        tmp_path / "index",
        glossary=GLOSSARY,
        embedding_model="all-MiniLM-L6-v2",
        threads=1,
    )
    rows = {(score.row, score.side.value): score.recall_5 for score in scores}
    assert {row for row, _ in rows} == {"English", "Hindi, Hindi book", "Hindi, English book only"}
    assert rows["English", "hybrid"] == rows["English", "dense"] == 1.0
    assert rows["Hindi, Hindi book", "hybrid"] == rows["Hindi, Hindi book", "lexical"] == 1.0


def test_a_folder_that_is_no_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="xquad_en"):
        load(tmp_path, distractors=1)
