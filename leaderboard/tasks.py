"""Celery: claim, call, record. A message says only "look"; what to do is in the database.

The only module that sees Celery, the evaluator and the baselines together.
"""

from __future__ import annotations

import atexit
import json
import logging
import mmap
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.signals import (
    celeryd_after_setup,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from django.conf import settings
from django.db import close_old_connections, connection

import evaluator
from evaluator import GroundTruthError, PredictionError
from leaderboard.files import blobs
from leaderboard.models import AnnotationImport, BaselineRun, Benchmark, Evaluation, Release, State, Submission
from leaderboard.operations import annotation_imports, annotation_store, baseline_runs, releases, storage, submissions
from leaderboard.queue import leases, workers
from leaderboard.queue.lease_keeper import LeaseKeeper, LeaseLost
from leaderboard.queue.leases import Claim
from leaderboard.queue.wake import flush, wake
from leaderboard.sandbox.confinement import Limits
from leaderboard.sandbox.report_check import check_named, where
from leaderboard.sandbox.scorer import Scorer, ScoringFailed
from leaderboard.sandbox.zygote import ROOT, located

log = logging.getLogger(__name__)

SANDBOX_SECONDS = 40.0
"""For its start, in which Celery expects a new process within `worker_proc_alive_timeout`."""

_scorer: Scorer | None = None


def scorer() -> Scorer:
    """This worker process's own sandbox, started at its first use."""
    global _scorer
    if _scorer is None:
        _scorer = Scorer(
            Limits(
                memory_bytes=settings.SCORING_MEMORY,
                cpu_seconds=settings.SCORING_SECONDS,
                wall_seconds=settings.SCORING_SECONDS,
            )
        )
        atexit.register(_scorer.close)
    return _scorer


_queues: list[str] = []


@celeryd_after_setup.connect
def note_queues(instance: Any, **_: Any) -> None:
    """Which queues this worker serves; the processes it forks inherit it."""
    _queues[:] = list(instance.app.amqp.queues.consume_from)


@worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Start the zygote before the first submission comes, so that nobody waits for it; and be listed as a worker.

    In this thread: the kernel ends the zygote with the thread that started it.
    """
    if "score" in _queues:
        sandbox_runs()
        log.info("the scoring sandbox has: %s", scorer().known_isolation())
    workers.stay_listed(
        queue=", ".join(_queues), isolation=lambda: scorer().known_isolation() if "score" in _queues else None
    )


def sandbox_runs() -> bool:
    """Have the sandbox running before a submission is claimed, so that one that does not start costs no attempt."""
    if scorer().ready(seconds=SANDBOX_SECONDS):
        return True
    log.error("the scoring sandbox does not start: submissions wait, and it is tried again with the next sweep")
    return False


# One byte that the processes of a worker share, made before they are forked. Signals reach the first of them only, and
# what works through a queue in another must know that no further job is to be taken.
_stopping = mmap.mmap(-1, 1)


@worker_shutting_down.connect
def stop_claiming(**_: Any) -> None:
    _stopping[0] = 1


@worker_process_shutdown.connect
def deliver_calls(**_: Any) -> None:
    flush(1.0)


@worker_ready.connect
def look_at_once(**_: Any) -> None:
    """Rows may have been queued while no worker ran."""
    sweep.delay()
    if "baseline" in _queues:
        count_costs.delay()


# a claimed job, and what does it
Work = tuple[Claim[Any], Callable[[Claim[Any]], str]]

NOTHING = "nothing to do"


@shared_task(name="leaderboard.tasks.score")
def score_all() -> str:
    """Score what waits, one after another: one wake-up call is enough for all of it, should the others be lost.

    After as long as a sweep may wait the others in the queue have their turn, the sweep among them.
    """
    return _work_through(_next_to_score, "score", seconds=settings.SWEEP_SECONDS)


def score() -> str:
    """Score the submission that is next."""
    return _do_one(_next_to_score)


def _next_to_score() -> Work | None:
    if not sandbox_runs():
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
    """Do one job after the other, each with its own claim and lease, until there is none.

    Before that it ends when the time is over, when the worker is stopping, or after a job that failed on our side:
    another worker may do better. Then whoever is free is woken for the rest.
    """
    started, done = time.monotonic(), 0
    while not _stopping[0] and (seconds is None or time.monotonic() - started < seconds or not done):
        # as before each task: the database may have been restarted since the last job
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
    """Score a claimed evaluation in the sandbox and record what came of it."""
    evaluation = claim.job
    submission = evaluation.submission
    benchmark = submission.benchmark

    def work() -> str:
        started = time.monotonic()
        try:
            report = scorer().run(
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
    """Do the work; whatever goes wrong, the job must not be stuck and the text must not reach a user.

    Nor the log, from work that reads annotations: an error's message may quote them.
    """
    try:
        return work()
    except Exception as error:  # whatever it is: the job must not be stuck
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
                # where the web server is another user, the file is its own and the group's
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
    """Run the reference models that wait, one after another. Nothing else is in their queue."""
    return _work_through(_next_baseline, "baseline")


def run_baseline() -> str:
    """Run the reference model that is next on its benchmark's images."""
    return _do_one(_next_baseline)


def _next_baseline() -> Work | None:
    baseline_runs.forget_ended()
    claim = leases.claim_next(BaselineRun)
    return None if claim is None else (claim, run_and_give_back)


def run_and_give_back(claim: Claim[BaselineRun]) -> str:
    # torch is imported here, in the worker's own process: a device does not survive a fork
    from baselines.devices.memory import give_back

    try:
        return run_claimed(claim)
    finally:
        give_back()  # by now nobody holds the network, nor a traceback with its tensors


def run_claimed(claim: Claim[BaselineRun]) -> str:
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
            # only attempts that come no further, with a batch that cannot be smaller, are counted
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
        # the network is loaded again and rendered pictures are drawn: once for each checkpoint
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
    """The guarantee: end what failed three times, wake workers for what waits, whatever calls were lost."""
    ended = submissions.error_exhausted()
    ended += _end_exhausted(AnnotationImport, annotation_imports.fail)
    ended += _end_exhausted(
        BaselineRun,
        lambda claim, reference: baseline_runs.fail(
            claim, code="worker_lost", message=f"The run lost its worker three times ({reference}).", final=True
        ),
    )
    evaluations, imports = leases.claimable(Evaluation).count(), leases.claimable(AnnotationImport).count()
    # as many as there are workers, each of which works through what waits; some may be there and not listed yet
    most = max(4, workers.serving("score"))
    wake("score", min(evaluations, most))
    wake("annotations", min(imports, most))
    wake("baseline", min(leases.claimable(BaselineRun).count(), max(1, workers.serving("baseline"))))
    return f"{evaluations + imports} waiting, {ended} ended"


@shared_task(name="leaderboard.tasks.collect")
def collect(when_short: bool = False) -> str:
    """Delete what no row names: uploads of yesterday, annotation files of an hour ago, whose request ended too early.

    When space runs out, an hour is enough; with `when_short`, only then anything is done. Nothing that is younger is
    deleted, whatever happens: its row may be about to be written. And forget the workers that ended.
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
    """Delete what the baseline workers, who alone have that folder, kept of runs that have ended."""
    baseline_runs.forget_ended()
    storage.forget_partial()
    return "forgotten"


def _end_exhausted(model: type[Any], end: Callable[[Claim[Any], str], bool]) -> int:
    return sum(end(Claim(job, job.fence), f"{model.__name__} {job.pk}") for job in leases.exhausted(model))
