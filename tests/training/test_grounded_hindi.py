from __future__ import annotations

import random
from pathlib import Path

import pytest

from rag.phonetic import in_devanagari
from training.base.asking import definition, phrase
from training.base.corpus import Chapter, chapters
from training.base.disguise import Vocabulary
from training.base.grounded import NOT_IN_PASSAGES, NOT_IN_PASSAGES_HINDI, Grounded, Maker, disguise
from training.base.words import HINDI_GRAMMAR, content, root, subject
from training.evals.reading import abstains
from training.pairs.data import Example

HEADER = (
    "---\ntitle: विज्ञान, कक्षा 7\nchapter: 3\nchapter_title: जल\nclass: 7\nsubject: science\n"
    "language: hi\nboard: national\nlicence: CC BY-SA 4.0\n---\n<!-- page: 1 -->\n"
)
BODY = """\
# जल चक्र

वाष्पन वह प्रक्रिया है जिसमें द्रव जल जलवाष्प में बदलता है। सूर्य की ऊष्मा से समुद्र का जल वाष्पित होता है। गीली कमीज़ धूप में सूख जाती है।

## बादल और वर्षा

संघनन वह प्रक्रिया है जिसमें जलवाष्प ठंडी होकर द्रव जल में बदलती है। ठंडी होकर बनी जल की बूँदों के समूह को बादल कहते हैं। बादल की बूँदें 1 दिन में
वर्षा बनकर नदी में गिरती हैं।

## मुख्य शब्द

- **वाष्पन**: द्रव जल का जलवाष्प में बदलना।
- **समुद्र**: खारे जल का विशाल भंडार।
""".replace("में\nवर्षा", "में वर्षा")


@pytest.fixture(scope="module")
def both(textbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Chapter]:
    folder = tmp_path_factory.mktemp("hindi")
    (folder / "03-jal-hi.md").write_text(HEADER + BODY, encoding="utf-8")
    return [*chapters(textbooks), *chapters(folder)]


@pytest.fixture(scope="module")
def made(both: list[Chapter]) -> list[Grounded]:
    maker = Maker(both, disguised=0.0, hindi=0.5)
    rng = random.Random(1)
    return [maker.make(rng, rng.randint(15, 100)) for _ in range(500)]


def test_a_document_is_in_one_language_and_its_answer_in_a_passage(made: list[Grounded]) -> None:
    for document in made:
        assert len({in_devanagari(text) for text in (*document.passages, document.answer)}) == 1, document
        assert in_devanagari(document.question) == in_devanagari(document.answer), document
        refusal = document.answer in {NOT_IN_PASSAGES, NOT_IN_PASSAGES_HINDI}
        assert refusal != any(document.answer in passage for passage in document.passages), document


def test_hindi_has_its_share_and_its_own_refusal(made: list[Grounded], both: list[Chapter]) -> None:
    hindi = [document for document in made if in_devanagari(document.answer)]
    assert 0.4 * len(made) < len(hindi) < 0.6 * len(made)
    assert any(document.answer == NOT_IN_PASSAGES_HINDI for document in hindi)
    few = Maker(both[:2] * 20 + both[2:], disguised=0.0)  # a fortieth of the sections
    rng = random.Random(1)
    share = sum(in_devanagari(few.make(rng, 60).answer) for _ in range(400)) / 400
    assert 0.1 < share < 0.2
    rng = random.Random(1)
    assert all(in_devanagari(Maker(both[2:], disguised=0.0).make(rng, 60).answer) for _ in range(20))


def test_every_kind_of_question_is_asked(made: list[Grounded]) -> None:
    asked = [document.question for document in made if in_devanagari(document.question)]
    for start in ("वाष्पन क्या है", "संघनन किसे कहते हैं", "रिक्त स्थान भरो", "समझाओ"):
        assert any(question.startswith(start) for question in asked), start
    assert any("के बारे में क्या लिखा है" in question for question in asked)


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("वाष्पन वह प्रक्रिया है जिसमें द्रव जल जलवाष्प में बदलता है।", ("वाष्पन", "है")),
        ("आंतरिक ग्रह वे ग्रह हैं जो सूर्य के पास हैं।", ("आंतरिक ग्रह", "हैं")),
        ("जल की बूँदों के समूह को बादल कहते हैं।", ("बादल", "है")),
        ("जल तीन रूपों में मिलता है, जिन्हें जल की अवस्थाएँ कहते हैं।", ("जल की अवस्थाएँ", "है")),
        ("बल किसी वस्तु की गति बदल सकता है।", ("बल", "")),
        ("समुद्र खारे जल का विशाल भंडार है।", ("समुद्र", "है")),
        ("पृथ्वी भी एक ग्रह है।", None),
        ("आम मीठे फल हैं।", None),  # neither the words of a definition nor a key term
        ("समुद्र में जल खारा है।", None),
    ],
)
def test_what_a_hindi_sentence_defines(sentence: str, found: tuple[str, str] | None) -> None:
    assert definition(sentence, (), {"समुद्र"}) == found


def test_what_is_asked_about_stands_before_a_postposition() -> None:
    found = {phrase(random.Random(seed), "तुलसी के पौधे की कुछ पत्तियों पर थैली बाँधो।") for seed in range(20)}
    assert found == {"तुलसी", "पौधे", "पत्तियों"}


def test_a_disguise_swaps_hindi_words_with_their_endings_and_leaves_the_grammar() -> None:
    plain = Grounded("नदी किसे कहते हैं?", ("नदियों का जल 12 या १२ दिन में समुद्र तक जाता है। नदी बहती है।",), "नदी बहती है।")
    for seed in range(20):
        hidden = disguise(plain, random.Random(seed), Vocabulary((), ("पेड़", "घर")))
        assert hidden.answer in hidden.passages[0]
        term = hidden.question.removesuffix(" किसे कहते हैं?")
        assert term != "नदी"
        assert hidden.answer.startswith(term)
        assert hidden.passages[0].startswith(term.removesuffix("ी") + "ियों का ")
        assert " तक जाता है। " in hidden.passages[0]
        assert in_devanagari(hidden.passages[0])
    assert disguise(Grounded("जल?", ("घर।",), NOT_IN_PASSAGES_HINDI), random.Random(1), Vocabulary()).answer == (
        NOT_IN_PASSAGES_HINDI
    )


def test_words_are_whole_with_their_vowel_signs() -> None:
    assert content("पौधों की पत्तियाँ हरी हैं।") == ["पौधों", "पत्तियाँ", "हरी"]
    assert {root("नदी"), root("नदियाँ"), root("नदियों")} == {"नद"}
    assert len(HINDI_GRAMMAR) > 200


def test_what_is_held_out_is_asked_in_disguise_only(both: list[Chapter]) -> None:
    held = [
        Example("वाष्पन किसे कहते हैं?", "द्रव जल का बदलना।", split="test", language="hi", asked="hi"),
        Example("sanghanan kya hota hai", "...", split="dev", language="hi", asked="hinglish"),
    ]
    maker = Maker(both, (), held, disguised=0.0, hindi=1.0)
    rng = random.Random(3)
    made = [maker.make(rng, 60) for _ in range(300)]
    # Another word may be swapped for the very one that is held out; then the book's answer is in disguise.
    told = [document.answer for document in made if document.question.startswith(("वाष्पन क्या", "संघनन क्या"))]
    assert not any(answer in BODY for answer in told)
    assert any(document.question.startswith("बादल क्या") and document.answer in BODY for document in made)
    assert subject("संघनन क्या है?") <= subject("sanghanan kya hota hai", by_sound=True)


def test_the_hindi_refusal_is_heard_as_one() -> None:
    assert abstains(NOT_IN_PASSAGES_HINDI)
