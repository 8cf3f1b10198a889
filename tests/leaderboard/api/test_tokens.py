"""Tokens: shown once, digests at rest, scopes, expiry, revoked at the next request."""

from __future__ import annotations

import hashlib
import logging
import re
import zlib
from datetime import timedelta

import pytest
from django.core import serializers
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leaderboard.models import ApiToken, User
from leaderboard.operations import tokens
from leaderboard.operations.refusals import Refused
from tests.leaderboard.api.conftest import API, with_token


def make(user: User, **fields: object) -> tuple[ApiToken, str]:
    return tokens.create(user=user, **{"name": "laptop", "scopes": ["read"], **fields})  # type: ignore[arg-type]


def test_form(alice: User) -> None:
    token, text = make(alice)
    found = re.fullmatch(r"(plb_([0-9a-z]{10})_([0-9A-Za-z]{32}))_([0-9a-f]{8})", text)
    assert found is not None
    assert int(found[4], 16) == zlib.crc32(found[1].encode())
    assert token.prefix == f"plb_{found[2]}"


def test_only_the_digest_is_stored(alice: User) -> None:
    token, text = make(alice)
    token.refresh_from_db()
    assert token.digest == hashlib.sha256(text.encode()).hexdigest()
    secret = text.split("_")[2]
    assert secret not in serializers.serialize("json", [token])


def test_every_token_is_another(alice: User) -> None:
    assert len({make(alice)[1] for _ in range(50)}) == 50


def test_the_header_opens(alice: User) -> None:
    token, text = make(alice)
    assert tokens.authenticate(f"Bearer {text}") == (alice, token)
    assert tokens.authenticate(f"bearer  {text} ") == (alice, token)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}"]
)
def test_other_headers_do_not(alice: User, header: str) -> None:
    _, text = make(alice)
    assert tokens.authenticate(header.replace("{}", text)) is None


def test_a_mistyped_token_costs_no_query(alice: User) -> None:
    _, text = make(alice)
    wrong = text[:20] + ("a" if text[20] != "a" else "b") + text[21:]
    with CaptureQueriesContext(connection) as queries:
        assert tokens.authenticate(f"Bearer {wrong}") is None
    assert len(queries) == 0


def test_an_unknown_token_with_a_right_checksum(alice: User) -> None:
    body = "plb_0123456789_" + "A" * 32
    assert tokens.authenticate(f"Bearer {body}_{zlib.crc32(body.encode()):08x}") is None


def test_expiry(alice: User) -> None:
    token, text = make(alice, expires_at=timezone.now() + timedelta(hours=1))
    assert tokens.authenticate(f"Bearer {text}") is not None
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert tokens.authenticate(f"Bearer {text}") is None


def test_revoked_at_the_next_request(alice: User, as_alice: Client) -> None:
    assert as_alice.get(f"{API}/me").status_code == 200
    tokens.revoke(token=alice.tokens.get(), by=alice)
    response = as_alice.get(f"{API}/me")
    assert response.status_code == 401
    assert response.json()["code"] == "token_invalid"
    assert response["WWW-Authenticate"] == 'Bearer realm="PoseBoard", error="invalid_token"'


def test_revoking_twice_keeps_the_first_time(alice: User) -> None:
    token, _ = make(alice)
    tokens.revoke(token=token, by=alice)
    first = token.revoked_at
    tokens.revoke(token=token, by=alice)
    assert first is not None
    assert token.revoked_at == first


def test_only_the_owner_and_an_operator_revoke(alice: User, charlie: User) -> None:
    token, _ = make(alice)
    with pytest.raises(Refused) as refused:
        tokens.revoke(token=token, by=charlie)
    assert refused.value.status == 403
    charlie.is_staff = True
    charlie.save()
    tokens.revoke(token=token, by=charlie)
    assert token.revoked_at is not None


def test_a_closed_account_opens_nothing(alice: User) -> None:
    _, text = make(alice)
    alice.is_active = False
    alice.save()
    assert tokens.authenticate(f"Bearer {text}") is None


def test_last_used_is_written_once_a_minute(alice: User) -> None:
    token, text = make(alice)
    assert token.last_used_at is None
    tokens.authenticate(f"Bearer {text}")
    token.refresh_from_db()
    first = token.last_used_at
    assert first is not None
    with CaptureQueriesContext(connection) as queries:
        tokens.authenticate(f"Bearer {text}")
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=first - timedelta(seconds=61))
    tokens.authenticate(f"Bearer {text}")
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert token.last_used_at >= first


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "  "}, "token_name"),
        ({"name": "x" * 81}, "token_name"),
        ({"name": "a\0b"}, "token_name"),
        ({"scopes": []}, "token_scopes"),
        ({"scopes": ["read", "admin"]}, "token_scopes"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "token_expiry"),
    ],
)
def test_refused(alice: User, fields: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refused:
        make(alice, **fields)
    assert refused.value.code == code
    assert not alice.tokens.exists()


def test_not_more_than_a_person_can_oversee(alice: User) -> None:
    first, _ = make(alice)
    for _ in range(tokens.MOST_TOKENS - 1):
        make(alice)
    with pytest.raises(Refused):
        make(alice)
    tokens.revoke(token=first, by=alice)
    make(alice)


def test_scopes(alice: User, benchmark: object) -> None:
    reader, sender = with_token(alice, ("read",)), with_token(alice, ("submit",))
    assert reader.get(f"{API}/submissions").status_code == 200
    refused = reader.post(f"{API}/submissions", {})
    assert refused.status_code == 403
    assert refused.json()["code"] == "scope_missing"
    assert 'error="insufficient_scope", scope="submit"' in refused["WWW-Authenticate"]
    assert sender.get(f"{API}/submissions").json()["code"] == "scope_missing"
    assert sender.get(f"{API}/submissions/1").json()["code"] == "scope_missing"
    assert sender.post(f"{API}/submissions", {}).status_code == 422
    # what everyone may see, any token may
    assert sender.get(f"{API}/benchmarks").status_code == 200


def test_only_the_header_counts(alice: User, anonymous: Client) -> None:
    _, text = make(alice, scopes=["read", "submit"])
    for query in ("token", "access_token", "Authorization"):
        assert anonymous.get(f"{API}/me?{query}={text}").status_code == 401
    assert anonymous.post(f"{API}/submissions", {"access_token": text}).status_code == 401
    anonymous.cookies["Authorization"] = f"Bearer {text}"
    assert anonymous.get(f"{API}/me").status_code == 401


def test_an_invalid_token_is_rejected_even_where_none_is_needed(benchmark: object) -> None:
    response = Client(headers={"Authorization": "Bearer plb_nonsense"}).get(f"{API}/benchmarks")
    assert response.status_code == 401


def test_list_and_revoke_itself(alice: User) -> None:
    _, other = make(alice, name="other")
    token, text = make(alice, name="mine")
    client = Client(headers={"Authorization": f"Bearer {text}"})
    listed = client.get(f"{API}/tokens").json()["items"]
    assert [each["name"] for each in listed] == ["mine", "other"]
    assert set(listed[0]) == {
        "id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at",
    }  # fmt: skip
    assert client.post(f"{API}/tokens/{listed[1]['id']}/revoke").json()["code"] == "other_token"
    assert client.post(f"{API}/tokens/{token.pk}/revoke").status_code == 200
    assert client.get(f"{API}/me").status_code == 401
    assert tokens.authenticate(f"Bearer {other}") is not None


def test_a_session_revokes_any_of_its_own(alice: User, charlie: User) -> None:
    token, _ = make(alice)
    browser = Client()
    browser.force_login(charlie)
    assert browser.post(f"{API}/tokens/{token.pk}/revoke").status_code == 404
    browser.force_login(alice)
    assert browser.post(f"{API}/tokens/{token.pk}/revoke").status_code == 200


def test_no_log_and_no_response_holds_a_token(
    alice: User, benchmark: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [make(alice, scopes=["read", "submit"])[1] for _ in range(5)]
    said = ""
    # and one response that is our fault
    monkeypatch.setattr("leaderboard.api.benchmarks.load_dataset", lambda name: 1 / 0)
    for text in texts:
        client = Client(headers={"Authorization": f"Bearer {text}"})
        for path in ("/me", "/tokens", "/submissions", "/nothing", "/benchmarks", "/boards/none", "/methods/1"):
            response = client.get(API + path)
            said += response.content.decode() + repr(response.headers)
        said += client.post(f"{API}/submissions", {"benchmark": 3}).content.decode()
    said += caplog.text
    assert "ZeroDivisionError" in said
    for text in texts:
        assert text.split("_")[2] not in said
        assert hashlib.sha256(text.encode()).hexdigest() not in said
