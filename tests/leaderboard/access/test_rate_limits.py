"""The rate limits of the API, of files and forms: what counts together and apart, and what passes all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client, RequestFactory

from leaderboard import checks
from leaderboard.access import rate_limits, visitors
from leaderboard.models import Benchmark, User
from leaderboard.operations import tokens
from tests.leaderboard.access.conftest import (
    CAFE,
    HOME,
    LOGIN,
    PASSWORD,
    assert_refused,
    fail,
    sign_in,
)
from tests.leaderboard.conftest import predictions

# --- the API ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def token(alice: User) -> Callable[..., Client]:
    """`token(alice)`: a client with a new token of the user."""

    def make(user: User = alice, at: str = HOME) -> Client:
        _, text = tokens.create(user=user, name="test", scopes=["read", "submit"])
        return Client(headers={"Authorization": f"Bearer {text}"}, REMOTE_ADDR=at)

    return make


def assert_problem(response: Any, *, limit: int, within: int) -> None:
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "rate_limited" and response.json()["status"] == 429
    assert_refused(response, limit=limit, within=within)


@pytest.mark.parametrize("path", ["/api/v1/benchmarks", "/api/v1/openapi.json", "/api/v1/no-such-address"])
def test_requests_without_a_token_count_for_their_network(path: str, db: None, limit: Any) -> None:
    limit(api_network="3 per minute")
    ours, others = Client(REMOTE_ADDR=HOME), Client(REMOTE_ADDR=CAFE)
    responses = [ours.get(path) for _ in range(4)]
    assert [each.status_code for each in responses[:3]] == [404 if "no-such" in path else 200] * 3
    assert [each["RateLimit-Remaining"] for each in responses[:3]] == ["2", "1", "0"]
    assert_problem(responses[3], limit=3, within=60)
    assert others.get(path).status_code != 429


def test_requests_with_a_token_count_for_its_user(alice: User, bob: User, token: Any, limit: Any) -> None:
    limit(api="3 per minute", api_network="2 per minute")
    one, another, bobs = token(alice), token(alice, at=CAFE), token(bob)
    assert [one.get("/api/v1/me").status_code for _ in range(2)] == [200] * 2
    assert [another.get("/api/v1/me").status_code for _ in range(2)] == [200, 429]
    assert_problem(one.get("/api/v1/me"), limit=3, within=60)
    page = Client(REMOTE_ADDR=HOME)
    page.force_login(alice)
    assert page.get("/api/v1/me").status_code == 429, "a session of hers is hers, too"
    assert [bobs.get("/api/v1/me").status_code for _ in range(3)] == [200] * 3
    assert Client(REMOTE_ADDR=HOME).get("/api/v1/benchmarks").status_code == 200


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer plb_0123456789_" + "a" * 32 + "_00000000", "Basic eDp5"])
def test_invalid_tokens_are_counted_and_valid_ones_pass(header: str, token: Any) -> None:
    guesser = Client(headers={"Authorization": header}, REMOTE_ADDR=HOME)
    assert [guesser.get("/api/v1/me").status_code for _ in range(32)] == [401] * 30 + [429] * 2
    assert_problem(guesser.get("/api/v1/me"), limit=30, within=60)
    assert token(at=HOME).get("/api/v1/me").status_code == 200


def test_files_are_counted_for_the_user_by_page_and_api_together(
    alice: User, bob: User, benchmark: Benchmark, token: Any, limit: Any
) -> None:
    limit(upload="3 per minute")
    page = Client(REMOTE_ADDR=CAFE)
    page.force_login(alice)

    def file(number: int) -> SimpleUploadedFile:
        return SimpleUploadedFile("p.json", predictions(miss=number))

    def by_api(client: Client, number: int) -> Any:
        form = {"benchmark": benchmark.slug, "method": "Pictures", "file": file(number)}
        return client.post("/api/v1/submissions", form)

    def by_page(number: int) -> Any:
        form = {"team": alice.memberships.get().team_id, "method": "Pictures", "visibility": "private"}
        return page.post(f"/{benchmark.slug}/submit/", {**form, "paper_url": "https://a.example", "file": file(number)})

    alices = token(alice)
    assert by_api(alices, 1).status_code == 202
    assert by_page(2).status_code == 302
    assert by_api(alices, 3).status_code == 202
    assert_problem(by_api(alices, 4), limit=3, within=60)
    refused = by_page(5)
    assert_refused(refused, limit=3, within=60)
    assert 'value="Pictures"' in refused.content.decode() and 'value="https://a.example"' in refused.content.decode()
    assert by_api(token(bob), 1).status_code != 429
    assert alices.get("/api/v1/me").status_code == 200, "reading is not sending"


def test_a_used_up_quota_keeps_its_own_code(alice: User, benchmark: Benchmark, token: Any) -> None:
    Benchmark.objects.update(daily_limit=1)
    client = token(alice)
    codes = []
    for number in (1, 2):
        form = {
            "benchmark": benchmark.slug,
            "method": "P",
            "file": SimpleUploadedFile("p.json", predictions(miss=number)),
        }
        codes.append(client.post("/api/v1/submissions", form).json().get("code"))
    assert codes == [None, "quota_day"]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_readers_of_pages_are_never_limited(benchmark: Benchmark, limit: Any) -> None:
    limit(form="1 per hour", api_network="1 per hour", api="1 per hour")
    reader = Client(REMOTE_ADDR=HOME)
    for address in ("/", "/boards/", f"/{benchmark.slug}/", LOGIN):
        assert {reader.get(address).status_code for _ in range(20)} == {200}


@pytest.mark.parametrize("signed_in", [True, False])
def test_forms_are_counted_for_the_user_or_the_network(signed_in: bool, alice: User, bob: User, limit: Any) -> None:
    limit(form="3 per minute")

    def browser(user: User, at: str) -> Client:
        made = Client(REMOTE_ADDR=at)
        if signed_in:
            made.force_login(user)
        return made

    def post(client: Client) -> int:
        return client.post("/profile/", {"name": "x"}).status_code

    assert [post(browser(alice, HOME)) for _ in range(4)][-1] == 429
    assert post(browser(bob, HOME)) == (400 if signed_in else 429)
    assert post(browser(alice, CAFE)) == (429 if signed_in else 302)
    response = browser(alice, HOME).post("/profile/", {"name": "x"})
    assert_refused(response, limit=3, within=60)
    assert "<h1>Too many requests</h1>" in response.content.decode()


def test_an_asynchronous_server_is_limited_alike(alice: User, limit: Any) -> None:
    limit(api_network="2 per minute")

    def post(password: str) -> int:
        form = {"login": "alice", "password": password}
        return async_to_sync(AsyncClient().post)(LOGIN, form).status_code

    assert [post(f"wrong-{number}") for number in range(10)] == [200] * 10
    assert post(PASSWORD) == 429
    asked = [async_to_sync(AsyncClient().get)("/api/v1/benchmarks") for _ in range(3)]
    assert [each.status_code for each in asked] == [200, 200, 429] and asked[2].json()["code"] == "rate_limited"


def test_a_switch_turns_all_of_them_off(settings: Any, alice: User, limit: Any) -> None:
    settings.RATE_LIMITED = False
    limit(form="1 per hour", api_network="1 per hour", signup="1 per hour")
    assert fail("alice", HOME, 12) == [200] * 12
    responses = [Client().get("/api/v1/benchmarks") for _ in range(3)]
    assert [each.status_code for each in responses] == [200] * 3 and "RateLimit-Limit" not in responses[0]


# --- counters and addresses ------------------------------------------------------------------------------------------


def test_the_longest_of_several_windows_decides_the_wait(limit: Any, clock: Callable[[float], None]) -> None:
    limit(signup="2 per minute; 3 per hour")
    rate_limits.take("signup", HOME)
    clock(61)
    rate_limits.take("signup", HOME)
    rate_limits.take("signup", HOME)
    with pytest.raises(rate_limits.RateLimited) as caught:
        rate_limits.take("signup", HOME)
    # a minute on, the hour's limit would refuse it
    assert 3500 < (caught.value.retry_after or 0) <= 3600 - 61
    clock(caught.value.retry_after or 0)
    rate_limits.take("signup", HOME)


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", "203.0.113.9", None, "203.0.113.9"),
        ("", "203.0.113.9", "1.2.3.4", "203.0.113.9"),  # a stranger may write what he likes
        ("10.0.0.1", "203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the left one came from the visitor
        ("10.0.0.0/24", "10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.8", "203.0.113.9"),  # two proxies
        ("10.0.0.1", "10.0.0.1", "1.2.3.4, 10.0.0.8", "10.0.0.8"),  # the second one is not trusted
        ("10.0.0.1", "10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.0/24", "10.0.0.1", "nonsense, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.1", "10.0.0.1", "203.0.113.9:51044", "203.0.113.9"),
        ("10.0.0.1", "::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("fd00::/64", "fd00::1", "2001:db8::7", "2001:db8::7"),
        ("fd00::/64", "fd00::1", "[2001:db8::7]:51044", "2001:db8::7"),
        ("fd00::/64 , 10.0.0.1", "10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("unix", "", "203.0.113.9", "203.0.113.9"),  # a proxy that reaches the server by its Unix socket
        ("10.0.0.1", "", "203.0.113.9", "unix"),
        ("unix", "203.0.113.9", "1.2.3.4", "203.0.113.9"),
    ],
)
def test_the_visitor_s_address(
    trusted: str, peer: str, forwarded: str | None, expected: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard.settings import proxies

    monkeypatch.setenv("TEST_PROXIES", trusted)
    settings.TRUSTED_PROXIES = proxies("TEST_PROXIES")
    request = RequestFactory().get("/", REMOTE_ADDR=peer)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert visitors.address(request) == expected


def test_one_ipv6_subscriber_is_one_visitor(alice: User) -> None:
    for number in range(10):
        assert fail("alice", f"2001:db8:1:2::{number:x}", 1) == [200]
    assert sign_in("alice", PASSWORD, "2001:db8:1:2:ffff::1").status_code == 429
    assert sign_in("alice", PASSWORD, "2001:db8:1:3::1").status_code == 302


@pytest.mark.parametrize("value", ["a lot", "0 per minute", "10 per fortnight", "ten per hour"])
def test_a_limit_that_makes_no_sense_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from leaderboard.settings import rates

    monkeypatch.setenv("POSEBOARD_LIMIT_SIGNUP", value)
    with pytest.raises(ValueError, match="POSEBOARD_LIMIT_SIGNUP"):
        rates("POSEBOARD_LIMIT_SIGNUP", "20 per minute")
    monkeypatch.setenv("POSEBOARD_LIMIT_SIGNUP", "")
    assert [each.amount for each in rates("POSEBOARD_LIMIT_SIGNUP", "20 per minute")] == [20]


def test_a_site_that_trusts_no_proxy_is_warned(settings: Any) -> None:
    settings.LOOPBACK, settings.TRUSTED_PROXIES = False, []
    assert [each.id for each in checks.visitors_are_told_apart()] == ["poseboard.W002"]
    settings.TRUSTED_PROXIES = ["unix"]
    assert not checks.visitors_are_told_apart()


def test_a_proxy_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from leaderboard.settings import proxies

    monkeypatch.setenv("POSEBOARD_TRUSTED_PROXIES", "10.0.0.1, proxy.example.org")
    with pytest.raises(ValueError, match=r"POSEBOARD_TRUSTED_PROXIES: 'proxy.example.org'"):
        proxies("POSEBOARD_TRUSTED_PROXIES")
