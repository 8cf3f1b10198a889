"""The caller, and the teams they submit for."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from ninja import Router
from pydantic import BaseModel

from leaderboard.api.access import caller, reads, signed_in
from leaderboard.api.problems import Problem
from leaderboard.boards.visibility import organised_by
from leaderboard.models import Membership, Team, User
from leaderboard.operations import teams

router = Router(tags=["accounts"])


class TeamName(BaseModel):
    id: int
    name: str


class MemberOut(BaseModel):
    username: str
    is_owner: bool


class TeamOut(BaseModel):
    """A team, as its members see it. `own`: the caller's personal team."""

    id: int
    name: str
    own: bool
    members: list[MemberOut]


class TeamsOut(BaseModel):
    items: list[TeamOut]


class TokenInUse(BaseModel):
    prefix: str
    name: str
    scopes: list[str]
    expires_at: datetime | None


class MeOut(BaseModel):
    username: str
    name: str
    teams: list[TeamName]
    organises: list[str]
    token: TokenInUse | None


def team_of(user: User, team_id: int | None) -> Team:
    """The caller's team of that id; without an id their own."""
    if team_id is None:
        return teams.own_team(user)
    team = teams.teams_of(user).filter(pk=team_id).first()
    if team is None:
        raise Problem(404, "team_unknown", "You are not a member of a team with this id. GET /teams lists your teams.")
    return team


@router.get("/me", response=MeOut, auth=signed_in)
def me(request: HttpRequest) -> MeOut:
    """The token's owner and scopes."""
    user, token = caller(request), request.auth.token  # type: ignore[attr-defined]
    return MeOut(
        username=user.username,
        name=str(user),
        teams=[TeamName(id=team.pk, name=team.name) for team in teams.teams_of(user)],
        organises=list(organised_by(user).values_list("slug", flat=True)),
        token=token
        and TokenInUse(prefix=token.prefix, name=token.name, scopes=token.scopes, expires_at=token.expires_at),
    )


@router.get("/teams", response=TeamsOut, auth=reads)
def list_teams(request: HttpRequest) -> TeamsOut:
    """The caller's teams."""
    user = caller(request)
    members: dict[int, list[MemberOut]] = {}
    memberships = Membership.objects.filter(team__in=teams.teams_of(user)).select_related("user").order_by("pk")
    for membership in memberships:
        member = MemberOut(username=membership.user.username, is_owner=membership.is_owner)
        members.setdefault(membership.team_id, []).append(member)
    return TeamsOut(
        items=[
            TeamOut(id=team.pk, name=team.name, own=team.person_id == user.pk, members=members.get(team.pk, []))
            for team in teams.teams_of(user)
        ]
    )
