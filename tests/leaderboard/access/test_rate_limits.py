"""The rate limits: what counts together and what apart, what a refusal says, and what passes all the same."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import async_to_sync
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from limits import parse_many

from leaderboard import checks
from leaderboard.access import rate_limits, visitors
from leaderboard.models import Benchmark, User
from leaderboard.operations import tokens
from tests.leaderboard.conftest import predictions

HOME, CAFE, ELSEWHERE = "203.0.113.9", "198.51.100.7", "192.0.2.44"
PASSWORD = "a-long-password"
LOGIN, ADMIN, SIGNUP, RESET = "/account/login/", "/admin/login/", "/account/signup/", "/account/password/reset/"


@pytest.fixture(autouse=True)
def limits_on(settings: Any) -> None:
    settings.RATE_LIMITED = True
    rate_limits.own.cache_clear()


@pytest.fixture
def limit(settings: Any) -> Callable[..., None]:
    """`limit(api="3 per minute")`: other limits than the site's."""

    def change(**rates: str) -> None:
        settings.RATE_LIMITS = {**settings.RATE_LIMITS, **{name: parse_many(rate) for name, rate in rates.items()}}

    return change


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`clock(60)` lets a minute pass for the counters."""
    import time

    moved = [0.0]
    real = time.time
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: real() + moved[0])

    def pass_by(seconds: float) -> None:
        moved[0] += seconds

    return pass_by


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("olga", "olga@example.org", PASSWORD)


def sign_in(name: str, password: str, at: str, *, to: str = LOGIN) -> HttpResponse:
    """The answer to a log-in by a browser of its own: 302 where it was let in, 200 for a wrong password, 429."""
    field = "username" if to == ADMIN else "login"
    answer: HttpResponse = Client(REMOTE_ADDR=at).post(to, {field: name, "password": password})
    return answer


def fail(name: str, at: str, times: int, *, to: str = LOGIN) -> list[int]:
    return [sign_in(name, f"wrong-{number}", at, to=to).status_code for number in range(times)]


def assert_refused(answer: Any, *, limit: int, within: int) -> None:
    """A 429 that says for how long, in headers and on the page."""
    assert answer.status_code == 429
    wait = int(answer["Retry-After"])
    assert 0 < wait <= within
    assert (answer["RateLimit-Limit"], answer["RateLimit-Remaining"]) == (str(limit), "0")
    assert answer["RateLimit-Reset"] == str(wait)
    assert "no-store" in answer["Cache-Control"]
    assert f"Try again in {rate_limits.waiting(wait)}." in answer.content.decode()


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [LOGIN, ADMIN])
@pytest.mark.parametrize("second", [LOGIN, ADMIN])
def test_wrong_passwords_count_together_at_both_log_ins(first: str, second: str, staff: User) -> None:
    assert fail("olga", HOME, 10, to=first) == [200] * 10
    refused = sign_in("olga", PASSWORD, HOME, to=second)
    assert_refused(refused, limit=10, within=600)
    assert 'value="olga"' in refused.content.decode(), "the form keeps what was typed"
    assert sign_in("olga", PASSWORD, CAFE, to=second).status_code == 302


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("alice", HOME, 429),
        ("ALICE ", HOME, 429),  # the same account
        ("alice@example.org", HOME, 429),
        ("second@example.org", HOME, 429),
        ("bob", HOME, 302),  # another account
        ("alice", CAFE, 302),  # another network
        ("bob", CAFE, 302),
    ],
)
def test_a_stranger_s_guesses_lock_one_account_at_his_own_network(
    name: str, at: str, expected: int, alice: User, bob: User
) -> None:
    EmailAddress.objects.create(user=alice, email="second@example.org", verified=True)
    assert fail("alice", HOME, 24) == [200] * 10 + [429] * 14
    assert sign_in(name, PASSWORD, at).status_code == expected


def test_the_wait_that_is_named_is_enough(alice: User, clock: Callable[[float], None]) -> None:
    fail("alice", HOME, 10)
    clock(200)
    wait = int(sign_in("alice", PASSWORD, HOME)["Retry-After"])
    assert 395 <= wait <= 400
    clock(wait - 5)
    assert sign_in("alice", PASSWORD, HOME).status_code == 429
    clock(5)
    assert sign_in("alice", PASSWORD, HOME).status_code == 302


def test_a_right_password_is_not_counted(alice: User) -> None:
    for _ in range(3):
        fail("alice", HOME, 9)
        assert sign_in("alice", PASSWORD, HOME).status_code == 302


def test_an_account_with_no_owner_is_counted_like_one(db: None) -> None:
    assert fail("nobody", HOME, 11) == [200] * 10 + [429]
    assert "Too many wrong passwords for this account." in sign_in("nobody", "x", HOME).content.decode()


def test_many_networks_together_lock_out_only_those_that_the_owner_never_used(alice: User, limit: Any) -> None:
    limit(login_account="30 per 10 minutes")
    assert sign_in("alice", PASSWORD, HOME).status_code == 302
    for number in range(4):
        fail("alice", f"198.51.100.{number}", 10)
    assert sign_in("alice", PASSWORD, ELSEWHERE).status_code == 429
    assert sign_in("alice", PASSWORD, HOME).status_code == 302, "the owner's own network"


def test_refused_guesses_do_not_use_up_what_all_networks_share(alice: User, limit: Any) -> None:
    limit(login_account="12 per 10 minutes")
    fail("alice", HOME, 40)
    assert sign_in("alice", PASSWORD, CAFE).status_code == 302


def test_one_network_cannot_try_a_password_on_every_account(alice: User, bob: User, limit: Any) -> None:
    limit(login_network="20 per hour")
    assert sign_in("bob", PASSWORD, HOME).status_code == 302
    assert [fail(f"person-{number}", HOME, 1)[0] for number in range(24)] == [200] * 20 + [429] * 4
    assert sign_in("alice", PASSWORD, HOME).status_code == 429
    assert sign_in("bob", PASSWORD, HOME).status_code == 302, "he has signed in from there"
    assert sign_in("alice", PASSWORD, CAFE).status_code == 302


def test_a_name_that_is_another_s_address_does_not_reset_the_count(alice: User) -> None:
    User.objects.create_user("alice@example.org", "eve@example.org", "eves-own-password")
    for _ in range(3):
        fail("alice@example.org", HOME, 5)
        sign_in("alice@example.org", "eves-own-password", HOME)
    assert sign_in("alice", PASSWORD, HOME).status_code == 429


@pytest.mark.parametrize("address", ["/account/reauthenticate/", "/account/password/change/"])
def test_the_password_of_whoever_is_signed_in_is_counted_too(address: str, alice: User) -> None:
    browser = Client(REMOTE_ADDR=HOME)
    browser.force_login(alice)
    field = "password" if "reauth" in address else "oldpassword"
    new = {"password1": "another-long-one", "password2": "another-long-one"}
    answers = [browser.post(address, {field: f"wrong-{number}", **new}).status_code for number in range(11)]
    assert answers == [200] * 10 + [429]
    assert_refused(browser.post(address, {field: PASSWORD, **new}), limit=10, within=600)
    assert sign_in("alice", PASSWORD, HOME).status_code == 429
    assert sign_in("alice", PASSWORD, CAFE).status_code == 302


def test_the_admin_has_no_password_entry_of_its_own_besides_its_log_in(staff: User) -> None:
    browser = Client()
    browser.force_login(staff)
    answer = browser.post("/admin/password_change/", {"old_password": "x"})
    assert (answer.status_code, answer["Location"]) == (302, "/account/password/change/")


def test_guesses_at_the_same_time_are_all_counted(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that arrive together must not all be checked before the first has failed."""
    checked = []

    def check(self: User, password: str) -> bool:
        if not checked:
            checked.append(password)
            # while this one is checked, others come
            fail("alice", HOME, 15)
        else:
            checked.append(password)
        return False

    monkeypatch.setattr(User, "check_password", check)
    sign_in("alice", "the first", HOME)
    # each guess is checked by both backends
    assert len(set(checked)) == 10


# --- accounts and mail -----------------------------------------------------------------------------------------------


def sign_up(number: int, at: str = HOME, **fields: str) -> Any:
    form = {"username": f"student{number}", "email": f"s{number}@example.org", "password1": "kestrel-lamp-42", **fields}
    return Client(REMOTE_ADDR=at).post(SIGNUP, form)


def test_thirty_accounts_in_a_row_are_too_many_and_a_class_within_minutes_is_not(
    db: None, clock: Callable[[float], None]
) -> None:
    assert [sign_up(number).status_code for number in range(30)] == [302] * 20 + [429] * 10
    refused = sign_up(30)
    assert_refused(refused, limit=20, within=60)
    assert 'value="student30"' in refused.content.decode() and 'value="s30@example.org"' in refused.content.decode()
    assert sign_up(31, at=CAFE).status_code == 302
    clock(60)
    assert [sign_up(number).status_code for number in range(40, 50)] == [302] * 10


def test_a_form_with_a_mistake_makes_no_account_and_costs_none(db: None, limit: Any) -> None:
    limit(signup="2 per minute")
    assert [sign_up(number, password1="short").status_code for number in range(5)] == [200] * 5
    assert [sign_up(number).status_code for number in range(3)] == [302, 302, 429]


@pytest.fixture
def mail_server(settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def reset(email: str, at: str = HOME) -> Any:
    return Client(REMOTE_ADDR=at).post(RESET, {"email": email})


def test_password_links_per_e_mail_address(alice: User, bob: User, mail_server: None) -> None:
    for account in ("alice@example.org", "nobody@example.org"):
        answers = [reset(account, at=f"198.51.100.{number}") for number in range(6)]
        assert [each.status_code for each in answers] == [302] * 5 + [429], "whether it has an account or not"
        assert_refused(answers[-1], limit=5, within=3600)
        assert f'value="{account}"' in answers[-1].content.decode()
    assert reset("bob@example.org").status_code == 302
    assert [each.to for each in mail.outbox].count(["alice@example.org"]) == 5


def test_password_links_per_network(db: None, mail_server: None) -> None:
    assert [reset(f"p{number}@example.org").status_code for number in range(31)] == [302] * 30 + [429]
    assert reset("p@example.org", at=CAFE).status_code == 302


def test_links_to_confirm_an_address_are_counted_too(alice: User, mail_server: None) -> None:
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True)
    browser = Client(REMOTE_ADDR=HOME)
    browser.force_login(alice)
    form = {"email": alice.email, "action_send": ""}
    answers = []
    for _ in range(6):
        answers.append(browser.post("/account/email/", form))
        assert "sent to" in browser.get("/account/email/").content.decode() or len(answers) == 6
    assert [each.status_code for each in answers] == [302] * 5 + [429]
    assert_refused(answers[-1], limit=5, within=3600)
    assert "sent to" not in answers[-1].content.decode(), "no message of a mail that was not sent"
    assert len(mail.outbox) == 5
    # signing in sends one as well
    assert sign_in("alice", PASSWORD, CAFE).status_code == 429


def test_a_link_that_set_a_new_password_ends_the_lock(alice: User, mail_server: None, limit: Any) -> None:
    limit(login_account="10 per 10 minutes")
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
    fail("alice", HOME, 10)
    assert sign_in("alice", PASSWORD, CAFE).status_code == 429
    reset(alice.email)
    link = re.search(r"http://[^/]+(/account/password/reset/key/\S+)", str(mail.outbox[0].body))
    assert link
    browser = Client(REMOTE_ADDR=HOME)
    form = browser.get(link[1])["Location"]
    assert browser.post(form, {"password1": "kestrel-lamp-42", "password2": "kestrel-lamp-42"}).status_code == 302
    assert sign_in("alice", "kestrel-lamp-42", CAFE).status_code == 302
    assert sign_in("alice", "kestrel-lamp-42", HOME).status_code == 302


def test_without_a_mail_server_no_link_is_made(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    from leaderboard import settings as real

    settings.EMAIL_BACKEND = real.EMAIL_BACKEND

    def no_link(*_: object, **__: object) -> str:
        raise AssertionError("a link was made")

    monkeypatch.setattr("allauth.account.forms.default_token_generator.make_token", no_link)
    monkeypatch.setattr("allauth.account.adapter.DefaultAccountAdapter.send_mail", no_link)
    caplog.set_level(logging.DEBUG)
    page = Client().get(RESET).content.decode()
    assert (
        "This site does not send e-mail" in page and "manage.py changepassword" in page and 'name="email"' not in page
    )
    assert Client().post(RESET, {"email": alice.email}).status_code == 200
    browser = Client()
    browser.force_login(alice)
    browser.post("/account/email/", {"email": alice.email, "action_send": ""})
    browser.post("/account/email/", {"email": "new@example.org", "action_add": ""})
    assert "sent" not in browser.get("/account/email/").content.decode()
    assert sign_up(1).status_code == 302 and sign_up(2, email=alice.email).status_code in (200, 302)
    written = caplog.text + "".join(capfd.readouterr())
    assert not mail.outbox and "/account/password/reset/key" not in written and "confirm-email" not in written
    assert "dummy" in real.EMAIL_BACKEND


# --- the API ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def token(alice: User) -> Callable[..., Client]:
    """`token(alice)`: a client with a new token of the user."""

    def make(user: User = alice, at: str = HOME) -> Client:
        _, text = tokens.create(user=user, name="test", scopes=["read", "submit"])
        return Client(headers={"Authorization": f"Bearer {text}"}, REMOTE_ADDR=at)

    return make


def assert_problem(answer: Any, *, limit: int, within: int) -> None:
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "rate_limited" and answer.json()["status"] == 429
    assert_refused(answer, limit=limit, within=within)


@pytest.mark.parametrize("path", ["/api/v1/benchmarks", "/api/v1/openapi.json", "/api/v1/no-such-address"])
def test_requests_without_a_token_count_for_their_network(path: str, db: None, limit: Any) -> None:
    limit(api_network="3 per minute")
    ours, others = Client(REMOTE_ADDR=HOME), Client(REMOTE_ADDR=CAFE)
    answers = [ours.get(path) for _ in range(4)]
    assert [each.status_code for each in answers[:3]] == [404 if "no-such" in path else 200] * 3
    assert [each["RateLimit-Remaining"] for each in answers[:3]] == ["2", "1", "0"]
    assert_problem(answers[3], limit=3, within=60)
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
    answer = browser(alice, HOME).post("/profile/", {"name": "x"})
    assert_refused(answer, limit=3, within=60)
    assert "<h1>Too many requests</h1>" in answer.content.decode()


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
    answers = [Client().get("/api/v1/benchmarks") for _ in range(3)]
    assert [each.status_code for each in answers] == [200] * 3 and "RateLimit-Limit" not in answers[0]


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
