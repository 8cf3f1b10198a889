"""A submission that is not accepted leaves nothing behind: no method, no edit to one, no row, no file, no quota."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from limits import parse

from leaderboard.access import rate_limits
from leaderboard.models import Benchmark, Evaluation, Method, Quota, Submission, Team, User
from leaderboard.operations import quotas, storage, submissions, tokens
from leaderboard.operations.refusals import Refused
from leaderboard.operations.teams import own_team
from tests.leaderboard.conftest import predictions, submit

FILE = predictions(miss=3)


def by_api(
    user: User | None, method: str, *, scope: str = "submit", key: str = "", team: int | None = None, **fields: Any
) -> int:
    form = {
        "benchmark": "lsp-test-pc", "method": method, "publish": "false", "extra_data": "everything",
        "file": SimpleUploadedFile("p.json", FILE), **({"team": team} if team else {}), **fields,
    }  # fmt: skip
    headers = {"Idempotency-Key": key} if key else {}
    if user is not None:
        headers["Authorization"] = f"Bearer {tokens.create(user=user, name='test', scopes=[scope])[1]}"
    return Client().post("/api/v1/submissions", form, headers=headers).status_code


def by_browser(user: User | None, method: str, *, team: int | None = None, **fields: Any) -> int:
    client = Client()
    if user is not None:
        client.force_login(user)
        team = team or Team.objects.get(person=user).pk
    form = {
        "team": team or "", "method": method, "visibility": "private", "publishes_all": "0",
        "extra_data": "everything", "file": SimpleUploadedFile("p.json", FILE), **fields,
    }  # fmt: skip
    return client.post("/lsp-test-pc/submit/", form).status_code


def by_command(user: User, method: str, *, file: Path) -> int:
    file.write_bytes(FILE)
    team = Team.objects.get(person=user).name
    try:
        call_command(
            "import_submission", "lsp-test-pc", str(file), method=method, team=team, extra_data="everything",
            stdout=io.StringIO(),
        )  # fmt: skip
    except CommandError:
        return 1
    return 0


@dataclass(frozen=True)
class Site:
    """What a reason may change before the submission is sent."""

    benchmark: Benchmark
    alice: User
    charlie: User
    settings: Any
    monkeypatch: pytest.MonkeyPatch

    def change(self, **fields: Any) -> None:
        Benchmark.objects.filter(pk=self.benchmark.pk).update(**fields)

    def use_up(self, kind: str, window: str = "") -> None:
        limit = {"total": 200, "day": 5, "running": 50, "rejects": 20}[kind]
        Quota.objects.create(team=own_team(self.alice), benchmark=self.benchmark, kind=kind, window=window, used=limit)


# Each reason changes the site; what it returns is sent differently.


def closed(site: Site) -> None:
    site.change(closes_at=timezone.now() - timedelta(seconds=1))


def not_open(site: Site) -> None:
    site.change(opens_at=timezone.now() + timedelta(hours=1))


def no_annotations(site: Site) -> None:
    site.change(truth_sha256="")


def day_used_up(site: Site) -> None:
    site.use_up("day", quotas.clock.today().isoformat())


def total_used_up(site: Site) -> None:
    site.use_up("total")


def too_many_running(site: Site) -> None:
    site.use_up("running")


def too_many_rejected(site: Site) -> None:
    site.use_up("rejects", quotas.clock.today().isoformat())


def day_used_up_meanwhile(site: Site) -> None:
    """The check passes, but no quota is left when it is charged."""

    def none_left(**_: Any) -> None:
        raise Refused("quota_day", "None is left.", status=429)

    site.monkeypatch.setattr(submissions.quotas, "charge", none_left)


def policy_changed(site: Site) -> None:
    """Detected when the rows are written, after all earlier checks have passed."""
    site.change(publishes_all=True)


def full_disk(site: Site) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise storage.full()

    site.monkeypatch.setattr(storage, "check_disk", full)


def no_storage_left(site: Site) -> None:
    site.settings.PERSON_STORAGE = len(FILE) - 1


def no_storage_left_on_the_site(site: Site) -> None:
    site.settings.SITE_STORAGE = len(FILE) - 1


def too_large(site: Site) -> None:
    site.settings.UPLOAD_LIMIT = len(FILE) - 1


def too_many_files(site: Site) -> None:
    def take(name: str, *_: str) -> None:
        if name == "upload":
            item = parse("1 per minute")
            raise rate_limits.RateLimited(name, item, rate_limits.Usage(1, 0, 60))

    site.monkeypatch.setattr(rate_limits, "take", take)


def invalid_description(site: Site) -> dict[str, Any]:
    return {"paper_url": "http://example.org/not-https"}


def another_team(site: Site) -> dict[str, Any]:
    return {"team": own_team(site.charlie).pk}


def nobody(site: Site) -> dict[str, Any]:
    return {"user": None}


def a_stranger(site: Site) -> dict[str, Any]:
    """To a private benchmark."""
    site.change(is_public=False)
    own_team(site.charlie)
    return {"user": site.charlie}


def token_without_the_scope(site: Site) -> dict[str, Any]:
    return {"scope": "read"}


def key_of_another_submission(site: Site) -> dict[str, Any]:
    blob = submissions.Blob("0" * 64, 1)
    method = Method.objects.create(team=own_team(site.alice), name="Other")
    submit(method, blob, benchmark=site.benchmark, user=site.alice, idempotency_key="used")
    return {"key": "used"}


# the status by the API and by the browser (None: not possible there), and whether the operator's command refuses it too
REASONS: dict[Any, tuple[int, int | None, bool]] = {
    closed: (409, 409, False),
    not_open: (409, 409, False),
    no_annotations: (409, 409, True),
    day_used_up: (429, 429, False),
    total_used_up: (429, 429, False),
    too_many_running: (429, 429, False),
    too_many_rejected: (429, 429, False),
    day_used_up_meanwhile: (429, 429, False),
    policy_changed: (409, 409, False),
    full_disk: (507, 507, True),
    no_storage_left: (413, 413, False),
    no_storage_left_on_the_site: (507, 507, False),
    too_large: (413, 400, False),
    too_many_files: (429, 429, False),
    invalid_description: (422, 400, False),
    another_team: (404, 400, False),
    nobody: (401, 302, False),
    a_stranger: (404, 404, False),
    token_without_the_scope: (403, None, False),
    key_of_another_submission: (409, None, False),
}
CASES = [
    *((by_api, reason, api) for reason, (api, _, _) in REASONS.items()),
    *((by_browser, reason, browser) for reason, (_, browser, _) in REASONS.items() if browser),
    *((by_command, reason, 1) for reason, (_, _, command) in REASONS.items() if command),
]


def rows() -> list[Any]:
    models = (Team, Method, Submission, Evaluation, Quota)
    return [list(model.objects.order_by("pk").values()) for model in models]


def files() -> set[str]:
    return {str(file) for file in Path(configured.UPLOADS_DIR).rglob("*") if file.is_file()}


@pytest.fixture
def site(
    benchmark: Benchmark, team: Team, alice: User, charlie: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Site:
    Method.objects.create(team=team, name="Known", extra_data="none")
    return Site(benchmark, alice, charlie, settings, monkeypatch)


@pytest.fixture
def send(site: Site, tmp_path: Path) -> Callable[..., int]:
    def by(way: Any, method: str, *, user: User | None = site.alice, **changes: Any) -> int:
        return way(user, method, **({"file": tmp_path / "p.json"} if way is by_command else changes))

    return by


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["Known", "New"])
@pytest.mark.parametrize(
    ("way", "reason", "status"), CASES, ids=[f"{way.__name__}-{reason.__name__}" for way, reason, _ in CASES]
)
def test_a_submission_that_is_not_accepted_leaves_nothing_behind(
    way: Any, reason: Any, status: int, method: str, site: Site, send: Callable[..., int]
) -> None:
    changes = reason(site) or {}
    before = rows(), files()
    assert send(way, method, **changes) == status
    assert (rows(), files()) == before


@pytest.mark.django_db
@pytest.mark.parametrize(("way", "status"), [(by_api, 202), (by_browser, 302), (by_command, 0)])
def test_an_accepted_submission_updates_the_description_of_its_method(
    way: Any, status: int, site: Site, send: Callable[..., int]
) -> None:
    assert send(way, "Known") == status
    known = Method.objects.get()
    assert known.extra_data == "everything"
    assert Submission.objects.get().method == known


@pytest.mark.django_db
@pytest.mark.parametrize(("way", "status"), [(by_api, 202), (by_browser, 302), (by_command, 0)])
@pytest.mark.parametrize("reason", [closed, day_used_up_meanwhile, full_disk, no_storage_left])
def test_a_duplicate_is_the_earlier_submission_and_leaves_nothing_behind(
    way: Any, status: int, reason: Any, site: Site, send: Callable[..., int]
) -> None:
    """Even when nothing else would be accepted any more."""
    assert send(way, "Known") == status
    reason(site)
    before = rows(), files()
    assert send(way, "Known") == status
    assert (rows(), files()) == before


@pytest.mark.django_db
def test_an_import_that_is_not_accepted_creates_no_team(benchmark: Benchmark, tmp_path: Path) -> None:
    Benchmark.objects.update(truth_sha256="")
    (tmp_path / "p.json").write_bytes(predictions())
    with pytest.raises(CommandError, match="no annotations"):
        call_command("import_submission", "lsp-test-pc", str(tmp_path / "p.json"), method="A", team="Nobody yet")
    assert not Team.objects.filter(name="Nobody yet").exists()
