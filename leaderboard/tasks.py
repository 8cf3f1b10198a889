"""Celery: claim, call, record. A message says only "look"; what to do is in the database.

The only module that sees Celery, the evaluator and the baselines together, and the only one with a broad `except`.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, worker_process_init, worker_ready
from django.conf import settings
from django.db import Error as DatabaseUnavailable
from django.db import connection

import evaluator
from evaluator import GroundTruthError, PredictionError
from leaderboard import baselines, blobs, ground_truth, imports, jobs, storage, submissions, workers
from leaderboard.doorbell import ring
from leaderboard.jobs import Claim
from leaderboard.models import AnnotationImport, BaselineRun, Benchmark, Evaluation, Release, Submission
from leaderboard.sandbox import Limits
from leaderboard.scoring import Scorer, ScoringFailed
from leaderboard.verdicts import check_named, where
from leaderboard.zygote import ROOT, located

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
    log.error("the scoring sandbox does not start: submissions wait, and it is tried again when the sweep rings")
    return False


@worker_ready.connect
def look_at_once(**_: Any) -> None:
    """Rows may have been queued while no worker ran."""
    sweep.delay()


@shared_task(name="leaderboard.tasks.score")
def score() -> str:
    """Check one waiting annotation file, or score the submission that is next."""
    if (waiting := jobs.claim_next(AnnotationImport)) is not None:
        return check_annotations(waiting)
    if not sandbox_runs():
        return "the sandbox does not start"
    if (claim := jobs.claim_next(Evaluation)) is not None:
        return evaluate(claim)
    return "nothing to do"


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
                truth=ground_truth.truth_path(benchmark, evaluation.truth_sha256),
                images=blobs.path(evaluation.image_list_sha256 or benchmark.image_list_sha256),
                surface=ground_truth.surface_of(benchmark),
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
    except Exception as error:  # the one broad except of the system
        reference = uuid.uuid4().hex[:12]
        if reads_annotations:
            lines = where(located(error), [ROOT / "evaluator", ROOT / "leaderboard"])
            log.error("%s failed, reference %s: %s", subject, reference, lines)
        else:
            log.exception("%s failed, reference %s", subject, reference)
        fail(reference)
        return f"{subject} failed, reference {reference}"


def check_annotations(claim: Claim[AnnotationImport]) -> str:
    """Put an organiser's annotation file into force, or say what is wrong with it."""
    job = claim.job

    def work() -> str:
        file = imports.dropped(job)
        try:
            # a large file takes longer to check than a lease lasts
            with _LeaseKeeper(claim):
                # where the web server is another user, the file is its own and the group's
                with suppress(PermissionError):
                    file.chmod(0o600)
                checked = ground_truth.check(job.benchmark, file.read_bytes())
        except GroundTruthError as error:
            imports.reject(claim, str(error))
            return f"{job}: rejected"
        return f"{job}: in force" if ground_truth.put_claimed_into_force(claim, checked) else f"{job}: fenced out"

    return _guarded(job, work, lambda reference: imports.fail(claim, reference), reads_annotations=True)


@shared_task(name="leaderboard.tasks.run_baseline")
def run_baseline() -> str:
    """Run the reference model that is next on its benchmark's images."""
    baselines.forget_ended()
    claim = jobs.claim_next(BaselineRun)
    if claim is None:
        return "nothing to do"
    # torch is imported here, in the worker's own process: a device does not survive a fork
    from baselines.memory import give_back

    try:
        return run_claimed(claim)
    finally:
        give_back()  # by now nobody holds the network, nor a traceback with its tensors


def run_claimed(claim: Claim[BaselineRun]) -> str:
    """Predict, from where a lost worker stopped, and hand the file to `submissions.submit`."""
    from baselines.kept import Kept
    from baselines.predict import BaselineFailed, predict
    from baselines.seen import see_with

    run = claim.job
    benchmark = run.benchmark
    checkpoint = run.checkpoint.path if run.checkpoint else None
    box_file = blobs.path(run.boxes_sha256) if run.boxes_sha256 else None

    def work() -> str:
        kept = Kept(baselines.kept_folder(run), claim.fence)
        if kept.got_further() or kept.can_halve():
            # only attempts that come no further, with a batch that cannot be smaller, are counted
            run.attempts = 1
            claim.note(attempts=1)
        keeper = _LeaseKeeper(claim)
        try:
            with keeper:
                predictions, record = predict(
                    run.baseline,
                    json.loads(blobs.path(benchmark.image_list_sha256).read_bytes()),
                    ground_truth.images_folder(benchmark),
                    benchmark.dataset,
                    variant=run.variant or None,
                    checkpoint=checkpoint,
                    checkpoints=settings.CHECKPOINTS_DIR,
                    box_file=box_file,
                    kept=kept,
                    progress=keeper.progress,
                )
        except LeaseLost:
            return f"{run}: lease lost"
        except BaselineFailed as failure:
            log.error("%s failed (%s): %s", run, failure.code, failure)
            baselines.fail(claim, code=failure.code, message=str(failure), final=failure.final)
            return f"{run}: {failure.code}"
        if not baselines.record(claim, predictions, baselines.described(run, record.to_dict())):
            return f"{run}: fenced out"
        seen = see_with(
            run.baseline, benchmark.dataset, variant=run.variant or None, checkpoint=checkpoint,
            checkpoints=settings.CHECKPOINTS_DIR,
        )  # fmt: skip
        if seen is not None:
            baselines.keep_seen(run, seen)
        return f"{run}: submitted"

    def failed(reference: str) -> bool:
        message = f"The run failed on our side: the operator finds why under {reference}."
        return baselines.fail(claim, code="crashed", message=message, final=False)

    return _guarded(run, work, failed)


class LeaseLost(Exception):
    """Another worker has taken the run over, or it was cancelled."""


class _LeaseKeeper:
    """Renews a claim from a thread of its own, because one batch of a large network may outlast the lease.

    So may the check of an annotation file.
    """

    def __init__(self, claim: Claim[Any]) -> None:
        self.claim = claim
        self.done = threading.Event()
        self.lost = threading.Event()
        self.noted = 0.0
        self.thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> _LeaseKeeper:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _keep(self) -> None:
        while not self.done.wait(settings.HEARTBEAT_SECONDS):
            try:
                held = self.claim.renew()
            except DatabaseUnavailable:
                connection.close()  # away for a moment, perhaps: the lease outlasts two heartbeats
                continue
            if not held:
                self.lost.set()
                break
        connection.close()

    def progress(self, done: int, total: int) -> None:
        """Note how far the run is, once a second at most; stop it when its claim is gone."""
        if self.lost.is_set():
            raise LeaseLost
        if time.monotonic() - self.noted < 1 and done < total:
            return
        self.noted = time.monotonic()
        if not self.claim.note(images_done=done, images_total=total):
            raise LeaseLost


@shared_task(name="leaderboard.tasks.sweep")
def sweep() -> str:
    """The guarantee: end what failed three times, ring for what waits. Any ring may be lost and this still holds."""
    ended = submissions.error_exhausted()
    ended += _end_exhausted(AnnotationImport, imports.fail)
    ended += _end_exhausted(
        BaselineRun,
        lambda claim, reference: baselines.fail(
            claim, code="worker_lost", message=f"Its worker was lost three times ({reference}).", final=True
        ),
    )
    waiting = jobs.claimable(Evaluation).count() + jobs.claimable(AnnotationImport).count()
    for _ in range(min(waiting, 4)):
        ring("score")
    if jobs.claimable(BaselineRun).exists():
        ring("baseline")
    return f"{waiting} waiting, {ended} ended"


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
    gone += imports.collect_orphans() + storage.forget_partial()
    return f"{gone} files deleted"


def _known_blobs() -> set[str]:
    known = set(Submission.objects.values_list("sha256", flat=True))
    for model in (Benchmark, Release, Evaluation):
        known |= set(model.objects.values_list("image_list_sha256", flat=True).distinct())
    return known | baselines.kept_blobs()


@shared_task(name="leaderboard.tasks.collect_runs")
def collect_runs() -> str:
    """Delete what the baseline workers, who alone have that folder, kept of runs that have ended."""
    baselines.forget_ended()
    storage.forget_partial()
    return "forgotten"


def _end_exhausted(model: type[Any], end: Callable[[Claim[Any], str], bool]) -> int:
    return sum(end(Claim(job, job.fence), f"{model.__name__} {job.pk}") for job in jobs.exhausted(model))
