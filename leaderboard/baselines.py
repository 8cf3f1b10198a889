"""Runs of the reference models. A run ends in a file that goes through `submissions.submit` like everyone's."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

from django.conf import settings
from django.db import transaction

from evaluator import load_dataset
from leaderboard import blobs, submissions
from leaderboard.doorbell import ring
from leaderboard.jobs import Claim
from leaderboard.models import BaselineRun, Benchmark, Method, State, Submission, Team, User
from leaderboard.refusals import Refused
from leaderboard.teams import method_named

TEAM = "PoseBoard baselines"


def available() -> list[str]:
    """The names of the reference models. Does not import torch, so the web process may ask."""
    import baselines

    return list(baselines.names())


def can_run_here() -> bool:
    """Whether this machine has torch; a site without it has no baseline worker."""
    return importlib.util.find_spec("torch") is not None


def request_run(*, baseline: str, variant: str = "", benchmark: Benchmark, by: User | None) -> BaselineRun:
    """Queue a run of a reference model on the benchmark's images."""
    if baseline not in available():
        raise Refused("no_such_baseline", f"There is no baseline {baseline}: choose one of {', '.join(available())}.")
    if load_dataset(benchmark.dataset).entry != "keypoints":
        raise Refused(
            "not_keypoints", f"{benchmark} asks for more than keypoints in the image, which is what baselines predict."
        )
    if not benchmark.has_images:
        raise Refused(
            "no_images", f"{benchmark} has no images for baselines: its organiser imports them with --images."
        )
    with transaction.atomic():
        Benchmark.objects.select_for_update().get(pk=benchmark.pk)
        same = BaselineRun.objects.filter(
            benchmark=benchmark, baseline=baseline, variant=variant, state__in=[State.QUEUED, State.RUNNING]
        ).first()
        if same:
            return same
        run = BaselineRun.objects.create(
            baseline=baseline,
            variant=variant,
            benchmark=benchmark,
            requested_by=by,
            images_total=benchmark.image_count,
        )
        transaction.on_commit(lambda: ring("baseline"))
    return run


def record(claim: Claim[BaselineRun], predictions: list[dict[str, Any]], run_record: dict[str, Any]) -> bool:
    """Submit what the model predicted, and end the run. False: the claim was lost, and nothing was submitted."""
    run = claim.job
    content = json.dumps(predictions, separators=(",", ":"), allow_nan=False).encode()
    blob = blobs.store([content], limit=1 << 30)
    with transaction.atomic():
        if not claim.renew():
            return False
        submission, _ = submissions.submit(
            user=run.requested_by,
            team=Team.objects.get_or_create(name=TEAM)[0],
            benchmark=run.benchmark,
            method=_method(run, run_record),
            blob=blob,
            source=Submission.Source.BASELINE,
            file_name=f"{run.baseline}.json",
            publish_when_scored=True,
        )
        # a repeated run may give the same file: then the newest run is the one the submission shows
        BaselineRun.objects.filter(submission=submission).update(submission=None)
        return claim.move(
            State.DONE,
            submission=submission,
            record=run_record,
            images_done=run_record.get("images", 0),
            error_message="",
        )


def described(run: BaselineRun, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run with what the board says of its method: name, paper, size, cost."""
    import baselines

    module = baselines.module(run.baseline)
    variant = record.get("variant") or run.variant
    paper = re.fullmatch(
        r"(?P<authors>.*?): (?P<title>.*?)\. (?P<venue>.*?) (?P<year>\d{4}), arXiv (?P<arxiv>[\d.]+)", module.SOURCE
    )
    about: dict[str, Any] = {"paper_title": module.SOURCE}
    if paper:
        about = {
            "authors": paper["authors"],
            "paper_title": paper["title"],
            "year": int(paper["year"]),
            "paper_url": f"https://arxiv.org/abs/{paper['arxiv']}",
        }
    width, height = record["input_size"]
    return {
        **record,
        **about,
        "title": f"{module.TITLE}, {variant}" if variant else module.TITLE,
        "input_size": f"{width} × {height}",
        # the field prints multiply-accumulates as FLOPs; so do the boards
        "gflops": record["gmacs"],
        "approach": Method.Approach.TOP_DOWN,
    }


def _method(run: BaselineRun, record: dict[str, Any]) -> Method:
    team = Team.objects.get_or_create(name=TEAM)[0]
    described = {
        key: record[key]
        for key in (
            "description", "authors", "year", "paper_title", "paper_url", "approach", "backbone",
            "input_size", "parameters", "gflops", "extra_data",
        )
        if record.get(key) not in (None, "")
    }  # fmt: skip
    method = method_named(team=team, name=record["title"], **described)
    if not method.is_baseline:
        Method.objects.filter(pk=method.pk).update(is_baseline=True)
    return method


def fail(claim: Claim[BaselineRun], *, code: str, message: str, final: bool) -> bool:
    """A failure that will not mend by itself ends the run with its name; another is tried again, thrice at most."""
    if final or claim.job.attempts >= settings.MAX_ATTEMPTS:
        return claim.move(State.ERRORED, error_code=code, error_message=message)
    return claim.move(State.QUEUED, last_failure=code)


@transaction.atomic
def cancel(*, run: BaselineRun, by: User) -> None:
    """Stop a run that has not ended; its worker notices at the next heartbeat."""
    rows = BaselineRun.objects.filter(pk=run.pk, state__in=[State.QUEUED, State.RUNNING])
    if not rows.update(state=State.CANCELLED, lease_expires_at=None, error_message=f"Cancelled by {by}."):
        raise Refused("ended", "This run has ended already.")
