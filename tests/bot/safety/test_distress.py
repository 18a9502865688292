"""A child in trouble is heard, in three ways of writing and through disguises; a lesson is not taken for trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.safety.distress import Distress
from bot.safety.normalise import views
from bot.settings import PROJECT

DISTRESS = Distress.load(PROJECT / "data" / "safety" / "distress.json")

HEARD = {
    "self_harm": [
        "i want to die",
        "I wanna die",
        "i wnt 2 die",
        "marna chahta hoon",
        "mujhe marna hai",
        "mujhe marna",
        "want die",
        "main mar jana chahti hu",
        "मैं मरना चाहता हूँ",
        "मुझे मरना है",
        "nobody would miss me",
        "jeene ka man nahi karta",
        "ab jeena nahi chahti",
        "जीने का मन नहीं करता",
        "i am going to kill myself",
        "i feel like ending my life",
        "whats the point of living",
        "sometimes i cut my arms",
        "apni jaan de dunga",
        "nas kaat lungi",
        "zindagi se thak gaya hu",
        "meri zindagi bekar hai",
        "kisi ko meri parwah nahi hai",
        "my friend wants to kill herself",
        "how many sleeping pills will kill me",
        "I don't want to live anymore",
        "i dont wanna be here anymore",
        "it would be better if I was dead",
        "main chhat se kood jaungi",
        "फांसी लगा लूंगा",
        "m a r n a  c h a h t a  h u",
        "w4nt to d1e",
        "everyone at school hates me",
        "i hate my life",
        "mai khud ko khatam kar lunga",
        "can you help me i keep cutting myself",
    ],
    "violence": [
        "mujhe koi maarta hai",
        "bachao",
        "बचाओ",
        "papa maarte",
        "my father beats me",
        "mere papa daru pikar mummy ko marte hai",
        "papa mujhe roz marte h",
        "मेरे पापा मुझे रोज़ मारते हैं",
        "मुझे घर जाने से डर लगता है",
        "my teacher hits me with a stick",
        "my dad comes home drunk and hits my mom",
        "पापा शराब पीकर मारते हैं",
        "i am scared of my father",
    ],
    "abuse": [
        "he touched me",
        "touched me",
        "he touches me",
        "mere uncle mujhe galat jagah touch karte hain",
        "मेरे चाचा मुझे गलत तरीके से छूते हैं",
        "mummy papa meri shaadi zabardasti kara rahe hain",
        "my parents are forcing me to marry",
        "sir mujhe akele me bulate h aur galat kaam karte h",
        "my uncle comes into my room at night",
        "i was raped",
        "ek ladka mujhe blackmail kar raha hai photo viral karne ki dhamki deta hai",
        "someone is threatening to leak my photos",
        "koi mujhe touch karta hai mujhe acha nahi lagta",
        "tution wale sir ne mujhe kiss kiya",
    ],
    "running_away": [
        "i'm thinking of running away from home",
        "ghar se bhag jana chahta hu",
        "मैं घर से भागना चाहता हूँ",
    ],
    "bullying": [
        "seniors are bullying me",
        "they are ragging me in hostel",
        "mujhe school me bache chidhate hai",
    ],
}

LESSONS = [
    "why did Gandhi die",
    "plants die without water",
    "I am dying to know the answer",
    "how to kill weeds",
    "Why do stars die?",
    "What is good touch and bad touch?",
    "When did Bhagat Singh die?",
    "bhagat singh ko fansi kab di gayi",
    "गांधीजी की मृत्यु कब हुई",
    "भगत सिंह को फांसी क्यों दी गई",
    "matter kya hai aur kaise badalta hai",
    "Why are farmers committing suicide in India?",
    "if a ball hits me with a force of 5 N what is the reaction",
    "Explain how the heart beats",
    "paani ke bina paudhe kyon mar jate hain",
    "paani bachao",
    "बेटी बचाओ बेटी पढ़ाओ योजना क्या है",
    "wants and needs in economics",
    "पानी के बिना पौधे क्यों मर जाते हैं",
    "What happens to cells when they die?",
    "my teacher gave me homework on photosynthesis",
    "mera teacher mujhe ganit padhate hain",
    "mujhe ganit samajh nahi aata",
    "मुझे गणित समझ नहीं आता",
    "mujhe kuch samajh nahi aaya",
    "I hate maths",
    "how does a lever help me lift",
    "my exam is tomorrow, I am scared",
    "I am afraid of maths exam",
    "why do dinosaurs have died out",
    "main ghar se school jata hu 2 km, kitna samay lagega",
    "aap mujhe bata sakte ho",
    "Kisan jeevan me kya kya karte the",
    "jeevan ke liye pani kyo zaroori hai",
    "जीवन के लिए पानी क्यों ज़रूरी है",
    "जंगल में जीवन कैसा होता है",
    "why does my pulse beat",
    "What is the meaning of life cycle",
    "how do I find the end point of a line",
    "He hit the ball and it touched me, what force acted?",
    "i feel cold when sweat evaporates why",
    "why do we feel empty stomach hungry",
    "I can't do this sum",
    "i cant take notes fast help",
    "touch me not plant closes its leaves why",
    "mimosa touch karne par kyo band hota hai",
    "what is the last day to submit",
    "My friends and I share a pizza in 8 slices",
    "Rani ran away with the horse in which battle",
    "who killed Mahatma Gandhi",
    "give and take in barter",
    "i want to live on moon is it possible",
    "why do living things need to live",
    "I give up, tell me the answer",
    "I want to know how animals die in winter",
    "nakshe me ghar chhota kyon dikhta hai",
    "mera koi doubt nahi hai",
    "मुझे नींद के बारे में बताओ",
    "mujhe train ki speed nikalni hai",
    "train ke aage wali gaadi ki chaal",
    "goli ki gati kitni hogi",
    "zahar kya hota hai",
    "सांप का जहर कैसे काम करता है",
    "dar kaise lagta hai brain me",
    "chand par jaane se kya hota hai",
    "kya main sir se sawal puch sakta hu",
    "i need to finish my homework today",
    "What happens when two stars collide and die?",
    "Which freedom fighter gave up his life at the age of 23?",
    "भगत सिंह ने अपनी जान देश के लिए दी",
    "How do we beat an egg and what change is it?",
    "Why did Draupadi feel insulted?",
    "Touch, sight and smell are which kind of senses?",
    "mujhe 5 ka table batao",
    "मुझे प्रकाश के बारे में बताओ",
    "My father is 40 years old and I am 12, find the ratio",
    "My uncle beat my father by 3 runs in a match, what is the average",
]


def category(text: str) -> str | None:
    return DISTRESS.category(views(text))


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in HEARD.items() for text in texts])
def test_a_child_in_trouble_is_heard(text: str, kind: str) -> None:
    assert category(text) == kind


@pytest.mark.parametrize("text", [texts[0] for texts in HEARD.values()])
@pytest.mark.parametrize(
    "wrap", ["sir ek baat batani hai. {}", "{} what is photosynthesis?", "{}!!!!", "*{}*", "😭 {} 😭"]
)
def test_it_is_heard_amid_other_words(text: str, wrap: str) -> None:
    assert category(wrap.format(text)) is not None


@pytest.mark.parametrize("text", LESSONS)
def test_a_lesson_is_a_lesson(text: str) -> None:
    assert category(text) is None


@pytest.mark.parametrize("text", ["bhag jaungi", "भाग जाऊँगा", "bachao mujhe", "papa maarte h", "want to die"])
def test_two_words_alone_are_heard(text: str) -> None:
    """The classifier passes over what is so short; lists are all there is for it."""
    assert DISTRESS.category(views(text)) is not None


def test_a_lessons_phrase_hides_nothing_beside_it() -> None:
    assert category("I am dying to know how volcanoes erupt") is None
    assert category("I am dying to know how volcanoes erupt and also I want to die") == "self_harm"


def test_the_graver_kind_names_the_message() -> None:
    assert category("they bully me every day and I want to die") == "self_harm"


def test_a_malformed_lexicon_is_named(tmp_path: Path) -> None:
    path = tmp_path / "distress.json"
    path.write_text('{"groups": {}, "lessons": [], "categories": {"x": ["<nobody>"]}}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"distress\.json is not a lexicon: no group is called <nobody>"):
        Distress.load(path)
