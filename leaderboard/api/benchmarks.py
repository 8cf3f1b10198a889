"""Benchmarks: what is measured, on which images, within which limits and dates."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from ninja import Router
from pydantic import BaseModel, Field

from evaluator import DatasetDefinitionError, load_dataset
from leaderboard.api.access import anyone, caller, reads
from leaderboard.api.application import REVALIDATED
from leaderboard.api.problems import Problem, not_found
from leaderboard.api.teams import team_of
from leaderboard.boards.visibility import Anyone, benchmarks_for
from leaderboard.files import blobs
from leaderboard.models import Benchmark
from leaderboard.operations import quotas
from leaderboard.queue import clock

router = Router(tags=["benchmarks"])


class LimitsOut(BaseModel):
    """A team's limits: submissions per UTC day, in total and at once, and rejected files per day."""

    day: int
    total: int
    running: int
    rejects: int


class BenchmarkOut(BaseModel):
    slug: str
    title: str
    summary: str
    dataset: str
    split: str
    hidden: bool
    public_elsewhere: bool
    boxes_given: bool
    primary: str
    images: int
    people: int
    accepts_submissions: bool = Field(description="Whether annotations are imported; for the dates see `state`")
    state: str = Field(description="`no_annotations`, `not_open`, `open` or `closed`, by the server's clock")
    publishes_all: bool = Field(description="Every submission is published when it is scored")
    opens_at: datetime | None
    closes_at: datetime | None
    limits: LimitsOut
    version: int
    url: str
    board_url: str
    images_url: str


class BenchmarksOut(BaseModel):
    items: list[BenchmarkOut]


class MetricOut(BaseModel):
    name: str
    title: str
    description: str
    unit: str = Field(description="`fraction`, `number` where there is no unit, or the unit of its values: `mm`")
    higher_is_better: bool
    parts: list[str]


class BenchmarkDetails(BenchmarkOut):
    """A benchmark with the names of its scores, and the order of the keypoints in a prediction."""

    joints: list[str]
    metrics: list[MetricOut]
    licence: str
    citation: str


class QuotaOut(BaseModel):
    """What a team has used of its limits, and when the next day begins."""

    team: str
    day_used: int
    day_limit: int
    total_used: int
    total_limit: int
    running: int
    running_limit: int
    rejects: int
    reject_limit: int
    resets_at: datetime


def visible(user: Anyone, slug: str) -> Benchmark:
    """The benchmark of that address, or a 404 that does not tell a private one from none."""
    benchmark = None if "\0" in slug else benchmarks_for(user).filter(slug=slug).first()
    if benchmark is None:
        raise Problem(404, "benchmark_unknown", "Benchmark not found, or you do not have access.")
    return benchmark


def _primary(benchmark: Benchmark) -> str:
    """Empty if the definition is missing, so that one benchmark does not keep the others from being listed."""
    try:
        return load_dataset(benchmark.dataset).primary
    except DatasetDefinitionError:
        return ""


def _shown(request: HttpRequest, benchmark: Benchmark, now: datetime) -> BenchmarkOut:
    slug = benchmark.slug
    return BenchmarkOut(
        slug=slug,
        title=benchmark.title,
        summary=benchmark.summary,
        dataset=benchmark.dataset,
        split=benchmark.split,
        hidden=benchmark.hidden,
        public_elsewhere=benchmark.public_elsewhere,
        boxes_given=benchmark.boxes_given,
        primary=_primary(benchmark),
        images=benchmark.image_count,
        people=benchmark.person_count,
        accepts_submissions=benchmark.accepts_submissions,
        state=benchmark.phase(now),
        publishes_all=benchmark.publishes_all,
        opens_at=benchmark.opens_at,
        closes_at=benchmark.closes_at,
        limits=LimitsOut(
            day=benchmark.daily_limit,
            total=benchmark.total_limit,
            running=benchmark.running_limit,
            rejects=benchmark.reject_limit,
        ),
        version=benchmark.version,
        url=request.build_absolute_uri(benchmark.get_absolute_url()),
        board_url=request.build_absolute_uri(reverse("api:board", args=[slug])),
        images_url=request.build_absolute_uri(reverse("api:benchmark_images", args=[slug])),
    )


@router.get("", response=BenchmarksOut, auth=anyone)
def list_benchmarks(request: HttpRequest, response: HttpResponse) -> BenchmarksOut:
    """The benchmarks that the caller can see, in the order of the front page."""
    response["Cache-Control"] = REVALIDATED
    now = clock.now()
    return BenchmarksOut(items=[_shown(request, benchmark, now) for benchmark in benchmarks_for(request.user)])


@router.get("/{benchmark:slug}", response=BenchmarkDetails, auth=anyone)
def get_benchmark(request: HttpRequest, slug: str, response: HttpResponse) -> BenchmarkDetails:
    """One benchmark, with its metrics, their parts, and the joints in file order."""
    benchmark = visible(request.user, slug)
    dataset = load_dataset(benchmark.dataset)
    response["Cache-Control"] = REVALIDATED
    return BenchmarkDetails(
        **_shown(request, benchmark, clock.now()).model_dump(),
        joints=list(dataset.joints),
        metrics=[
            MetricOut(
                name=spec.name,
                title=spec.title,
                description=spec.description,
                unit=spec.unit or "fraction",
                higher_is_better=spec.higher_is_better,
                parts=list(spec.parts),
            )
            for spec in dataset.metrics
        ],
        licence=dataset.licence,
        citation=dataset.citation,
    )


@router.get("/{benchmark:slug}/images", auth=anyone, url_name="benchmark_images", response={200: dict, 304: None})
def get_images(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The public image list: ids, file names, sizes, people, and boxes if the benchmark provides them."""
    benchmark = visible(request.user, slug)
    if not benchmark.image_list_sha256:
        raise not_found("This benchmark has no image list yet: its organiser has not imported the annotations.")
    etag = f'"{benchmark.image_list_sha256}"'
    response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if response is None:
        content = blobs.path(benchmark.image_list_sha256).open("rb")
        response = FileResponse(content, content_type="application/json")
    response["ETag"], response["Cache-Control"] = etag, REVALIDATED
    return response


@router.get("/{benchmark:slug}/quota", response=QuotaOut, auth=reads)
def get_quota(request: HttpRequest, slug: str, team: int | None = None) -> QuotaOut:
    """What the caller's team has used of its limits; `team` selects another of the caller's teams by id."""
    benchmark, owner = visible(request.user, slug), team_of(caller(request), team)
    return QuotaOut(team=owner.name, **asdict(quotas.usage(owner, benchmark)))
