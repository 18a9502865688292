"""The report of a run: what a reader must find on the page, whatever became of the run."""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from lxml import html
from PIL import Image

from tests.browsing import PHONE, browser, complaints
from training.errors import TrainingError
from training.records.record import RECORD, Evaluation, Event, Finished, Note, Record, Resumed, Sample, Started, Step
from training.report import curves, write
from training.report.curves import smoothed
from training.report.page import page, scores
from training.report.run import read_run
from training.report.words import duration, score, size, sparkline

STEPS, EVERY, BEST = 60, 20, 40
WANTED = "प्रकाश संश्लेषण वह प्रक्रिया है जिससे पौधे भोजन बनाते हैं।"
QUESTIONS = (("What are stomata?", "Tiny pores on the surface of leaves."), ("प्रकाश संश्लेषण क्या है?", WANTED))
DEV = {0: 3.912, 20: 1.815, 40: 1.234, 60: 1.377}

STARTED = Started(
    at="2026-11-30T17:00:00+00:00",
    method="sft",
    subject="science",
    arguments={"rank": 16, "learning_rate": 0.001, "epochs": 3, "rslora": False, "report_to": ""},
    hardware={"device": "cpu", "processor": "Xeon", "cores": 2, "memory": 8 << 30, "versions": {"torch": "2.13.0"}},
    data={
        "dataset_sha256": "ab" * 32, "examples": 120, "conversations": 132, "tokens": 9000, "learned_tokens": 1500,
        "longest": 512, "dev": 12, "test": 0,
        "subjects": {"science": 90, "history": 30}, "languages": {"en": 80, "hi": 40},
    },
    steps=STEPS,
    fingerprint="cd" * 32,
)  # fmt: skip
FINISHED = Finished(
    at="2026-11-30T19:00:00+00:00",
    seconds=7200.0,
    peak_memory=3 << 30,
    scores={"base_key_facts": 0.25, "key_facts": 0.75, "base_refused": 0.1, "refused": 0.2, "best_step": 40.0},
    stopped="complete",
    why="every epoch is done",
    best_step=BEST,
    adapter="science-0123456789ab",
)


def step(number: int, loss: float | None = None) -> Step:
    return Step(number, STEPS, 4 * math.exp(-number / 20) if loss is None else loss, 1500.0, 60.0, 1e-3)


def evaluation(number: int) -> Evaluation:
    """Step 40 is the best; after it the run overfits."""
    samples = tuple(Sample(question, f"<b>answer</b> of step {number}", wanted) for question, wanted in QUESTIONS)
    loss = DEV[number]
    train = None if number == 0 else loss - 0.2
    return Evaluation(number, loss, math.exp(loss), train, 0 < number <= BEST, number > BEST, samples)


def events(until: int = STEPS) -> list[Event]:
    """A run without its end."""
    made: list[Event] = [STARTED, evaluation(0)]
    for number in range(1, until + 1):
        made.append(step(number))
        if number % EVERY == 0:
            made.append(evaluation(number))
    return made


def recorded(folder: Path, what: Sequence[Event]) -> Path:
    """The folder of a run with these events, whose process is gone."""
    with Record(folder) as record:
        for event in what:
            record.write(event)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "20261130T170000Z-science"


def read(folder: Path, rupees_per_hour: float | None = None) -> html.HtmlElement:
    """The page of a run but for its curves, which take most of the time."""
    return html.fromstring(page(read_run(folder), ("<svg></svg>", "<svg></svg>"), rupees_per_hour))


def words(element: html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def top(document: html.HtmlElement) -> str:
    return " ".join(words(line) for line in document.find_class("state"))


def section(document: html.HtmlElement, heading: str) -> html.HtmlElement:
    (found,) = document.xpath(f"//section[h2='{heading}']")
    return found


def test_three_files_that_others_may_read_and_nothing_else(folder: Path) -> None:
    written = write(recorded(folder, [*events(), FINISHED]))
    assert written == folder / "report.html"
    assert {path.name for path in folder.iterdir()} == {RECORD, "loss.png", "loss.svg", "report.html"}
    for name in ("loss.png", "loss.svg", "report.html"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644
    picture = Image.open(io.BytesIO((folder / "loss.png").read_bytes()))
    picture.load()
    assert picture.width > 1000


def test_the_same_run_gives_the_same_drawings(folder: Path) -> None:
    def drawings() -> list[bytes]:
        write(folder)
        return [(folder / name).read_bytes() for name in ("loss.png", "loss.svg")]

    recorded(folder, [*events(), FINISHED])
    assert drawings() == drawings()


def test_the_page_needs_no_other_file(folder: Path) -> None:
    text = write(recorded(folder, [*events(), FINISHED])).read_text(encoding="utf-8")
    document = html.fromstring(text)
    assert document.xpath("//link | //script | //img | //iframe | //*[@src]") == []
    assert re.findall(r'(?:href|xlink:href)="(?!#)', text) == []
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text
    ids = document.xpath("//@id")
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', text):
        assert target in ids


def test_the_curves_take_the_colours_of_the_page(folder: Path) -> None:
    text = write(recorded(folder, [*events(), FINISHED])).read_text(encoding="utf-8")
    wide, narrow = html.fromstring(text).iter("svg")
    assert (wide.get("class"), narrow.get("class")) == ("wide", "narrow")
    inlined = html.tostring(wide).decode()
    for colour, variable in curves.VARIABLES.items():
        assert colour in (folder / "loss.svg").read_text(encoding="utf-8")
        assert colour not in inlined
        assert f"var({variable})" in inlined


def test_answers_stand_side_by_side(folder: Path) -> None:
    document = read(recorded(folder, [*events(), FINISHED]))
    articles = section(document, "Answers before and after").findall("article")
    assert [article.find("h3").text for article in articles] == [question for question, _ in QUESTIONS]
    for article, (_, wanted) in zip(articles, QUESTIONS, strict=True):
        base, adapter, right = (words(cell) for cell in article.find("div").findall("div"))
        assert base == "Base model <b>answer</b> of step 0"  # escaped: it is text, not an element
        assert adapter == f"Adapter, step {BEST} <b>answer</b> of step {BEST}"
        assert right == f"Wanted {wanted}"


def test_the_best_step_is_marked_and_overfitting_is_said(folder: Path) -> None:
    document = read(recorded(folder, [*events(), FINISHED]))
    assert "Overfitting at 1 of 4 evaluations, first at step 60." in top(document)
    assert "science-0123456789ab" in top(document)
    (best,) = document.find_class("best")
    assert words(best) == "40 1.034 1.234 3.43 ★ best"
    assert "step 40: 1.234" in curves.svg(read_run(folder), curves.WIDE)
    tiles = words(document.find_class("tiles")[0])
    assert "3.912 → 1.234 dev loss, base → step 40" in tiles
    assert "50.0 → 3.4 perplexity" in tiles
    assert "3.0 GB peak memory of the process" in tiles
    assert "1,500 tokens read a second" in tiles
    assert "27,000 tokens read" in tiles
    assert "4,500 tokens of answers learned" in tiles


def test_data_hardware_and_arguments_are_listed(folder: Path) -> None:
    document = read(recorded(folder, [*events(), FINISHED]))
    data = words(section(document, "Data"))
    assert "Conversations 132" in data
    assert "ab" * 32 in data
    counts = [words(row) for row in section(document, "Data").iter("li")]
    assert counts == ["science 90", "history 30", "en 80", "hi 40"]
    assert "Memory 8.0 GB" in words(section(document, "Hardware"))
    assert "Versions torch 2.13.0" in words(section(document, "Hardware"))
    assert "rsLoRA no" in words(section(document, "Arguments"))


def test_scores_stand_beside_the_base_models(folder: Path) -> None:
    document = read(recorded(folder, [*events(), FINISHED]))
    rows = [[words(cell) for cell in row] for row in section(document, "Scores").iter("tr")][1:]
    assert rows == [
        ["Key facts that answers hold higher is better", "0.250", "0.750", "+0.500 better"],
        ["Answerable, but said not to be in the book lower is better", "0.100", "0.200", "+0.100 worse"],
    ]


def test_a_score_without_a_direction_is_not_judged() -> None:
    (length, asked) = scores({"base_words": 30.0, "words": 12.5, "base_questions": 240.0, "questions": 240.0})
    assert (length.difference, length.verdict) == ("−17.5", "")
    assert (asked.difference, asked.verdict) == ("", "")
    (loss,) = scores({"held_out_loss_base": 2.0, "held_out_loss": 1.5})
    assert (loss.base, loss.adapter, loss.verdict) == (2.0, 1.5, "better")


@pytest.mark.parametrize(("rate", "cost"), [(60.0, "₹120.00"), (0.0, "₹0.00")])
def test_the_cost_is_the_hours_times_the_price_of_one(folder: Path, rate: float, cost: str) -> None:
    recorded(folder, [*events(), FINISHED])
    assert cost in words(section(read(folder, rate), "Time and cost"))
    unknown = words(section(read(folder), "Time and cost"))
    assert "₹" not in unknown
    assert "--rupees-per-hour" in unknown


@pytest.mark.parametrize(
    ("stopped", "said"),
    [
        ("early", "Ended early. No better dev loss <why>. 40 of 60 steps were done."),
        ("interrupted", "Interrupted. No better dev loss <why>. 40 of 60 steps were done."),
        ("failed", "Failed. No better dev loss <why>. 40 of 60 steps were done."),
    ],
)
def test_how_a_run_ended_is_said_at_the_top(folder: Path, stopped: str, said: str) -> None:
    ended = replace(FINISHED, stopped=stopped, why="no better dev loss <why>", adapter=None, best_step=None, scores={})
    document = read(recorded(folder, [*events(40), ended]))
    assert top(document).startswith(said)
    assert "There are none" in words(section(document, "Scores"))


def test_a_complete_run_is_not_excused(folder: Path) -> None:
    assert top(read(recorded(folder, [*events(), FINISHED]))).startswith("Complete. The adapter is")


def test_a_run_that_goes_on_has_a_report(folder: Path) -> None:
    recorded(folder, events(30))
    with Record(folder):
        said = top(read(folder))
    assert said.startswith(
        "Still running. 30 of 60 steps are done, about 1 min are left. This page shows what was known"
    )


def test_without_an_end_and_without_a_process_a_run_was_killed(folder: Path) -> None:
    recorded(folder, events(30))
    at = datetime(2026, 11, 30, 17, 10, tzinfo=UTC).timestamp()
    os.utime(folder / RECORD, (at, at))
    run = read_run(folder)
    assert (run.state, run.seconds) == ("interrupted", 600.0)
    said = top(read(folder))
    assert said.startswith("Interrupted. The process was killed after 30 Nov 2026, 17:10 UTC; the same command goes on")
    assert "30 of 60 steps were done." in said


def test_a_resumed_run_counts_each_step_once_and_does_not_guess_its_time(folder: Path) -> None:
    again = [step(number, 9.0) for number in range(21, 26)]
    recorded(folder, [*events(30), Resumed("2026-12-01T09:00:00+00:00", 20), *again])
    run = read_run(folder)
    assert [one.step for one in run.steps] == list(range(1, 26))
    assert run.steps[-1].loss == 9.0
    document = read(folder, 60.0)
    assert "stopped and gone on 1 time" in words(document.find("body/header"))
    assert "not known" in words(section(document, "Time and cost"))


def test_notes_are_told(folder: Path) -> None:
    note = Note("2026-11-30T17:10:00+00:00", 12, "memory ran out: 4 examples are now read at once")
    document = read(recorded(folder, [*events(20), note]))
    assert "Step 12: memory ran out: 4 examples" in words(section(document, "What happened"))


def test_where_the_base_model_was_never_beaten_that_is_said(folder: Path) -> None:
    worse = [replace(evaluation(20), dev_loss=4.2), replace(evaluation(40), dev_loss=4.5, best=False)]
    document = read(recorded(folder, [STARTED, evaluation(0), step(1), *worse]))
    assert "No evaluation was better than the base model." in top(document)
    adapters = [words(cell) for cell in document.find_class("adapter")]
    assert adapters == ["Adapter, step 20 <b>answer</b> of step 20"] * 2


def test_a_run_that_has_just_begun_has_a_report(folder: Path) -> None:
    document = read(recorded(folder, [replace(STARTED, data={}, hardware={})]))
    assert "0 of 60 steps were done" in top(document)
    assert "Nothing was measured." in curves.svg(read_run(folder), curves.WIDE)


def test_a_loss_that_is_no_number_does_not_spoil_the_report(folder: Path) -> None:
    broken = replace(evaluation(20), dev_loss=math.nan, perplexity=math.inf, best=False)
    ended = replace(FINISHED, stopped="failed", why="the loss is not a number", adapter=None, best_step=None)
    document = read(recorded(folder, [STARTED, evaluation(0), step(1), step(2, math.nan), broken, ended]))
    assert "The loss is not a number." in top(document)
    assert [words(row) for row in section(document, "Curves").iter("tr")][2] == "20 1.615 – –"
    assert "training, smoothed" in curves.svg(read_run(folder), curves.WIDE)


def test_a_broken_record_leaves_the_last_report(folder: Path) -> None:
    write(recorded(folder, events(20)))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != RECORD}
    with (folder / RECORD).open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(TrainingError, match=rf"{RECORD}:\d+: not an event"):
        write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != RECORD} == before


def test_what_has_not_started_has_no_report(folder: Path) -> None:
    with pytest.raises(TrainingError, match="no record"):
        write(folder)
    recorded(folder, [])
    with pytest.raises(TrainingError, match="had not started"):
        write(folder)


def test_a_long_run_makes_no_heavy_page(folder: Path) -> None:
    steps = [replace(step(number), steps=4000) for number in range(1, 4001)]
    recorded(folder, [replace(STARTED, steps=4000), evaluation(0), *steps])
    assert write(folder).stat().st_size < 500_000
    figure = curves._figure(read_run(folder), curves.WIDE)
    points = np.asarray(figure.axes[0].lines[0].get_xydata())
    assert len(points) == curves.POINTS
    assert list(points[0]) == [1, pytest.approx(steps[0].loss)]


def test_smoothing_follows_a_line_and_passes_over_what_is_no_number() -> None:
    assert smoothed([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert smoothed([1.0, math.nan, 3.0]) == pytest.approx([1.0, 2.0, 3.0])
    assert smoothed([]) == []
    noisy = smoothed([1.0 + (-1) ** index for index in range(400)])
    assert max(abs(value - 1.0) for value in noisy) < 0.25


def test_figures_in_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 3600, 7805, 90_061)] == [
        "0 s", "1 min", "1 h", "2 h 10 min", "1 d 1 h",
    ]  # fmt: skip
    assert (size(700 << 20), size(3 << 29)) == ("700 MB", "1.5 GB")
    assert [score(value) for value in (240.0, 31.25, 1.0, 0.5, None)] == ["240", "31.2", "1.000", "0.500", "–"]
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert sparkline([1.0] * 1000) == "▁" * 60
    assert sparkline([math.nan]) == ""


@pytest.mark.browser
async def test_the_page_fits_a_phone_in_both_schemes(folder: Path) -> None:
    address = write(recorded(folder, [*events(), FINISHED])).as_uri()
    async with browser() as launched:
        shown = await launched.new_page(viewport=PHONE)
        heard = complaints(shown)
        await shown.goto(address)
        assert await shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await shown.locator("svg.narrow").is_visible()
        assert not await shown.locator("svg.wide").is_visible()
        heights = "[...document.querySelectorAll('svg.narrow text')].map(text => text.getBoundingClientRect().height)"
        assert min(await shown.evaluate(heights)) >= 9  # pixels: the writing in the curves can be read
        colour = "getComputedStyle(document.querySelector('svg.narrow text')).fill"
        assert await shown.evaluate(colour) == "rgb(85, 100, 95)"
        await shown.emulate_media(color_scheme="dark")
        assert await shown.evaluate(colour) == "rgb(165, 181, 174)"
        assert heard == []
