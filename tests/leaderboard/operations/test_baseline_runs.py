"""Baseline runs through the worker's task: scored like submissions, resumed by other workers, failing with codes."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from PIL import Image

from baselines.mannequins import generate
from baselines.preview import Preview
from baselines.protocol import Poses
from evaluator import load_dataset
from leaderboard import tasks
from leaderboard.files import blobs
from leaderboard.models import BaselineRun, Benchmark, Checkpoint, Evaluation, Method, State, User
from leaderboard.operations import annotation_store, baseline_runs, releases, submissions
from leaderboard.queue import leases
from tests.leaderboard.conftest import IMAGES

pytestmark = pytest.mark.django_db


class Middle:
    """Puts every joint in the middle of the crop. Its network raises `fail`, if it is set, after `sound` calls."""

    name, variant, device, precision, checkpoint_sha256 = "middle", "narrow", "cpu", "float32", "0" * 64
    input_size, padding, batch, parameters, gmacs = (24, 32), 1.25, 1, 12_345, 0.5
    joint_threshold = 0.2

    def __init__(self) -> None:
        self.calls, self.fail, self.sound = 0, None, 0

    def forward(self, crops: np.ndarray) -> int:
        self.calls += 1
        if self.fail is not None and self.calls > self.sound:
            raise self.fail
        return len(crops)

    def decode(self, people: int) -> Poses:
        return Poses(np.tile([12.0, 16.0], (people, 14, 1)), np.full((people, 14), 0.5), np.full(people, 0.5))


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> Middle:
    made = Middle()
    for user in ("run.predict", "preview"):
        monkeypatch.setattr(f"baselines.{user}.load", lambda *_, **__: made)
    return made


@pytest.fixture
def run(benchmark: Benchmark, tmp_path: Path, settings: Any) -> BaselineRun:
    settings.RUNS_DIR, settings.CHECKPOINTS_DIR = tmp_path / "runs", tmp_path / "checkpoints"
    (tmp_path / "images").mkdir()
    for number in range(1001, 1001 + IMAGES):
        Image.new("RGB", (120, 180), (number % 256, 80, 80)).save(tmp_path / "images" / f"im{number}.jpg")
    releases.put_images(benchmark, tmp_path / "images")
    return baseline_runs.request_run(baseline="stacked_hourglass", benchmark=benchmark, by=None)


def again(run: BaselineRun) -> BaselineRun:
    run.refresh_from_db()
    return run


def lose_the_worker(run: BaselineRun) -> None:
    """As a kill -9 leaves it: the row says RUNNING, and the lease expires."""
    BaselineRun.objects.filter(pk=run.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


def test_a_run_ends_in_a_submission_with_what_it_cost(run: BaselineRun, middle: Middle) -> None:
    assert tasks.run_baseline().endswith("submitted")
    assert tasks.run_baseline() == "nothing to do"
    submission = again(run).submission
    assert run.state == State.DONE and submission is not None and run.images_done == IMAGES
    assert submission.source == "baseline"
    assert run.record["boxes"] == "whole image" and run.record["taken_over"] == 0
    method = Method.objects.get()
    assert (method.parameters, method.gflops, method.is_baseline) == (12_345, 0.5, True)
    assert Evaluation.objects.get(submission=submission).state == State.QUEUED
    # the run's partial results are gone
    assert not baseline_runs.progress_folder(run).exists()


def test_one_wake_up_call_is_enough_for_all_waiting_runs(
    run: BaselineRun, middle: Middle, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline_runs.request_run(baseline="stacked_hourglass", variant="narrow", benchmark=benchmark, by=None)
    given_back: list[int] = []
    monkeypatch.setattr("baselines.devices.memory.give_back", lambda: given_back.append(middle.calls))
    assert tasks.run_baselines() == "2 done"
    assert set(BaselineRun.objects.values_list("state", flat=True)) == {State.DONE}
    # the first run released its memory before the second began
    assert given_back == [IMAGES, 2 * IMAGES]
    assert tasks.run_baselines() == "nothing to do"


def test_images_of_a_lost_worker_are_not_predicted_again(
    run: BaselineRun, middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    middle.fail, middle.sound = Killed(), 5
    with pytest.raises(Killed):
        tasks.run_baseline()
    assert again(run).state == State.RUNNING
    lose_the_worker(run)
    middle.fail, middle.calls = None, 0
    assert tasks.run_baseline().endswith("submitted")
    # of five batches of one person, the fourth was certainly decoded when the sixth was asked for
    assert 3 <= again(run).record["taken_over"] <= 5
    assert middle.calls == IMAGES - run.record["taken_over"]
    assert run.record["people"] == IMAGES
    assert run.attempts == 1


def test_only_attempts_without_progress_are_counted(run: BaselineRun, middle: Middle) -> None:
    for attempt in (1, 2, 3):
        claim = leases.claim_next(BaselineRun)
        assert claim is not None and claim.job.attempts == attempt
        lose_the_worker(run)
    assert leases.claim_next(BaselineRun) is None
    tasks.sweep()
    assert again(run).state == State.ERRORED and run.error_code == "worker_lost"


@pytest.mark.parametrize(
    ("error", "code", "attempts", "message"),
    [
        (RuntimeError("the shapes differ"), "network_failed", 1, "failed on image 1003: RuntimeError: the shapes"),
        # the first attempt predicts two images and is not counted
        (MemoryError(), "out_of_memory", 4, "does not fit into the memory of cpu"),
    ],
)
def test_a_failure_ends_the_run_with_its_code(
    run: BaselineRun, middle: Middle, error: Exception, code: str, attempts: int, message: str
) -> None:
    middle.fail, middle.sound = error, 2
    for _ in range(attempts):
        assert again(run).state == State.QUEUED
        middle.calls = 0
        assert tasks.run_baseline().endswith(code)
        middle.sound = 0  # later attempts make no progress
    assert again(run).state == State.ERRORED and run.error_code == code and message in run.error_message
    assert run.submission is None
    assert tasks.run_baseline() == "nothing to do"
    assert not baseline_runs.progress_folder(run).exists()


def test_a_cancelled_run_stops(run: BaselineRun, middle: Middle, alice: User) -> None:
    middle_forward = middle.forward

    def cancelling(crops: np.ndarray) -> int:
        if middle.calls == 2:
            baseline_runs.cancel(run=run, by=alice)
        return middle_forward(crops)

    middle.forward = cancelling  # type: ignore[method-assign]
    settled = tasks.run_baseline()
    assert settled.endswith(("lease lost", "fenced out"))
    assert again(run).state == State.CANCELLED and run.submission is None


def test_an_unreadable_image_is_left_out_and_named(run: BaselineRun, middle: Middle, benchmark: Benchmark) -> None:
    (annotation_store.images_folder(benchmark) / "im1004.jpg").write_bytes(b"no image")
    tasks.run_baseline()
    assert again(run).state == State.DONE
    assert run.record["images"] == IMAGES - 1 and run.record["people"] == IMAGES - 1
    (said,) = run.record["left_out"]
    assert said.startswith("im1004.jpg")


def test_one_command_queues_every_model_with_weights(run: BaselineRun, settings: Any) -> None:
    from baselines.models import blazepose

    BaselineRun.objects.all().delete()
    folder = Path(settings.CHECKPOINTS_DIR)
    folder.mkdir()
    for variant in ("lite", "heavy"):
        (folder / blazepose.FILES[variant]["file"]).touch()
    output = io.StringIO()
    call_command("run_baseline", "lsp-test-pc", "--all", stdout=output)
    queued = set(BaselineRun.objects.values_list("baseline", "variant"))
    assert queued == {("blazepose", "lite"), ("blazepose", "heavy")}
    assert "stacked_hourglass narrow is left out: it was not trained for neck, head_top" in output.getvalue()
    assert "blazepose full is left out: its weights are not installed" in output.getvalue()
    call_command("run_baseline", "--all", "lsp-test-pc", stdout=output)
    assert BaselineRun.objects.count() == 2  # the same runs are queued already
    with pytest.raises(CommandError, match="name a baseline, or use --all"):
        call_command("run_baseline", "blazepose", "lsp-test-pc", "--all")
    with pytest.raises(CommandError, match="name a baseline, or use --all"):
        call_command("run_baseline", "lsp-test-pc")


def test_registered_checkpoints_run_under_their_own_names(
    run: BaselineRun, middle: Middle, benchmark: Benchmark, client: Any
) -> None:
    BaselineRun.objects.all().delete()
    lsp = list(load_dataset("lsp").joints)
    fitting, other = (
        Checkpoint.objects.create(
            family="hrnet", variant="w32", sha256=letter * 64, file="w.pth", size=1, joints=joints,
            licence="MIT", source="the authors' release",
        )
        for letter, joints in (("a", lsp), ("b", lsp[:5]))
    )  # fmt: skip
    fitting.path.parent.mkdir()
    fitting.path.touch()
    output = io.StringIO()
    call_command("run_baseline", "--all", "lsp-test-pc", stdout=output)
    assert f"hrnet w32 with checkpoint {other.pk} is left out: it was not trained for left_ankle" in output.getvalue()
    call_command("run_baseline", "hrnet", "lsp-test-pc", "--checkpoint", str(fitting.pk), stdout=output)
    (queued,) = BaselineRun.objects.all()
    assert (queued.baseline, queued.variant, queued.checkpoint) == ("hrnet", "w32", fitting)
    tasks.run_baseline()
    method = Method.objects.get()
    assert method.name == "HRNet, narrow, weights aaaaaaaa"  # the estimator names the variant
    assert method.description == "Weights from the authors' release, under MIT."
    page = client.get("/baselines/hrnet/").content.decode()
    assert f"registered here as checkpoint {fitting.pk}" in page and "the authors&#x27; release" in page
    for wrong in (
        ["cpm", "lsp-test-pc", "--checkpoint", str(fitting.pk)],
        ["hrnet", "lsp-test-pc", "--checkpoint", "99"],
    ):
        with pytest.raises(CommandError, match=r"is for hrnet w32|no checkpoint 99"):
            call_command("run_baseline", *wrong)
    with pytest.raises(CommandError, match="There is no baseline alphapose"):
        call_command("run_baseline", "alphapose", "lsp-test-pc")


def test_a_run_still_has_its_file_of_boxes_after_a_kill(
    middle: Middle, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    settings.RUNS_DIR = tmp_path / "runs"
    truth = generate(tmp_path / "drawn", split="test", images=6, seed=7)
    board = Benchmark.objects.create(slug="mannequins-test", dataset="mannequins", split="test", title="Mannequins")
    releases.put_into_force(board, json.dumps(truth).encode())
    releases.put_images(board, tmp_path / "drawn" / "images")
    rows = [{"image_id": image["id"], "bbox": [8, 8, 60, 90], "score": 0.5} for image in truth["images"]]
    file = tmp_path / "people.json"
    file.write_text(json.dumps(rows))
    call_command("run_baseline", "hrnet", board.slug, "--boxes", str(file), stdout=io.StringIO())
    file.unlink()  # the run has its own copy
    run = BaselineRun.objects.get()
    joints = np.tile([12.0, 16.0], (1, 17, 1))
    monkeypatch.setattr(middle, "decode", lambda people: Poses(joints, np.full((1, 17), 0.5), np.full(1, 0.5)))
    middle.fail, middle.sound = Killed(), 4
    with pytest.raises(Killed):
        tasks.run_baseline()
    lose_the_worker(run)
    middle.fail, middle.calls = None, 0
    assert tasks.run_baseline().endswith("submitted")
    assert again(run).record["taken_over"] >= 2 and run.record["people"] == 6
    assert run.record["boxes"] == f"file people.json, {run.boxes_sha256[:12]}"
    assert Method.objects.get().name == f"HRNet, narrow, boxes {run.boxes_sha256[:8]}"
    # a person's score: the box's 0.5 times 0.5, the mean of the joints
    assert run.submission is not None
    assert {entry["score"] for entry in json.loads(blobs.path(run.submission.sha256).read_bytes())} == {0.25}
    monkeypatch.setattr(blobs.time, "time", lambda: 4e9)  # long afterwards
    tasks.collect()
    assert blobs.path(run.boxes_sha256).exists()


def test_a_file_of_boxes_is_rejected_where_the_people_are_listed(benchmark: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text('[{"image_id": 1001, "bbox": [1, 2, 3, 4]}]')
    with pytest.raises(CommandError, match="lists its people, so a run does not accept a box file"):
        call_command("run_baseline", "hrnet", "lsp-test-pc", "--boxes", str(tmp_path / "people.json"))
    Benchmark.objects.update(dataset="coco")
    with pytest.raises(CommandError, match="No such file"):
        call_command("run_baseline", "hrnet", "lsp-test-pc", "--boxes", str(tmp_path / "none.json"))
    assert not BaselineRun.objects.exists()


def test_a_run_is_described_by_its_papers_citation() -> None:
    record = {"variant": "narrow", "input_size": [96, 128], "gmacs": 0.2, "boxes": "given"}
    four = baseline_runs.described(BaselineRun(baseline="cpm"), record)
    assert (four["authors"], four["year"], four["approach"]) == ("Wei et al.", 2016, Method.Approach.TOP_DOWN)
    assert four["title"] == "Convolutional Pose Machines, narrow"
    three = baseline_runs.described(BaselineRun(baseline="stacked_hourglass"), record)
    assert three["authors"] == "Newell, Yang, Deng"
    alone = baseline_runs.described(BaselineRun(baseline="deepercut"), {**record, "boxes": "none: bottom-up"})
    assert alone["approach"] == Method.Approach.BOTTOM_UP


def test_what_a_network_sees_is_drawn_once_for_each_checkpoint(
    run: BaselineRun, middle: Middle, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures depend on weights and joints alone: a second run of the same weights shows those of the first."""
    drawn: list[str] = []

    def render(name: str, *_: Any, **__: Any) -> Preview:
        drawn.append(name)
        return Preview(b"crop", (96, 128), 1, ("neck",), ((0.5,),), (b"strip",))

    monkeypatch.setattr("baselines.preview.render_with", render)
    assert tasks.run_baseline().endswith("submitted")
    second = baseline_runs.request_run(baseline=run.baseline, benchmark=benchmark, by=None)
    assert tasks.run_baseline().endswith("submitted")
    run.refresh_from_db()
    second.refresh_from_db()
    assert drawn == [run.baseline]
    assert second.record["seen"] == run.record["seen"]
    # other weights are looked at for themselves
    middle.checkpoint_sha256 = "1" * 64
    baseline_runs.request_run(baseline=run.baseline, benchmark=benchmark, by=None)
    assert tasks.run_baseline().endswith("submitted")
    assert len(drawn) == 2


def test_pictures_are_not_those_of_other_joints_or_of_unknown_weights(run: BaselineRun, benchmark: Benchmark) -> None:
    """The same file of weights may serve several datasets, whose joints differ; and a run may name no file at all."""
    elsewhere = Benchmark.objects.create(slug="elsewhere", title="Elsewhere", dataset="mpii", split="test")
    picture = Preview(b"crop", (96, 128), 1, ("neck",), ((0.5,),), (b"strip",))
    for digest, on, reused in (("2" * 64, elsewhere, False), ("", benchmark, False), ("2" * 64, benchmark, True)):
        record = {"checkpoint_sha256": digest}
        earlier = BaselineRun.objects.create(baseline=run.baseline, benchmark=on, record=record, state=State.DONE)
        baseline_runs.store_pictures(earlier, picture)
        BaselineRun.objects.filter(pk=run.pk).update(record=record)
        assert baseline_runs.reuse_pictures(run) is reused


def test_a_picture_of_more_than_a_mebibyte_is_not_stored(run: BaselineRun) -> None:
    mebibyte = bytes(1 << 20)
    baseline_runs.store_pictures(run, Preview(mebibyte, (96, 128), 1, ("neck",), ((0.5,),), (b"strip",)))
    with pytest.raises(blobs.TooLarge):
        baseline_runs.store_pictures(run, Preview(b"crop", (96, 128), 1, ("neck",), ((0.5,),), (mebibyte + b"x",)))


def test_a_network_without_heatmaps_is_loaded_once_to_see_that(
    run: BaselineRun, middle: Middle, benchmark: Benchmark, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("baselines.preview.render_with", lambda name, *_, **__: loaded.append(name))
    assert tasks.run_baseline().endswith("submitted")
    baseline_runs.request_run(baseline=run.baseline, benchmark=benchmark, by=None)
    assert tasks.run_baseline().endswith("submitted")
    assert loaded == [run.baseline]
    assert baseline_runs.needed_blobs() == set()
    assert client.get(f"/baselines/{run.baseline}/").status_code == 200


def test_the_lease_is_renewed_before_what_was_predicted_is_submitted(
    run: BaselineRun, middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long last batch may leave a moment of the lease: the file is stored and submitted within a new one."""
    left: list[float] = []
    submit, record = submissions.submit, baseline_runs.record

    def seconds_left() -> float:
        expires = BaselineRun.objects.values_list("lease_expires_at", flat=True).get(pk=run.pk)
        return (expires - timezone.now()).total_seconds()

    def submitting(**fields: Any) -> Any:
        left.append(seconds_left())
        return submit(**fields)

    def recording(*arguments: Any) -> bool:
        BaselineRun.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() + timedelta(seconds=5))
        return record(*arguments)

    monkeypatch.setattr(baseline_runs, "record", recording)
    monkeypatch.setattr(submissions, "submit", submitting)
    assert tasks.run_baseline().endswith("submitted")
    assert len(left) == 1 and left[0] > 5
