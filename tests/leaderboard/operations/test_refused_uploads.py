"""A refused submission leaves nothing behind, however it was sent: no method, no edit to one, no row, no file."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from leaderboard.models import Benchmark, Evaluation, Method, Quota, Submission, Team, User
from leaderboard.operations import storage, submissions, tokens
from leaderboard.operations.refusals import Refused
from tests.leaderboard.conftest import predictions

Send = Callable[[str], int]


def by_api(user: User) -> Send:
    _, text = tokens.create(user=user, name="test", scopes=["read", "submit"])

    def send(method: str) -> int:
        form = {
            "benchmark": "lsp-test-pc", "method": method, "publish": "false", "extra_data": "everything",
            "file": SimpleUploadedFile("p.json", predictions(miss=3)),
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {text}"}
        return Client().post("/api/v1/submissions", form, headers=headers).status_code

    return send


def by_browser(user: User) -> Send:
    client = Client()
    client.force_login(user)

    def send(method: str) -> int:
        form = {
            "team": Team.objects.get(person=user).pk, "method": method, "visibility": "private", "publishes_all": "0",
            "extra_data": "everything", "file": SimpleUploadedFile("p.json", predictions(miss=3)),
        }  # fmt: skip
        return client.post("/lsp-test-pc/submit/", form).status_code

    return send


def by_command(user: User, folder: Path) -> Send:
    file = folder / "p.json"
    file.write_bytes(predictions(miss=3))

    def send(method: str) -> int:
        team = Team.objects.get(person=user).name
        try:
            call_command(
                "import_submission", "lsp-test-pc", str(file), method=method, team=team, extra_data="everything",
                stdout=io.StringIO(),
            )  # fmt: skip
        except CommandError:
            return 1
        return 200

    return send


def closed(benchmark: Benchmark, **_: Any) -> None:
    Benchmark.objects.filter(pk=benchmark.pk).update(closes_at=timezone.now() - timedelta(seconds=1))


def not_open(benchmark: Benchmark, **_: Any) -> None:
    Benchmark.objects.filter(pk=benchmark.pk).update(opens_at=timezone.now() + timedelta(hours=1))


def no_annotations(benchmark: Benchmark, **_: Any) -> None:
    Benchmark.objects.filter(pk=benchmark.pk).update(truth_sha256="")


def quota(benchmark: Benchmark, **_: Any) -> None:
    Benchmark.objects.filter(pk=benchmark.pk).update(daily_limit=0)


def policy_changed(benchmark: Benchmark, **_: Any) -> None:
    """Detected when the rows are written, after all earlier checks have passed."""
    Benchmark.objects.filter(pk=benchmark.pk).update(publishes_all=True)


def quota_used_up_meanwhile(monkeypatch: pytest.MonkeyPatch, **_: Any) -> None:
    """The check passes, but no quota is left when it is charged."""

    def gone(**_: Any) -> None:
        raise Refused("quota_day", "None is left.", status=429)

    monkeypatch.setattr(submissions.quotas, "charge", gone)


def full_disk(monkeypatch: pytest.MonkeyPatch, **_: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise storage.full()

    monkeypatch.setattr(storage, "check_disk", full)


def rows() -> list[Any]:
    models = (Team, Method, Submission, Evaluation, Quota)
    return [list(model.objects.order_by("pk").values()) for model in models]


def files() -> set[str]:
    return {str(file) for file in Path(configured.UPLOADS_DIR).rglob("*") if file.is_file()}


BROWSER_AND_API = [closed, not_open, no_annotations, quota, policy_changed, quota_used_up_meanwhile, full_disk]
CASES = [
    *((way, reason) for way in (by_api, by_browser) for reason in BROWSER_AND_API),
    *((by_command, reason) for reason in (no_annotations, full_disk)),
]


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["Known", "New"])
@pytest.mark.parametrize(("way", "reason"), CASES, ids=[f"{w.__name__}-{r.__name__}" for w, r in CASES])
def test_a_refused_submission_leaves_nothing_behind(
    way: Any, reason: Any, method: str, benchmark: Benchmark, team: Team, alice: User, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Method.objects.create(team=team, name="Known", extra_data="none")
    send: Send = way(alice, tmp_path) if way is by_command else way(alice)
    reason(benchmark=benchmark, monkeypatch=monkeypatch)
    before = rows(), files()
    assert send(method) not in (200, 202, 302, 404)
    assert (rows(), files()) == before


@pytest.mark.django_db
@pytest.mark.parametrize("way", [by_api, by_browser, by_command])
def test_an_accepted_submission_updates_the_description_of_its_method(
    way: Any, benchmark: Benchmark, team: Team, alice: User, tmp_path: Path
) -> None:
    known = Method.objects.create(team=team, name="Known", extra_data="none")
    send: Send = way(alice, tmp_path) if way is by_command else way(alice)
    assert send("Known") in (200, 202, 302)
    known.refresh_from_db()
    assert known.extra_data == "everything"
    assert Submission.objects.get().method == known


@pytest.mark.django_db
def test_a_refused_import_creates_no_team(benchmark: Benchmark, tmp_path: Path) -> None:
    no_annotations(benchmark)
    (tmp_path / "p.json").write_bytes(predictions())
    with pytest.raises(CommandError, match="no annotations"):
        call_command("import_submission", "lsp-test-pc", str(tmp_path / "p.json"), method="A", team="Nobody yet")
    assert not Team.objects.filter(name="Nobody yet").exists()
