from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rag.answerable import UNFITTED
from rag.embed import Embedder
from rag.ground import Grounding
from rag.index import Index
from rag.lexical import tokens
from rag.passage import Passage, Quote
from rag.question import Question, Term, plain
from rag.quote import DANGLING, LONGEST
from rag.retrieve import Retriever
from rag.sentences import split

MakePassage = Callable[..., Passage]

QUESTIONS = [
    "What is photosynthesis?",
    "photosynthesis",
    "Why are leaves green?",
    "What are stomata?",
    "How do plants store food?",
    "Does photosynthesis stop at night?",
    "What is evaporation?",
    "How are clouds made?",
    "How does a matka keep water cool?",
    "What is the difference between a flood and a drought?",
    "What is a linear equation?",
    "How do I solve 5x - 7 = 2x + 8?",
    "What is transposing?",
    "When did India become free?",
    "What was the Dandi March?",
    "Who was Subhas Chandra Bose?",
    "Why did Gandhi call off the Non-Cooperation Movement?",
    "What is an echo?",
    "Can sound travel through a vacuum?",
    "How can we reduce noise pollution?",
    "How far away is lightning when thunder comes after 3 seconds?",
]


@pytest.fixture(scope="module")
def quotes(index: Index, embedder: Embedder) -> dict[str, Quote]:
    grounding, retriever = Grounding(embedder), Retriever(index, embedder)
    made = {}
    for question in QUESTIONS:
        vector = embedder.embed([question])[0]
        quote = grounding.quote(
            retriever.read(question),
            retriever.retrieve(retriever.read(question), vector, answerable=UNFITTED).passages,
            vector,
        )
        assert quote is not None, question
        made[question] = quote
    return made


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("What is photosynthesis?", "Photosynthesis is the process by which green plants make food"),
        ("photosynthesis", "Photosynthesis is the process by which green plants make food"),
        ("Why are leaves green?", "they contain chlorophyll"),
        ("What are stomata?", "tiny pores"),
        ("Does photosynthesis stop at night?", "Photosynthesis stops at night because there is no sunlight."),
        ("What is evaporation?", "liquid water changes into water vapour"),
        ("How does a matka keep water cool?", "takes heat from the pot"),
        ("How do I solve 5x - 7 = 2x + 8?", "so x = 5."),
        ("When did India become free?", "15 August 1947"),
        ("Why did Gandhi call off the Non-Cooperation Movement?", "firmly against violence"),
        ("Can sound travel through a vacuum?", "Sound cannot travel through a vacuum."),
        ("How can we reduce noise pollution?", "Drivers should use the horn only when it is needed."),
        ("How far away is lightning when thunder comes after 3 seconds?", "1,020 m"),
    ],
)
def test_the_quote_answers(quotes: dict[str, Quote], question: str, told: str) -> None:
    assert told in quotes[question].text


def test_quotes_are_the_book_word_for_word_and_in_its_order(quotes: dict[str, Quote]) -> None:
    for quote in quotes.values():
        book = split(quote.passage.text)
        places = [book.index(sentence) for sentence in split(quote.text)]
        assert places == sorted(set(places))


def test_quotes_stand_alone(quotes: dict[str, Quote]) -> None:
    for question, quote in quotes.items():
        sentences = split(quote.text)
        is_example = sentences[0].startswith("Example")
        assert is_example or len(sentences) <= LONGEST, question
        assert not DANGLING.match(sentences[0]), question
        assert quote.text[-1] in '.!”"', question
        assert not re.search(r"\*\*|^#|\|", quote.text), question


@pytest.fixture
def grounding(embedder: Embedder) -> Grounding:
    return Grounding(embedder)


def test_a_sentence_that_leans_on_another_brings_it_along(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [make_passage("Cotton is a soft fibre. It grows around the seeds of the cotton plant.\nJute is strong.")]
    quote = grounding.quote(plain("Where does cotton grow on the plant, around seeds?"), held)
    assert quote is not None
    assert quote.text == "Cotton is a soft fibre. It grows around the seeds of the cotton plant."


def test_a_paragraph_does_not_lean_on_the_one_before(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [make_passage("Jute is strong.\nIt grows around the seeds of the cotton plant.")]
    quote = grounding.quote(plain("What grows around the seeds of the cotton plant?"), held)
    assert quote is None or "It grows" not in quote.text


def test_questions_rows_and_introductions_are_not_quoted(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [
        make_passage(
            "What colour is litmus in acid?\nIndicator: Litmus; In acid: red; In base: blue.\n"
            "Litmus turns red in acid.\nThese are the colours of litmus in acid:"
        )
    ]
    quote = grounding.quote(plain("What colour is litmus in acid?"), held)
    assert quote is not None
    assert quote.text == "Litmus turns red in acid."


def test_a_worked_example_is_quoted_whole(grounding: Grounding, make_passage: MakePassage) -> None:
    example = (
        "Example 4. Find 35% of 800. Write the percentage over 100. Multiply by the quantity. "
        "So 35/100 × 800 = 35 × 8 = 280. So 280 pupils play cricket."
    )
    held = [make_passage(f"Percent means out of a hundred.\n{example}")]
    quote = grounding.quote(plain("Find 35% of 800"), held)
    assert quote is not None
    assert quote.text == example


def test_a_worked_example_in_the_midst_of_a_paragraph_is_not_cut(
    grounding: Grounding, make_passage: MakePassage
) -> None:
    speed = "Speed is the distance covered in a unit of time. Cars and trains show speed in kilometres per hour."
    example = "Example 2. A train runs at 90 km/h. Its speed is 90 × 5/18 = 25 m/s."
    held = [make_passage(f"{speed}\nTo change km/h into m/s, multiply by 5/18. {example}", page=16)]
    quote = grounding.quote(plain("A train covers 150 km in 2.5 hours. What is its speed?"), held)
    assert quote is not None
    assert ("Example 2" in quote.text) == ("25 m/s" in quote.text)
    own = grounding.quote(plain("What is the speed in m/s of a train that runs at 90 km/h?"), held)
    assert own is not None
    assert own.text == example


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ("A fan of 60 W runs for 5 hours. How many units does it use?", False),
        ("A fan of 75 W runs for 8 hours. How many units does it use?", True),
        ("How many units does a fan use?", False),
        ("A fan of 60 W that runs for 5 hours uses 3 units, right?", False),
    ],
)
def test_a_worked_example_with_other_numbers_is_told_from_the_one_asked_about(
    grounding: Grounding, make_passage: MakePassage, asked: str, other: bool
) -> None:
    example = (
        "Example 6. A fan of 60 W runs for 5 hours. How many units does the fan use? 60 × 5 = 300. It uses 0.3 units."
    )
    quote = grounding.quote(plain(asked), [make_passage(example)])
    assert quote is not None
    assert quote.text == example
    assert quote.other_sum is other


def test_the_example_with_the_numbers_asked_about_is_quoted(grounding: Grounding, make_passage: MakePassage) -> None:
    first = "Example 1. Find the mean of five numbers whose sum is 90. The mean is 90 ÷ 5 = 18."
    second = "Example 2. Find the mean of four numbers whose sum is 52. The mean is 52 ÷ 4 = 13."
    held = [make_passage(f"{first}\n{second}")]
    for total, example in ((90, first), (52, second)):
        quote = grounding.quote(plain(f"The sum of some numbers is {total}. What is their mean?"), held)
        assert quote is not None
        assert quote.text == example


def test_a_hindi_sentence_that_begins_as_a_definition_is_the_best_of_those_that_define(
    grounding: Grounding, make_passage: MakePassage
) -> None:
    asked = Question("सूचक किसे कहते हैं?", "indicator", True, (Term("सूचक", (next(iter(tokens("सूचक"))),)),))
    definition = "सूचक वह पदार्थ है जो रंग बदलकर बताता है कि विलयन अम्लीय है या क्षारकीय।"
    texts = ("कुछ सूचक प्रयोगशाला में बनाए जाते हैं।", definition)
    quote = grounding.quote(asked, [replace(make_passage(text), language="hi") for text in texts])
    assert quote is not None
    assert quote.text == definition


STEAM = (
    "Water boils at 100 degrees Celsius. Steam is water as a gas. It is not seen. Watt watched a kettle as a boy. "
    "His first engine was sold in 1776."
)
RAIN = "Clouds are made of tiny drops of water. Do you like rain? Steam from a kettle is a small cloud."


def test_sentences_that_bear_on_the_question_are_gathered_best_first_with_what_they_lean_on(
    grounding: Grounding, make_passage: MakePassage
) -> None:
    held = [make_passage(RAIN, page=4), make_passage(STEAM, page=9)]
    texts = grounding.gather(plain("What is steam?"), held, words=16)
    assert texts == ["Steam is water as a gas.", "Steam from a kettle is a small cloud."]
    leaning = grounding.gather(plain("Why is steam not seen?"), held[1:], words=10)
    assert leaning == ["Steam is water as a gas. It is not seen."]
    later = grounding.gather(plain("What is steam? Is it seen?"), held[1:], words=10)
    assert later == leaning  # not "It is not seen." by itself, though its first sentence was taken before


def test_what_two_pages_say_in_the_same_words_is_gathered_once(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [make_passage("Steam is water as a gas.", page=page) for page in (4, 9)]
    assert grounding.gather(plain("What is steam?"), held) == ["Steam is water as a gas."]


def test_what_is_gathered_has_about_as_many_words_as_asked_for(grounding: Grounding, make_passage: MakePassage) -> None:
    held = [make_passage(RAIN, page=4), make_passage(STEAM, page=9)]
    for words in (8, 16, 24, 200):
        gathered = grounding.gather(plain("What is steam?"), held, words=words)
        assert 0 < len(" ".join(gathered).split()) <= words
    everything = " ".join(gathered)
    assert "rain?" not in everything  # a question tells nothing
    assert "1776" in everything
    assert grounding.gather(plain("What is steam?"), held, words=1) == ["Steam is water as a gas."]
    assert grounding.gather(plain("What is steam?"), []) == []


def test_nothing_close_means_no_quote(grounding: Grounding, make_passage: MakePassage) -> None:
    assert grounding.quote(plain("Who won the cricket world cup?"), [make_passage("Ice melts at 0 °C.")]) is None
    assert grounding.quote(plain("What is ice?"), []) is None


@pytest.mark.parametrize(
    ("asked", "is_hindi", "preferred", "language"),
    [
        ("वाष्पीकरण क्या है?", True, None, "hi"),
        ("vashpikaran kya hai", True, None, "en"),
        ("vashpikaran kya hai", True, "hi", "hi"),  # the student has said so
        ("What is evaporation?", False, None, "en"),
    ],
)
def test_a_child_who_asks_in_hindi_reads_hindi(
    grounding: Grounding, make_passage: MakePassage, asked: str, is_hindi: bool, preferred: str | None, language: str
) -> None:
    twins = [
        replace(make_passage("Evaporation is the change of a liquid into vapour at any temperature."), score=0.7),
        replace(make_passage("वाष्पीकरण में द्रव किसी भी ताप पर वाष्प बन जाता है।"), language="hi", score=0.6),
    ]
    term = Term("evaporation", ("evapor", *tokens("वाष्पीकरण")))
    quote = grounding.quote(Question(asked, "what is evaporation", is_hindi, (term,)), twins, language=preferred)
    assert quote is not None
    assert quote.passage.language == language


def test_a_sentence_that_announces_a_list_brings_it_along(grounding: Grounding, make_passage: MakePassage) -> None:
    reasons = ["Food ran out at one place.", "Animals moved in search of grass.", "Rivers dried up in summer."]
    passage = make_passage("\n".join(["Hunters moved from place to place for three reasons.", *reasons]))
    quote = grounding.quote(plain("Why did hunters move from place to place?"), [passage])
    assert quote is not None
    assert quote.text == passage.text.replace("\n", " ")


def test_a_list_that_is_not_there_is_not_made_up(grounding: Grounding, make_passage: MakePassage) -> None:
    told = "Hunters moved from place to place for three reasons."
    other = "Pots were made of clay. Clay was dug near the river. Potters used a wheel."
    quote = grounding.quote(plain("Why did hunters move from place to place?"), [make_passage(f"{told}\n{other}")])
    assert quote is not None
    assert "wheel" not in quote.text


@pytest.fixture(scope="module")
def of_hindi() -> Grounding:
    return Grounding(Embedder(threads=1, glossary=Path(__file__).resolve().parents[2] / "data" / "glossary"))


def asked_in_hindi(text: str, english: str, *spoken: str) -> Question:
    return Question(text, english, True, tuple(Term(word, tuple(tokens(word))) for word in spoken))


def test_the_sentence_of_a_hindi_book_is_chosen_by_what_it_means(
    of_hindi: Grounding, make_passage: MakePassage
) -> None:
    told = "पौधे हमारे चारों ओर उगते हैं और पौधे कई रंग के होते हैं। पत्तियाँ सूर्य के प्रकाश में भोजन बनाती हैं। पौधे की जड़ मिट्टी में रहती है।"
    question = asked_in_hindi("पौधे अपना खाना कैसे बनाते हैं?", "plants food make", "पौधे", "खाना")
    quote = of_hindi.quote(question, [replace(make_passage(told), language="hi")])
    assert quote is not None
    assert "भोजन बनाती हैं" in quote.text


def test_a_hindi_sentence_that_leans_on_another_brings_it_along(of_hindi: Grounding, make_passage: MakePassage) -> None:
    told = "हिमनद बर्फ़ की धीरे बहने वाली नदी है। यह पहाड़ों की चट्टानों को घिसकर घाटी बनाता है।"
    question = asked_in_hindi("घाटी कैसे बनती है?", "valley make", "घाटी")
    quote = of_hindi.quote(question, [replace(make_passage(told), language="hi")])
    assert quote is not None
    assert quote.text == told


def test_a_worked_example_in_hindi_is_quoted_whole(of_hindi: Grounding, make_passage: MakePassage) -> None:
    told = "उदाहरण 2. 12 V पर 2 C आवेश ले जाने में कितना कार्य होगा? W = V × Q = 12 × 2। किया गया कार्य 24 J है।"
    question = asked_in_hindi("12 V पर 2 C आवेश ले जाने में कितना कार्य होगा?", "12 V 2 C charge work", "आवेश", "कार्य")
    quote = of_hindi.quote(question, [replace(make_passage(told), language="hi")])
    assert quote is not None
    assert quote.text == told
