"""Every route and every role, against a table: a route without a row fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from leaderboard.api import api
from leaderboard.models import BaselineRun, Benchmark, Method, Submission, Team, User
from tests.leaderboard.api.conftest import API, Sender, with_token

ROLES = ("nobody", "alice", "bob", "charlie", "olu")
OPEN = dict.fromkeys(ROLES, 200)
SIGNED_IN = {**OPEN, "nobody": 401}


def only(status: int, *roles: str, others: int = 404) -> dict[str, int]:
    """`status` for these people, 401 without a token, `others` for everyone else."""
    return {role: 401 if role == "nobody" else status if role in roles else others for role in ROLES}


# Alice owns the submission, which is scored and not public, and Bob is on her team; Olu organises the benchmark
TABLE: dict[tuple[str, str], dict[str, int]] = {
    ("GET", "/benchmarks"): OPEN,
    ("GET", "/benchmarks/{slug}"): OPEN,
    ("GET", "/benchmarks/{slug}/images"): OPEN,
    ("GET", "/benchmarks/{slug}/quota"): SIGNED_IN,
    ("GET", "/boards/{slug}"): OPEN,
    ("GET", "/submissions"): SIGNED_IN,
    ("POST", "/submissions"): only(422, *ROLES),
    ("GET", "/submissions/{submission_id}"): only(200, "alice", "bob", "olu") | {"nobody": 404},
    ("GET", "/submissions/{submission_id}/file"): only(200, "alice", "bob"),
    ("POST", "/submissions/{submission_id}/publish"): only(200, "alice", "bob"),
    # it is not on the board, and has ended
    ("POST", "/submissions/{submission_id}/withdraw"): only(409, "alice", "bob"),
    ("POST", "/submissions/{submission_id}/cancel"): only(409, "alice", "bob"),
    ("GET", "/methods"): SIGNED_IN,
    ("GET", "/methods/{method_id}"): only(200, "alice", "bob") | {"nobody": 404},
    ("PATCH", "/methods/{method_id}"): only(200, "alice", "bob"),
    ("GET", "/baselines"): OPEN,
    ("GET", "/baselines/choices"): only(422, *ROLES),
    ("GET", "/baselines/runs"): SIGNED_IN,
    # an empty request is invalid before anybody's rights are asked for; see below for a real one
    ("POST", "/baselines/runs"): only(422, *ROLES),
    ("POST", "/baselines/runs/all"): only(422, *ROLES),
    ("POST", "/baselines/runs/with-boxes"): only(422, *ROLES),
    ("GET", "/baselines/runs/{run_id}"): only(200, "olu"),
    ("POST", "/baselines/runs/{run_id}/cancel"): only(200, "olu"),
    ("GET", "/reported"): OPEN,
    ("GET", "/me"): SIGNED_IN,
    ("GET", "/teams"): SIGNED_IN,
    ("GET", "/tokens"): SIGNED_IN,
    # Charlie's token, and every caller uses another one
    ("POST", "/tokens/{token_id}/revoke"): only(403, "charlie"),
}


def routes() -> set[tuple[str, str]]:
    return {
        (method.upper(), path.removeprefix(API))
        for path, methods in api.get_openapi_schema(path_prefix=f"{API}/")["paths"].items()
        for method in methods
    }


def test_every_route_has_a_row() -> None:
    assert routes() == set(TABLE)


def test_the_schema_hides_no_route() -> None:
    shown = [
        operation.include_in_schema
        for router in api._get_bound_routers()
        for path in router.path_operations.values()
        for operation in path.operations
    ]
    assert len(shown) == len(TABLE)
    assert all(shown)


@pytest.fixture
def names(benchmark: Benchmark, submission: Submission, charlie: User, olu: User) -> dict[str, Any]:
    """The values of the placeholders in the addresses."""
    with_token(charlie)
    run = BaselineRun.objects.create(baseline="blazepose", benchmark=benchmark, requested_by=olu)
    return {
        "slug": benchmark.slug,
        "submission_id": submission.pk,
        "method_id": submission.method_id,
        "run_id": run.pk,
        "token_id": charlie.tokens.get().pk,
    }


@pytest.mark.parametrize("role", ROLES)
def test_routes_of_a_role(role: str, names: dict[str, Any], bob: User) -> None:
    client = Client() if role == "nobody" else with_token(User.objects.get(username=role))
    statuses = {}
    for method, path in sorted(TABLE):
        # each request finds the same site: its changes are rolled back
        with transaction.atomic():
            json_body = method == "PATCH" or path in {"/baselines/runs", "/baselines/runs/all"}
            body = {"content_type": "application/json", "data": "{}"} if json_body else {}
            response = client.generic(method, API + path.format(**names), **body)
            transaction.set_rollback(True)
        statuses[method, path] = response.status_code
        check_manners(response, signed_in=role != "nobody")
    assert statuses == {route: expected[role] for route, expected in TABLE.items()}


def check_manners(response: Any, *, signed_in: bool) -> None:
    """What holds for every response: problem details, what may be cached, how to sign in."""
    if response.status_code >= 400:
        problem = response.json()
        assert response["Content-Type"] == "application/problem+json"
        assert problem["status"] == response.status_code
        assert problem["code"]
        assert problem["detail"]
        assert "Traceback" not in response.content.decode()
    if response.status_code == 401:
        assert response["WWW-Authenticate"].startswith("Bearer")
    if signed_in:
        assert response["Cache-Control"] == "private, no-store"
    assert {"Authorization", "Cookie"} <= {each.strip() for each in response["Vary"].split(",")}


@pytest.mark.parametrize(("role", "status"), [("alice", 403), ("charlie", 403), ("olu", 202)])
def test_who_may_run_a_baseline(
    role: str, status: int, benchmark: Benchmark, alice: User, charlie: User, olu: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.operations.baseline_runs.available", lambda: ["blazepose"])
    Benchmark.objects.update(has_images=True)
    client = with_token(User.objects.get(username=role))
    body = {"baseline": "blazepose", "benchmark": benchmark.slug}
    response = client.post(f"{API}/baselines/runs", body, content_type="application/json")
    assert response.status_code == status, response.content
    assert BaselineRun.objects.count() == (status == 202)
    if status == 202:
        assert response["Location"] == f"{API}/baselines/runs/{response.json()['id']}"
        again = client.post(f"{API}/baselines/runs", body, content_type="application/json")
        assert again.json()["id"] == response.json()["id"]


def test_a_private_benchmark_is_not_there_for_strangers(
    private_benchmark: Benchmark, as_alice: Client, as_bob: Client, as_charlie: Client, anonymous: Client, post: Sender
) -> None:
    slug = private_benchmark.slug
    for path in (f"/benchmarks/{slug}", f"/boards/{slug}", f"/benchmarks/{slug}/images", f"/reported?benchmark={slug}"):
        assert as_alice.get(API + path).status_code == 200
        assert as_bob.get(API + path).status_code == 200
        absent = as_charlie.get(f"{API}{path}".replace(slug, "nothing"))
        for stranger in (as_charlie, anonymous):
            response = stranger.get(API + path)
            assert response.status_code == 404
            # the same words as for one that does not exist
            assert response.content == absent.content
    listed = {
        client: [each["slug"] for each in client.get(f"{API}/benchmarks").json()["items"]]
        for client in (as_bob, anonymous)
    }
    assert slug in listed[as_bob]
    assert slug not in listed[anonymous]
    assert post(as_charlie, benchmark=slug).status_code == 404
    assert post(as_alice, benchmark=slug).status_code == 202


def test_a_submission_on_a_private_board_stays_there(
    private_benchmark: Benchmark, as_alice: Client, as_charlie: Client, anonymous: Client, post: Sender
) -> None:
    from tests.leaderboard.api.conftest import score_next

    made = post(as_alice, benchmark=private_benchmark.slug, publish="true").json()
    score_next()
    assert as_alice.get(f"{API}/submissions/{made['id']}").json()["public"] is True
    for stranger in (as_charlie, anonymous):
        assert stranger.get(f"{API}/submissions/{made['id']}").status_code == 404
        assert stranger.get(f"{API}/methods/{made['method']['id']}").status_code == 404


PUBLIC = {
    "id", "benchmark", "method", "team", "state", "public", "source", "scores", "units", "evaluator_version",
    "truth_sha256", "created_at", "url",
}  # fmt: skip
OWN = PUBLIC | {
    "file_name", "size", "sha256", "publish_when_scored", "attempts", "started_at", "finished_at", "seconds", "images",
    "people", "entries", "error",
}  # fmt: skip


def test_owners_and_strangers_see_their_own_allow_list(
    published: Submission, as_alice: Client, as_bob: Client, as_charlie: Client, as_olu: Client, anonymous: Client
) -> None:
    for client, keys in ((as_alice, OWN), (as_bob, OWN), (as_olu, OWN), (as_charlie, PUBLIC), (anonymous, PUBLIC)):
        assert set(client.get(f"{API}/submissions/{published.pk}").json()) == keys
    own, public = (client.get(f"{API}/methods/{published.method_id}").json() for client in (as_bob, anonymous))
    assert set(own) - set(public) == {"team_id", "created_at"}
    for secret in (published.sha256, published.file_name, "alice@example.org"):
        assert secret not in anonymous.get(f"{API}/submissions/{published.pk}").content.decode()


def test_a_withdrawn_submission_is_the_teams_again(published: Submission, as_alice: Client, anonymous: Client) -> None:
    path = f"{API}/submissions/{published.pk}"
    assert anonymous.get(path).status_code == 200
    assert as_alice.post(f"{path}/withdraw").status_code == 200
    assert anonymous.get(path).status_code == 404
    assert as_alice.get(path).json()["public"] is False


def test_somebody_elses_team(as_charlie: Client, as_bob: Client, post: Sender, team: Team) -> None:
    assert post(as_charlie, team=team.pk).json()["code"] == "team_unknown"
    assert as_charlie.get(f"{API}/benchmarks/lsp-test-pc/quota?team={team.pk}").status_code == 404
    made = post(as_bob, team=team.pk).json()
    assert made["team"] == {"id": team.pk, "name": team.name}
    # Bob's own team is the default
    assert post(as_bob, miss=1).json()["team"]["name"] == "bob"


def test_a_session_reads_and_writes_with_csrf(submission: Submission, alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.get(f"{API}/submissions/{submission.pk}").status_code == 200
    refused = browser.post(f"{API}/submissions/{submission.pk}/publish")
    assert refused.status_code == 403
    assert refused.json()["code"] == "csrf_failed"
    browser.get("/account/login/")
    browser.force_login(alice)
    browser.cookies["csrf"] = "a" * 32
    done = browser.post(f"{API}/submissions/{submission.pk}/publish", headers={"X-CSRFToken": "a" * 32})
    assert done.status_code == 200
    assert done["Cache-Control"] == "private, no-store"


def test_me(as_bob: Client, bob: User, team: Team) -> None:
    me = as_bob.get(f"{API}/me").json()
    assert me["username"] == "bob"
    assert sorted(each["name"] for each in me["teams"]) == ["alice", "bob"]
    assert me["token"]["scopes"] == ["read", "submit"]
    assert "email" not in str(me)
    teams = as_bob.get(f"{API}/teams").json()["items"]
    assert {each["name"]: each["own"] for each in teams} == {"alice": False, "bob": True}
    assert [member["username"] for member in teams[0]["members"]] == ["alice", "bob"]


def test_method_of_a_stranger_is_not_edited(published: Submission, as_charlie: Client) -> None:
    path = f"{API}/methods/{published.method_id}"
    assert as_charlie.get(path).status_code == 200
    assert as_charlie.patch(path, {"name": "Mine"}, content_type="application/json").status_code == 404
    assert Method.objects.get(pk=published.method_id).name == "Pictorial structures"
