"""Wrong passwords, new accounts and e-mailed links: what counts together and apart, what a refusal says."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from leaderboard.models import User
from tests.leaderboard.access.conftest import (
    ADMIN,
    CAFE,
    ELSEWHERE,
    HOME,
    LOGIN,
    PASSWORD,
    RESET,
    SIGNUP,
    assert_refused,
    fail,
    sign_in,
)

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


def test_stopped_guesses_do_not_use_up_what_all_networks_share(alice: User, limit: Any) -> None:
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
    responses = [browser.post(address, {field: f"wrong-{number}", **new}).status_code for number in range(11)]
    assert responses == [200] * 10 + [429]
    assert_refused(browser.post(address, {field: PASSWORD, **new}), limit=10, within=600)
    assert sign_in("alice", PASSWORD, HOME).status_code == 429
    assert sign_in("alice", PASSWORD, CAFE).status_code == 302


def test_the_admin_has_no_password_entry_of_its_own_besides_its_log_in(staff: User) -> None:
    browser = Client()
    browser.force_login(staff)
    response = browser.post("/admin/password_change/", {"old_password": "x"})
    assert (response.status_code, response["Location"]) == (302, "/account/password/change/")


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
        responses = [reset(account, at=f"198.51.100.{number}") for number in range(6)]
        assert [each.status_code for each in responses] == [302] * 5 + [429], "whether it has an account or not"
        assert_refused(responses[-1], limit=5, within=3600)
        assert f'value="{account}"' in responses[-1].content.decode()
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
    responses = []
    for _ in range(6):
        responses.append(browser.post("/account/email/", form))
        assert "sent to" in browser.get("/account/email/").content.decode() or len(responses) == 6
    assert [each.status_code for each in responses] == [302] * 5 + [429]
    assert_refused(responses[-1], limit=5, within=3600)
    assert "sent to" not in responses[-1].content.decode(), "no message of a mail that was not sent"
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
