"""The command line of the storms."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.chaos.storm import Outcome, storm
from tests.chaos.topology import TOPOLOGIES

SHOWN = 10  # complaints
COLUMNS = (
    "topology", "kills", "disasters", "minutes", "messages", "answers", "parts", "deliveries", "lost", "written twice",
    "out of order", "refused to start", "in-doubt parts", "doubles", "doubles without doubt", "rules broken",
)  # fmt: skip


def table(outcomes: list[Outcome]) -> str:
    """A Markdown table, a row a topology."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, outcomes)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(outcome: Outcome) -> tuple[str, ...]:
    found = outcome.account
    counts = (
        found.messages, found.answers, found.parts, found.deliveries, len(found.lost), len(found.twice),
        len(found.disordered), len(outcome.deaths), found.in_doubt, found.doubles, len(found.doubled_without_doubt),
        len(found.broken_rules),
    )  # fmt: skip
    disasters, minutes = _counted(outcome.disasters) or "none", f"{outcome.seconds / 60:.0f}"
    return outcome.topology, _counted(outcome.kills), disasters, minutes, *map(str, counts)


def _counted(counts: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{sum(counts.values())} ({parts})" if counts else ""


def main() -> int:
    """Run the storms that are named, both unless told. 0 when every claim held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("topologies", nargs="*", metavar="TOPOLOGY", help="embedded, scaled; both unless named")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--students", type=int, default=8, help="with each provider")
    parser.add_argument("--every", type=int, default=25, help="kills between two disasters of the servers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-model", action="store_true", help="quote only: processes start faster")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    outcomes = []
    for topology in given.topologies or TOPOLOGIES:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            outcomes.append(
                storm(
                    topology, Path(folder), kills=given.kills, each=given.students, seed=given.seed, every=given.every,
                    model=not given.no_model, say=lambda line: print(line, file=sys.stderr, flush=True),
                )
            )  # fmt: skip
    print(json.dumps([asdict(outcome) for outcome in outcomes]) if given.json else table(outcomes))
    for outcome in outcomes:
        for complaint in outcome.faulty[:SHOWN]:
            print(f"{outcome.topology}: {complaint}", file=sys.stderr)
    return 1 if any(outcome.faulty for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
