"""The profile with its tokens, the pages of methods and of teams."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from leaderboard.models import (
    ApiToken,
    BoardEvent,
    Method,
    Team,
    User,
)
from leaderboard.operations import tokens

# --- tokens ----------------------------------------------------------------------------------------------------------


def test_token_is_shown_once(as_alice: Client, alice: User) -> None:
    response = as_alice.post("/profile/", {"name": "CI", "scopes": ["read", "submit"], "expires": "30"})
    secret = re.search(r"plb_[0-9a-z]+_[0-9A-Za-z]+_[0-9a-f]{8}", response.content.decode())
    assert secret
    assert "no-store" in response["Cache-Control"]
    found = tokens.authenticate(f"Bearer {secret[0]}")
    assert found and found[0] == alice and found[1].expires_at is not None
    assert secret[0] not in as_alice.get("/profile/").content.decode()
    assert not as_alice.session.get("_messages")


@pytest.mark.parametrize("fields", [{"name": "", "scopes": ["read"]}, {"name": "x"}, {"name": "x", "scopes": ["root"]}])
def test_token_needs_a_name_and_known_scopes(fields: dict[str, Any], as_alice: Client) -> None:
    assert as_alice.post("/profile/", fields).status_code == 400
    assert not ApiToken.objects.exists()


def test_revoked_token_opens_nothing(as_alice: Client, as_charlie: Client, alice: User) -> None:
    token, secret = tokens.create(user=alice, name="CI", scopes=["read"])
    assert as_charlie.post(f"/profile/tokens/{token.pk}/revoke").status_code == 404
    assert tokens.authenticate(f"Bearer {secret}")
    as_alice.post(f"/profile/tokens/{token.pk}/revoke")
    assert tokens.authenticate(f"Bearer {secret}") is None


# --- methods and teams -----------------------------------------------------------------------------------------------


def test_method_is_visible_once_it_is_listed_on_a_board(
    scored: Any, method: Method, client: Client, as_alice: Client, as_charlie: Client
) -> None:
    assert as_charlie.get(f"/methods/{method.pk}/").status_code == 404
    assert as_alice.get(f"/methods/{method.pk}/").status_code == 200
    scored(0.7, low=0.6, high=0.8)
    page = client.get(f"/methods/{method.pk}/").content.decode()
    assert "70.0" in page and "60.0–80.0" in page and "/edit" not in page


def test_team_edits_its_method(
    method: Method, scored: Any, as_alice: Client, as_charlie: Client, client: Client
) -> None:
    scored(0.7)
    fields = {"name": "Renamed", "year": "2020", "gflops": "1.5", "paper_url": "https://example.org/p"}
    assert as_charlie.post(f"/methods/{method.pk}/edit", fields).status_code == 404
    assert as_alice.post(f"/methods/{method.pk}/edit", {**fields, "code_url": "javascript:x"}).status_code == 400
    assert as_alice.post(f"/methods/{method.pk}/edit", fields).status_code == 302
    method.refresh_from_db()
    assert (method.name, method.year, method.gflops) == ("Renamed", 2020, 1.5)
    assert BoardEvent.objects.filter(kind="renamed", note="from Pictorial structures").exists()
    assert "Renamed" in client.get("/lsp-test-pc/").content.decode()


def test_team_without_a_public_row_is_its_members_own(
    team: Team, method: Method, as_alice: Client, as_charlie: Client, scored: Any
) -> None:
    assert as_charlie.get(f"/teams/{team.pk}/").status_code == 404
    assert as_alice.get(f"/teams/{team.pk}/").status_code == 200
    scored(0.7)
    page = as_charlie.get(f"/teams/{team.pk}/").content.decode()
    assert "Pictorial structures" in page and "Members" not in page
