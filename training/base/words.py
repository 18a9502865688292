"""Words as the makers of documents see them, English and Hindi: which carry a subject, and what their roots are."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rag.phonetic import HINDI_LETTERS, is_devanagari, key
from rag.words import ASKING_WORDS, FUNCTION_WORDS, lexicon, stem, words

# Words of a sentence's grammar, or of our own questions: never swapped, never asked about.
ENGLISH_GRAMMAR = lexicon(
    "although despite unlike whereas whether perhaps indeed above after again all almost along always among any "
    "around away back before behind below better does during either enough ever few first gets gives goes "
    "however inside keep last less let like makes many meant mentions more must near need never next nobody "
    "none not nothing off often once others outside passages per put see sentence since several should still "
    "take takes third though three through together towards under until upon uses want way well went were while "
    "whole within without according following blank blanks book chapter complete fill second fourth say says "
    "thing things wat wats plz hows"
)
HINDI_GRAMMAR = lexicon(
    unicodedata.normalize(
        "NFC",
        "का के की को से में पर ने तक ही भी तो न ना नहीं मत और या एवं तथा व अथवा किंतु किन्तु "
        "परंतु परन्तु लेकिन मगर बल्कि यदि अगर तब जब जैसे वैसे ऐसे कैसे ऐसा ऐसी जैसा जैसी कैसा "
        "कैसी इसलिए क्योंकि ताकि चाहे फिर अब अभी कभी तभी जहाँ वहाँ यहाँ कहाँ जो जिस जिसे जिसका "
        "जिसकी जिसके जिसमें जिससे जिसने जिन जिन्हें जिनका जिनकी जिनके जिनमें जिनसे जिन्होंने वह "
        "वे वही यह ये यही उस उसे उसका उसकी उसके उसमें उससे उसने उन उन्हें उनका उनकी उनके उनमें "
        "उनसे उन्होंने इस इसे इसका इसकी इसके इसमें इससे इसने इन इन्हें इनका इनकी इनके इनमें इनसे "
        "मैं मैंने मुझे मेरा मेरी मेरे हम हमें हमारा हमारी हमारे तुम तुम्हें तुम्हारा तुम्हारी "
        "तुम्हारे आप आपको आपका आपकी आपके अपना अपनी अपने स्वयं खुद क्या क्यों कौन किस किसे किसका "
        "किसकी किसके किसने किन कब कितना कितनी कितने कोई किसी कुछ कई सब सभी सबसे हर प्रत्येक "
        "दोनों दूसरा दूसरी दूसरे दूसरों है हैं हूँ हो हों था थी थे थीं होना होता होती होते होतीं होने "
        "होकर हुआ हुई हुए होगा होगी होंगे कर करना करता करती करते करने करके किया किए करें करो "
        "कीजिए जा जाना जाता जाती जाते जाने गया गई गए गयी गये दे देना देता देती देते देने दिया दी "
        "दिए ले लेना लेता लेती लेते लिया ली लिए रहा रही रहे रहता रहती रहते सकता सकती सकते सका "
        "सके चुका चुकी चुके चाहिए लगा लगी लगे लगता लगती लगते पड़ता पड़ती पड़ते वाला वाली वाले "
        "द्वारा बाद पहले साथ बिना ओर तरफ़ बीच ऊपर नीचे भीतर बाहर अंदर पास दूर बहुत अधिक अधिकतर "
        "कम ज़्यादा केवल सिर्फ़ लगभग बारे बताओ बताइए बताएँ बताता बताती लिखा लिखो वाक्य पुस्तक "
        "पाठ किताब अर्थ मतलब परिभाषा कहते कहता कहती कहा कहलाता कहलाती कहलाते समझाओ समझाइए जानते "
        "रिक्त स्थान भरो पूरा एक दो तीन चार खाली जगह बात बताया समझाया यहीं वहीं इसी उसी इन्हीं उन्हीं प्रकार तरह रूप",
    )
)
UNCHANGED = FUNCTION_WORDS | ASKING_WORDS | ENGLISH_GRAMMAR | HINDI_GRAMMAR

WORD = re.compile(rf"[A-Za-z]{{3,}}|[{HINDI_LETTERS}]+")
# What follows a root when a noun or an adjective is bent: नदी, नदियाँ, नदियों; गड्ढा, गड्ढे, गड्ढों.
_HINDI_ENDING = re.compile(r"(?<=..)(?:ियों|ियाँ|ाओं|ाएँ|ों|ें|ा|ी|े)$")


def content(text: str) -> list[str]:
    """The words of a text that say what it is about, as written, in order."""
    return [word for word in WORD.findall(text) if word.lower() not in UNCHANGED and len(word) > 1]


def root(word: str) -> str:
    """The word without plural s, or without the commonest endings of Hindi nouns; lower case."""
    lower = word.lower()
    if is_devanagari(lower):
        return _HINDI_ENDING.sub("", lower)
    return lower[:-1] if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) and len(lower) > 3 else lower


def roots(text: str) -> frozenset[str]:
    """The roots of the content words of a text."""
    return frozenset(root(word) for word in content(text))


def subject(question: str, *, by_sound: bool = False) -> frozenset[str]:
    """What a question is about, to compare it with another: stems of English words, sounds of Hindi ones.

    `by_sound`: also the words in Latin letters by their sound, for Hindi that is written in them.
    """
    asked = [word for word in words(question) if word not in UNCHANGED]
    return frozenset(_sound(word) if by_sound or is_devanagari(word) else stem(word) for word in asked)


@lru_cache(maxsize=50_000)
def _sound(word: str) -> str:
    return "~" + key(word)
