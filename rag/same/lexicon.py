"""The words by which a question asks, in English and Hindi, and the tables of what is said in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rag.words import lexicon

ALIKE, APART, PHRASES = "alike.tsv", "apart.tsv", "phrases.tsv"
NOTHING = "-"  # what a phrase that says nothing is taken for

# How a thing is asked about; whatever has none of these asks what it is.
ASKING = {
    word: way
    for way, spelled in {
        "why": "why kyon kyun kyu kyo kisliye क्यों क्यूँ क्यूं किसलिए",
        "how": "how kaise kese kaisay कैसे",
        "when": "when kab कब",
        "where": "where kahan kahaan kaha kidhar कहाँ कहां किधर",
        "who": "who kaun kon kisne किसने कौन",
        "whom": "whom kisko किसको kiske किसके",
        "whose": "whose kiska kiski किसका किसकी",
        "how many": "kitne kitni kitna कितना कितने कितनी",
        "difference": "difference differ distinguish compare antar farak fark अंतर अन्तर फर्क फ़र्क",
        "what": "what which kya kaunsa kaunsi kaunse konsa konsi क्या कौनसा कौनसी",
    }.items()
    for word in spelled.split()
}
WHETHER = lexicon("is are was were do does did can could will would has have had should")
IS = lexicon("hai hain hota hoti hote hoga hogi tha thi the है हैं होता होती होते होगा होगी था थी थे")
KIND = lexicon("sa si se सा सी से")  # after kaun: which
NEGATIONS = lexicon(
    "not no non never cannot without neither nor nahi nahin nhi nai mat bina नहीं नही मत बिना cant dont doesnt isnt wont"
)
# Words that stand for what was said before: alone such a question asks nothing.
POINTING = lexicon(
    "it its this these those they them their he him his she her above previous same yeh ye iska iski iske isse isme "
    "isko uska uski uske usse usme usko inka inki inke unka unki unke wo woh vah यह ये इसका इसकी इसके इससे इसमें इसको "
    "इसे उसका उसकी उसके उससे उसमें उसको उसे वह वे वो इनका इनकी इनके उनका उनकी उनके ऐसा aisa"
)
# Says nothing about the matter: grammar, asking, courtesy. Not: up, out, before, only, more, all, both, each.
SILENT = lexicon(
    "many much kin kinhi solve naam nam a an the is are was were be been being am do does did done has have had "
    "can could will would shall should may might must of in on at by for from with to into as and or but if so "
    "than that there here then i we you us our your me one tell give please plz pls called call get got say said "
    "know kindly sir madam teacher what which who whom whose when where why how any some such very just also "
    "during through about find calculate ek hai hain hota hoti hote hona hua hui hue ho tha thi ka ki ke ko se "
    "mein mai par pe ne aur ya toh bhi na ji karo kare karen karta karti karte karna kar kiya batao bataiye bata "
    "samjhao samjhaiye likho likhiye dijiye kehte kahte kise kisi kis koi nikalo nikale rahi raha rahe gaya gayi "
    "gaye jata jati jate hum ham hame aap wala wale wali jo kuch aana aane किन हल नाम एक है हैं होता होती होते "
    "होना हुआ हुई हुए हो था थी थीं थे का की के को से में पर ने और या तो भी जी करो करें करता करती करते करना कर "
    "किया बताओ बताइए बताएँ समझाओ समझाइए लिखो लिखिए दो दीजिए कहते किसे किसी किस कोई ज्ञात रही रहा रहे गया गई गए "
    "जाता जाती जाते हम हमें आप वाला वाले वाली जो कुछ आने आना"
)
RECKON = lexicon("find calculate compute solve evaluate")  # no way of asking in what follows: find x when y is 2
IMPERATIVE = lexicon(
    "define explain describe name list state write mention solve discuss"
)  # where a question begins with it
# Before a word in English, after it in Hindi: what it is to the others.
BEFORE = {
    "from": "from", "to": "to", "into": "to", "in": "to", "at": "to", "than": "from", "by": "by", "on": "on",
    "before": "before", "after": "after", "over": "on", "upon": "on",
}  # fmt: skip
BEHIND = {
    "ko": "of", "को": "of", "se": "from", "me": "to", "mein": "to", "par": "on", "pe": "on", "ne": "by", "dwara": "by",
    "से": "from", "में": "to", "मे": "to", "पर": "on", "ने": "by", "द्वारा": "by",
}  # fmt: skip
CARDINALS = {
    word: str(value)
    for value, spelled in {
        2: "two do दो", 3: "three teen तीन", 4: "four char chaar चार", 5: "five panch paanch पाँच पांच",
        6: "six chhah छह छः", 7: "seven saat सात", 8: "eight aath आठ", 9: "nine nau नौ", 10: "ten das दस",
        11: "eleven gyarah ग्यारह", 12: "twelve barah बारह",
    }.items()
    for word in spelled.split()
}  # fmt: skip
ORDINALS = {
    word: f"{value}th"
    for value, spelled in {
        1: "first pehla pehli pehle pahla pahli पहला पहली पहले प्रथम",
        2: "second dusra dusri doosra doosri दूसरा दूसरी द्वितीय",
        3: "third teesra teesri tisra tisri तीसरा तीसरी तृतीय",
        4: "fourth chautha chauthi चौथा चौथी",
        5: "fifth पाँचवाँ पांचवां",
        6: "sixth छठा छठी", 7: "seventh सातवाँ", 8: "eighth आठवाँ", 9: "ninth नौवाँ", 10: "tenth दसवाँ",
    }.items()
    for word in spelled.split()
}  # fmt: skip
SINCE = lexicon("se से")  # se pehle: before
AMBIGUOUS = lexicon("do दो pehle pahle पहले")  # a number only where it stands before what it counts


@dataclass(frozen=True, slots=True)
class Tables:
    """`alike`: a word to the one that stands for it. `apart`: a word to those it never stands for.

    `phrases`: the words of a phrase to those it is taken for.
    """

    alike: Mapping[str, str]
    apart: Mapping[str, frozenset[str]]
    phrases: Mapping[tuple[str, ...], tuple[str, ...]]

    @classmethod
    def load(cls, folder: Path) -> Tables:
        """The three tables of a folder. Raises OSError, and ValueError naming a malformed line."""
        alike = {other: head for head, others in _pairs(folder / ALIKE) for other in others.split()}
        apart: dict[str, set[str]] = {}
        for row in _rows(folder / APART):
            for word in row:
                apart.setdefault(word, set()).update(set(row) - {word})
        phrases = {
            tuple(said.split()): () if taken == NOTHING else tuple(taken.split())
            for said, taken in _pairs(folder / PHRASES)
        }
        return cls(alike, {word: frozenset(others) for word, others in apart.items()}, phrases)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for row in _rows(path):
        if len(row) != 2:
            raise ValueError(f"{path}: {row[0]!r} needs two columns apart by a tab")
        yield row[0], row[1]


def _rows(path: Path) -> Iterable[list[str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            row = [cell.strip() for cell in line.split("\t")]
            if len(row) < 2 or not all(row):
                raise ValueError(f"{path}, line {number}: two columns or more, apart by tabs")
            yield row
