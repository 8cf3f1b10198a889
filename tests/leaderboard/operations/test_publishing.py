"""A submission is published only with its team's consent: given later, or by submitting under a stated policy."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from leaderboard.models import Benchmark, BoardEvent, Membership, Method, Submission, Team, User
from leaderboard.operations import submissions
from leaderboard.operations.refusals import Refused
from tests.leaderboard.conftest import claim, report

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.org", "a-long-password")


@pytest.fixture
def olga(benchmark: Benchmark) -> User:
    user = User.objects.create_user("olga", "olga@example.org", "a-long-password")
    benchmark.organisers.add(user)
    return user


def score(value: float = 0.5) -> None:
    assert submissions.record(claim(), report(value), seconds=0.1)


def on_the_board() -> set[str]:
    current = BoardEvent.objects.filter(current=True, kind__in=BoardEvent.ON_BOARD)
    return set(current.values_list("method__name", flat=True))


def test_a_later_policy_publishes_no_earlier_submission(send: Any, benchmark: Benchmark, olga: User) -> None:
    scored, waiting = send(miss=1), None
    score()
    waiting = send(miss=2)
    Benchmark.objects.update(publishes_all=True)
    score()
    assert on_the_board() == set()
    for private in (scored, waiting):
        with pytest.raises(Refused, match="only its team can publish it"):
            submissions.publish(submission=Submission.objects.get(pk=private.pk), by=olga)
    # submitters from now on were told of the policy
    told = send(miss=3)
    assert told.publish_when_scored
    score()
    assert on_the_board() == {"Pictorial structures"}


def test_the_policy_at_the_time_of_submission_applies(send: Any, benchmark: Benchmark) -> None:
    Benchmark.objects.update(publishes_all=True)
    send(miss=1)
    Benchmark.objects.update(publishes_all=False)
    score()
    assert on_the_board() == {"Pictorial structures"}


def test_nobody_consents_to_a_policy_set_after_the_page_was_loaded(send: Any) -> None:
    Benchmark.objects.update(publishes_all=True)
    with pytest.raises(Refused, match="publishes every scored submission") as refused:
        send(miss=1, told_publishes_all=False)
    assert refused.value.code == "policy_changed"
    assert not Submission.objects.exists()
    assert send(miss=1, told_publishes_all=True).publish_when_scored


def test_an_api_submission_that_asks_to_stay_private_is_not_published(benchmark: Benchmark, alice: User) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    from leaderboard.operations import tokens

    Benchmark.objects.update(publishes_all=True)
    _, secret = tokens.create(user=alice, name="x", scopes=["read", "submit"])

    def post(**fields: str) -> Any:
        data = {"benchmark": "lsp-test-pc", "method": "Mine", "file": SimpleUploadedFile("a.json", b"[]"), **fields}
        return Client().post("/api/v1/submissions", data, headers={"Authorization": f"Bearer {secret}"})

    assert Client().get("/api/v1/benchmarks/lsp-test-pc").json()["publishes_all"] is True
    refused = post(publish="false")
    assert (refused.status_code, refused.json()["code"]) == (409, "policy_changed")
    assert not Submission.objects.exists()
    assert post().json()["publish_when_scored"] is True


@pytest.mark.parametrize("who", ["olga", "operator", "charlie", None])
def test_only_its_team_publishes_a_private_submission(
    who: str | None, send: Any, bob: User, request: pytest.FixtureRequest
) -> None:
    sent = send(miss=1)
    score()
    with pytest.raises(Refused) as refused:
        submissions.publish(submission=sent, by=request.getfixturevalue(who) if who else None)
    assert (refused.value.code, refused.value.status) == ("not_agreed", 403)
    assert on_the_board() == set()
    submissions.publish(submission=sent, by=bob)
    assert on_the_board() == {"Pictorial structures"}


def test_withdrawing_revokes_consent(send: Any, alice: User, olga: User, benchmark: Benchmark) -> None:
    sent = send(miss=1, publish_when_scored=True)
    score()
    with pytest.raises(Refused, match="Only the team") as others:
        submissions.withdraw(submission=sent, by=olga)
    assert (others.value.code, others.value.status) == ("not_yours", 403)
    submissions.withdraw(submission=sent, by=alice)
    with pytest.raises(Refused, match="withdrew") as withdrawn:
        submissions.publish(submission=sent, by=olga)
    assert (withdrawn.value.code, withdrawn.value.status) == ("withdrawn", 403)
    # scored again, as after a correction of the annotations; that is not charged
    Submission.objects.update(quota_day=None)
    sent.evaluations.update(current=False)
    sent.evaluations.create(team=sent.team, evaluator_version="x", truth_sha256="1" * 64)
    score(0.6)
    assert on_the_board() == set()


@pytest.mark.parametrize("who", ["olga", "operator"])
def test_no_route_publishes_another_teams_private_submission(
    who: str, send: Any, team: Team, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The organiser's button, the submission's page, the API, the settings, the admin, an import of the same file."""
    from leaderboard.files import blobs
    from leaderboard.operations import tokens

    sent = send(miss=1)
    score()
    user = request.getfixturevalue(who)
    client = Client()
    client.force_login(user)
    page = client.get("/organise/lsp-test-pc/").content.decode()
    assert "is private: only" in page and "Publish 1" not in page
    response = client.post("/organise/lsp-test-pc/publish", follow=True).content.decode()
    assert "only their teams can publish them" in response
    assert client.post(f"/submissions/{sent.pk}/publish").status_code == 404
    _, secret = tokens.create(user=user, name="x", scopes=["read", "submit"])
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.post(f"/api/v1/submissions/{sent.pk}/publish", headers=headers).status_code == 404
    settings = {
        "title": "LSP", "daily_limit": 5, "total_limit": 200, "running_limit": 50, "reject_limit": 20,
        "is_public": "on", "publishes_all": "on",
    }  # fmt: skip
    assert client.post("/organise/lsp-test-pc/", settings).status_code == 302
    assert Benchmark.objects.get().publishes_all
    client.post("/organise/lsp-test-pc/publish")
    for model in ("submission", "boardevent", "evaluation"):
        assert client.post(f"/admin/leaderboard/{model}/add/", {}).status_code in {302, 403}
    assert client.post(f"/admin/leaderboard/submission/{sent.pk}/change/", {}).status_code in {302, 403}
    same = tmp_path / "same.json"
    same.write_bytes(blobs.path(sent.sha256).read_bytes())
    out = StringIO()
    call_command("import_submission", "lsp-test-pc", str(same), method=sent.method.name, team=team.name, stdout=out)
    assert "already submitted" in out.getvalue()
    assert on_the_board() == set()


def test_organiser_publishes_imports_and_what_teams_consented_to(
    send: Any, olga: User, team: Team, benchmark: Benchmark, tmp_path: Path
) -> None:
    file = tmp_path / "released.json"
    file.write_bytes(b"[1]")
    call_command("import_submission", "lsp-test-pc", str(file), method="Released", team="Wei et al.", private=True)
    score()
    crew = Team.objects.create(name="Olga's own")
    Membership.objects.create(team=crew, user=olga)
    send(b"[2]", to=Method.objects.create(team=crew, name="Hers"), user=olga)
    score()
    send(b"[3]", to=Method.objects.create(team=team, name="Agreed"), publish_when_scored=True)
    score()
    # as an older version of the server left it: with consent, but not on the board
    BoardEvent.objects.filter(method__name="Agreed").delete()
    send(b"[4]")
    score()
    client = Client()
    client.force_login(olga)
    page = " ".join(client.get("/organise/lsp-test-pc/").content.decode().split())
    assert "Publish 3 methods" in page and "1 scored method is private" in page
    assert on_the_board() == set()
    response = client.post("/organise/lsp-test-pc/publish", follow=True).content.decode()
    assert "3 methods published" in response
    assert on_the_board() == {"Released", "Hers", "Agreed"}


def test_a_private_import_stays_private_whatever_the_policy(benchmark: Benchmark, tmp_path: Path) -> None:
    Benchmark.objects.update(publishes_all=True)
    file = tmp_path / "released.json"
    file.write_bytes(b"[1]")
    call_command("import_submission", "lsp-test-pc", str(file), method="Released", team="Wei et al.", private=True)
    score()
    assert on_the_board() == set()


def test_only_members_publish_what_was_imported_for_their_team(
    benchmark: Benchmark, team: Team, olga: User, alice: User, tmp_path: Path
) -> None:
    file = tmp_path / "released.json"
    file.write_bytes(b"[1]")
    out = StringIO()
    call_command("import_submission", "lsp-test-pc", str(file), method="Released", team=team.name, stdout=out)
    assert f"It stays private until a member of {team} publishes it." in out.getvalue()
    score()
    assert on_the_board() == set()
    submission = Submission.objects.get()
    with pytest.raises(Refused, match="only its team can publish it"):
        submissions.publish(submission=submission, by=olga)
    submissions.publish(submission=submission, by=alice)
    assert on_the_board() == {"Released"}


def test_nobody_publishes_the_upload_of_a_team_that_everybody_left(send: Any, olga: User, team: Team) -> None:
    """Only what was run or imported here belongs to a team in which nobody can decide."""
    submission = send()
    score()
    team.memberships.all().delete()
    with pytest.raises(Refused, match="only its team can publish it"):
        submissions.publish(submission=submission, by=olga)
    assert on_the_board() == set()


def test_submit_page_says_that_everything_is_published(benchmark: Benchmark, team: Team, alice: User) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = Client()
    client.force_login(alice)
    private = client.get("/lsp-test-pc/submit/").content.decode()
    assert "publishes every submission" not in private and 'value="private"' in private
    Benchmark.objects.update(publishes_all=True, is_public=False)
    benchmark.teams.add(team)
    page = " ".join(client.get("/lsp-test-pc/submit/").content.decode().split())
    assert "publishes every submission" in page and 'value="private"' not in page
    assert "everyone sees what was published on it" in page
    form = {"team": team.pk, "method": "Mine", "visibility": "private", "publishes_all": "0"}
    response = client.post("/lsp-test-pc/submit/", {**form, "file": SimpleUploadedFile("a.json", b"[]")})
    assert response.status_code == 409 and "publishes every scored submission" in response.content.decode()
