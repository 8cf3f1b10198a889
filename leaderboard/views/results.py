"""What a submission's page shows: its progress, its numbers, its problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from evaluator.errors import Problem, grouped
from leaderboard.boards import wording
from leaderboard.boards.rows import rank_range
from leaderboard.boards.summaries import summary
from leaderboard.drawing import graticule, skeleton
from leaderboard.drawing.numbers import ordinal
from leaderboard.drawing.skeleton import PartResult
from leaderboard.models import BoardEvent, Evaluation, Phase, Score, State, Submission
from leaderboard.queue import clock
from leaderboard.templatetags.poseboard import seconds, size, when

# the first polls follow one another closely, later ones ever less: 2, 2, 2, 3, 4 ... 10 seconds
QUICK_POLLS = 5
SLOWEST_POLL = 10


@dataclass(frozen=True)
class Step:
    name: str
    state: str  # done, now, next, bad
    fact: object


@dataclass(frozen=True)
class ScoreCard:
    title: str
    value: float
    low: float | None
    high: float | None
    unit: str
    mini: SafeString


@dataclass(frozen=True)
class PartTable:
    """A metric's numbers by part."""

    spec: Any
    rows: list[tuple[str, Any, SafeString]]
    scale: Any
    symbol: SafeString
    header: SafeString


def primary_scores(evaluations: Iterable[Evaluation]) -> dict[int, Score]:
    """The main number of each scored evaluation, in one query."""
    scored = {each.pk: each.submission for each in evaluations if each.state == State.SCORED}
    wanted = {}
    for pk, submission in scored.items():
        dataset = submission.benchmark.definition
        if dataset is not None:
            wanted[pk] = (dataset.primary, dataset.primary_part)
    rows = Score.objects.filter(evaluation__in=wanted, metric__in={metric for metric, _ in wanted.values()})
    return {row.evaluation_id: row for row in rows if wanted[row.evaluation_id] == (row.metric, row.part)}


def page(submission: Submission, viewer: Any, *, polls: int = 0) -> dict[str, Any]:
    """Everything the page and its live part show; `polls` were made already."""
    evaluation = submission.evaluation
    events = list(
        BoardEvent.objects.filter(benchmark=submission.benchmark, method=submission.method).select_related(
            "by", "submission"
        )
    )
    current_event = next((event for event in events if event.current), None)
    public = bool(
        current_event and current_event.kind in BoardEvent.ON_BOARD and current_event.submission_id == submission.pk
    )
    disqualified = bool(current_event and current_event.kind == BoardEvent.Kind.DISQUALIFIED)
    context: dict[str, Any] = {
        "section": "submissions",
        "submission": submission,
        "benchmark": submission.benchmark,
        "method": submission.method,
        "evaluation": evaluation,
        "viewer": viewer,
        "kind": "baseline" if submission.source == Submission.Source.BASELINE else "submission",
        "run": getattr(submission, "baseline_run", None),
        "public": public,
        "disqualified": disqualified,
        "replaces": bool(current_event and current_event.kind in BoardEvent.ON_BOARD and not public),
        "events": [event for event in events if event.submission_id == submission.pk],
        "steps": steps(submission, evaluation),
        "said": said(evaluation),
        "open": evaluation.is_open,
        "takes_more": submission.benchmark.phase(clock.now()) == Phase.OPEN,
        "polls": polls,
        "poll_seconds": min(SLOWEST_POLL, 2 + max(0, polls - QUICK_POLLS)),
        "problems": _alike(evaluation.error_problems[:100]) if viewer.details else [],
    }
    if evaluation.state == State.SCORED:
        context.update(_numbers(submission, evaluation, context["kind"]))
    return context


def _alike(problems: list[dict[str, Any]]) -> list[tuple[Problem, int]]:
    """The problems of a file, those that repeat as the first of them and their number."""
    return grouped([Problem(**each) for each in problems])


def steps(submission: Submission, evaluation: Evaluation) -> list[Step]:
    """Uploaded, Queued, Checked, Scoring, Scored, each with its fact. The check is the first part of a scoring run."""
    state = evaluation.state
    uploaded = Step("Uploaded", "done", size(submission.size))
    later = [Step("Checked", "next", ""), Step("Scoring", "next", ""), Step("Scored", "next", "")]
    if state == State.QUEUED:
        return [uploaded, Step("Queued", "now", _place_in_line(evaluation)), *later]
    if state == State.CANCELLED:
        return [uploaded, Step("Cancelled", "bad", when(evaluation.finished_at)), *later]
    waited = (evaluation.started_at - evaluation.queued_at).total_seconds() if evaluation.started_at else None
    queued = Step("Queued", "done", "" if waited is None else f"waited {seconds(max(0.0, waited))}")
    if state == State.RUNNING:
        return [uploaded, queued, Step("Checked", "now", ""), Step("Scoring", "now", _attempt(evaluation)), later[2]]
    if state == State.REJECTED:
        return [uploaded, queued, Step("Rejected", "bad", "fix the file"), *later[1:]]
    if state == State.ERRORED:
        return [uploaded, queued, later[0], Step("Failed", "bad", "see the message"), later[2]]
    entries = evaluation.report.get("entries")
    checked = "no problems" if entries is None else f"{entries:,} entries, no problems"
    scoring = ", ".join(fact for fact in (seconds(evaluation.seconds), _attempt(evaluation)) if fact)
    return [
        uploaded,
        queued,
        Step("Checked", "done", checked),
        Step("Scoring", "done", scoring),
        Step("Scored", "done", when(evaluation.finished_at)),
    ]


def _attempt(evaluation: Evaluation) -> str:
    return f"attempt {evaluation.attempts}"


def _place_in_line(evaluation: Evaluation) -> str:
    before = Evaluation.objects.filter(state=State.QUEUED, pk__lt=evaluation.pk).count()
    running = Evaluation.objects.filter(state=State.RUNNING).count()
    return f"{ordinal(before + 1)} in line, {running} being scored"


def said(evaluation: Evaluation) -> str:
    """What assistive technology announces when the state changes."""
    return {
        State.QUEUED: f"Queued: {_place_in_line(evaluation)}." if evaluation.state == State.QUEUED else "",
        State.RUNNING: "Scoring.",
        State.SCORED: "Scored. The results are below.",
        State.REJECTED: "Rejected: the file has problems. They are listed below.",
        State.ERRORED: "Scoring failed on our side. Your quota was refunded.",
        State.CANCELLED: "Cancelled.",
    }.get(State(evaluation.state), "")


def _numbers(submission: Submission, evaluation: Evaluation, kind: str) -> dict[str, Any]:
    dataset = submission.benchmark.definition
    if dataset is None:  # what the numbers mean is gone
        return {}
    scores = {(score.metric, score.part): score for score in evaluation.scores.all()}
    specs = {spec.name: spec for spec in dataset.metrics}
    short = summary(submission.benchmark)
    main = scores.get((dataset.primary, dataset.primary_part))
    best = None
    in_force = submission.benchmark.truth_sha256
    stale = bool(in_force) and evaluation.truth_sha256 != in_force
    first = short.best if short and not stale else None
    if first and first.value is not None and first.submission_id != submission.pk:
        best = (first.kind, first.value)
    cards = [_card(specs[dataset.primary].title, main, kind, best)] if main else []
    others = [
        (spec, scores[spec.name, "all"])
        for spec in dataset.metrics
        if spec.name != dataset.primary and (spec.name, "all") in scores
    ]
    cards += [_card(spec.title, score, kind, None) for spec, score in others[:2]]
    row = short.by_submission.get(submission.pk) if short else None
    rank: dict[str, Any] | None = None
    if row and row.rank and short:
        rank = {"best": row.rank, "worst": row.worst_rank or row.rank, "total": short.measured, "if_published": False}
    elif main and short and not stale:
        higher = specs[dataset.primary].higher_is_better
        rivals = [
            other
            for other in short.by_submission.values()
            if other.value is not None and not other.stale and other.method_id != submission.method_id
        ]
        best_rank, worst_rank = rank_range(main, rivals, higher_is_better=higher)
        rank = {"best": best_rank, "worst": worst_rank, "total": len(rivals) + 1, "if_published": True}
    if rank:
        rank["strip"] = graticule.ranks(rank["best"], rank["worst"], rank["total"])
    tables = [table for spec in dataset.metrics if (table := _table(spec, scores, kind))]
    parts = [
        PartResult(part, score.value, score.low, score.high, score.unit)
        for (metric, part), score in scores.items()
        if metric == dataset.primary and part != "all"
    ]
    spec = specs[dataset.primary]
    worst_first = sorted(
        ((each.part, each.value) for each in parts), key=lambda pair: pair[1], reverse=not spec.higher_is_better
    )
    return {
        "dataset": dataset,
        "cards": cards,
        "rank": rank,
        "stale": stale,
        "tables": tables,
        "singles": [
            (spec, scores[spec.name, "all"])
            for spec in dataset.metrics
            if len(spec.parts) <= 1 and (spec.name, "all") in scores
        ],
        "body": skeleton.with_results(
            dataset,
            parts,
            label=f"{specs[dataset.primary].title} of each part on the body; larger rings are larger errors",
            higher_is_better=spec.higher_is_better,
        ),
        "primary_title": specs[dataset.primary].title,
        "summary": wording.submission_summary(worst_parts=worst_first, best_parts=worst_first[::-1], unit=spec.unit),
        "people": evaluation.report.get("people", submission.benchmark.person_count),
        "fewest": wording.FEWEST_PEOPLE,
    }


def _card(title: str, score: Score, kind: str, best: tuple[str, float] | None) -> ScoreCard:
    drawn = graticule.mini(kind, score.value, score.low, score.high, best=best, unit=score.unit)
    return ScoreCard(title, score.value, score.low, score.high, score.unit, drawn)


def _table(spec: Any, scores: dict[tuple[str, str], Score], kind: str) -> PartTable | None:
    found = [(part, scores[spec.name, part]) for part in spec.parts if (spec.name, part) in scores]
    if len(found) < 2:
        return None
    numbers = [value for _, score in found for value in (score.value, score.low, score.high)]
    on = graticule.scale(numbers, unit=spec.unit)
    name = "s-" + "".join(character if character.isalnum() else "-" for character in spec.name)
    rows = [
        (part, score, graticule.row(on, kind, score.value, score.low, score.high, height=30, id_=name))
        for part, score in found
    ]
    return PartTable(spec, rows, on, graticule.symbol(on, id_=name), graticule.header(on, height=34))
