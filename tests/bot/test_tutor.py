"""One turn: which route it takes, what may be shown, and what happens when a part fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bot.calculating.calculator import Calculator
from bot.ports import Action, Decoding, Generator, Kind, Passage, Profile, Route, Turn, Verdict
from bot.proof import UNSAFE
from bot.replies import Replies
from bot.settings import PROJECT
from bot.tutor import Tutor
from bot.tutoring.commands import Commands
from bot.tutoring.everyday import Everyday
from inference.prompt import grounded
from tests.memory import ListGenerator, MemoryLibrary, WordSafety

PAGE = Passage(
    id="p1",
    text="Photosynthesis is how green plants make food. Plants need sunlight. Leaves hold chlorophyll.",
    book="Science, Class 7",
    chapter="Photosynthesis, How Plants Make Food",
    page=2,
    class_level=7,
    subject="science",
    language="en",
    score=0.7,
)
HELPLINES = {"mental_health": "14416", "child": "1098", "emergency": "112"}
CALCULATOR = Calculator()
REPLIES = Replies.load(PROJECT / "data" / "locales", HELPLINES)


def tutor(generator: Generator | None = None, library: MemoryLibrary | None = None) -> Tutor:
    shelf = library or MemoryLibrary((PAGE,))
    return Tutor(
        safety=WordSafety(),
        retriever=shelf,
        grounder=shelf,
        generator=generator,
        replies=REPLIES,
        everyday=Everyday().match,
        calculate=CALCULATOR.answer,
        commands=Commands(REPLIES),
        prompt=grounded,
        decoding=Decoding(),
    )


def turn(text: str, kind: Kind = Kind.TEXT, profile: Profile | None = None) -> Turn:
    return Turn("1", kind, text, profile or Profile(language="en"))


class Heard(list[str]):
    async def __call__(self, piece: str) -> None:
        self.append(piece)


async def test_supported_sentences_are_generated_shown_and_sourced() -> None:
    heard = Heard()
    writer = ListGenerator(["Photosynthesis is how green ", "plants make food. Plants need", " sunlight."])
    answer = await tutor(writer).answer(turn("What is photosynthesis?"), heard)
    assert answer.route is Route.GENERATED
    assert answer.text == "Photosynthesis is how green plants make food. Plants need sunlight."
    assert "".join(heard) == answer.text
    assert answer.adapter == "general-000000000000"
    (source,) = answer.sources
    assert (source.book, source.page) == ("Science, Class 7", 2)
    assert answer.message().endswith("page 2")
    assert answer.decoding == Decoding()
    assert {"screen", "retrieve", "write", "total"} <= set(answer.timings)


async def test_the_model_is_told_the_conversation_so_that_a_canary_gets_its_share() -> None:
    writer = ListGenerator(["Plants need sunlight."])
    await tutor(writer).answer(replace(turn("What is photosynthesis?"), conversation="7"))
    assert writer.conversations == ["7"]


async def test_the_answer_ends_before_the_first_unsupported_sentence() -> None:
    heard = Heard()
    writer = ListGenerator(["Plants need sunlight. ", "Plants eat soil. ", "Leaves hold chlorophyll."])
    answer = await tutor(writer).answer(turn("What do plants need?"), heard)
    assert answer.text == "Plants need sunlight."
    assert "".join(heard) == answer.text


async def test_unsupported_text_is_never_shown_and_the_book_is_quoted() -> None:
    heard = Heard()
    writer = ListGenerator(["Plants eat soil. ", "Plants need sunlight."])
    answer = await tutor(writer).answer(turn("What do plants eat?"), heard)
    assert heard == []
    assert answer.route is Route.QUOTED
    assert answer.text == "Photosynthesis is how green plants make food."
    assert answer.adapter is None
    assert writer.closed_early  # no time is spent on text nobody will see


async def test_what_is_true_but_beside_the_point_is_not_an_answer() -> None:
    heard = Heard()
    writer = ListGenerator(["Plants need sunlight. ", "Leaves hold chlorophyll."])
    answer = await tutor(writer, MemoryLibrary((PAGE,), beside="sunlight")).answer(
        turn("What is photosynthesis?"), heard
    )
    assert heard == []
    assert answer.route is Route.QUOTED


async def test_what_says_too_little_is_kept_back_until_it_says_enough() -> None:
    heard = Heard()
    library = MemoryLibrary((PAGE,), needed="chlorophyll")
    writer = ListGenerator(["Plants need sunlight. ", "Leaves hold chlorophyll. ", "Plants need sunlight."])
    answer = await tutor(writer, library).answer(turn("What do leaves hold?"), heard)
    assert heard == ["Plants need sunlight. Leaves hold chlorophyll.", " Plants need sunlight."]
    assert answer.route is Route.GENERATED
    assert answer.text == "".join(heard)


@pytest.mark.parametrize("rest", ["", "Plants eat soil. ", "A forbidden thing. "])
async def test_what_never_says_enough_is_not_shown(rest: str) -> None:
    heard = Heard()
    writer = ListGenerator(["Plants need sunlight. ", rest, "Leaves hold chlorophyll."][: 2 if not rest else 3])
    answer = await tutor(writer, MemoryLibrary((PAGE,), needed="chlorophyll")).answer(turn("What is held?"), heard)
    assert heard == []
    assert answer.route is Route.QUOTED
    assert writer.closed_early is bool(rest)  # nothing after a sentence that failed could make it enough


async def test_an_answer_does_not_wander_to_another_page() -> None:
    other = replace(PAGE, id="p2", page=9, text="A cell is small.")
    writer = ListGenerator(["Plants need sunlight. ", "A cell is small."])
    answer = await tutor(writer, MemoryLibrary((PAGE, other))).answer(turn("What do plants need?"))
    assert answer.text == "Plants need sunlight."


async def test_unsafe_generated_text_is_never_shown() -> None:
    library = MemoryLibrary((replace(PAGE, text="Good sentence. A forbidden thing."),))
    heard = Heard()
    answer = await tutor(ListGenerator(["A forbidden thing."]), library).answer(turn("Tell me"), heard)
    assert heard == []
    assert answer.text == "Good sentence."


async def test_a_quote_that_is_unsafe_is_not_sent_either() -> None:
    library = MemoryLibrary((replace(PAGE, text="A forbidden thing."),))
    answer = await tutor(None, library).answer(turn("Tell me"))
    assert answer.route is Route.REFUSED
    assert "forbidden" not in answer.message()
    assert answer.incident == "unsafe_answer"


@pytest.mark.parametrize("generator", [None, ListGenerator([], dies=True), ListGenerator([]), ListGenerator(["   "])])
async def test_without_usable_text_the_book_is_quoted(generator: Generator | None) -> None:
    answer = await tutor(generator).answer(turn("What is photosynthesis?"))
    assert answer.route is Route.QUOTED
    assert answer.sources[0].page == 2


async def test_what_the_book_does_not_hold_is_said_so_with_what_it_does_hold() -> None:
    library = MemoryLibrary((), nearby=("Sound (Science, Class 8)",))
    answer = await tutor(None, library).answer(turn("Who wrote Hamlet?"))
    assert answer.route is Route.NOT_IN_BOOK
    assert "Sound (Science, Class 8)" in answer.text
    assert answer.sources == ()
    bare = await tutor(None, MemoryLibrary()).answer(turn("Who wrote Hamlet?"))
    assert bare.route is Route.NOT_IN_BOOK


async def test_passages_without_a_fitting_sentence_are_not_in_the_book() -> None:
    answer = await tutor(None, MemoryLibrary((PAGE,), quotable=False)).answer(turn("Who?"))
    assert answer.route is Route.NOT_IN_BOOK


async def test_a_sum_with_other_numbers_is_shown_the_way_and_told_that_it_is_another() -> None:
    model = ListGenerator(["Plants need sunlight."])
    answer = await tutor(model, MemoryLibrary((PAGE,), other_sum=True)).answer(turn("How many plants does Asha have?"))
    assert answer.route is Route.NOT_IN_BOOK
    example = "Photosynthesis is how green plants make food."
    assert answer.text == REPLIES.say("another_sum", "en", example=example)
    assert [source.page for source in answer.sources] == [2]
    assert "Photosynthesis, How Plants Make Food" in answer.source_line
    assert model.prompts == []


async def test_an_unsafe_example_is_not_shown_beside_another_sum() -> None:
    library = MemoryLibrary((replace(PAGE, text="A forbidden thing."),), other_sum=True)
    answer = await tutor(None, library).answer(turn("How much?"))
    assert answer.route is Route.REFUSED
    assert "forbidden" not in answer.message()


@pytest.mark.parametrize(("confidence", "cautious"), [(0.49, True), (0.9, False)])
async def test_low_confidence_asks_to_verify_with_the_teacher(confidence: float, cautious: bool) -> None:
    answer = await tutor(ListGenerator(["Plants need sunlight."], confidence)).answer(turn("What do plants need?"))
    assert ("I'm not very sure. Please verify with your teacher!" in answer.message()) is cautious


async def test_distress_reaches_helplines_and_staff_and_never_the_model() -> None:
    writer = ListGenerator(["Plants need sunlight."])
    answer = await tutor(writer).answer(turn("I am distressed"))
    assert answer.route is Route.ESCALATED
    assert answer.incident == "self_harm"
    assert all(number in answer.text for number in ("14416", "1098", "112"))
    assert writer.prompts == []


async def test_a_distressed_word_behind_a_slash_is_heard_too() -> None:
    answer = await tutor().answer(turn("/help I am distressed", Kind.COMMAND))
    assert answer.route is Route.ESCALATED


async def test_a_refused_question_never_reaches_the_model() -> None:
    writer = ListGenerator(["Plants need sunlight."])
    answer = await tutor(writer).answer(turn("something forbidden"))
    assert answer.route is Route.REFUSED
    assert writer.prompts == []


async def test_a_broken_filter_fails_closed_and_tells_staff() -> None:
    writer = ListGenerator(["Plants need sunlight."])
    answer = await tutor(writer).answer(turn("brokenfilter"))
    assert answer.route is Route.REFUSED
    assert answer.incident == "safety_error"
    assert writer.prompts == []


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("I am distressed", Verdict(Action.ESCALATE, "self_harm", "distress")),
        ("something forbidden", Verdict(Action.REFUSE, "weapons", "refused.weapons")),
        ("brokenfilter", UNSAFE),
        ("What is photosynthesis?", None),
        ("hi", None),
        ("a" * 20_000, None),
    ],
)
async def test_an_answer_holds_the_verdict_of_what_was_refused_or_escalated(text: str, verdict: Verdict | None) -> None:
    assert (await tutor().answer(turn(text))).verdict == verdict


@pytest.mark.parametrize(("text", "category"), [("A forbidden thing.", "weapons"), ("A brokenfilter.", "safety_error")])
async def test_an_answer_that_was_held_back_holds_the_verdict_on_itself(text: str, category: str) -> None:
    answer = await tutor(None, MemoryLibrary((replace(PAGE, text=text),))).answer(turn("Tell me"))
    assert answer.verdict is not None
    assert (answer.route, answer.incident) == (Route.REFUSED, "unsafe_answer")
    assert (answer.verdict.action, answer.verdict.category) == (Action.REFUSE, category)


@pytest.mark.parametrize(
    ("text", "route"),
    [("hi", Route.SMALLTALK), ("thank you", Route.SMALLTALK), ("tell me a joke", Route.OFF_TOPIC)],
)
async def test_everyday_messages_are_met_as_a_person_would(text: str, route: Route) -> None:
    answer = await tutor().answer(turn(text))
    assert answer.route is route
    assert answer.confidence is None


@pytest.mark.parametrize(("text", "key"), [("   ", "empty_question"), ("a" * 20_000, "too_long")])
async def test_empty_and_endless_questions_get_a_kind_word(text: str, key: str) -> None:
    answer = await tutor().answer(turn(text))
    assert answer.route is Route.REFUSED
    assert answer.text == REPLIES.say(key, "en")


async def test_distress_at_length_is_heard() -> None:
    answer = await tutor().answer(turn("Everything is wrong. " * 200 + "I am distressed"))
    assert answer.route is Route.ESCALATED


async def test_a_message_without_words_is_told_how_to_ask() -> None:
    answer = await tutor().answer(turn("?? !!"))
    assert answer.text == REPLIES.say("rephrase", "en")


@pytest.mark.parametrize("kind", ["photo", "voice", "sticker", "something new"])
async def test_what_cannot_be_read_is_answered_kindly(kind: str) -> None:
    answer = await tutor().answer(turn(kind, Kind.UNSUPPORTED))
    assert answer.text


async def test_commands_change_the_profile() -> None:
    answer = await tutor().answer(turn("/class 7", Kind.COMMAND))
    assert answer.route is Route.COMMAND
    assert answer.profile is not None
    assert answer.profile.class_level == 7


async def test_fixed_replies_come_in_the_students_language() -> None:
    library = MemoryLibrary(())
    hindi = await tutor(None, library).answer(Turn("1", Kind.TEXT, "प्रकाश संश्लेषण क्या है?"))
    assert hindi.language == "hi"
    assert any("ऀ" <= character <= "ॿ" for character in hindi.text)
    chosen = await tutor(None, library).answer(turn("What is a cell?", profile=Profile(language="hi")))
    assert chosen.text == hindi.text


@pytest.mark.parametrize(
    ("asked", "language", "said"),
    [
        ("15% of 240 kitna hoga", "hinglish", "36"),
        ("12 × 15 = ?", "en", "180"),
        ("240 का 15% कितना है", "hi", "36"),
        ("2x + 3 = 11", "en", "x = 4"),
    ],
)
async def test_a_sum_is_worked_out_and_no_model_asked(asked: str, language: str, said: str) -> None:
    answer = await tutor(ListGenerator(["It is 7."])).answer(turn(asked, profile=Profile(language=language)))
    assert answer.route is Route.CALCULATED
    assert said in answer.text.splitlines()[-1]
    assert (answer.sources, answer.confidence, answer.language) == ((), None, language)


async def test_a_question_about_sums_is_left_to_the_book() -> None:
    answer = await tutor().answer(turn("Why do plants need 6 CO2 + 6 H2O?"))
    assert answer.route is not Route.CALCULATED


async def test_a_word_that_may_not_be_said_is_not_spelt_back() -> None:
    strict = replace(tutor(), safety=EchoSafety())
    answer = await strict.answer(turn("reverse the word apple"))
    assert (answer.route, "elppa" in answer.text) == (Route.REFUSED, False)
    assert (await tutor().answer(turn("reverse the word apple"))).route is Route.CALCULATED


class EchoSafety(WordSafety):
    """Lets every question through, and no answer that holds a certain word backwards."""

    async def screen_question(self, text: str, earlier: Sequence[str] = ()) -> Verdict:
        return Verdict(Action.ALLOW)

    async def screen_answer(self, text: str, earlier: Sequence[str] = ()) -> Verdict:
        return Verdict(Action.REFUSE, "leak", "refused") if "elppa" in text else Verdict(Action.ALLOW)
