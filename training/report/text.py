"""A run in lines of plain text, for a terminal."""

from __future__ import annotations

from training.records.record import Evaluation, Event, Finished, Note, Resumed, Started, Step
from training.report.page import STATES, answers, scores
from training.report.run import RUNNING, Run
from training.report.words import NONE, duration, figure, label, method, moment, score, sentence, size, sparkline


def lines(run: Run) -> list[str]:
    """What `sahpathi runs show` prints."""
    return [*_heading(run), *_curve(run), *_measured(run), *_scored(run), *_answers(run), *_notes(run)]


def event_line(event: Event) -> str:
    """One event in one line."""
    match event:
        case Started():
            return f"{label(event.subject)}: {method(event.method)}, begun {moment(event.at)}, {event.steps} steps"
        case Resumed():
            return f"Gone on {moment(event.at)} after step {event.step}"
        case Step():
            return f"Step {event.step} of {event.steps}: loss {figure(event.loss)}"
        case Evaluation():
            marks = "".join((" · best so far" if event.best else "", " · overfitting" if event.overfitting else ""))
            losses = f"dev loss {figure(event.dev_loss)}, perplexity {figure(event.perplexity, 2)}"
            return f"Step {event.step}: {losses}{marks}"
        case Note():
            return f"Step {event.step}: {event.message}"
        case Finished():
            adapter = f" Adapter {event.adapter}, from step {event.best_step}." if event.adapter else ""
            state = STATES.get(event.stopped, event.stopped)
            return f"{state} after {duration(event.seconds)}. {sentence(event.why)}{adapter}"


def _heading(run: Run) -> list[str]:
    state = f"{STATES.get(run.state, run.state)}. {run.done} of {run.started.steps} steps"
    if run.seconds is not None:
        state += f" in {duration(run.seconds)}"
    if run.state == RUNNING and run.seconds_left is not None:
        state += f", about {duration(run.seconds_left)} left"
    facts = []
    if run.tokens_per_second is not None:
        facts.append(f"{run.tokens_per_second:,.0f} tokens a second")
    if run.tokens_read is not None:
        facts.append(f"{run.tokens_read:,} tokens read")
    if run.tokens_learned is not None:
        facts.append(f"{run.tokens_learned:,} tokens of answers learned")
    if run.finished is not None:
        facts.append(f"peak memory {size(run.finished.peak_memory)}")
    adapter = run.finished.adapter if run.finished is not None else None
    return [
        f"{label(run.started.subject)}: {method(run.started.method)} · {run.name}",
        state,
        *([sentence(run.why)] if run.why else []),
        *([", ".join(facts)] if facts else []),
        *([f"Adapter {adapter}"] if adapter else []),
    ]


def _curve(run: Run) -> list[str]:
    losses = [step.loss for step in run.steps]
    drawn = sparkline(losses)
    return ["", f"Training loss  {figure(losses[0])} {drawn} {figure(losses[-1])}"] if drawn else []


def _measured(run: Run) -> list[str]:
    if not run.evaluations:
        return []
    rows = ["", f"{'step':>6} {'training':>9} {'dev':>7} {'perplexity':>11}"]
    for one in run.evaluations:
        best = "  best" if run.best is not None and one.step == run.best.step else ""
        marks = best + ("  overfitting" if one.overfitting else "")
        losses = f"{figure(one.train_loss):>9} {figure(one.dev_loss):>7} {figure(one.perplexity, 2):>11}"
        rows.append(f"{one.step:>6} {losses}{marks}")
    return rows


def _scored(run: Run) -> list[str]:
    found = scores(run.finished.scores) if run.finished is not None else []
    if not found:
        return []
    widest = max(len(one.name) for one in found)
    rows = [
        f"{one.name:<{widest}} {score(one.base):>8} {score(one.adapter):>8} {one.difference:>8} {one.verdict}"
        for one in found
    ]
    return ["", f"{'':<{widest}} {'base':>8} {'adapter':>8}", *map(str.rstrip, rows)]


def _answers(run: Run) -> list[str]:
    asked = answers(run)
    step = f", of the adapter (step {run.trained.step})" if run.trained is not None else ""
    rows = ["", f"Answers of the base model{step} and as wanted"] if asked else []
    for one in asked:
        rows += ["", f"Question: {one.question}", f"  base:    {NONE if one.base is None else one.base}"]
        rows += [f"  adapter: {one.adapter}"] if one.adapter is not None else []
        rows += [f"  wanted:  {one.wanted}"]
    return rows


def _notes(run: Run) -> list[str]:
    return ["", *(event_line(note) for note in run.notes)] if run.notes else []
