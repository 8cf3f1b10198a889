"""The demonstration: Mannequins boards with methods and a baseline run, reported results, people to sign in as."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from leaderboard.boards import runnable
from leaderboard.files import blobs
from leaderboard.models import ApiToken, Benchmark, Method, Submission, User
from leaderboard.operations import (
    annotation_store,
    baseline_runs,
    benchmarks,
    people,
    releases,
    reported_results,
    tokens,
    uploads,
)
from leaderboard.operations.submissions import SubmissionRequest
from leaderboard.operations.teams import own_team

PASSWORD = "poseboard-demo"  # noqa: S105  a system check refuses demo accounts off loopback
# those of the shipped networks that run at the first start, in the background, the quickest first
BASELINES = ("stacked_hourglass", "cpm", "hrnet")
TEST_IMAGES, VAL_IMAGES, TRAIN_IMAGES = 300, 100, 400


@dataclass(frozen=True)
class DemoBenchmark:
    """A benchmark that shows reported results until somebody imports its annotations."""

    slug: str
    dataset: str
    split: str
    title: str
    summary: str
    position: int
    public_elsewhere: bool = False


BENCHMARKS = [
    DemoBenchmark(
        "coco-val2017", "coco", "val2017", "COCO Keypoints, val2017", "Everyday scenes, 17 joints.", 20, True
    ),
    DemoBenchmark(
        "coco-test-dev2017", "coco", "test-dev2017", "COCO Keypoints, test-dev2017", "Everyday scenes, 17 joints.", 21
    ),
    DemoBenchmark(
        "mpii-test", "mpii", "test", "MPII Human Pose, test", "410 activities, 16 joints, one person at a time.", 30
    ),
    DemoBenchmark("mpii-val", "mpii", "val", "MPII Human Pose, validation", "410 activities, 16 joints.", 31, True),
    DemoBenchmark("lsp-test-pc", "lsp", "test-pc", "Leeds Sports Pose, person-centric", "Sport, 14 joints.", 40, True),
    DemoBenchmark("flic-test", "flic", "test", "FLIC", "Film stills, upper body, 11 joints.", 50, True),
]


def seed(say: Callable[[str], None]) -> None:
    """Fill an empty site. Each step is left out when an earlier start has done it."""
    names = {"demo": "Dana Demo", "ada": "Ada Researcher", "organiser": "Olu Organiser"}
    accounts = {name: people.ensure(username=name, full_name=full, password=PASSWORD) for name, full in names.items()}
    _token(accounts["demo"])
    (Path(settings.DATA) / "demo-logins.txt").write_text(
        f"Sign in as demo or ada (researchers) or organiser, each with the password {PASSWORD}\n"
        f"An API token of demo is in {Path(settings.DATA) / 'demo-token'}\n"
    )
    for each in BENCHMARKS:
        # what is there stays as people made it
        if Benchmark.objects.filter(Q(slug=each.slug) | Q(dataset=each.dataset, split=each.split)).exists():
            continue
        benchmarks.create(
            organisers=[accounts["organiser"]],
            **asdict(each),
        )
    if not Benchmark.objects.filter(reported__isnull=False).exists():
        say(f"{reported_results.load()} reported results on {len(BENCHMARKS)} boards")
    if not Benchmark.objects.filter(slug="mannequins-test").exclude(truth_sha256="").exists():
        _mannequins(accounts, say)
    # a site that was first started without torch gets its baseline runs when torch is there
    test = Benchmark.objects.get(slug="mannequins-test")
    if runnable.can_run_here() and not test.baseline_runs.exists():
        shipped = {each.baseline: each for each in runnable.runnable(test) if not each.why_not}
        for name in BASELINES:
            if name in shipped:
                baseline_runs.request_run(baseline=name, variant=shipped[name].variant, benchmark=test, by=None)
                say(f"{name} queued on mannequins-test")


def _token(user: User) -> None:
    file = Path(settings.DATA) / "demo-token"
    if file.exists() and user.tokens.filter(revoked_at=None).exists():
        return
    _, secret = tokens.create(user=user, name="demo", scopes=[ApiToken.Scope.READ, ApiToken.Scope.SUBMIT])
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(secret + "\n")


def _mannequins(accounts: dict[str, User], say: Callable[[str], None]) -> None:
    """Render the splits, store the test split's seed with its annotations, and submit what simple methods predict."""
    from baselines.mannequins import generate
    from baselines.run.simple_methods import DESCRIPTIONS, demo_predictions

    say(f"rendering Mannequins: {TRAIN_IMAGES} training, {VAL_IMAGES} validation, {TEST_IMAGES} hidden test images")
    organiser = accounts["organiser"]
    test = _mannequin_benchmark("test", "Mannequins", hidden=True, position=10, organiser=organiser)
    val = _mannequin_benchmark("val", "Mannequins, validation", hidden=False, position=11, organiser=organiser)
    with tempfile.TemporaryDirectory() as scratch:
        train_folder, val_folder, test_folder = (Path(scratch) / split for split in ("train", "val", "test"))
        # nobody can render the hidden split again without the seed, which is drawn here and stored with the annotations
        hidden_seed = secrets.randbits(62)
        generate(train_folder, split="train", images=TRAIN_IMAGES, seed=1)
        generate(val_folder, split="val", images=VAL_IMAGES, seed=2)
        generate(test_folder, split="test", images=TEST_IMAGES, seed=hidden_seed)
        for benchmark, folder in ((val, val_folder), (test, test_folder)):
            releases.put_into_force(benchmark, (folder / "annotations.json").read_bytes())
            releases.put_images(benchmark, folder / "images")
        seed_file = annotation_store.folder(test) / "seed"
        seed_file.touch(mode=0o600)
        seed_file.write_text(f"{hidden_seed}\n")
        image_list = json.loads(blobs.path(test.image_list_sha256).read_bytes())
        predicted = demo_predictions(train_folder, image_list, test_folder / "images")
    owners = [accounts["ada"], accounts["demo"]]
    for number, (name, results) in enumerate(predicted.items()):
        _submit(test, owners[number % 2], name, DESCRIPTIONS[name], results)
    say(f"{len(predicted)} methods submitted to {test}")


def _mannequin_benchmark(split: str, title: str, *, hidden: bool, position: int, organiser: User) -> Benchmark:
    slug = f"mannequins-{split}"
    return Benchmark.objects.filter(slug=slug).first() or benchmarks.create(
        organisers=[organiser],
        slug=slug,
        dataset="mannequins",
        split=split,
        title=title,
        summary="Rendered people, several per image, 17 joints.",
        hidden=hidden,
        public_elsewhere=not hidden,
        boxes_given=True,
        position=position,
        daily_limit=20,
    )


def _submit(benchmark: Benchmark, user: User, name: str, description: str, results: list[dict[str, Any]]) -> None:
    content = json.dumps(results, separators=(",", ":")).encode()
    uploads.accept(
        request=SubmissionRequest(
            user=user,
            team=own_team(user),
            benchmark=benchmark,
            source=Submission.Source.API,
            file_name=f"{name.lower().replace(' ', '-')}.json",
            publish_when_scored=True,
        ),
        method=name,
        described={
            "description": description,
            "authors": user.get_full_name(),
            "year": timezone.now().year,
            "approach": Method.Approach.TOP_DOWN,
        },
        chunks=lambda: [content],
        limit=settings.UPLOAD_LIMIT,
    )
