from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.sentences import complete, split


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. B. R. Ambedkar was born in 1891.", "He led the Drafting Committee."],
        ["W. C. Bonnerjee was the first president of the Congress.", "The Congress met in Bombay."],
        ["The unit is the newton, written as N.", "The newton is named after Isaac Newton."],
        ["Vitamin C.", "Oranges are rich in vitamin C.", "Lemons are too."],
        ["The force is 20 N.", "Find the pressure."],
        ["It costs Rs. 20.", "See Fig. 2.1 for more.", "The river is 3.5 km long."],
        ["No.", "It is not linear.", "See No. 4 on the list."],
        ["Many fruits, e.g. Lemons, are sour.", "Approx. 97 per cent is salt water."],
        ['In "Hurrah! We won the match", the word "Hurrah" shows joy.', "Alas shows sorrow."],
        ['The question is "Is she singing?"', "The helping verb moves."],
        ['"Where is my tiffin box?" ends with a question mark.', "It asks."],
        ['Kabir says, "I think of a number. The answer is 17."', "Algebra finds it."],
        ["Example 1. Solve 2x + 5 = 17.", "So x = 6.", "x is a variable.", "pH is a scale."],
        ["1. Keep a plant in a dark room.", "Its leaves use up their starch."],
        ["School starts at 9 a.m. on Monday.", "It ends at 3 p.m.", "The bell rings."],
        ["Wait ... it is not over.", "Now it is!", "Is it?", "Yes."],
        ["पौधे अपना भोजन स्वयं बनाते हैं।", "इसे प्रकाश संश्लेषण कहते हैं।", "क्यों?"],
    ],
)
def test_a_line_is_cut_between_its_sentences(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences


def test_a_danda_needs_no_space_after_it() -> None:
    assert split("सूरज गरम है।पानी ठंडा है।") == ["सूरज गरम है।", "पानी ठंडा है।"]


def test_a_line_break_ends_a_sentence_and_an_empty_line_is_none() -> None:
    assert split("sunlight\n\n  water \nchlorophyll") == ["sunlight", "water", "chlorophyll"]


def test_quotes_that_do_not_pair_up_are_not_trusted() -> None:
    assert split('The pipe is 5" wide. It leaks. Mend it.') == ['The pipe is 5" wide.', "It leaks.", "Mend it."]


@given(st.text(alphabet=st.sampled_from("ab AZ.?!\"”“(1।\n३'"), max_size=80))
def test_nothing_but_spaces_is_lost(text: str) -> None:
    assert "".join("".join(split(text)).split()) == "".join(text.split())


def test_a_growing_text_is_cut_only_where_the_finished_one_is() -> None:
    sentences = [
        "Dr. B. R. Ambedkar led the committee.",
        'He said "It is done. Go on." to all.',
        "It was 1949.",
        "Yes.",
    ]
    text = " ".join(sentences)
    starts = {0, *(text.index(sentence) for sentence in sentences)}
    cuts = {complete(text[:length]) for length in range(len(text) + 1)}
    assert {cut + 1 if cut else 0 for cut in cuts} <= starts
    assert len(cuts) >= 3


def test_a_finished_line_is_complete() -> None:
    assert complete("one\ntwo") == 4
    assert complete("यह पानी है। और यह आग") == len("यह पानी है।")
