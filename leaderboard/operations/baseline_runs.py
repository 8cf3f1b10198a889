"""Runs of the reference models. A run ends in a file that goes through `submissions.submit` like any other."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from evaluator import load_dataset
from leaderboard.boards.runnable import Runnable, available, cards, runnable, title_of
from leaderboard.files import blobs
from leaderboard.files.blobs import Blob
from leaderboard.models import BaselineRun, Benchmark, Checkpoint, Method, State, Submission, Team, User
from leaderboard.models.jobs import OPEN_STATES
from leaderboard.models.transactions import lock, retried
from leaderboard.operations import storage, submissions
from leaderboard.operations.refusals import Refused
from leaderboard.operations.submissions import SubmissionRequest
from leaderboard.operations.teams import METHOD_FIELDS, method_named
from leaderboard.queue.leases import Claim
from leaderboard.queue.wake import wake

TEAM = "PoseBoard baselines"
BOXES_LIMIT = 16 << 20
"""The largest box file in a request, in bytes: the web process reads it as a whole to check it."""


@dataclass(frozen=True)
class BoxFile:
    """A file of people's boxes that was checked and stored as a blob."""

    sha256: str
    name: str


@contextmanager
def stored_boxes(
    *, benchmark: Benchmark, chunks: Iterable[bytes] | None, name: str, limit: int = BOXES_LIMIT
) -> Iterator[BoxFile | None]:
    """Check and store a box file for the runs on the benchmark that are requested inside.

    When they are refused, nothing is stored. Without a file (`chunks` is None), None.
    """
    if chunks is None:
        yield None
        return
    from baselines.protocol import BaselineFailed
    from baselines.run.boxes import from_file

    if (dataset := load_dataset(benchmark.dataset)).single_person:
        raise Refused("boxes", f"{dataset.title} lists its people, so a run does not accept a box file.", status=422)
    if not benchmark.image_list_sha256:
        raise Refused("boxes", f"{benchmark} has no image list yet. Its organiser must import annotations first.")
    storage.check_disk(0)
    images = json.loads(blobs.path(benchmark.image_list_sha256).read_bytes())["images"]
    with ExitStack() as exits:
        try:
            look = functools.partial(from_file, images=images, name=name or "The file")
            blob = exits.enter_context(storage.stored(chunks, limit=limit, look=look))
        except blobs.TooLarge as error:
            who = "an operator can queue it with run_baseline --boxes"
            raise Refused("boxes", f"{name} is larger than {limit >> 20} MiB: {who}.", status=413) from error
        except BaselineFailed as failure:
            raise Refused("boxes", f"{failure}.", status=422) from failure
        yield BoxFile(blob.sha256, name)


@retried
def request_run(
    *,
    baseline: str,
    variant: str = "",
    benchmark: Benchmark,
    by: User | None,
    checkpoint: Checkpoint | None = None,
    boxes: BoxFile | None = None,
) -> BaselineRun:
    """Queue a run of a reference model on the benchmark's images, with its own weights or with registered ones.

    `boxes`: the people to crop, unless those of the benchmark's list or those that the detector finds are wanted.
    """
    if checkpoint is not None and (checkpoint.family, variant or checkpoint.variant) != (baseline, checkpoint.variant):
        raise Refused(
            "other_checkpoint", f"Checkpoint {checkpoint.pk} is for {checkpoint.family} {checkpoint.variant}."
        )
    if checkpoint is None and baseline not in available():
        raise Refused("no_such_baseline", f"There is no baseline {baseline}: choose one of {', '.join(available())}.")
    if load_dataset(benchmark.dataset).entry != "keypoints":
        raise Refused("not_keypoints", f"{benchmark} needs more than 2D keypoints, and baselines predict nothing else.")
    if not benchmark.has_images:
        raise Refused(
            "no_images", f"{benchmark} has no images for baselines. An operator can import them with --images."
        )
    if checkpoint is not None:
        variant = checkpoint.variant
    # one at a time for a benchmark, so that two clicks make one run
    lock(Benchmark.objects.filter(pk=benchmark.pk))
    same = BaselineRun.objects.filter(
        benchmark=benchmark,
        baseline=baseline,
        variant=variant,
        checkpoint=checkpoint,
        boxes_sha256=boxes.sha256 if boxes else "",
        state__in=OPEN_STATES,
    ).first()
    if same:
        return same
    run = BaselineRun.objects.create(
        baseline=baseline,
        variant=variant,
        checkpoint=checkpoint,
        benchmark=benchmark,
        boxes_sha256=boxes.sha256 if boxes else "",
        boxes_name=boxes.name if boxes else "",
        requested_by=by,
        images_total=benchmark.image_count,
    )
    transaction.on_commit(lambda: wake("baseline"))
    return run


def request_all(
    *, benchmark: Benchmark, by: User | None, boxes: BoxFile | None = None
) -> tuple[list[BaselineRun], list[Runnable]]:
    """Queue all weights that can run on the benchmark. Returns the runs, and what was left out with the reason."""
    found = runnable(benchmark)
    if not any(not each.why_not for each in found):
        raise Refused("nothing_can_run", f"No baseline can run on {benchmark}.")
    runs = _request_each([each for each in found if not each.why_not], benchmark=benchmark, by=by, boxes=boxes)
    return runs, [each for each in found if each.why_not]


@retried
def _request_each(
    chosen: list[Runnable], *, benchmark: Benchmark, by: User | None, boxes: BoxFile | None
) -> list[BaselineRun]:
    return [
        request_run(
            baseline=each.baseline, variant=each.variant, checkpoint=each.checkpoint, benchmark=benchmark, by=by,
            boxes=boxes,
        )
        for each in chosen
    ]  # fmt: skip


def progress_folder(run: BaselineRun) -> Path:
    """Where a run's predictions are saved until it ends."""
    return Path(settings.RUNS_DIR) / str(run.pk)


def forget_ended() -> None:
    """Delete the saved progress of runs that have ended."""
    saved = {int(folder.name): folder for folder in Path(settings.RUNS_DIR).glob("*") if folder.name.isdigit()}
    still_open = BaselineRun.objects.filter(pk__in=saved, state__in=OPEN_STATES).values_list("pk", flat=True)
    for number in saved.keys() - set(still_open):
        shutil.rmtree(saved[number], ignore_errors=True)


# of a run's record; everything else in it is for the operator
PUBLIC_RECORD = (
    "device", "device_name", "batch", "lost_with_batch", "precision", "images_per_second", "parameters", "gmacs",
    "input_size", "checkpoint_sha256", "images", "people", "boxes", "seconds", "taken_over",
)  # fmt: skip


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """What everyone may know of a run."""
    return {key: record[key] for key in PUBLIC_RECORD if key in record}


def record(claim: Claim[BaselineRun], predictions: list[dict[str, Any]], run_record: dict[str, Any]) -> bool:
    """Submit what the model predicted, and end the run. False: the claim was lost, and nothing was submitted."""
    content = json.dumps(predictions, separators=(",", ":"), allow_nan=False).encode()
    if not claim.renew():
        return False
    # in transactions of their own: a change of a method locks its boards, which comes after submissions
    team = Team.objects.get_or_create(name=TEAM)[0]
    method = _method(claim.job, run_record)
    try:
        # what is fenced out is deleted again
        with storage.stored([content], limit=1 << 30) as blob:
            _hand_over(claim, team, method, blob, run_record)
    except _FencedOut:
        return False
    return True


class _FencedOut(Exception):
    """The claim was lost before the end of the run was written; the transaction is rolled back."""


@retried
def _hand_over(claim: Claim[BaselineRun], team: Team, method: Method, blob: Blob, run_record: dict[str, Any]) -> None:
    run = claim.job
    request = SubmissionRequest(
        user=run.requested_by,
        team=team,
        benchmark=run.benchmark,
        source=Submission.Source.BASELINE,
        file_name=f"{run.baseline}.json",
        publish_when_scored=True,
    )
    submission, _ = submissions.submit(request=request, method=method, blob=blob)
    # a repeated run may give the same file: then the newest run is the one the submission shows
    lock(Submission.objects.filter(pk=submission.pk))
    BaselineRun.objects.filter(submission=submission).update(submission=None)
    if not claim.move(
        State.DONE,
        submission=submission,
        record=run_record,
        images_done=F("images_total"),
        error_message="",
    ):
        raise _FencedOut


def store_pictures(run: BaselineRun, preview: Any) -> None:
    """Store what the network saw (`baselines.preview.Preview`) with the run. The pictures are blobs.

    A network without heatmaps has none (None). That is recorded too, so that it is not loaded again.
    """

    def stored(picture: bytes) -> str:
        return blobs.store([picture], limit=1 << 20).sha256

    if preview is None:
        return _note_pictures(run, {})
    noted = {
        "crop": stored(preview.crop),
        "size": list(preview.size),
        "strip_width": preview.strip_width,
        "stages": preview.stages,
        "joints": [
            {"joint": joint, "peaks": list(peaks), "strip": stored(strip)}
            for joint, peaks, strip in zip(preview.joints, preview.peaks, preview.strips, strict=True)
        ],
    }
    return _note_pictures(run, noted)


def reuse_pictures(run: BaselineRun) -> bool:
    """Reuse the pictures of an earlier run of the same weights on the same dataset. False: there was no such run.

    The pictures depend on the weights and the joints alone.
    """
    run.refresh_from_db()
    digest = run.record.get("checkpoint_sha256")
    if not digest:  # without a file of weights nothing says that two runs are alike
        return False
    alike = BaselineRun.objects.filter(
        baseline=run.baseline,
        benchmark__dataset=run.benchmark.dataset,
        record__checkpoint_sha256=digest,
        record__has_key="seen",
    )
    earlier = alike.exclude(pk=run.pk).order_by("-pk").first()
    if earlier is None:
        return False
    _note_pictures(run, earlier.record["seen"])
    return True


@retried
def _note_pictures(run: BaselineRun, noted: dict[str, Any]) -> None:
    found = lock(BaselineRun.objects.filter(pk=run.pk))[0]
    found.record = {**found.record, "seen": noted}
    found.save(update_fields=["record"])


def needed_blobs() -> set[str]:
    """The digests of all blobs that runs need: files of boxes, and pictures of what networks see."""
    boxes = BaselineRun.objects.exclude(boxes_sha256="").values_list("boxes_sha256", flat=True)
    return {*boxes, *_pictures()}


def _pictures() -> set[str]:
    noted = BaselineRun.objects.filter(record__has_key="seen").values_list("record__seen", flat=True)
    pictures = [each for each in noted if each]
    return {digest for each in pictures for digest in (each["crop"], *(joint["strip"] for joint in each["joints"]))}


def described(run: BaselineRun, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run with what the board says of its method: name, paper, size, cost."""
    card = cards()[run.baseline]
    variant = record.get("variant") or run.variant
    about = {
        "authors": card.citation.by,
        "paper_title": card.citation.title,
        "year": card.citation.year,
        "paper_url": card.citation.link,
    }
    width, height = record["input_size"]
    return {
        **record,
        **about,
        **_description(run),
        "title": _title(run, f"{card.title}, {variant}" if variant else card.title),
        "boxes": f"file {run.boxes_name}, {run.boxes_sha256[:12]}" if run.boxes_sha256 else record.get("boxes", ""),
        "input_size": f"{width} × {height}",
        # papers report multiply-accumulates as FLOPs; so do the boards
        "gflops": record["gmacs"],
        "approach": (
            Method.Approach.BOTTOM_UP if record.get("boxes") == "none: bottom-up" else Method.Approach.TOP_DOWN
        ),
    }


def titled(run: BaselineRun) -> str:
    """The name of the run's method; before there is one, the name that it will most likely get."""
    return str(run.record.get("title") or _title(run, title_of(run.baseline, run.variant)))


def _title(run: BaselineRun, title: str) -> str:
    """The name of the method: other weights or other boxes make another method."""
    weights = f", weights {run.checkpoint.sha256[:8]}" if run.checkpoint else ""
    return title + weights + (f", boxes {run.boxes_sha256[:8]}" if run.boxes_sha256 else "")


def _description(run: BaselineRun) -> dict[str, str]:
    weights = f"Weights from {run.checkpoint.source}, under {run.checkpoint.licence}." if run.checkpoint else ""
    boxes = f"People were cropped by the boxes of a file, {run.boxes_name}." if run.boxes_sha256 else ""
    said = " ".join(filter(None, (weights, boxes)))
    return {"description": said} if said else {}


def _method(run: BaselineRun, record: dict[str, Any]) -> Method:
    team = Team.objects.get_or_create(name=TEAM)[0]
    described = {key: record[key] for key in METHOD_FIELDS if record.get(key) not in (None, "")}
    method = method_named(team=team, name=record["title"], **described)
    if not method.is_baseline:
        Method.objects.filter(pk=method.pk).update(is_baseline=True)
    return method


def fail(claim: Claim[BaselineRun], *, code: str, message: str, final: bool) -> bool:
    """A failure that another attempt would repeat ends the run with its name; others are retried up to three times."""
    if final or claim.job.attempts >= settings.MAX_ATTEMPTS:
        return claim.move(State.ERRORED, error_code=code, error_message=message)
    return claim.move(State.QUEUED, last_failure=code)


@retried
def cancel(*, run: BaselineRun, by: User) -> None:
    """Stop a run that has not ended; its worker notices at the next heartbeat."""
    rows = BaselineRun.objects.filter(pk=run.pk, state__in=[State.QUEUED, State.RUNNING])
    if not rows.update(state=State.CANCELLED, lease_expires_at=None, error_message=f"Cancelled by {by}."):
        raise Refused("ended", "This run has already ended.")
