"""What staff read in place of the codes that rows hold: channels, what incidents are about, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CHANNELS: Mapping[str, str] = {
    "whatsapp": "WhatsApp",
    "cloud": "WhatsApp (Meta)",
    "telegram": "Telegram",
    "web": "Web page",
    "console": "Terminal",
}


@dataclass(frozen=True, slots=True)
class Category:
    """One kind of incident, in a few words; Hindi only where an adult is alerted."""

    english: str
    hindi: str = ""


DISTRESS: Mapping[str, Category] = {
    "self_harm": Category("Thoughts of self-harm", "खुद को नुकसान पहुँचाने के विचार"),
    "abuse": Category("Abuse", "दुर्व्यवहार या शोषण"),
    "violence": Category("Violence", "मारपीट या हिंसा"),
    "bullying": Category("Bullying", "दूसरे बच्चों का सताना या धमकाना"),
    "running_away": Category("Running away from home", "घर छोड़कर भागने की बात"),
}
OTHERS: Mapping[str, Category] = {
    "buried_message": Category("A question that got no answer"),
    "undelivered_reply": Category("An answer that did not arrive"),
    "unsafe_answer": Category("An answer that was held back as unsafe"),
    "safety_error": Category("A question that the safety filter could not check"),
}
IN_DISTRESS = Category("A child in distress", "बच्चा किसी परेशानी में है")  # of a kind that came later than this list
OUTCOMES: Mapping[str, str] = {
    "real": "It was right to alert",
    "false_alarm": "False alarm: nothing was wrong",
}
REFUSALS: Mapping[str, str] = {
    "injection": "An attempt to talk the tutor out of its rules",
    "sexual": "Sexual content",
    "weapons": "Making or getting weapons",
    "violence": "Harming somebody",
    "drugs": "Making, getting or taking drugs",
    "hacking": "Breaking into computers or accounts",
    "crime": "Crime",
    "hate": "Hatred of a group of people",
    "harassment": "Insults or threats",
    "self_harm": "Ways of self-harm",
    "cheating": "Cheating in an exam",
    "leak": "The answer would have told our own instructions",
    "personal_data": "The answer would have told somebody's number or address",
    "safety_error": "None: the filter failed, and then nothing is answered",
}
LAYERS: Mapping[str, str] = {
    "distress": "List of phrases of children in distress",
    "rules": "List of phrases",
    "classifier": "Trained classifier",
    "classifier of turns": "Trained classifier, with the questions before",
    "guard": "Outside model",
    "output": "Check of the answer",
}


def category(code: str) -> Category:
    """In words; whatever we have none for is taken for a child in distress."""
    return DISTRESS.get(code) or OTHERS.get(code) or IN_DISTRESS


def is_distress(code: str) -> bool:
    """Whether an incident is about a child who is to be spoken with."""
    return code not in OTHERS
