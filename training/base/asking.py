"""How students ask about a sentence: templates in English and Hindi, what can be asked, and phone spelling."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

from rag.phonetic import HINDI_LETTERS, in_devanagari
from rag.words import lexicon
from training.base.words import UNCHANGED, content, root, roots

DEFINE = (
    "What {be} {term}?", "What {be} {term}?", "Define {term}.", "What do you mean by {term}?",
    "What {be} meant by {term}?", "Explain {term}.", "Can you tell me what {term} {be}?",
)  # fmt: skip
HINDI_DEFINE = (
    "{term} क्या {be}?", "{term} क्या {be}?", "{term} किसे कहते हैं?", "{term} किसे कहते हैं?", "{term} क्या {be}, समझाओ।",
    "{term} के बारे में बताओ।", "{term} की परिभाषा बताओ।",
)  # fmt: skip
ABOUT = (
    "What does the book say about {words}?", "Tell me about {words}.", "What do you know about {words}?",
    "Which sentence mentions {words}?", "Explain about {words}.", "What is said about {words}?",
)  # fmt: skip
HINDI_ABOUT = (
    "{words} के बारे में बताओ।", "पुस्तक में {words} के बारे में क्या लिखा है?", "{words} के बारे में क्या जानते हो?",
    "किस वाक्य में {words} की बात है?", "{words} के बारे में क्या बताया गया है?", "पाठ में {words} के बारे में क्या कहा गया है?",
)  # fmt: skip
HEADING = ("Tell me about: {}", "Explain: {}", "{}", "What does the chapter say on: {}")
HINDI_HEADING = ("{} के बारे में बताओ।", "समझाओ: {}", "{} के बारे में क्या लिखा है?", "{}")
BLANK = ("Fill in the blank. {}", "Fill in the blank: {}", "Complete the sentence. {}", "Fill in the blanks. {}")
HINDI_BLANK = ("रिक्त स्थान भरो। {}", "रिक्त स्थान भरो: {}", "खाली जगह भरो। {}", "वाक्य पूरा करो: {}")

# A question word may open a question about a sentence in which its answer shows; "what" always may.
_QUESTIONS = (
    (re.compile(r"\b(?:because|since|so that|therefore|hence|due to|as a result)\b"), ("Why {words}?",) * 3),
    (re.compile(r"\b(?:1\d{3}|20\d\d)\b|\bcentury\b"), ("When {words}?", "In which year {words}?")),
    (re.compile(r"\b\d+(?:[.,]\d+)*\b(?!\d)"), ("How many {words}?", "How much {words}?")),
    (re.compile(r"\b(?:[Ii]n|[Aa]t|[Ff]rom|[Nn]ear) (?:the )?[A-Z][a-z]+"), ("Where {words}?",)),
    (re.compile(r"\b(?:by|through|using)\b"), ("How {words}?", "How does {words}?")),
    (re.compile(r""), ("What {words}?", "{words}", "Explain {words}")),
)
_HINDI_QUESTIONS = (
    (re.compile("क्योंकि|इसलिए|के कारण|ताकि"), ("{words} क्यों?",) * 2),
    (re.compile(r"\b(?:1\d{3}|20\d\d)\b|शताब्दी"), ("{words} कब?", "{words} किस वर्ष में?")),
    (re.compile(r"\d"), ("{words} कितना?", "{words} कितने?")),
    (re.compile("द्वारा|करके|होकर"), ("{words} कैसे?",) * 2),
    (re.compile(""), ("{words} क्या?", "{words}", "{words} बताओ")),
)

_DEFINES = re.compile(r"^(?:(?:An?|The) )?([A-Z]?[\w'-]+(?: [\w'-]+){0,2}) (is|are) (?:an? |the |any |tiny |a set of )")
# Such a word heads a sentence and names nothing.
_GENERIC = lexicon(
    "aim answer area case cause change effect end equation example factor fact feature figure focus following formula "
    "function goal group idea issue key kind length number part period person place point problem process product "
    "purpose question reason rest result role second side slope solution step story sum task time today tomorrow total "
    "type unit value year day man woman boy girl mother father king queen problem conclusion advantage disadvantage"
)
_H = rf"[{HINDI_LETTERS}]+"
_TERM = rf"({_H}(?: {_H}){{0,2}})"
_CALLED = re.compile(rf"(?:^| )(?:को|जिसे|जिन्हें|उसे|उन्हें|इसे|इन्हें) {_TERM} कहते हैं")
_OPENS_DEFINITION = lexicon("वह वे किसी एक ऐसा ऐसी ऐसे")
_IS_ONE = re.compile(rf"^{_TERM} (?:{'|'.join(sorted(_OPENS_DEFINITION))}) (?:.*? )??(\S+) (हैं|है)(?:[,। ]|$)")
_STARTS = re.compile(rf"^{_TERM} (?:.*? )??(\S+) (हैं|है)(?:[,। ]|$)")
_DOING = ("ता", "ती", "ते")  # so a verb ends before है
_INNER = lexicon("का के की")  # which a term may hold

_PHONE = {
    "what": "wat", "why": "y", "you": "u", "are": "r", "please": "plz", "and": "n", "the": "d", "because": "bcoz",
    "does": "dos", "know": "knw", "about": "abt", "tell": "tel", "with": "wid", "that": "dat", "this": "dis",
    "which": "wich", "between": "btwn", "mean": "mn", "how": "hw", "for": "4", "to": "2", "explain": "xplain",
}  # fmt: skip
_LONGEST_TYPED = 14  # words
_LONGEST_PHRASE = 3
_DEFINITION = 6  # words a definition has at least: "The shape is a square" is none
_MARKS = ".,;:!?()[]।|/“”\"'‘’"
_BEFORE_NOUN = lexicon("a an the of in on with by for from at into through between about its their his her our your")
_POSTPOSITIONS = lexicon("का के की को से में पर")
_ORDERS = lexicon(
    "answer click complete consider describe discuss draw example explain figure find let list look name read recall "
    "remember see select solution step study suppose table use visit watch write उदाहरण चित्र देखो देखिए सोचो मान मानो"
)
# A sentence that opens with one of these leans on the one before.
_LEANING = lexicon(
    "he she it they this these that those his her its their but and so then i we you my there here such however also "
    "वह वे यह ये उसका उसकी उसके उनका उनकी उनके उसने उसे उन्हें उन्होंने इसका इसकी इसके इससे इसे इनमें और लेकिन पर तब फिर इसलिए मैं हम तुम"
)


def questions(sentence: str) -> tuple[str, ...]:
    """Templates with {words} of a question word that the sentence can answer."""
    for shows, templates in _HINDI_QUESTIONS if in_devanagari(sentence) else _QUESTIONS:
        if shows.search(sentence):
            return templates
    return ()


def definition(sentence: str, lower: Collection[str], terms: Collection[str] = ()) -> tuple[str, str] | None:
    """The term that a sentence defines and its verb, or None; the verb is "" where the term is somebody's name.

    `lower` are the English words that are also written in lower case, `terms` what a Hindi book lists as key terms.
    """
    if in_devanagari(sentence):
        return _hindi_definition(sentence, terms)
    match = _DEFINES.match(sentence)
    if match is None:
        return None
    term, be = match.groups()
    first, last = term.split()[0].lower(), term.split()[-1].lower()
    if {first, last} & UNCHANGED or last in _GENERIC or len(term) < 3 or len(sentence.split()) < _DEFINITION:
        return None
    if any(word[:1].isupper() for word in term.split()[1:]):
        return term, ""
    if term[0].isupper() and not sentence.startswith(("The ", "A ", "An ")):
        return (lower_first(term), be) if first in lower or term[:2].isupper() else (term, "")
    return term, be


def _hindi_definition(sentence: str, terms: Collection[str]) -> tuple[str, str] | None:
    """As `definition`; the verb is "" where the sentence tells what the term does rather than what it is."""
    if (match := _CALLED.search(sentence)) and _is_term(match[1]):
        return match[1], "है"
    if (match := _IS_ONE.match(sentence)) and (term := _shortest(sentence, match[1])):
        return term, "" if match[2].endswith(_DOING) else match[3]
    if (match := _STARTS.match(sentence)) and (term := _listed(match[1], terms)):
        after = sentence[len(term) :].split()[0]
        if after in UNCHANGED and after not in _OPENS_DEFINITION:
            return None
        return term, "" if match[2].endswith(_DOING) else match[3]
    return None


def _shortest(sentence: str, term: str) -> str | None:
    """The words before the first of those that open a definition, where they are a term."""
    words = term.split()
    for at, word in enumerate(words):
        if word in _OPENS_DEFINITION:
            words = words[:at]
            break
    return " ".join(words) if words and _is_term(" ".join(words)) else None


def _listed(words: str, terms: Collection[str]) -> str | None:
    """The longest beginning that the book lists as a key term."""
    parts = words.split()
    return next((found for n in (3, 2, 1) if (found := " ".join(parts[:n])) in terms and len(parts) >= n), None)


def _is_term(text: str) -> bool:
    first, *middle = text.split()
    last = middle.pop() if middle else first
    return (
        len(text) > 1
        and first not in UNCHANGED
        and last not in UNCHANGED
        and not any(word in UNCHANGED and word not in _INNER for word in middle)
    )


def phrase(rng: random.Random, sentence: str) -> str:
    """A noun of the sentence with what tells it, one to three words; "" where none is sure to be one.

    In English it stands after an article or a preposition, in Hindi before a postposition.
    """
    hindi = in_devanagari(sentence)
    found: list[str] = []
    run: list[str] = []
    before = ""
    for piece in (*sentence.split(), ""):
        word = piece.strip(_MARKS)
        if word and content(word) == [word] and piece.startswith(word):
            run.append(word)
            if piece == word:
                continue
        if run:
            sure = word in _POSTPOSITIONS if hindi else before in _BEFORE_NOUN
            noun = run if hindi else _noun(run)
            if sure and noun and len(noun) <= _LONGEST_PHRASE:
                found.append(" ".join(noun))
        run, before = [], piece.lower()
    return rng.choice(found) if found else ""


def _noun(run: list[str]) -> list[str]:
    """Content words in a row without the verb: that comes after a plural, and often ends in -ed."""
    plural = next((at for at, word in enumerate(run) if root(word) != word.lower()), len(run))
    noun = run[: plural + 1]
    while noun and noun[-1].endswith(("ed", "ly")):
        noun = noun[:-1]
    return noun


def is_statement(sentence: str) -> bool:
    """Whether a sentence can be an answer by itself, about something that it names."""
    first = sentence.split()[0].strip(_MARKS).lower()
    return sentence.endswith((".", "।", "!", ")")) and len(sentence.split()) > 3 and first not in _LEANING | _ORDERS


def goes_on(sentence: str, before: str) -> bool:
    """Whether a sentence is about what the one before is about."""
    first = sentence.split()[0].strip(_MARKS).lower()
    return not sentence.endswith((":", "?")) and (first in _LEANING or bool(roots(sentence) & roots(before)))


def blanked(rng: random.Random, sentence: str) -> str | None:
    """The sentence with a blank for one of its content words; None where there is too little to go by."""
    words = content(sentence)
    if len(words) < 3 or sentence.endswith(("?", ":")):
        return None
    word = rng.choice(words)
    letters = rf"[\w{HINDI_LETTERS}]"
    return re.sub(rf"(?<!{letters}){re.escape(word)}(?!{letters})", "____", sentence, count=1)


def carelessly(rng: random.Random, question: str) -> str:
    """The question as typed on a phone: lower case, no question mark and, half of the time, with short spellings."""
    bare = question.rstrip("?.।! ")
    if in_devanagari(question):
        return bare
    bare = bare.lower()
    words = bare.split()
    if rng.random() < 0.5 or len(words) > _LONGEST_TYPED:
        return bare
    return " ".join(_PHONE.get(word) or _hurried(rng, word) for word in words)


def _hurried(rng: random.Random, word: str) -> str:
    """A long word, at times without one of its inner vowels."""
    vowels = [at for at in range(2, len(word) - 1) if word[at] in "aeiou"]
    if len(word) < 6 or not word.isalpha() or not vowels or rng.random() < 0.6:
        return word
    at = rng.choice(vowels)
    return word[:at] + word[at + 1 :]


def lower_first(text: str) -> str:
    """The text as it goes on in a sentence; "DNA", "YouTube" and "T cells" keep their capitals."""
    first = text.split(" ", 1)[0]
    keeps = len(first) == 1 or first[1:] != first[1:].lower()
    return text if keeps else text[:1].lower() + text[1:]


def capital(question: str) -> str:
    """The question with a capital at its beginning."""
    return question[:1].upper() + question[1:]
