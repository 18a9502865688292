"""Tells English, Hindi and Hinglish (Hindi in Latin letters) apart, well enough for messages of three words.

Off-the-shelf detectors call romanised Hindi English, Indonesian or Somali. What gives it away are its small words: the
lexicons below hold them in the spellings that students use. English sentences share some of those spellings ("main",
"to", "is", "he"), so the shared ones count for neither side.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Language = Literal["en", "hi", "hinglish"]

NAMES: dict[Language, str] = {"en": "English", "hi": "हिन्दी", "hinglish": "Hinglish"}


def _lexicon(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Small words of Hindi that no English sentence holds, and the commonest words of a Hindi question.
_HINDI = _lexicon(
    "hai hain hei hota hoti hote hoga hogi honge hua hui hue tha thi kya kyaa kia ky kyun kyu kyo kyon kyoki "
    "kyunki kyuki kaise kese kaisay kaisa kaisi kesa kesi kab kahan kaha kahaan kidhar kaun kon konsa konsi "
    "kaunsa kaunsi kitna kitne kitni kis kisne kisko kiska kiski kisi kuch kuchh koi batao bataao btao bata bta "
    "btado batado bataiye btaiye bataye samjhao samjao smjhao smjao samjha samajh smjh samjhaiye samjhaye sikhao "
    "sikha padhao dikhao likho likhna likhiye karo karna krna kro kare karen karte krte karta karti kiya kijiye "
    "karke krke mujhe muje mjhe mujhko mereko mera meri mere hume hamein humein hamara hamare hamari tumhara "
    "tumhe tumko aap apka aapka apke aapke aapko apko apna apne apni unka unke unki uska uske uski iska iske iski "
    "isko usko unko agar lekin magar kyunke phir bhi aur yaani yani matlab mtlb mtlab arth paribhasha nahi nahin "
    "nhi nahii nai acha accha achha thik theek haan ji wala wale wali raha rahi rahe rha rhi rhe gaya gayi gaye "
    "diya liya chahiye chahie chaiye chahta chahti sakta sakte sakti skta skte skti wo woh vo voh yeh yah jaise "
    "jese jaisa bahut bohot bhut bht thoda zyada jyada sabse baare antar prakar prakaar niyam sawal sawaal prashn "
    "uttar jawab udaharan dusra doosra pehla pahla pani hawa dharti suraj paudhe khana khoj banta banti bante "
    "banate banaye banao kaam yaar bhai didi bhaiya namaste namaskar namaskaar shukriya dhanyavad dhanyawad "
    "alvida kripya kaunse konse ghar padhna padhai padhte"
)

# Words of Hindi that English or chemistry also spells; they count half.
_PARTICLES = _lexicon(
    "ka ki ke ko se ne na h kr ho hu hun hoon pe par toh mai mein bare ye hum jo fir tab jab ya tum ped"
)

_ENGLISH = _lexicon(
    "the a an what whats which who whom whose when where why how is are was were am been being does did doing can "
    "could should would will shall may might must have has had i you we they she it its this that these those "
    "there their your our my of in on at by for from with about into between than then and or but if because not "
    "no please plz explain define describe tell give write find solve state list name compare mean means meaning "
    "difference example examples some any all many much more most very so such each every sir teacher answer "
    "question word called used use help"
)

_JOINING = _lexicon("ka ki ke ko mein")

_LATIN_WORD = re.compile(r"[a-z]+")
_STRETCHED = re.compile(r"(.)\1{2,}")


def detect(text: str) -> Language:
    """The language of a message; English when nothing speaks for another."""
    lowered = _STRETCHED.sub(r"\1", unicodedata.normalize("NFKC", text).casefold())
    words = _LATIN_WORD.findall(lowered.replace("'", ""))
    english = sum(word in _ENGLISH for word in words)
    devanagari = sum(any("\u0900" <= c <= "\u097f" for c in word) for word in lowered.split())
    if devanagari and devanagari >= english:
        return "hi"
    hindi = sum(1.0 if word in _HINDI else 0.5 if word in _PARTICLES else 0.0 for word in words)
    if hindi >= 1.0 and hindi > 0.5 * english:
        return "hinglish"
    joined = any(word in _JOINING for word in words[1:-1])  # "cell ke parts"
    return "hinglish" if joined and not english else "en"
