"""Which annotations an evaluation is scored on, and which a board ranks by, now and at a date."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from evaluator import load_dataset
from leaderboard import tasks, worker_process
from leaderboard.boards import wording
from leaderboard.boards.rankings import InForce, board, in_force
from leaderboard.boards.rows import Cell, Row, order, rank
from leaderboard.boards.summaries import summary
from leaderboard.files.blobs import path
from leaderboard.models import Benchmark, BoardEvent, Evaluation, Method, Release, State, Submission, Team
from leaderboard.operations import annotation_store, releases, submissions
from leaderboard.views import exports
from leaderboard.views.board_query import BoardQuery, chosen, columns_of
from tests.leaderboard.conftest import annotations_json, claim, predictions, report

pytestmark = pytest.mark.django_db
KEY = ("pck@0.2", "all")


@pytest.fixture(autouse=True)
def _fresh_scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker_process, "_scorer", None)
    yield
    if worker_process._scorer is not None:
        worker_process._scorer.close()


def put(benchmark: Benchmark, images: int) -> str:
    releases.put_into_force(benchmark, json.dumps(annotations_json(images=images)).encode())
    return benchmark.truth_sha256


# --- scoring ---------------------------------------------------------------------------------------------------------


def test_what_waits_during_an_import_is_scored_on_the_new_annotations(send: Any, benchmark: Benchmark) -> None:
    waiting = [send(predictions(images=3)), send(predictions(images=3, miss=7))]
    new = put(benchmark, 3)
    for each in waiting:
        assert tasks.score() == f"{each} scored"
    done = Evaluation.objects.order_by("pk")
    assert {(each.truth_sha256, each.image_list_sha256) for each in done} == {(new, benchmark.image_list_sha256)}
    assert [each.scores.get(metric=KEY[0], part=KEY[1]).value for each in done] == [1.0, 0.5]


def test_an_import_between_the_claim_and_the_scoring_leaves_both_files_of_the_claim(
    send: Any, benchmark: Benchmark
) -> None:
    before = (benchmark.truth_sha256, benchmark.image_list_sha256)
    submission = send()
    claimed = claim()
    put(benchmark, 3)
    assert tasks.evaluate(claimed) == f"{submission} scored"
    evaluation = Evaluation.objects.get()
    assert (evaluation.truth_sha256, evaluation.image_list_sha256) == before
    assert evaluation.report["images"] == 8
    # another attempt would use what is in force by then
    assert path(before[1]).exists() and annotation_store.truth_path(benchmark, before[0]).exists()


def test_each_attempt_uses_the_annotations_in_force_at_its_claim(send: Any, benchmark: Benchmark) -> None:
    send()
    submissions.fail(claim(), code="crashed", reference="r")
    new = put(benchmark, 3)
    assert claim().job.truth_sha256 == new


def test_a_claim_makes_no_second_evaluation_on_the_same_annotations(send: Any, benchmark: Benchmark) -> None:
    """The first evaluation has the annotations in force, so the waiting one stays with those it was queued for."""
    submission = send(predictions(images=3))
    old = (benchmark.truth_sha256, benchmark.image_list_sha256)
    put(benchmark, 3)
    submissions.record(claim(), report(), seconds=1)
    Evaluation.objects.update(current=False)
    waiting = Evaluation.objects.create(
        submission=submission, team=submission.team, evaluator_version=submission.evaluations.get().evaluator_version,
        truth_sha256=old[0], image_list_sha256=old[1],
    )  # fmt: skip
    claimed = claim().job
    assert claimed.pk == waiting.pk and (claimed.truth_sha256, claimed.image_list_sha256) == old


def test_image_lists_that_a_row_names_are_not_collected(send: Any, benchmark: Benchmark, settings: Any) -> None:
    first = benchmark.image_list_sha256
    submissions.record((send(), claim())[1], report(), seconds=1)
    put(benchmark, 4)
    second = benchmark.image_list_sha256
    put(benchmark, 3)
    real, ages = tasks.blobs.collect_orphans, {"older_than_seconds": -1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.blobs, "collect_orphans", lambda known, **_: real(known, **ages))
        tasks.collect()
    assert path(first).exists() and path(second).exists() and path(benchmark.image_list_sha256).exists()


# --- ranking ---------------------------------------------------------------------------------------------------------


def row(name: str, value: float, *, stale: bool = False, half: float = 0.01) -> Row:
    return Row("submission", name, "T", {KEY: Cell(value, value - half, value + half)}, stale=stale)


def test_stale_rows_have_no_rank_and_change_no_other() -> None:
    rows = [row("old", 0.99, stale=True), row("a", 0.9), row("b", 0.7), row("old too", 0.9, stale=True)]
    ranked = rank(rows, key=KEY, higher_is_better=True)
    assert [(each.name, each.rank, each.worst_rank, each.tied) for each in ranked] == [
        ("a", 1, 1, False), ("b", 2, 2, False), ("old", None, None, False), ("old too", None, None, False),
    ]  # fmt: skip
    assert [bool(each.top) for each in ranked] == [True, False, False, False]
    assert [each.name for each in order(rows, key=KEY, higher_is_better=False)] == ["b", "a", "old too", "old"]


@pytest.fixture
def published(send: Any, team: Team) -> Any:
    def make(name: str, value: float, **fields: Any) -> Submission:
        method = Method.objects.create(team=team, name=name)
        sent: Submission = send(f"[{value}]".encode(), to=method, publish_when_scored=True, **fields)
        assert submissions.record(claim(), report(value), seconds=1)
        return sent

    return make


@pytest.fixture
def mixed(published: Any, benchmark: Benchmark) -> Benchmark:
    """The best score comes from earlier annotations."""
    published("Earlier", 0.9)
    put(benchmark, 3)
    published("First", 0.6)
    published("Second", 0.5)
    benchmark.refresh_from_db()
    return benchmark


def test_rows_of_earlier_annotations_are_listed_last_and_unranked(mixed: Benchmark) -> None:
    found = board(mixed)
    assert [(each.name, each.rank, each.stale) for each in found.entries] == [
        ("First", 1, False), ("Second", 2, False), ("Earlier", None, True),
    ]  # fmt: skip
    assert [each.name for each in found.stale] == ["Earlier"] and len(found.ranked) == 2
    for query in (
        BoardQuery(sort="pck@0.2/all"), BoardQuery(sort="method"), BoardQuery(reverse=True),
        BoardQuery(sort="method", reverse=True),
    ):  # fmt: skip
        assert [each.stale for each in chosen(found, query)] == [False, False, True], query


def test_no_summary_calls_a_stale_row_the_best(mixed: Benchmark, published: Any) -> None:
    short = summary(mixed)
    assert short is not None and short.best is not None
    assert (short.best.name, short.measured, short.stale, short.rows) == ("First", 2, 1, 3)
    assert "Earlier" not in str(wording.board_summary(board(mixed).ranked, people=3, higher_is_better=True))
    put(mixed, 4)
    short = summary(mixed)
    assert short is not None and (short.best, short.measured, short.stale) == (None, 0, 3)
    assert [wording.stale_note(n, ranked=m) for n, m in ((0, 2), (1, 2), (3, 2), (1, 0), (3, 0))] == [
        "",
        " One row was scored on earlier annotations and is not ranked.",
        " 3 rows were scored on earlier annotations and are not ranked.",
        " The only measured row was scored on earlier annotations.",
        " All 3 measured rows were scored on earlier annotations.",
    ]


def test_a_new_result_replaces_the_methods_stale_row(mixed: Benchmark, send: Any) -> None:
    method = Method.objects.get(name="Earlier")
    send(b"[1]", to=method, publish_when_scored=True)
    submissions.record(claim(), report(0.7), seconds=1)
    assert [(each.name, each.rank) for each in board(mixed).entries][:1] == [("Earlier", 1)]
    assert not board(mixed).stale


def test_the_same_annotations_again_make_nothing_stale(published: Any, benchmark: Benchmark) -> None:
    published("A", 0.9)
    put(benchmark, 3)
    assert [each.stale for each in board(benchmark).entries] == [True]
    put(benchmark, 8)
    assert [each.stale for each in board(benchmark).entries] == [False]


def exported(found: Any, form: str) -> str:
    return exports.write(form, found, chosen(found, BoardQuery()), columns_of(found))


def test_every_export_says_which_rows_are_stale(mixed: Benchmark) -> None:
    found = board(mixed)
    rows = list(csv.DictReader(io.StringIO(exported(found, "csv"))))
    assert [(each["method"], each["rank"], each["note"]) for each in rows] == [
        ("First", "1", ""), ("Second", "2", ""), ("Earlier", "", "scored on earlier annotations, not ranked"),
    ]  # fmt: skip
    exported_board = json.loads(exported(found, "json"))
    assert exported_board["truth_sha256"] == mixed.truth_sha256
    assert [(each["method"], each["rank"], each["stale"]) for each in exported_board["entries"]] == [
        ("First", 1, False), ("Second", 2, False), ("Earlier", None, True),
    ]  # fmt: skip
    last = exported(found, "md").splitlines()[-1]
    assert "– | Earlier (scored on earlier annotations, not ranked) |" in last
    tex = exported(found, "tex")
    assert r"-- & Earlier$^\dagger$" in tex and "% dagger: scored on earlier annotations, not ranked" in tex
    Evaluation.objects.update(truth_sha256=mixed.truth_sha256)
    assert "dagger" not in exported(board(mixed), "tex")


# --- a board at a date -----------------------------------------------------------------------------------------------


def day(number: int) -> datetime:
    return datetime(2026, 5, number, tzinfo=UTC)


def dated(model: Any, pk: int, **moments: datetime) -> None:
    model.objects.filter(pk=pk).update(**moments)


def test_a_board_at_a_date_ranks_by_the_annotations_in_force_then(mixed: Benchmark) -> None:
    for release, when in zip(Release.objects.order_by("pk"), (day(1), day(10)), strict=True):
        dated(Release, release.pk, at=when)
    for event, when in zip(BoardEvent.objects.order_by("pk"), (day(2), day(11), day(12)), strict=True):
        dated(BoardEvent, event.pk, at=when)
    then = board(mixed, at=day(5))
    assert [(each.name, each.rank) for each in then.entries] == [("Earlier", 1)] and then.in_force.people == 8
    between = board(mixed, at=day(10).replace(hour=12))
    assert [(each.name, each.rank, each.stale) for each in between.entries] == [("Earlier", None, True)]
    later = board(mixed, at=day(20))
    assert [(each.name, each.rank) for each in later.entries] == [("First", 1), ("Second", 2), ("Earlier", None)]
    assert later.in_force.people == 3 and later.in_force.truth_sha256 == mixed.truth_sha256


def test_evaluations_tell_which_annotations_were_in_force_before_releases_were_recorded(mixed: Benchmark) -> None:
    """An upgraded site: its first release dates from the upgrade, and earlier imports left only their digests."""
    Release.objects.all().delete()
    Release.objects.create(
        benchmark=mixed, truth_sha256=mixed.truth_sha256, image_list_sha256=mixed.image_list_sha256, at=day(28)
    )
    for event, when in zip(BoardEvent.objects.order_by("pk"), (day(2), day(11), day(12)), strict=True):
        dated(BoardEvent, event.pk, at=when)
        dated(Evaluation, event.evaluation_id, queued_at=when, started_at=when)
    assert [(each.name, each.rank) for each in board(mixed, at=day(5)).entries] == [("Earlier", 1)]
    names = [(each.name, each.rank) for each in board(mixed, at=day(20)).entries]
    assert names == [("First", 1), ("Second", 2), ("Earlier", None)]


def test_an_empty_board_at_a_date_has_nothing_in_force(benchmark: Benchmark) -> None:
    found = board(benchmark, at=day(1))
    assert found.entries == [] and found.in_force.truth_sha256 == ""
    assert load_dataset(benchmark.dataset) == found.dataset
    assert Release.objects.filter(at__lte=Now()).count() == 1 and not Evaluation.objects.filter(state=State.QUEUED)


def test_a_board_at_exactly_the_moment_of_an_event_has_it(published: Any, benchmark: Benchmark) -> None:
    """To the microsecond: an event holds from its moment on, and so does a release."""
    sent = published("A", 0.9)
    before = benchmark.truth_sha256
    after = put(benchmark, 3)
    # with all six digits: SQLite's own clock has three, and compares texts
    moment = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    just_before = moment - timedelta(microseconds=1)
    BoardEvent.objects.update(at=moment)
    assert [each.submission_id for each in board(benchmark, at=moment).entries] == [sent.pk]
    assert board(benchmark, at=just_before).entries == []
    first, second = Release.objects.order_by("pk")
    Release.objects.filter(pk=first.pk).update(at=moment - timedelta(days=1))
    Release.objects.filter(pk=second.pk).update(at=moment)
    assert in_force(benchmark, moment).truth_sha256 == after != before
    assert in_force(benchmark, just_before).truth_sha256 == before


@pytest.mark.parametrize("field", ["queued_at", "started_at"])
def test_without_a_release_an_evaluation_counts_from_its_very_moment(
    published: Any, benchmark: Benchmark, field: str
) -> None:
    """Before the first release on record the evaluations tell which annotations were in force, to the microsecond."""
    moment = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    first, second = published("A", 0.9), published("B", 0.8)
    Release.objects.all().delete()
    early = moment - timedelta(days=2)
    for sent, digest, queued in ((first, "1" * 64, early), (second, "2" * 64, moment - timedelta(days=1))):
        Evaluation.objects.filter(submission=sent).update(truth_sha256=digest, queued_at=queued, started_at=queued)
    Evaluation.objects.filter(submission=second).update(**{field: moment})
    assert in_force(benchmark, moment).truth_sha256 == "2" * 64
    assert in_force(benchmark, moment - timedelta(microseconds=1)).truth_sha256 == "1" * 64
    # a report from before they were counted
    Evaluation.objects.update(report={})
    assert in_force(benchmark, moment) == InForce("2" * 64, images=0, people=0)
