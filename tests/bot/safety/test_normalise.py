"""Every form that a text is screened in, and no form that makes nonsense of it."""

from __future__ import annotations

import base64
import random

import pytest

from bot.safety.normalise import forms, meant, views


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Hello", "hello"),
        ("h0w t0 m4k3", "how to make"),
        ("k1ll", "kill"),
        ("ki11", "kill"),
        ("b o m b banana", "bomb banana"),
        ("b.o.m.b", "bomb"),
        ("m a k e  i t", "make it"),
        ("म र ना", "मरना"),
        ("fuuuuck", "fuck"),
        ("boooomb", "boomb"),
        ("%68%65llo", "hello"),
        ("&#104;ello", "hello"),
        ("\\u0068ello", "hello"),
        (base64.b64encode(b"tell me about plants").decode(), "tell me about plants"),
        (base64.urlsafe_b64encode("मुझे बताओ".encode()).decode(), "मुझे बताओ"),
        ("decode this: " + base64.b64encode(b"tell me about plants").decode() + " now", "tell me about plants"),
        (b"tell me about it".hex(), "tell me about it"),
        ("74 65 6c 6c 20 6d 65 20 6e 6f 77", "tell me now"),
        ("gryy zr ubj gb qb vg", "tell me how to do it"),
        ("ti od ot woh em llet", "tell me how to do it"),
    ],
)
def test_a_disguise_is_undone(text: str, form: str) -> None:
    assert form in views(text)


@pytest.mark.parametrize(
    "text", ["What is 20 + 35?", "photosynthesis", "प्रकाश क्या है", "a b c d", "deadbeefdeadbeefdead"]
)
def test_the_plain_form_comes_first_and_none_twice(text: str) -> None:
    forms = views(text)
    assert len(set(forms)) == len(forms)
    assert forms[0].split()[0] == text.split()[0].casefold()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h0w d0 y0u 0p3n th3 d00r", "how do you open the door"),
        ("h o w  d o  i  o p e n  t h e  d o o r", "how do i open the door"),
        ("h o w d o i o p e n t h e d o o r", "how do i open the door"),
        ("how to o.p.e.n the w.i.n.d.o.w", "how to open the window"),
        ("edicius timmoc", "commit suicide"),
        ("mujhe batao"[::-1], "mujhe batao"),
        ("मुझे दरवाज़ा खोलना है"[::-1], "मुझे दरवाजा खोलना है"),
        ("  ".join(" ".join(word) for word in ["मुझे", "किताब", "चाहिए"]), "मुझे किताब चाहिए"),
        ("मुझे कि.ता.ब अभी चाहिए".replace("कि.ता.ब", ".".join("किताब")), "मुझे किताब अभी चाहिए"),
        ("ubj gb bcra gur qbbe", "how to open the door"),
        ("answer: " + base64.b64encode(b"open the door").decode(), "open the door"),
        (b"open the door".hex(), "open the door"),
    ],
)
def test_what_a_disguise_hides_is_what_was_meant(text: str, said: str) -> None:
    assert said in meant(forms(text))


@pytest.mark.parametrize(
    "text",
    [
        "What is 20 + 35?",
        "x + y = 5, solve for x",
        "Take 5 g of NaCl in 100 ml of H2O",
        "class 8th ka 3rd chapter",
        "photosynthesis",
        "प्रकाश क्या है",
        "gm sir!!!",
        "level off, refer, madam, noon",
    ],
)
def test_an_open_text_has_no_second_meaning(text: str) -> None:
    assert meant(forms(text)) == ()


def test_numbers_stay_numbers() -> None:
    assert views("20 + 35 = 55") == ("20 35 55",)


def test_what_decodes_to_noise_is_left_alone() -> None:
    noise = base64.b64encode(bytes(range(128, 160))).decode()
    assert all("\ufffd" not in form for form in views(noise))
    assert not any("deadbeef" not in form and len(form) > 30 for form in views("deadbeef" * 4))


def test_encodings_are_opened_to_a_bounded_depth() -> None:
    text = "tell me about plants"
    for _ in range(3):
        text = base64.b64encode(text.encode()).decode()
    assert "tell me about plants" not in views(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " " * 20_000,
        "a" * 100_000,
        "a " * 50_000,
        "1@" * 50_000,
        "%41" * 7_000,
        "&#" * 50_000,
        "aa:" * 7_000,
        "=" * 20_000,
        "\u200b" * 100_000,
        "\ud7ff\ue000\U0010ffff" * 5_000,
        "😀" * 20_000,
        "क्" * 20_000,
        "e" + "\u0301" * 20_000,
        "\x00\x1b[31m" * 5_000,
        "((((" * 10_000,
    ],
)
def test_hostile_texts_end(text: str) -> None:
    assert len(views(text)) >= 1


def test_any_text_ends() -> None:
    dice = random.Random(5)
    for _ in range(300):
        text = "".join(
            chr(dice.choice((dice.randrange(32, 127), dice.randrange(0x900, 0x980), dice.randrange(0x2FFF))))
            for _ in range(60)
        )
        for form in views(text):
            assert form == " ".join(form.split())
