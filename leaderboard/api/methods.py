"""Methods: what produced the predictions, as its team describes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router
from pydantic import BaseModel

from leaderboard.api import fields
from leaderboard.api.access import caller, reads, reads_if_signed_in, submits
from leaderboard.api.cursors import Page, page_of
from leaderboard.api.problems import not_found
from leaderboard.boards.rows import description
from leaderboard.boards.visibility import benchmarks_for
from leaderboard.models import BoardEvent, Method
from leaderboard.operations import teams

router = Router(tags=["methods"])

# no integer of the database is larger, and no method has more
MOST_PARAMETERS = 10**15

Approach = Literal["", "top-down", "bottom-up", "one-stage", "single-person"]


class Description(BaseModel):
    """A team's description of its method. Fields that are left out stay as they are."""

    description: fields.lines(4000) = ""  # type: ignore[valid-type]
    authors: fields.line(200) = ""  # type: ignore[valid-type]
    year: Annotated[Annotated[int, Field(ge=1970, le=2100)] | None, fields.WhenGiven] = None
    paper_title: fields.line(250) = ""  # type: ignore[valid-type]
    paper_url: fields.line(300) = Field("", description="https only")  # type: ignore[valid-type]
    code_url: fields.line(300) = Field("", description="https only")  # type: ignore[valid-type]
    approach: Approach = ""
    backbone: fields.line(80) = ""  # type: ignore[valid-type]
    input_size: fields.line(40) = ""  # type: ignore[valid-type]
    parameters: Annotated[Annotated[int, Field(ge=0, le=MOST_PARAMETERS)] | None, fields.WhenGiven] = None
    gflops: Annotated[Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None, fields.WhenGiven] = None
    extra_data: fields.line(200) = Field("", description="Training data beyond the dataset's own")  # type: ignore[valid-type]


class MethodEdit(Description, fields.Strict):
    name: fields.line(80, 1) | None = None  # type: ignore[valid-type]


class MethodOut(BaseModel):
    """A method, as everyone sees it."""

    id: int
    name: str
    team: str
    description: str
    authors: str
    year: int | None
    paper_title: str
    paper_url: str
    code_url: str
    approach: str
    backbone: str
    input_size: str
    parameters: int | None
    gflops: float | None
    extra_data: str
    is_baseline: bool
    url: str


class OwnMethodOut(MethodOut):
    """A method, as its team sees it."""

    team_id: int
    created_at: datetime


class MethodsOut(BaseModel):
    items: list[OwnMethodOut]
    next: str | None


def _public(request: HttpRequest, method: Method) -> dict[str, Any]:
    return {
        "id": method.pk,
        "name": method.name,
        "team": method.team.name,
        "description": method.description,
        **description(method),
        "is_baseline": method.is_baseline,
        "url": request.build_absolute_uri(method.get_absolute_url()),
    }


def _own(request: HttpRequest, method: Method) -> OwnMethodOut:
    return OwnMethodOut(**_public(request, method), team_id=method.team_id, created_at=method.created_at)


def own_methods(user: Any) -> QuerySet[Method]:
    """Those of the person's teams."""
    if not user.is_authenticated:
        return Method.objects.none()
    return Method.objects.filter(team__memberships__user=user).select_related("team")


def methods_for(user: Any) -> QuerySet[Method]:
    """Own ones, and those on a board that this person may see."""
    listed = BoardEvent.objects.filter(
        method=OuterRef("pk"), current=True, kind__in=BoardEvent.ON_BOARD, benchmark__in=benchmarks_for(user)
    )
    own = Q(pk__in=own_methods(user).values("pk"))
    return Method.objects.filter(Q(Exists(listed)) | own).select_related("team")


@router.get("", response=MethodsOut, auth=reads)
def list_methods(request: HttpRequest, page: Query[Page]) -> MethodsOut:
    """The methods of the caller's teams, newest first."""
    found, following = page_of(own_methods(caller(request)), page)
    return MethodsOut(items=[_own(request, method) for method in found], next=following)


@router.get("/{int:method_id}", response=OwnMethodOut | MethodOut, auth=reads_if_signed_in)
def get_method(request: HttpRequest, method_id: int) -> MethodOut:
    """A method that is on a board or belongs to the caller's teams."""
    method = methods_for(request.user).filter(pk=method_id).first()
    if method is None:
        raise not_found()
    if own_methods(request.user).filter(pk=method.pk).exists():
        return _own(request, method)
    return MethodOut(**_public(request, method))


@router.patch("/{int:method_id}", response=OwnMethodOut, auth=submits)
def edit_method(request: HttpRequest, method_id: int, changes: MethodEdit) -> OwnMethodOut:
    """Edit a method. A name change is recorded on every board that lists the method."""
    method = own_methods(caller(request)).filter(pk=method_id).first()
    if method is None:
        raise not_found()
    changed = changes.model_dump(exclude_unset=True)
    return _own(request, teams.edit_method(method=method, by=caller(request), **changed))
