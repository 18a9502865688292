"""Slash commands: what a student sets once and asks for by name.

Forms as students and channels write them are met halfway: "/class7", "/class VII", "/class सात", "/start@SchoolBot".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bot.folding import words
from bot.language import NAMES, Language, detect
from bot.ports import Answer, Chapter, Choice, Effect, Profile, Route, Turn
from bot.replies import Replies
from bot.tutoring.consent import Consent
from bot.tutoring.menu import commands as commands_of_menu
from bot.tutoring.menu import menu as words_of_menu

CLASSES = range(1, 13)
SUBJECTS = (
    "civics",
    "computers",
    "economics",
    "english",
    "general-knowledge",
    "geography",
    "history",
    "mathematics",
    "science",
    "study-skills",
)
FORGET_WORD = "yes"
EVERYTHING = frozenset({"all", "any", "every", "everything", "none", "sab", "sabhi", "sabkuch", "सब", "सभी"})

_COMMAND = re.compile(r"/([^\W\d_]+)(?:@\w+)?[\s:]*(.*)", re.DOTALL)

_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_COUNTED = (
    ("one", "first", "ek", "pehli", "एक", "पहली"),
    ("two", "second", "do", "dusri", "दो", "दूसरी"),
    ("three", "third", "teen", "teesri", "तीन", "तीसरी"),
    ("four", "fourth", "char", "chauthi", "चार", "चौथी"),
    ("five", "fifth", "paanch", "panchvi", "पांच", "पांचवीं"),
    ("six", "sixth", "chhe", "chhathi", "छह", "छः", "छठी", "छठवीं"),
    ("seven", "seventh", "saat", "satvi", "सात", "सातवीं"),
    ("eight", "eighth", "aath", "aathvi", "आठ", "आठवीं"),
    ("nine", "ninth", "nau", "nauvi", "नौ", "नौवीं"),
    ("ten", "tenth", "das", "dasvi", "दस", "दसवीं"),
    ("eleven", "eleventh", "gyarah", "gyarahvi", "ग्यारह", "ग्यारहवीं"),
    ("twelve", "twelfth", "barah", "barahvi", "बारह", "बारहवीं"),
)
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "civics": (
        "civic",
        "political science",
        "politics",
        "pol science",
        "nagrik shastra",
        "rajniti",
        "नागरिक शास्त्र",
        "राजनीति",
    ),
    "computers": ("computer", "computer science", "ai", "it", "coding", "कंप्यूटर", "एआई"),
    "economics": ("eco", "economy", "arthashastra", "अर्थशास्त्र"),
    "general-knowledge": ("gk", "general", "samanya gyan", "सामान्य ज्ञान", "जीके"),
    "english": ("eng", "angrezi", "angreji", "अंग्रेजी", "इंग्लिश"),
    "geography": ("geo", "bhugol", "bhoogol", "भूगोल"),
    "hindi": ("हिंदी",),
    "history": ("hist", "itihas", "itihaas", "इतिहास"),
    "mathematics": ("maths", "math", "mathes", "ganit", "algebra", "geometry", "गणित", "मैथ", "मैथ्स"),
    "science": ("sci", "vigyan", "vigyaan", "physics", "chemistry", "biology", "bio", "evs", "विज्ञान", "साइंस"),
    "social science": ("sst", "social", "social studies", "samajik vigyan", "सामाजिक विज्ञान"),
    "study-skills": (
        "study",
        "study tips",
        "exam",
        "exams",
        "exam tips",
        "board exam",
        "board exams",
        "padhai",
        "पढ़ाई",
    ),
}
_LANGUAGES: Mapping[Language, tuple[str, ...]] = {
    "en": ("en", "eng", "english", "angrezi", "angreji", "अंग्रेजी", "इंग्लिश"),
    "hi": ("hi", "hin", "hindi", "हिंदी"),
    "hinglish": ("hinglish", "hing", "mix", "mixed", "roman", "roman hindi", "hindi english", "हिंग्लिश"),
}


class Commands:
    """Runs a command. `chapters` are what the library holds; without them the shipped subjects are accepted."""

    def __init__(self, replies: Replies, chapters: Sequence[Chapter] = ()) -> None:
        self._replies = replies
        self.consent = Consent(replies)
        self._menu = commands_of_menu(replies)
        self.shelve(chapters)
        self._handlers: dict[str, Callable[[str, Turn], Answer]] = {
            "start": lambda _, turn: self._start(turn),
            "help": lambda _, turn: self._say("help", turn),
            "privacy": lambda _, turn: self._say("privacy", turn),
            "agree": lambda _, turn: self.consent.agreed(turn),
            "decline": lambda _, turn: self.consent.declined(turn),
            "stop": lambda _, turn: self._say("stopped", turn, effect=Effect.WITHDRAW),
            "forget": self._forget,
            "class": self._class,
            "subject": self._subject,
            "language": self._language,
            "sources": self._sources,
        }

    def shelve(self, chapters: Sequence[Chapter]) -> None:
        """Take note of what the library holds now."""
        self._books = tuple(dict.fromkeys(chapter.book for chapter in chapters))
        self._subjects = tuple(sorted({chapter.subject for chapter in chapters})) or SUBJECTS
        self._classes = tuple(sorted({chapter.class_level for chapter in chapters}))

    def behind(self, text: str) -> str | None:
        """The command that a word of the menu stands for."""
        return self._menu.get(text)

    def run(self, turn: Turn) -> Answer:
        """The reply to a command; `profile` is set when it changed. What is no command of ours is told so, kindly."""
        match = _COMMAND.match(turn.text.strip())
        handler = self._handlers.get(match[1].casefold()) if match else None
        if match is None or handler is None:
            return self._say("unknown_command", turn)
        return handler(words(match[2]), turn)

    def _start(self, turn: Turn) -> Answer:
        if turn.consented:
            return self._say("welcome", turn, menu=True)
        welcome = self._replies.say("welcome", _language_of(turn))
        return self.consent.asked(turn, effect=Effect.ASK, before=welcome)

    def _forget(self, given: str, turn: Turn) -> Answer:
        """Asked for twice, since it cannot be taken back."""
        if given != FORGET_WORD:
            choice = Choice(self._replies.say("forget_yes", _language_of(turn)), f"/forget {FORGET_WORD}")
            return self._say("forget_ask", turn, choices=(choice,))
        return self._say("forgotten", turn, effect=Effect.FORGET)

    def _class(self, given: str, turn: Turn) -> Answer:
        if not given:
            return self._say("class_ask", turn, choices=self._class_choices(_language_of(turn)))
        if given in EVERYTHING:
            return self._say("class_all", turn, profile=replace(turn.profile, class_level=None))
        level = _class_level(given)
        if level is None:
            return self._say("class_unknown", turn, first=CLASSES[0], last=CLASSES[-1])
        return self._say("class_set", turn, profile=replace(turn.profile, class_level=level), level=level)

    def _subject(self, given: str, turn: Turn) -> Answer:
        if not given:
            choices = self._subject_choices(_language_of(turn))
            return self._say("subject_ask", turn, choices=choices, subjects=self._subject_names(turn))
        if given in EVERYTHING:
            return self._say("subject_all", turn, profile=replace(turn.profile, subject=None))
        subject = self._subject_called(given)
        if subject is None:
            return self._say("subject_unknown", turn, subjects=self._subject_names(turn))
        profile = replace(turn.profile, subject=subject)
        return self._say("subject_set", turn, profile=profile, subject=self._subject_name(subject, _language_of(turn)))

    def _language(self, given: str, turn: Turn) -> Answer:
        if not given:
            choices = tuple(Choice(NAMES[language], f"/language {language}") for language in _LANGUAGES)
            return self._say("language_ask", turn, choices=choices)
        chosen = next((language for language, names in _LANGUAGES.items() if given in _folded(names)), None)
        if chosen is None:
            return self._say("language_unknown", turn)
        profile = replace(turn.profile, language=chosen)
        return self._say("language_set", replace(turn, profile=profile), profile=profile, name=NAMES[chosen])

    def _sources(self, _: str, turn: Turn) -> Answer:
        if not self._books:
            return self._say("sources_none", turn)
        return self._say("sources", turn, books="\n".join(f"• {book}" for book in self._books))

    def _class_choices(self, language: str) -> tuple[Choice, ...]:
        names = ((str(level), self._replies.say("class_name", language, level=level)) for level in self._classes)
        everything = ("all", self._replies.say("all_classes", language))
        return tuple(Choice(label, f"/class {word}") for word, label in (*names, everything))

    def _subject_choices(self, language: str) -> tuple[Choice, ...]:
        names = ((subject, self._subject_name(subject, language)) for subject in self._subjects)
        everything = ("all", self._replies.say("all_subjects", language))
        return tuple(Choice(label, f"/subject {word}") for word, label in (*names, everything))

    def _subject_called(self, given: str) -> str | None:
        for subject in self._subjects:
            if given in _folded((subject, *_ALIASES.get(subject, ()))):
                return subject
        # "sst" where the books know only its parts: nothing is narrowed down, so it is better to ask.
        return None

    def _subject_names(self, turn: Turn) -> str:
        language = _language_of(turn)
        return ", ".join(self._subject_name(subject, language) for subject in self._subjects)

    def _subject_name(self, subject: str, language: str) -> str:
        key = f"subject.{subject}"
        return self._replies.say(key, language) if self._replies.has(key) else subject.replace("-", " ").title()

    def _say(
        self,
        key: str,
        turn: Turn,
        *,
        profile: Profile | None = None,
        choices: tuple[Choice, ...] = (),
        effect: Effect | None = None,
        menu: bool = False,
        **values: object,
    ) -> Answer:
        language = _language_of(turn)
        return Answer(
            self._replies.say(key, language, **values),
            Route.COMMAND,
            language,
            profile=profile,
            choices=choices,
            menu=words_of_menu(self._replies, language) if menu or profile is not None else (),
            effect=effect,
        )


def _language_of(turn: Turn) -> str:
    """The language set, or else that of what was typed after the command's name, which is English for everybody."""
    match = _COMMAND.match(turn.text.strip())
    return turn.profile.language or detect(match[2] if match else turn.text)


def _class_level(given: str) -> int | None:
    """1 to 12 from "7", "7th", "७", "vii", "seven", "saat", "सातवीं", "class 7", "7 b"; None for anything else."""
    token = next((word for word in given.split() if word not in {"class", "kaksha", "std", "grade", "कक्षा"}), "")
    digits = re.match(r"(\d{1,2})(?:st|nd|rd|th|vi|vin|वीं|वी)?[a-f]?$", token)
    if digits:
        level = int(digits[1])  # int reads Devanagari digits too
        return level if level in CLASSES else None
    for level, names in zip(CLASSES, _COUNTED, strict=True):
        if token == _ROMAN[level - 1] or token in _folded(names):
            return level
    return None


def _folded(names: Sequence[str]) -> frozenset[str]:
    return frozenset(words(name) for name in names)
