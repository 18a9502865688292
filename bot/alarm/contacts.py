"""The adults to be told of a child in distress, as the settings name them."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAIL, TELEGRAM = "mailto", "telegram"
FORMS = {
    MAIL: re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9.-]+"),
    TELEGRAM: re.compile(r"-?[0-9]{1,20}"),  # a chat's number, below zero for a group
}


@dataclass(frozen=True, slots=True)
class Contact:
    """One adult, or a group of them: "mailto:asha@school.example", "telegram:123456789"."""

    kind: str
    address: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.address}"


def contacts(listed: str) -> tuple[Contact, ...]:
    """Read from a list with commas between. Raises ValueError, which says how to write it and repeats no address."""
    found: list[Contact] = []
    for place, text in enumerate((item.strip() for item in listed.split(",") if item.strip()), start=1):
        kind, _, address = text.partition(":")
        form = FORMS.get(kind)
        if form is None or not form.fullmatch(address):
            raise ValueError(
                f"number {place} is no address: write each adult as mailto:asha@school.example or telegram:123456789, "
                "with commas between"
            )
        contact = Contact(kind, address)
        if contact in found:
            raise ValueError(f"number {place} is on the list already: name each adult once")
        found.append(contact)
    return tuple(found)
