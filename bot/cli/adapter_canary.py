"""How students rate a canary beside the adapter in use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.cli.adapter_bench import answering
from bot.cli.common import out, show, show_json
from bot.cli.people import with_store

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.store.ratings import Rated
    from inference.adapters import Canary, Shelf


def show_ratings(settings: Settings, found: Shelf, *, json: bool) -> None:
    """Thumbs on both sides since each canary began, as tables or JSON."""
    from bot.store.ratings import ratings

    reports = []
    for subject, canary in found.canaries().items():
        current = answering(settings, found, subject)
        since = datetime.fromisoformat(canary.at)
        count = partial(ratings, adapters=(canary.id, current), since=since)
        rated = with_store(count)
        reports.append(_report(subject, canary, current, rated))
    if json:
        show_json({"canaries": reports})
        return
    if not reports:
        out.print("There is no canary. To begin one: sahpathi adapters canary ID --share 0.1 --by NAME")
    for report in reports:
        _show(report)


def _report(subject: str, canary: Canary, current: str, rated: Sequence[Rated]) -> dict[str, Any]:
    from training.evals.bootstrap import shares

    sides = {adapter: [row for row in rated if row.adapter == adapter] for adapter in (current, canary.id)}
    thumbs = [[(row.up, row.up + row.down) for row in side if row.up + row.down] for side in sides.values()]
    difference = shares(*thumbs) if all(thumbs) else None
    return {
        "subject": subject,
        "share": canary.share,
        "since": canary.at,
        "by": canary.by,
        "sides": [_side(adapter, adapter == canary.id, rows) for adapter, rows in sides.items()],
        "difference": None
        if difference is None
        else {"mean": difference.mean, "low": difference.low, "high": difference.high},
    }


def _side(adapter: str, tried: bool, rows: Sequence[Rated]) -> dict[str, Any]:
    """One side. The interval of its share is that of Clopper and Pearson (1934), exact where thumbs are independent."""
    from scipy.stats import binomtest

    up, down = sum(row.up for row in rows), sum(row.down for row in rows)
    interval = binomtest(up, up + down).proportion_ci(0.95, "exact") if up + down else None
    return {
        "adapter": adapter,
        "role": "canary" if tried else "in use",
        "conversations": len(rows),
        "answers": sum(row.answers for row in rows),
        "up": up,
        "down": down,
        "liked": up / (up + down) if up + down else None,
        "low": None if interval is None else float(interval.low),
        "high": None if interval is None else float(interval.high),
    }


def _show(report: dict[str, Any]) -> None:
    out.print(
        f"{report['subject']}: {report['share']:.0%} of the conversations since {report['since']}, "
        f"begun by {report['by']}"
    )
    rows = [{**side, "liked": _liked(side)} for side in report["sides"]]
    columns = {
        "role": "", "adapter": "Adapter", "conversations": "Conversations", "answers": "Answers", "up": "Up",
        "down": "Down", "liked": "Liked",
    }  # fmt: skip
    show(rows, columns, as_json=False, empty="")
    gain = report["difference"]
    if gain is None:
        out.print("One side has no thumbs yet, so they cannot be compared.")
        return
    verdict = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no different as far as can be told"
    out.print(f"Difference {gain['mean']:+.2f} \\[{gain['low']:+.2f}, {gain['high']:+.2f}]: the canary is {verdict}.")


def _liked(side: dict[str, Any]) -> str:
    return "" if side["liked"] is None else f"{side['liked']:.2f} \\[{side['low']:.2f}, {side['high']:.2f}]"
