"""The sentences of the book that answer a question best. Children read them word for word, so each must stand alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.claims import figures
from rag.embed import Vectors
from rag.lexical import GUESSED, tokens
from rag.passage import Passage, Quote
from rag.phonetic import in_devanagari
from rag.question import DIGITS, Question
from rag.sentences import split
from rag.words import lexicon, stem, topic, words

LONGEST = 4  # sentences
GATHERED = 80  # words
COUNTING = 5  # words that a sentence ends with when it counts what follows
LINE = 2  # sentences of a line in a list
OPENING = 4  # words that a Hindi sentence names what it defines within
LONGEST_EXAMPLE = 7  # a worked example is quoted to its end, or it answers nothing
QUOTABLE = 0.5  # what the best sentence must be worth; every answerable question of the shipped ones has 0.56
# What a sentence is worth, beside its similarity to the question:
PASSAGE = 0.6  # times the relevance of its passage
PLACE = 0.05  # less for each passage that retrieval put before its own
SPOKEN = 0.4  # if its book is in the script of the question: a child who asks in Hindi wants to read Hindi
TOPIC = 0.2  # times the share of the question's topic words in it
DEFINES = 0.25  # if it says what X is and the question asks so
IS_ONE = 0.75  # instead, if it begins as only a Hindi definition does: "सूचक वह पदार्थ है जो ..."
EXPLAINS = 0.08  # if it gives a reason and the question asks why
FIGURES = 0.2  # times the share of the question's numbers in it, or in the worked example it belongs to
# What share of the best sentence's worth another one needs: the next of the same paragraph, and any other. On the train
# and dev splits 4 sentences, 0.3 and 0.6 hold 0.04 more of the key facts than 3, 0.5 and 0.8, in 12 words more.
NEXT = 0.3
OTHER = 0.6
DANGLING = re.compile(
    r"(?:and|but|so|then|also|therefore|thus|hence|here|there|this|that|these|those|it|its|he|his|she|her|they|their|"
    r"them|such|both|another|one of them|two of them|the others?|the second|the third|the same|in the same way|"
    r"for example|for instance|in this|in these|in return|on the other hand|however)\b|"
    r"(?:और|लेकिन|परंतु|किंतु|फिर|इसलिए|अतः|यहाँ|वहाँ|तब|इसी|उसी|यही|वही|यह|ये|वह|वे|(?:इ|उ)स(?:का|के|की|से|में|पर|ने|े|को)?|"
    r"(?:इ|उ)न(?:का|के|की|से|में|पर|को)?|(?:इ|उ)न्हें|ऐस[ाेी]|दोनों|दूसर[ाेी]|जैसे)(?![\w\u0900-\u097f])",
    re.IGNORECASE,
)
WHAT_IS = re.compile(
    r"(?:what(?:'s| is| are| was| were)|define|meaning of|what do you mean by|what does|explain|who (?:is|was|were))\s+"
    r"(?:meant by\s+|the meaning of\s+)?(?:an?\s+|the\s+)?(?P<term>.+?)(?:\s+mean)?$",
    re.IGNORECASE,
)
REASON = re.compile(
    r"\b(?:because|so that|since|therefore|this is why|due to|so)\b|क्योंकि|इसलिए|के कारण|ताकि", re.IGNORECASE
)
HINDI_WHAT_IS = re.compile(
    r"क्या (?:है|हैं|होता|होती|होते)|किसे कहते|का (?:अर्थ|मतलब)|परिभाषा|"
    r"\b(?:kya (?:hai|hain|hota|hoti|hote)|kise k\w+|matlab|arth|paribhasha)\b",
    re.IGNORECASE,
)
# What follows the word that a Hindi sentence defines.
AFTER_DEFINED = lexicon("वह वे एक ऐसा ऐसी ऐसे किसी")
HINDI_DEFINES = re.compile(r"(?:है|हैं|कहते हैं|कहलात[ाीे] (?:है|हैं))[।.]?$")
WHY = re.compile(r"^\s*(?:why|y)\b|क्यों|\bky(?:on|un|u|o)\b", re.IGNORECASE)
CHECKS = re.compile(
    r"^\s*(?:is|are|was|were|does|do|did|can|has|have)(?:n't)?\b|"
    r"(?:\b(?:right|rite|correct|na)|n't (?:it|they|he|she|we|i)|(?:^|\s)(?:न|ना))\W*$",
    re.IGNORECASE,
)
COUNTED = {
    word: count
    for count, spelled in enumerate(("two दो", "three तीन", "four चार", "five पाँच पांच", "six छह छः"), start=2)
    for word in spelled.split()
}
EXAMPLE = re.compile(r"(?:Example|उदाहरण)(?: \d+)?[.:]")
TABLE_ROW = re.compile(r"[^.:;]+: [^.:;]+; [^.:;]+: ")


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    worth: float
    paragraph: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the worth of a sentence depends on."""

    about: frozenset[str]  # stems of what the question is about
    term: frozenset[str]  # of the X in "What is X?"
    why: bool
    counts: bool  # "the three parts of ..."
    figures: frozenset[str]
    checks: bool  # "Isn't 100 the 34th term?": one of the figures is what the student makes of the others
    forms: tuple[frozenset[str], ...]  # the tokens that stand for each of its words


def choose(
    question: Question, passages: Sequence[tuple[Passage, Vectors | None]], language: str | None = None
) -> Quote | None:
    """The best few sentences, or the worked example, of one passage; None when nothing answers.

    Each passage comes with the similarity of its sentences, in the order of `split`, to the question; None where the
    embedding model can make nothing of its language: then the words decide. `language` is that of the books to prefer,
    where it is not the question's own.
    """
    asked, spoken = _asked(question), language or question.language
    best: tuple[float, Quote] | None = None
    for place, (passage, similar) in enumerate(passages):
        sentences = _weigh(asked, passage.text, similar)
        picked = _pick(sentences, lists=not asked.term or asked.counts)
        if not picked:
            continue
        own = max(sentences[n].worth for n in picked)
        worth = own + _standing(passage, place, spoken)
        if own >= QUOTABLE and (best is None or worth > best[0]):
            best = worth, _quoted(asked, sentences, picked, passage, own)
    return best[1] if best else None


def _quoted(
    asked: _Asked, sentences: Sequence[_Sentence], picked: Sequence[int], passage: Passage, worth: float
) -> Quote:
    text = " ".join(sentences[n].text for n in picked)
    missing = len(asked.figures - figures(text))
    other_sum = EXAMPLE.match(text) is not None and missing > asked.checks
    return Quote(text, passage, worth, other_sum=other_sum)


def gather(
    question: Question,
    passages: Sequence[tuple[Passage, Vectors | None]],
    language: str | None = None,
    *,
    words: int = GATHERED,
) -> list[str]:
    """The sentences that bear on the question, the best first, in about `words` words altogether.

    Each comes with what it leans on, as one text; a worked example is one whole. Arguments as for `choose`.
    """
    asked, spoken = _asked(question), language or question.language
    weighed = [_weigh(asked, passage.text, similar) for passage, similar in passages]
    standing = [_standing(passage, n, spoken) for n, (passage, _) in enumerate(passages)]
    places = [(n, place) for n, sentences in enumerate(weighed) for place in range(len(sentences))]
    ranked = sorted(places, key=lambda at: weighed[at[0]][at[1]].worth + standing[at[0]], reverse=True)
    texts: list[tuple[int, set[int]]] = []  # the passage of each, and the places of its sentences
    room = words
    for n, place in ranked:
        needed = set(_with_antecedent(weighed[n], place) or _example(weighed[n], place))
        leans_on = next((held for of, held in texts if of == n and held & needed), set[int]())
        added = needed - leans_on
        size = sum(len(weighed[n][one].text.split()) for one in added)
        if added and (size <= room or not texts):
            if not leans_on:
                texts.append((n, leans_on))
            leans_on |= added
            room -= size
    said = (" ".join(weighed[n][place].text for place in sorted(held)) for n, held in texts)
    return list(dict.fromkeys(said))  # two chapters may say the same


def defines(question: Question, text: str) -> bool:
    """Whether a text, by its first sentence, says what X is; False where the question does not ask that."""
    term = _asked(question).term
    return bool(term) and any(_defines(sentence, term) for sentence in split(text)[:1])


def _standing(passage: Passage, place: int, spoken: str) -> float:
    """What a sentence is worth for the passage it stands in."""
    return PASSAGE * passage.score - PLACE * place + SPOKEN * (passage.language == spoken)


def _asked(question: Question) -> _Asked:
    forms = tuple(frozenset(term.forms) for term in question.terms)
    term = _term(question.english)
    if question.is_hindi:
        defined = HINDI_WHAT_IS.search(question.text) is not None and len(forms) <= 2
        term = topic(question.english) if defined else frozenset()
    why = WHY.search(question.text) is not None or question.english.lower().startswith("why")
    counts = any(word in COUNTED for word in words(question.english))
    given = figures(question.text) - (DIGITS.keys() - figures(question.english))
    checks = CHECKS.search(question.text) is not None
    return _Asked(topic(question.english), term, why, counts, given, checks, forms)


def _weigh(asked: _Asked, text: str, similar: Vectors | None) -> list[_Sentence]:
    found = []
    numbered = [(line, sentence) for line, part in enumerate(text.splitlines()) for sentence in split(part)]
    for place, (line, sentence) in enumerate(numbered):
        share, defining = _of_hindi(asked, sentence) if in_devanagari(sentence) else _of_english(asked, sentence)
        # A language that the embedding model cannot be given: the words decide.
        worth = GUESSED * share if similar is None else float(similar[place])
        worth += TOPIC * share + defining
        worth += EXPLAINS if asked.why and REASON.search(sentence) else 0.0
        found.append(_Sentence(sentence, worth, line))
    return [_with_figures(asked, found, place) for place in range(len(found))] if asked.figures else found


def _with_figures(asked: _Asked, sentences: Sequence[_Sentence], place: int) -> _Sentence:
    """The sentence, worth more for each number of the question that it or its worked example has.

    In "You must be 30, right?" the number may be the mistake: then only worked examples gain by having it.
    """
    example = _example(sentences, place)
    if asked.checks and not example:
        return sentences[place]
    given = " ".join(sentences[n].text for n in example or (place,))
    share = len(asked.figures & figures(given)) / len(asked.figures)
    return replace(sentences[place], worth=sentences[place].worth + FIGURES * share)


def _of_english(asked: _Asked, sentence: str) -> tuple[float, float]:
    """The share of what is asked about that a sentence names, and what it gains where it says what X is."""
    held = {stem(word) for word in words(sentence)}
    defining = DEFINES if asked.term and _defines(sentence, asked.term) else 0.0
    return len(asked.about & held) / max(1, len(asked.about)), defining


def _of_hindi(asked: _Asked, sentence: str) -> tuple[float, float]:
    """The same of a sentence in Devanagari, which is compared by what its words sound like."""
    spoken = list(tokens(sentence))
    share = sum(not forms.isdisjoint(spoken) for forms in asked.forms) / max(1, len(asked.forms))
    if not asked.term:
        return share, 0.0
    length = len(asked.forms)
    if _all_in(asked.forms, spoken[:length]) and AFTER_DEFINED & set(sentence.split()[length : length + 1]):
        return share, IS_ONE
    opens = _all_in(asked.forms, spoken[:OPENING])
    return share, DEFINES if opens and HINDI_DEFINES.search(sentence) else 0.0


def _all_in(forms: Sequence[frozenset[str]], spoken: Sequence[str]) -> bool:
    return all(not word.isdisjoint(spoken) for word in forms)


def _pick(sentences: Sequence[_Sentence], *, lists: bool) -> list[int]:
    """Places of the best sentence with what it leans on, and of others that add to it.

    With `lists`, a sentence that announces a list brings it along.
    """
    ranked = sorted(range(len(sentences)), key=lambda n: sentences[n].worth, reverse=True)
    for best in ranked:
        if example := _example(sentences, best):
            return example
        if needed := _with_antecedent(sentences, best):
            if lists and (listed := _listed(sentences, best)):
                return sorted({*needed, *listed})
            return sorted(_extended(sentences, ranked, best, set(needed)))
    return []


def _extended(sentences: Sequence[_Sentence], ranked: Sequence[int], best: int, picked: set[int]) -> set[int]:
    enough = sentences[best].worth
    following = best + 1
    while (
        following < len(sentences)
        and len(picked) < LONGEST
        and sentences[following].paragraph == sentences[best].paragraph
        and not EXAMPLE.match(sentences[following].text)
        and sentences[following].worth >= NEXT * enough
    ):
        picked.add(following)
        following += 1
    for n in ranked:
        needed = _with_antecedent(sentences, n)
        if sentences[n].worth >= OTHER * enough and needed and len(picked | set(needed)) <= LONGEST:
            picked |= set(needed)
    return picked


def _listed(sentences: Sequence[_Sentence], place: int) -> list[int]:
    """The lines after a sentence that only counts what they tell, one by one: "... for four reasons."

    It ends its paragraph, and each of the lines is short.
    """
    told = sentences[place]
    lines: dict[int, list[int]] = {}
    for n in range(place + 1, len(sentences)):
        lines.setdefault(sentences[n].paragraph, []).append(n)
    if ":" in told.text or told.paragraph in lines:
        return []
    count = max((COUNTED.get(word, 0) for word in words(told.text)[-COUNTING:]), default=0)
    following = list(lines.values())[:count]
    if not count or len(following) < count or any(len(line) > LINE for line in following):
        return []
    listed = [n for line in following for n in line]
    return listed if all(_quotable(sentences[n].text) for n in listed) else []


def _example(sentences: Sequence[_Sentence], place: int) -> list[int]:
    """The worked example that the sentence belongs to, whole; empty when it belongs to none or to a very long one.

    It goes to the end of its paragraph, and may begin in the midst of it.
    """
    paragraph = [n for n, other in enumerate(sentences) if other.paragraph == sentences[place].paragraph]
    begins = [n for n in paragraph if EXAMPLE.match(sentences[n].text)]
    first = max((n for n in begins if n <= place), default=None)
    if first is None:
        return []
    after = min((n for n in begins if n > first), default=paragraph[-1] + 1)
    return list(range(first, after)) if after - first <= LONGEST_EXAMPLE else []


def _with_antecedent(sentences: Sequence[_Sentence], place: int) -> list[int]:
    """`place` and the sentences before it that it leans on; empty when it cannot be quoted."""
    needed = [place]
    if not _quotable(sentences[place].text) or EXAMPLE.match(sentences[place].text) or _example(sentences, place):
        return []
    while DANGLING.match(sentences[needed[0]].text):
        before = needed[0] - 1
        if before < 0 or sentences[before].paragraph != sentences[place].paragraph or len(needed) == LONGEST:
            return []
        needed.insert(0, before)
    return needed


def _quotable(text: str) -> bool:
    """A statement: no question, no line that only introduces others, no row of a table, no stray label."""
    return not text.endswith((":", "?")) and len(text.split()) >= 3 and not TABLE_ROW.match(text)


def _term(question: str) -> frozenset[str]:
    """The stems of X in "What is X?"; empty for another kind of question. A bare "photosynthesis" asks the same."""
    asked = question.strip().rstrip("?.! ")
    match = WHAT_IS.match(asked)
    term = match["term"] if match else asked if len(asked.split()) <= 2 else ""
    return topic(term) if len(term.split()) <= 5 else frozenset()


def _defines(text: str, term: frozenset[str]) -> bool:
    """Whether the sentence says what `term` is: "X is ...", "X means ...", "X: ..."."""
    match = re.match(r"(.{1,60}?)(?: \([^)]*\))?(?::|\s(?:is|are|was|were|means|mean|has)\b)", text)
    return match is not None and topic(match[1]) == term
