"""Teams and the methods they own."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from leaderboard.boards.rows import DESCRIPTION
from leaderboard.models import Benchmark, BoardEvent, Membership, Method, Team, User
from leaderboard.models.transactions import lock, retried
from leaderboard.operations.refusals import Refused

# what a team may say of its method; everything else is ours
METHOD_FIELDS = frozenset({"description", *DESCRIPTION})


def own_team(user: User) -> Team:
    """The person's team of one, made at first use."""
    existing = Team.objects.filter(person=user).first()
    if existing:
        return existing
    try:
        with transaction.atomic():
            name = user.username
            if Team.objects.filter(name=name).exists():
                name = f"{name[:70]} ({user.pk})"
            team = Team.objects.create(name=name, person=user)
            Membership.objects.create(team=team, user=user, is_owner=True)
            return team
    except IntegrityError:
        # a second request of the same person was faster
        return Team.objects.get(person=user)


def teams_of(user: User) -> QuerySet[Team]:
    own_team(user)
    return Team.objects.filter(memberships__user=user).order_by("name")


def method_named(*, team: Team, name: str, **fields: Any) -> Method:
    """The team's method of that name, made when there is none. Given fields fill a new method, or change an old one."""
    _allowed(fields)
    name = " ".join(name.split())
    method = Method.objects.filter(team=team, name=name).first()
    if method is None:
        method = Method(team=team, name=name, **fields)
        # the database decides whether the name is in use: another request may be making it at this moment
        _check(method, unique=False)
        try:
            with transaction.atomic():
                method.save()
            return method
        except IntegrityError:
            method = Method.objects.get(team=team, name=name)
    changes = {key: value for key, value in fields.items() if getattr(method, key) != value}
    if changes:
        for key, value in changes.items():
            setattr(method, key, value)
        _check(method)
        _save(method, list(changes))
    return method


def check_method(*, team: Team, name: str, **fields: Any) -> None:
    """Raise the `Refused` of `method_named` for invalid fields, and change nothing."""
    _allowed(fields)
    name = " ".join(name.split())
    method = Method.objects.filter(team=team, name=name).first() or Method(team=team, name=name)
    for key, value in fields.items():
        setattr(method, key, value)
    _check(method, unique=False)


@retried
def _save(method: Method, changed: list[str]) -> None:
    method.save(update_fields=changed)
    _touch_boards(method)


@retried
def edit_method(*, method: Method, by: User, name: str | None = None, **fields: Any) -> Method:
    """Change what a team says of its method. A new name is logged on every board that lists it."""
    _allowed(fields)
    # as it is now: a method that comes from a request may have been renamed since, by another or by a lost attempt
    old_name = lock(Method.objects.filter(pk=method.pk))[0].name
    for key, value in fields.items():
        setattr(method, key, value)
    if name is not None:
        method.name = " ".join(name.split())
    _check(method)
    # only what was given: another edit may be changing the rest
    method.save(update_fields=[*fields, "name"] if name is not None else list(fields))
    _touch_boards(method)
    if method.name != old_name:
        for event in method.events.filter(current=True, kind__in=BoardEvent.ON_BOARD):
            BoardEvent.objects.create(
                kind=BoardEvent.Kind.RENAMED, benchmark=event.benchmark, method=method, submission=event.submission,
                by=by, note=f"from {old_name}",
            )  # fmt: skip
    return method


def _allowed(fields: dict[str, Any]) -> None:
    if unknown := set(fields) - METHOD_FIELDS:
        raise TypeError(f"not fields of a method: {', '.join(sorted(unknown))}")


def _check(method: Method, *, unique: bool = True) -> None:
    try:
        method.full_clean(validate_unique=unique, validate_constraints=unique)
    except ValidationError as error:
        lines = [f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()]
        raise Refused("method_invalid", "The method's description is invalid. " + " ".join(lines), status=422) from None


def _touch_boards(method: Method) -> None:
    shown = BoardEvent.objects.filter(method=method, current=True).values("benchmark")
    boards = lock(Benchmark.objects.filter(pk__in=shown))
    Benchmark.objects.filter(pk__in=[board.pk for board in boards]).update(version=F("version") + 1)
