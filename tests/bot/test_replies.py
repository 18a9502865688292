"""The locales say the same things, and everything the code says exists."""

from __future__ import annotations

import ast
import json
import string
from pathlib import Path

import pytest

from bot.language import NAMES, detect
from bot.replies import Replies
from bot.safety.output import LEAK, PERSONAL_DATA
from bot.safety.rules import Rules
from bot.settings import PROJECT, HelplineSettings
from bot.tutoring.commands import SUBJECTS
from bot.tutoring.everyday import Everyday

FOLDER = PROJECT / "data" / "locales"
WORDINGS: dict[str, dict[str, list[str]]] = {
    path.stem: {
        key: held if isinstance(held, list) else [held]
        for key, held in json.loads(path.read_text(encoding="utf-8")).items()
    }
    for path in FOLDER.glob("*.json")
}
TEXTS = {language: {key: "\n".join(held) for key, held in texts.items()} for language, texts in WORDINGS.items()}
KEYS = sorted(TEXTS["en"])
HELPLINES = HelplineSettings().model_dump()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def said_keys(source: str) -> set[str]:
    """Every literal first argument of a call of something named say, _say or _fixed."""
    keys = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            key = node.args[0].value
            if name in {"say", "_say", "_fixed", "InvalidQuestion"} and isinstance(key, str) and " " not in key:
                keys.add(key)
    return keys


def test_there_is_a_locale_for_every_language() -> None:
    assert set(TEXTS) == set(NAMES)


@pytest.mark.parametrize("language", sorted(NAMES))
def test_locales_have_the_same_keys_and_placeholders(language: str) -> None:
    assert sorted(TEXTS[language]) == KEYS
    for key in KEYS:
        assert placeholders(TEXTS[language][key]) == placeholders(TEXTS["en"][key]), key


def test_a_refusal_is_worded_in_several_ways_and_each_is_said() -> None:
    replies = Replies.load(FOLDER, HELPLINES)
    refusals = [key for key in KEYS if key.startswith("refused.") and len(WORDINGS["en"][key]) > 1]
    assert len(refusals) >= 10
    for key in refusals:
        for language in NAMES:
            wordings = WORDINGS[language][key]
            assert len(set(wordings)) == len(WORDINGS["en"][key])
            assert {replies.say(key, language) for _ in range(200)} == set(wordings)


def said_in(folder: Path, *, but: Path | None = None) -> set[str]:
    """The keys that the modules of a folder say."""
    paths = [path for path in folder.rglob("*.py") if but is None or but not in path.parents]
    return set().union(*(said_keys(path.read_text(encoding="utf-8")) for path in paths))


def test_every_key_that_the_code_says_exists() -> None:
    sums = PROJECT / "bot" / "calculating"
    said = said_in(PROJECT / "bot", but=sums)
    assert {"caution", "welcome", "empty_question"} <= said
    assert said <= set(KEYS), said - set(KEYS)
    known = set(json.loads((PROJECT / "data" / "calculating" / "texts" / "en.json").read_text(encoding="utf-8")))
    explained = said_in(sums)
    assert {"answer", "prime.yes"} <= explained
    assert explained <= known, explained - known


def test_every_key_made_of_data_exists() -> None:
    rules = Rules.load(PROJECT / "data" / "safety" / "rules.json")
    made = {f"refused.{category}" for category in (*rules.categories, LEAK, PERSONAL_DATA)}
    made |= {f"subject.{subject}" for subject in SUBJECTS} | Everyday().keys
    assert made <= set(KEYS), made - set(KEYS)


LABELS = {"source", "source_unpaged", "class_name", "all_classes", "all_subjects", "consent_no"}  # a word or two


@pytest.mark.parametrize(
    "key", [key for key in KEYS if not key.startswith(("subject.", "menu.")) and key not in LABELS]
)
def test_each_locale_speaks_its_language(key: str) -> None:
    assert detect(TEXTS["hi"][key]) == "hi"
    assert detect(TEXTS["hinglish"][key]) == "hinglish"
    assert not any("\u0900" <= c <= "\u097f" for c in TEXTS["hinglish"][key] + TEXTS["en"][key])


@pytest.mark.parametrize("language", sorted(NAMES))
def test_a_child_in_distress_is_given_the_configured_numbers(language: str) -> None:
    reply = Replies.load(FOLDER, HELPLINES | {"child": "116111"}).say("distress", language)
    assert "14416" in reply
    assert "116111" in reply
    assert "112" in reply
    assert "1098" not in reply


@pytest.mark.parametrize(("language", "mistake"), [("en", "mistakes"), ("hi", "गलती"), ("hinglish", "galti")])
def test_welcome_and_help_say_that_the_tutor_errs(language: str, mistake: str) -> None:
    replies = Replies.load(FOLDER)
    assert mistake in replies.say("welcome", language)
    assert mistake in replies.say("help", language)


def test_the_promised_sentences_are_said_word_for_word() -> None:
    replies = Replies.load(FOLDER)
    assert replies.say("off_topic", "en").startswith("I can only help with educational topics!")
    assert replies.say("caution", "en") == "I'm not very sure. Please verify with your teacher!"
    assert replies.say("source", "en", book="Science", chapter="Cells", page=3) == "Source: Science, Cells, page 3"


def test_an_unknown_language_and_a_missing_text_fall_back_to_english() -> None:
    replies = Replies({"en": {"thanks": ("Thanks, {name}",)}, "hi": {}})
    assert replies.say("thanks", "hi", name="Asha") == "Thanks, Asha"
    assert replies.say("thanks", "ta", name="Asha") == "Thanks, Asha"


def test_a_key_nobody_wrote_is_an_error() -> None:
    replies = Replies.load(FOLDER)
    assert not replies.has("nonsense")
    with pytest.raises(KeyError):
        replies.say("nonsense", "hi")


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"en\.json"):
        Replies.load(tmp_path)
    (tmp_path / "en.json").write_text('{"thanks": 3}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"en\.json must map"):
        Replies.load(tmp_path)
    (tmp_path / "en.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"en\.json is not valid JSON"):
        Replies.load(tmp_path)
