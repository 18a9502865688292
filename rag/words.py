"""Words as retrieval and grounding compare them: stems of what carries meaning."""

from __future__ import annotations

import re
from functools import lru_cache

import snowballstemmer

# Vowel signs of Devanagari are marks, not letters, to `re`: without them a Hindi word would fall to pieces.
_LETTER = r"(?:[^\W_]|[\u0900-\u0963\u0971-\u097f])"
WORD = re.compile(rf"{_LETTER}+(?:['’]{_LETTER}+)*")


def lexicon(words: str) -> frozenset[str]:
    """A set of words, written as one line."""
    return frozenset(words.split())


# Words that say nothing about the subject matter, in English and romanised Hindi.
FUNCTION_WORDS = lexicon(
    "a an the is are was were be been being am do does did done of in on at by for from to with during through as and "
    "or but if so than that this these those it its he she they we you i me my our us your their his her him them who "
    "whom whose can could will would shall should may might must have has had there here into out up down over also "
    "such very too some any each every both other another same own only just then thus hence because while when where "
    "which what how why kya hai hain ka ki ke ko se mein hota hoti hote kaise kyon kyun aur ye yeh woh"
)
# Words of asking, which a passage that answers need not hold.
ASKING_WORDS = lexicon(
    "explain tell about give gives giv define definition describe meaning means mean difference between name "
    "write please example examples called call calls happen happens many much most kind get gets got make makes "
    "made use uses used one two more say says said know help understand question answer maths sir madam maam mam "
    "batao bataiye samjhao samjhaiye matlab"
)


def words(text: str) -> list[str]:
    """The words of `text`, lower case, apostrophes straightened."""
    return [word.replace("’", "'") for word in WORD.findall(text.lower())]


def content(text: str) -> list[str]:
    """The stems of the content words of `text`, in order."""
    return [stem(word) for word in words(text) if word not in FUNCTION_WORDS]


def topic(question: str) -> frozenset[str]:
    """The stems of what a question is about."""
    return frozenset(stem(word) for word in words(question) if word not in FUNCTION_WORDS and word not in ASKING_WORDS)


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The stem of an English word; a word of another script is returned as it is."""
    stemmed: str = _STEMMER.stemWord(word.removesuffix("'s"))
    return stemmed


_STEMMER = snowballstemmer.stemmer("english")
