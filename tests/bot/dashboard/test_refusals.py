"""Judging what the safety filter refused, over a real store and the real routes."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from bot.ports import Action, Answer, Route, Verdict
from bot.store import APPROVED, FALSE_ALARM, Store
from tests.bot.dashboard.test_dashboard import kept
from tests.bot.dashboard.test_undelivered import form
from tests.bot.dashboard.visiting import NAME, token, visitor
from tests.bot.distress import FAILED, REFUSED, answered, happened
from tests.served import WRITTEN

QUESTION = "How are fireworks made?"
RIGHTLY, WRONGLY = "rightly-refused", "wrongly-refused"


def held(category: str, layer: str, score: float) -> Verdict:
    return Verdict(Action.REFUSE, category, f"refused.{category}", layer, score)


@pytest.mark.parametrize(
    ("verb", "review", "words"),
    [(RIGHTLY, APPROVED, "Rightly refused"), (WRONGLY, FALSE_ALARM, "Should have been answered")],
)
async def test_a_refusal_is_judged_instead_of_approved_or_corrected(
    teacher: httpx.AsyncClient, store: Store, verb: str, review: str, words: str
) -> None:
    answer_id = await answered(store, REFUSED, QUESTION)
    address = f"/dashboard/answers/{answer_id}"
    page = (await teacher.get(address)).text
    for shown in (QUESTION, ">Rightly refused</button>", ">Should have been answered</button>", ">To review<"):
        assert shown in page
    for hidden in (f"{address}/approve", f"{address}/correct", "<textarea", "names no source"):
        assert hidden not in page
    done = await teacher.post(f"{address}/{verb}", data=await form(teacher))
    assert [step.status_code for step in done.history] == [303]
    assert "Noted: " in done.text
    assert f'<span class="state {review}">{words}</span>' in done.text
    answer = await kept(store, answer_id)
    assert (answer.review, answer.reviewed_by) == (review, NAME)
    assert words in (await teacher.get("/dashboard", params={"route": "refused"})).text


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (held("weapons", "classifier", 0.8765), ("Making or getting weapons", "Trained classifier<", "88% sure")),
        (held("violence", "rules", 1.0), ("Harming somebody", "List of phrases<", "100% sure")),
        (held("leak", "output", 1.0), ("our own instructions", "Check of the answer")),
        (held("new_kind", "new layer", 0.5), (">New kind<", ">new layer<", "50% sure")),
        (FAILED, ("the filter failed", ">–<")),
    ],
)
async def test_staff_see_what_was_refused_for_what_by_what(
    teacher: httpx.AsyncClient, store: Store, verdict: Verdict, words: tuple[str, ...]
) -> None:
    answer_id = await answered(store, replace(REFUSED, verdict=verdict))
    page = (await teacher.get(f"/dashboard/answers/{answer_id}")).text
    for shown in words:
        assert shown in page


async def test_an_answer_is_not_judged_as_a_refusal(teacher: httpx.AsyncClient, store: Store) -> None:
    answer_id = await answered(store, WRITTEN)
    page = (await teacher.get(f"/dashboard/answers/{answer_id}")).text
    assert "Held by" not in page
    assert "refused</button>" not in page
    for verb in (RIGHTLY, WRONGLY):
        tried = await teacher.post(f"/dashboard/answers/{answer_id}/{verb}", data=await form(teacher))
        assert tried.status_code == 404
    assert (await kept(store, answer_id)).review is None


async def test_a_child_in_distress_is_judged_with_the_incident(teacher: httpx.AsyncClient, store: Store) -> None:
    case = await store.incident((await happened(store)).id)
    assert case is not None
    assert case.answer_id is not None
    address = f"/dashboard/answers/{case.answer_id}"
    page = (await teacher.get(address)).text
    for shown in (f'href="/dashboard/incidents/{case.id}"', "Thoughts of self-harm", "phrases of children in distress"):
        assert shown in page
    assert f'action="{address}' not in page
    for verb in (RIGHTLY, WRONGLY, "approve", "correct"):
        tried = await teacher.post(f"{address}/{verb}", data=await form(teacher) | {"correction": "Better."})
        assert tried.status_code == 404
    assert (await kept(store, case.answer_id)).review is None


async def test_what_was_refused_without_the_filter_is_not_judged(teacher: httpx.AsyncClient, store: Store) -> None:
    answer_id = await answered(store, Answer("Please ask in fewer words.", Route.REFUSED, "en"))
    address = f"/dashboard/answers/{answer_id}"
    page = (await teacher.get(address)).text
    assert "nothing to review" in page
    assert f'action="{address}' not in page
    assert (await teacher.post(f"{address}/{RIGHTLY}", data=await form(teacher))).status_code == 404


async def test_refusals_are_found_by_how_and_by_what_was_said(teacher: httpx.AsyncClient, store: Store) -> None:
    asked = {"Is it a gun?": True, "Is it a cell?": False, "Is it new?": None}
    for question, right in asked.items():
        answer_id = await answered(store, REFUSED, question)
        if right is not None:
            assert await store.review_refusal(answer_id, by=NAME, right=right)
    await answered(store, WRITTEN, "Is it a leaf?")

    async def listed(**query: str) -> set[str]:
        page = (await teacher.get("/dashboard", params=query)).text
        return {question for question in (*asked, "Is it a leaf?") if question in page}

    assert await listed(route="refused") == set(asked)
    assert await listed(show="false-alarms") == {"Is it a cell?"}
    assert await listed(show="approved", route="refused") == {"Is it a gun?"}
    assert await listed(show="to-review") == {"Is it a leaf?"}


async def test_judging_is_for_staff_and_needs_the_sessions_own_token(
    teacher: httpx.AsyncClient, app: FastAPI, store: Store
) -> None:
    answer_id = await answered(store, REFUSED)
    address = f"/dashboard/answers/{answer_id}/{WRONGLY}"
    async with visitor(app) as stranger:
        foreign = token((await stranger.get("/dashboard/sign-in")).text)
        assert (await stranger.post(address, data={"token": foreign})).url.path == "/dashboard/sign-in"
    for forged in ({}, {"token": foreign}):
        assert (await teacher.post(address, data=forged)).status_code == 403
    assert (await kept(store, answer_id)).review is None
