"""What a thousand answers cost in rupees: on a rented server with two cores, and from hosted models at list prices.

    python -m tests.bench.cost [--answers-an-hour 40760 16380] [--read 240] [--written 45] [--rupees 88] [--json]

Nothing is measured here: the answers an hour come from `tests.bench.inference` and `tests.bench.overhead`, and the
prices are list prices as read on the day beside them. A server costs the same idle; so the table also says what a
thousand answers cost in a school of a given size, and from how many answers a month on the server is the cheaper one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class Server:
    """A rented machine with two cores and 4 GB. `month` in US dollars, without taxes."""

    name: str
    month: float
    read_on: str


@dataclass(frozen=True)
class Hosted:
    """A hosted model. US dollars for a million tokens read and written, without taxes."""

    name: str
    read: float
    written: float
    read_on: str

    def thousand(self, read: float, written: float) -> float:
        """US dollars for a thousand answers of so many tokens read and written each."""
        return (read * self.read + written * self.written) / 1000.0


# The provider's own price list, where not said otherwise.
SERVERS = (
    Server("DigitalOcean Basic, 2 shared cores, 4 GB, Bengaluru", 24.0, "the list in force since July 2022"),
    Server("Hetzner CX23, 2 shared cores, 4 GB, Germany", 4.5, "4.11 EUR, from a reseller's list of 2026"),
)
MODELS = (
    Hosted("Gemini 2.5 Flash-Lite", 0.10, 0.40, "openrouter.ai, 2026"),
    Hosted("GPT-4o mini", 0.15, 0.60, "promptunit.ai, 2026"),
    Hosted("Gemini 3.1 Flash-Lite", 0.25, 1.50, "a release note of April 2026"),
    Hosted("GPT-4.1 mini", 0.40, 1.60, "promptunit.ai, 2026"),
)
SCHOOLS = {
    "a class of 40, 3 questions a school day": 40 * 3 * 22,
    "500 students, 5 questions a school day": 500 * 5 * 22,
}


def figures(options: argparse.Namespace) -> list[tuple[str, float, str]]:
    """Rows of what it is, rupees for a thousand answers, and whence the price."""
    rows = list[tuple[str, float, str]]()

    def row(name: str, dollars: float, source: str) -> None:
        rows.append((name, round(dollars * options.rupees, 3), source))

    for server in SERVERS:
        for pace in options.answers_an_hour:
            full = server.month / HOURS_A_MONTH / pace * 1000.0
            row(f"{server.name}: always busy, {pace:,} answers an hour", full, server.read_on)
        for school, answers in SCHOOLS.items():
            row(f"{server.name}: {school}", server.month / answers * 1000.0, server.read_on)
    for model in MODELS:
        dollars = model.thousand(options.read, options.written)
        break_even = [f"{server.month / dollars * 1000.0:,.0f}" for server in SERVERS]
        name = f"{model.name}, without a server (dearer than the servers from {' / '.join(break_even)} answers a month)"
        row(name, dollars, model.read_on)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers-an-hour", type=int, nargs="+", default=[40_760, 16_380], help="of the server")
    parser.add_argument("--read", type=float, default=240, help="tokens of a prompt with its passages")
    parser.add_argument("--written", type=float, default=45, help="tokens of an answer")
    parser.add_argument("--rupees", type=float, default=88.0, help="for a US dollar")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = figures(options)
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    asked = f"a thousand answers, {options.read:g} tokens read and {options.written:g} written"
    print(f"| {asked}; $1 = ₹ {options.rupees:g} | ₹ | price of |\n|---|---|---|")
    for name, rupees, source in rows:
        print(f"| {name} | {rupees:,.2f} | {source} |")


if __name__ == "__main__":
    main()
