"""The Celery tasks: claim, call, record. A message says only "look"; what to do is in the database.

The only file that sees Celery, the evaluator and the baselines together.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings
from django.db import close_old_connections, connection

import evaluator
from evaluator import GroundTruthError, PredictionError
from leaderboard import worker_process
from leaderboard.files import blobs
from leaderboard.models import AnnotationImport, BaselineRun, Benchmark, Evaluation, Release, State, Submission
from leaderboard.operations import annotation_imports, annotation_store, baseline_runs, releases, storage, submissions
from leaderboard.queue import leases, workers
from leaderboard.queue.lease_keeper import LeaseKeeper, LeaseLost
from leaderboard.queue.leases import Claim
from leaderboard.queue.wake import wake
from leaderboard.sandbox.report_check import check_named, where
from leaderboard.sandbox.scorer import ScoringFailed
from leaderboard.sandbox.zygote import ROOT, located

log = logging.getLogger(__name__)


@worker_ready.connect
def look_at_once(**_: Any) -> None:
    """Rows may have been queued while no worker ran."""
    sweep.delay()
    if worker_process.serves("baseline"):
        count_costs.delay()


# a claimed job, and the function that does it
Work = tuple[Claim[Any], Callable[[Claim[Any]], str]]

NOTHING = "nothing to do"


@shared_task(name="leaderboard.tasks.score")
def score_all() -> str:
    """Score what waits, one after another: one wake-up call is enough for all of it, should the others be lost.

    It ends after SWEEP_SECONDS, so that the other tasks of the queue, such as the sweep, have their turn.
    """
    return _work_through(_next_to_score, "score", seconds=settings.SWEEP_SECONDS)


def score() -> str:
    """Score the submission that is next."""
    return _do_one(_next_to_score)


def _next_to_score() -> Work | None:
    if not worker_process.sandbox_runs():
        return None
    if (claim := leases.claim_next(Evaluation)) is not None:
        return claim, evaluate
    return None


def _do_one(take: Callable[[], Work | None]) -> str:
    if (work := take()) is None:
        return NOTHING
    claim, do = work
    return do(claim)


def _work_through(take: Callable[[], Work | None], work_kind: str, *, seconds: float | None = None) -> str:
    """Do one job after another, each with its own claim and lease, until none is left.

    It ends earlier when the time is over, when the worker is stopping, or after a job that failed on our side, with
    which another worker may do better. Then a free worker is woken for the rest.
    """
    started, done = time.monotonic(), 0
    while not worker_process.is_stopping() and (seconds is None or time.monotonic() - started < seconds or not done):
        # as Celery does before each task: the database may have been restarted since the last job
        if not connection.in_atomic_block:
            close_old_connections()
        if (work := take()) is None:
            return f"{done} done" if done else NOTHING
        claim, do = work
        log.info("%s", do(claim))
        done += 1
        rows = type(claim.job)._default_manager.filter(pk=claim.job.pk)
        if rows.filter(state__in=[State.QUEUED, State.ERRORED]).exists():
            break
    wake(work_kind)
    return f"{done} done, there may be more"


def evaluate(claim: Claim[Evaluation]) -> str:
    """Score a claimed evaluation in the sandbox and record the outcome."""
    evaluation = claim.job
    submission = evaluation.submission
    benchmark = submission.benchmark

    def work() -> str:
        started = time.monotonic()
        try:
            report = worker_process.scorer().run(
                dataset=benchmark.dataset,
                predictions=blobs.path(submission.sha256),
                truth=annotation_store.truth_path(benchmark, evaluation.truth_sha256),
                images=blobs.path(evaluation.image_list_sha256 or benchmark.image_list_sha256),
                surface=annotation_store.surface_of(benchmark),
                heartbeat=claim.renew,
                every=settings.HEARTBEAT_SECONDS,
            )
            check_named(report, evaluator.load_dataset(benchmark.dataset))
            written = submissions.record(claim, report, seconds=time.monotonic() - started)
        except PredictionError as error:
            submissions.reject(claim, error)
            return f"{submission} rejected: {error.code}"
        except ScoringFailed as failure:
            if failure.code == "lease_lost":
                return f"{submission}: lease lost"
            reference = uuid.uuid4().hex[:12]
            log.error("%s failed (%s, reference %s): %s", submission, failure.code, reference, failure.detail)
            submissions.fail(claim, code=failure.code, reference=reference)
            return f"{submission} failed: {failure.code}"
        return f"{submission} scored" if written else f"{submission}: fenced out"

    return _guarded(submission, work, lambda reference: submissions.fail(claim, code="crashed", reference=reference))


def _guarded(
    subject: object, work: Callable[[], str], fail: Callable[[str], bool], *, reads_annotations: bool = False
) -> str:
    """Do the work. Whatever goes wrong, the job must not be stuck, and the error's text must not reach a user.

    It must not reach the log either where the work reads annotations: the message may quote them.
    """
    try:
        return work()
    except Exception as error:
        reference = uuid.uuid4().hex[:12]
        if reads_annotations:
            lines = where(located(error), [ROOT / "evaluator", ROOT / "leaderboard"])
            log.error("%s failed, reference %s: %s", subject, reference, lines)
        else:
            log.exception("%s failed, reference %s", subject, reference)
        fail(reference)
        return f"{subject} failed, reference {reference}"


@shared_task(name="leaderboard.tasks.check_annotations")
def check_all_annotations() -> str:
    """Check the annotation files that wait, one after another."""
    return _work_through(_next_import, "annotations", seconds=settings.SWEEP_SECONDS)


def check_annotations() -> str:
    """Check the annotation file that is next."""
    return _do_one(_next_import)


def _next_import() -> Work | None:
    claim = leases.claim_next(AnnotationImport)
    return None if claim is None else (claim, import_annotations)


def import_annotations(claim: Claim[AnnotationImport]) -> str:
    """Put an organiser's annotation file into force, or say what is wrong with it."""
    job = claim.job

    def work() -> str:
        file = annotation_imports.dropped(job)
        try:
            # a large file takes longer to check than a lease lasts
            with LeaseKeeper(claim):
                # fails where the web server is another user: then the file is its own, and readable by the group
                with suppress(PermissionError):
                    file.chmod(0o600)
                checked = releases.check(job.benchmark, file.read_bytes())
        except GroundTruthError as error:
            annotation_imports.reject(claim, str(error))
            return f"{job}: rejected"
        return f"{job}: in force" if releases.put_claimed_into_force(claim, checked) else f"{job}: fenced out"

    return _guarded(job, work, lambda reference: annotation_imports.fail(claim, reference), reads_annotations=True)


@shared_task(name="leaderboard.tasks.run_baseline")
def run_baselines() -> str:
    """Run the reference models that wait, one after another. Their queue has no other tasks that need a turn."""
    return _work_through(_next_baseline, "baseline")


def run_baseline() -> str:
    """Run the reference model that is next on its benchmark's images."""
    return _do_one(_next_baseline)


def _next_baseline() -> Work | None:
    baseline_runs.forget_ended()
    claim = leases.claim_next(BaselineRun)
    return None if claim is None else (claim, run_and_free_memory)


def run_and_free_memory(claim: Claim[BaselineRun]) -> str:
    # torch is imported here, in the worker's own process: a device does not survive a fork
    from baselines.devices.memory import give_back

    try:
        return run_model(claim)
    finally:
        give_back()  # by now nothing refers to the network, nor to a traceback with its tensors


def run_model(claim: Claim[BaselineRun]) -> str:
    """Predict, from where a lost worker stopped, and hand the file to `submissions.submit`."""
    from baselines.preview import render_with
    from baselines.run.predict import BaselineFailed, predict
    from baselines.run.resume import SavedRun

    run = claim.job
    benchmark = run.benchmark
    checkpoint = run.checkpoint.path if run.checkpoint else None
    box_file = blobs.path(run.boxes_sha256) if run.boxes_sha256 else None

    def work() -> str:
        saved = SavedRun(baseline_runs.progress_folder(run), claim.fence)
        if saved.got_further() or saved.can_halve():
            # an attempt counts only if the last one made no progress and the batch cannot be smaller
            run.attempts = 1
            claim.note(attempts=1)
        keeper = LeaseKeeper(claim)
        try:
            with keeper:
                predictions, record = predict(
                    run.baseline,
                    json.loads(blobs.path(benchmark.image_list_sha256).read_bytes()),
                    annotation_store.images_folder(benchmark),
                    benchmark.dataset,
                    variant=run.variant or None,
                    checkpoint=checkpoint,
                    checkpoints=settings.CHECKPOINTS_DIR,
                    box_file=box_file,
                    saved=saved,
                    progress=keeper.progress,
                )
        except LeaseLost:
            return f"{run}: lease lost"
        except BaselineFailed as failure:
            log.error("%s failed (%s): %s", run, failure.code, failure)
            baseline_runs.fail(claim, code=failure.code, message=str(failure), final=failure.final)
            return f"{run}: {failure.code}"
        if not baseline_runs.record(claim, predictions, baseline_runs.described(run, record.to_dict())):
            return f"{run}: fenced out"
        # this loads the network again and renders pictures, so it is done once per checkpoint
        if not baseline_runs.reuse_pictures(run):
            preview = render_with(
                run.baseline, benchmark.dataset, variant=run.variant or None, checkpoint=checkpoint,
                checkpoints=settings.CHECKPOINTS_DIR,
            )  # fmt: skip
            baseline_runs.store_pictures(run, preview)
        return f"{run}: submitted"

    def failed(reference: str) -> bool:
        message = f"The run failed on our side. Quote this reference to the operator: {reference}."
        return baseline_runs.fail(claim, code="crashed", message=message, final=False)

    return _guarded(run, work, failed)


@shared_task(name="leaderboard.tasks.sweep")
def sweep() -> str:
    """End what failed three times and wake workers for what waits, whichever wake-up calls were lost."""
    ended = submissions.error_exhausted()
    ended += _end_exhausted(AnnotationImport, annotation_imports.fail)
    ended += _end_exhausted(
        BaselineRun,
        lambda claim, reference: baseline_runs.fail(
            claim, code="worker_lost", message=f"The run lost its worker three times ({reference}).", final=True
        ),
    )
    evaluations, imports = leases.claimable(Evaluation).count(), leases.claimable(AnnotationImport).count()
    # one call per worker, each of which works through what waits; a new worker may not be listed yet
    most = max(4, workers.serving("score"))
    wake("score", min(evaluations, most))
    wake("annotations", min(imports, most))
    wake("baseline", min(leases.claimable(BaselineRun).count(), max(1, workers.serving("baseline"))))
    return f"{evaluations + imports} waiting, {ended} ended"


@shared_task(name="leaderboard.tasks.collect")
def collect(when_short: bool = False) -> str:
    """Delete files that no row names: uploads after a day, annotation files after an hour, and forget ended workers.

    When space runs out, uploads go after an hour too; with `when_short`, nothing is done otherwise. Younger files are
    never deleted: their rows may be about to be written.
    """
    if when_short and not storage.is_short():
        return "there is enough space"
    workers.forget_dead()
    age = storage.HOUR if storage.is_short() else storage.DAY
    gone = blobs.collect_orphans(_known_blobs, older_than_seconds=age)
    gone += annotation_imports.collect_orphans() + storage.forget_partial()
    return f"{gone} files deleted"


def _known_blobs() -> set[str]:
    known = set(Submission.objects.values_list("sha256", flat=True))
    for model in (Benchmark, Release, Evaluation):
        known |= set(model.objects.values_list("image_list_sha256", flat=True).distinct())
    return known | baseline_runs.needed_blobs()


@shared_task(name="leaderboard.tasks.count_costs")
def count_costs() -> str:
    """Count what the networks cost, for the pages: the web process has no torch."""
    from baselines.run.counting import write

    write(Path(settings.CHECKPOINTS_DIR))
    return "counted"


@shared_task(name="leaderboard.tasks.collect_runs")
def collect_runs() -> str:
    """Delete the saved progress of runs that have ended. Only baseline workers have that folder."""
    baseline_runs.forget_ended()
    storage.forget_partial()
    return "forgotten"


def _end_exhausted(model: type[Any], end: Callable[[Claim[Any], str], bool]) -> int:
    return sum(end(Claim(job, job.fence), f"{model.__name__} {job.pk}") for job in leases.exhausted(model))
