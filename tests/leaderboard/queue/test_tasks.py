"""What a worker does with what it claims, in the real sandbox."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from evaluator import evaluate
from evaluator.convert import convert_truth
from leaderboard import tasks, worker_process
from leaderboard.files import blobs
from leaderboard.models import AnnotationImport, Benchmark, Evaluation, Method, State, User
from leaderboard.operations import annotation_imports, annotation_store, releases
from leaderboard.operations.refusals import Refused
from leaderboard.operations.teams import own_team
from leaderboard.queue import workers
from tests.evaluator.convert.test_convert_posetrack import new_video
from tests.evaluator.pose_cases import in_space
from tests.evaluator.surface_cases import SURFACE, on_surface
from tests.leaderboard.conftest import IMAGES, annotations_json, claim, predictions, submit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_scorer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(worker_process, "_scorer", None)
    yield
    if worker_process._scorer is not None:
        worker_process._scorer.close()


def upload(name: str, content: bytes) -> SimpleNamespace:
    return SimpleNamespace(name=name, chunks=lambda: [content])


def test_score_is_the_one_a_researcher_gets_offline(send) -> None:
    submission = send(miss=5)
    assert tasks.score() == f"{submission} scored"
    stored = {(score.metric, score.part): score.value for score in Evaluation.objects.get().scores.all()}
    offline = evaluate("lsp", predictions(miss=5), json.dumps(annotations_json()).encode())
    assert stored == {(score.metric, score.part): score.value for score in offline.scores}
    assert stored["pck@0.2", "all"] == pytest.approx(9 / 14)
    assert tasks.score() == "nothing to do"


def test_densepose_is_scored_on_the_operators_surface_in_the_sandbox(db: None, alice: User, tmp_path: Path) -> None:
    """The tables are stored beside the annotations, which are rejected without tables or a built-in surface."""
    truth, entries = on_surface("densepose", 3, images=6)
    expected = {(s.metric, s.part): s.value for s in evaluate("densepose", entries, truth).scores}
    del truth["info"]["surface"]
    file = tmp_path / "densepose.json"
    file.write_text(json.dumps(truth))
    with pytest.raises(CommandError, match="geodesic tables"):
        call_command("import_benchmark", "densepose", str(file), split="minival")
    assert not Benchmark.objects.exists()
    tables = tmp_path / "surface.npz"
    tables.write_bytes(b"no tables")
    with pytest.raises(CommandError, match=r"surface\.npz: not a \.npz file"):
        call_command("import_benchmark", "densepose", str(file), split="minival", surface=tables)
    arrays = {name: getattr(SURFACE, name) for name in ("part", "u", "v", "vertex", "distances")}
    np.savez(tables, **arrays)
    call_command("import_benchmark", "densepose", str(file), split="minival", surface=tables, stdout=io.StringIO())
    benchmark = Benchmark.objects.get()
    assert annotation_store.surface_of(benchmark) == annotation_store.folder(benchmark) / "surface.npz"
    assert annotation_store.surface_path(benchmark).stat().st_mode & 0o777 == 0o600
    team = own_team(alice)
    method = Method.objects.create(team=team, name="Dense")
    blob = blobs.store([json.dumps(entries).encode()], limit=1 << 24)
    sent = submit(method, blob, benchmark=benchmark, user=alice, source="web")
    assert tasks.score() == f"{sent} scored"
    stored = {(score.metric, score.part): score.value for score in Evaluation.objects.get().scores.all()}
    assert stored == expected


def test_poses_in_space_are_scored_in_the_sandbox_and_stored_in_millimetres(db: None, alice: User) -> None:
    truth, entries = in_space("mpi_inf_3dhp", 3, images=6)
    benchmark = Benchmark.objects.create(slug="dhp", dataset="mpi_inf_3dhp", split="test", title="3DHP")
    releases.put_into_force(benchmark, json.dumps(truth).encode())
    team = own_team(alice)
    method = Method.objects.create(team=team, name="Lifted")
    for content, outcome in ((entries, "scored"), (entries[1:], "rejected: missing_person")):
        blob = blobs.store([json.dumps(content).encode()], limit=1 << 24)
        sent = submit(method, blob, benchmark=benchmark, user=alice, source="web")
        assert tasks.score() == f"{sent} {outcome}"
    scores = Evaluation.objects.get(state=State.SCORED).scores
    assert {score.metric: score.unit for score in scores.all()} == {
        "pck3d@150mm": "", "pck3d_auc": "", "mpjpe": "mm", "pa_mpjpe": "mm",
    }  # fmt: skip
    assert scores.get(metric="mpjpe", part="all").value > 1


def test_an_invalid_file_is_rejected_with_the_validators_message(send) -> None:
    content = b'[{"image_id": 77, "person_id": 0, "keypoints": [1, 2, 3], "score": 1}]'
    send(content=content)
    assert "rejected" in tasks.score()
    evaluation = Evaluation.objects.get()
    assert evaluation.state == State.REJECTED
    assert evaluation.error_problems[0]["entry"] == 0
    assert evaluation.error_message


def test_missing_annotations_are_our_fault_and_the_message_names_no_path(send, benchmark: Benchmark) -> None:
    submission = send()
    annotation_store.truth_path(benchmark, benchmark.truth_sha256).unlink()
    for _ in range(3):
        assert "failed" in tasks.score()
    evaluation = Evaluation.objects.get(submission=submission)
    assert evaluation.state == State.ERRORED
    assert "annotations" not in evaluation.error_message
    assert "/" not in evaluation.error_message


def test_an_organisers_file_comes_into_force_once_a_worker_has_checked_it(benchmark: Benchmark, alice: User) -> None:
    before = benchmark.truth_sha256
    truth = annotations_json(images=3)
    job = annotation_imports.request(
        benchmark=benchmark, uploaded_file=upload("t.json", json.dumps(truth).encode()), by=alice
    )
    assert annotation_imports.dropped(job).stat().st_mode & 0o444 == 0
    with pytest.raises(Refused, match="being checked"):
        annotation_imports.request(benchmark=benchmark, uploaded_file=upload("t.json", b"{}"), by=alice)
    tasks.check_annotations()
    job.refresh_from_db()
    benchmark.refresh_from_db()
    assert job.state == State.DONE
    assert job.summary["people"] == 3
    assert job.summary["joints"][0] == {"joint": "right_ankle", "annotated": 3, "occluded": 0}
    assert benchmark.image_count == 3
    assert benchmark.truth_sha256 != before
    assert not annotation_imports.dropped(job).exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b'{"images": [], "annotations": [{"id": 1}]}'])
def test_damaged_annotation_file_changes_nothing(benchmark: Benchmark, alice: User, content: bytes) -> None:
    before = benchmark.truth_sha256
    annotation_imports.request(benchmark=benchmark, uploaded_file=upload("t.json", content), by=alice)
    tasks.check_annotations()
    job = AnnotationImport.objects.get()
    benchmark.refresh_from_db()
    assert job.state == State.REJECTED, job.error_message
    assert job.error_message
    assert benchmark.truth_sha256 == before


def test_running_evaluations_stay_on_the_annotations_they_were_claimed_with(send, benchmark: Benchmark) -> None:
    submission = send()
    claim()
    releases.put_into_force(benchmark, json.dumps(annotations_json(images=3)).encode())
    # the board has new annotations by now; the evaluation stays with those it was claimed with
    assert submission.evaluation.truth_sha256 != benchmark.truth_sha256


def test_import_benchmark_and_submission_from_the_shell(db: None, tmp_path) -> None:
    truth, predicted = tmp_path / "truth.json", tmp_path / "predicted.json"
    truth.write_text(json.dumps(annotations_json()))
    predicted.write_bytes(predictions(miss=2))
    output = io.StringIO()
    call_command("import_benchmark", "lsp", str(truth), "--split", "test-pc", stdout=output)
    call_command(
        "import_submission", "lsp-test-pc", str(predicted), "--method", "A", "--team", "Authors", stdout=output
    )
    assert f"lsp-test-pc: {IMAGES} images, {IMAGES} people" in output.getvalue()
    tasks.score()
    assert Benchmark.objects.get().events.get(current=True).kind == "published"


def test_a_folder_of_videos_becomes_a_benchmark_and_scores(db: None, tmp_path) -> None:
    (tmp_path / "videos").mkdir()
    for video in (1, 2):
        (tmp_path / "videos" / f"{video}.json").write_text(json.dumps(new_video(video)))
    output = io.StringIO()
    call_command("import_benchmark", "posetrack", str(tmp_path / "videos"), "--split", "val-2018", stdout=output)
    assert "posetrack-val-2018: 4 images, 2 people" in output.getvalue()
    truth = convert_truth("posetrack", tmp_path / "videos")
    found = tmp_path / "found.json"
    entries = [
        {
            "image_id": row["image_id"],
            "score": 0.5,
            "keypoints": [
                value
                for x, y, flag in zip(*(row["keypoints"][at::3] for at in range(3)), strict=True)
                for value in ((x, y, 0.5) if flag else (None, None, None))
            ],
        }
        for row in truth["annotations"]
    ]
    found.write_text(json.dumps(entries))
    call_command("import_submission", "posetrack-val-2018", str(found), "--method", "A", "--team", "T", stdout=output)
    tasks.score()
    evaluation = Benchmark.objects.get().submissions.get().evaluation
    assert evaluation.scores.get(metric="map@0.5", part="all").value == 1.0
    assert evaluation.scores.get(metric="map@0.5", part="right_knee").value == 1.0


def test_a_sweep_wakes_workers_for_waiting_jobs(send) -> None:
    send()
    assert tasks.sweep() == "1 waiting, 0 ended"


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The wake-up calls that tasks made: for which work, and how many workers."""
    calls: list[tuple[str, int]] = []
    monkeypatch.setattr(tasks, "wake", lambda work, times=1: calls.append((work, times)))
    return calls


def test_one_wake_up_call_is_enough_for_all_waiting_jobs(
    send, benchmark: Benchmark, alice: User, settings, woken
) -> None:
    settings.SWEEP_SECONDS = 600
    Benchmark.objects.update(daily_limit=50)
    for miss in range(6):
        send(miss=miss)
    content = json.dumps(annotations_json()).encode()
    annotation_imports.request(benchmark=benchmark, uploaded_file=upload("t.json", content), by=alice)
    assert tasks.check_all_annotations() == "1 done"
    assert AnnotationImport.objects.get().state == State.DONE
    assert tasks.score_all() == "6 done"
    assert set(Evaluation.objects.values_list("state", "attempts")) == {(State.SCORED, 1)}
    assert tasks.score_all() == tasks.check_all_annotations() == "nothing to do"
    assert woken == []


def test_a_worker_lets_other_work_of_its_queue_have_a_turn(send, settings, woken) -> None:
    """After that time it leaves the rest to a new call, which queues behind a waiting sweep."""
    settings.SWEEP_SECONDS = 0
    for miss in range(2):
        send(miss=miss)
    for waiting in (1, 0):
        assert tasks.score_all() == "1 done, there may be more"
        assert Evaluation.objects.filter(state=State.QUEUED).count() == waiting
    assert woken == [("score", 1)] * 2
    assert tasks.score_all() == "nothing to do"


def test_after_a_fault_of_ours_the_rest_is_left_to_another_worker(send, benchmark: Benchmark, settings, woken) -> None:
    """A worker that cannot score must not use up the attempts of everything in the queue."""
    settings.SWEEP_SECONDS = 600
    for miss in range(3):
        send(miss=miss)
    annotation_store.truth_path(benchmark, benchmark.truth_sha256).unlink()
    assert tasks.score_all() == "1 done, there may be more"
    assert sorted(Evaluation.objects.values_list("state", "attempts")) == [("queued", 0), ("queued", 0), ("queued", 1)]
    assert woken == [("score", 1)]


def test_a_stopping_worker_wakes_others(send, woken, monkeypatch: pytest.MonkeyPatch) -> None:
    send()
    monkeypatch.setattr(worker_process, "_stopping", [0])
    worker_process.stop_claiming()
    assert tasks.score_all() == "0 done, there may be more"
    assert Evaluation.objects.get().state == State.QUEUED
    assert woken == [("score", 1)]


def test_a_sweep_wakes_all_workers_or_one_per_waiting_job(send, benchmark: Benchmark, woken) -> None:
    Benchmark.objects.update(daily_limit=50)
    send()
    assert tasks.sweep() == "1 waiting, 0 ended"
    assert woken == [("score", 1), ("annotations", 0), ("baseline", 0)]
    for miss in range(1, 8):
        send(miss=miss)
    woken.clear()
    tasks.sweep()
    assert woken[0] == ("score", 4)  # no worker is listed, but some may be running
    for number in range(6):
        workers.report(name=f"a:{number}", queue="score, other", isolation=None)
    workers.report(name="b:1", queue="baseline", isolation=None)
    woken.clear()
    tasks.sweep()
    assert woken[0] == ("score", 6)
