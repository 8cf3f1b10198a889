"""One invalid benchmark takes no list down, and there is no way to make one."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db.models import JSONField, Value
from django.http import HttpResponse
from django.test import Client
from django.urls import URLResolver, get_resolver, include, path, reverse

import leaderboard.urls
from leaderboard.models import (
    Benchmark,
    BoardEvent,
    Evaluation,
    Method,
    ReportedResult,
    Score,
    Submission,
    User,
    addresses,
)
from leaderboard.views.forms import NewBenchmarkForm

pytestmark = pytest.mark.django_db

# slugs that a database may hold, whether by SQL or from before there was a rule
SLUGS = ["lsp-A B", "a/b", "../up", "admin", "new", "100%", "é ß", "<b>&\"'", "lsp-v1.5", "?q=#x", "%2F", " ", "."]


def insert(slug: str, *, dataset: str = "lsp", split: str | None = None, **fields: Any) -> Benchmark:
    """A row that no validator has seen."""
    row = Benchmark(slug=slug, dataset=dataset, split=slug[:40] if split is None else split, title="T", **fields)
    return Benchmark.objects.bulk_create([row])[0]


def with_a_row(board: Benchmark, method: Method, user: User) -> Submission:
    """The same for a published submission on it."""
    sent = Submission.objects.create(
        benchmark=board, method=method, team=method.team, user=user, sha256="a" * 64, size=1, source="web"
    )
    run = Evaluation.objects.create(
        submission=sent, team=method.team, state="scored", truth_sha256=board.truth_sha256, evaluator_version="1"
    )
    Score.objects.create(evaluation=run, metric="pck@0.2", part="all", value=0.5)
    BoardEvent.objects.create(
        kind="published", benchmark=board, method=method, submission=sent, evaluation=run, current=True
    )
    ReportedResult.objects.create(
        benchmark=board,
        key="k",
        method="Paper",
        source="s",
        scores=[{"metric": "pck@0.2", "part": "all", "value": 0.4}],
    )
    return sent


LISTS = [
    "/", "/boards/", "/boards/?q=T", "/submissions/", "/organise/", "/baselines/", "/datasets/lsp/", "/metrics/",
    "/status/", "/lsp-test-pc/", "/lsp-test-pc/submit/", "/baselines/hrnet/", "/admin/leaderboard/benchmark/",
    "/admin/leaderboard/submission/", "/admin/leaderboard/boardevent/", "/admin/leaderboard/reportedresult/",
    "/api/v1/benchmarks", "/api/v1/submissions", "/api/v1/methods", "/api/v1/reported", "/api/v1/boards/lsp-test-pc",
    "/api/v1/baselines", "/api/v1/baselines/runs",
]  # fmt: skip


@pytest.fixture
def readers(alice: User, client: Client) -> list[Client]:
    """Somebody who is not signed in, a member of the team, and an operator, who sees the admin's lists too."""
    member, operator = Client(), Client()
    member.force_login(alice)
    operator.force_login(User.objects.create_superuser("root", "root@example.org", "a-long-password"))
    return [client, member, operator]


def check_lists(readers: list[Client], more: list[str]) -> None:
    for reader in readers:
        for address in [*LISTS, *more]:
            assert reader.get(address).status_code in (200, 302, 401, 403, 404), address
    assert all(readers[0].get(address).status_code == 200 for address in ("/", "/boards/", "/api/v1/benchmarks"))
    # the operator finds every invalid row, to fix it
    listed = readers[2].get("/organise/").content.decode()
    assert listed.count('class="name"') == Benchmark.objects.count()


def test_no_slug_of_a_row_takes_a_list_down(
    benchmark: Benchmark, method: Method, alice: User, readers: list[Client]
) -> None:
    more = []
    for slug in SLUGS:
        board = insert(slug, truth_sha256="b" * 64)
        sent = with_a_row(board, method, alice)
        more += [board.get_absolute_url(), reverse("organise_benchmark", args=[slug])]
        more += [f"/submissions/{sent.pk}/", f"/api/v1/submissions/{sent.pk}", reverse("api:board", args=[slug])]
    check_lists(readers, [*more, f"/methods/{method.pk}/", f"/teams/{method.team_id}/"])
    items = readers[0].get("/api/v1/benchmarks").json()["items"]
    assert {item["slug"] for item in items} == {"lsp-test-pc", *SLUGS}


def test_a_board_with_an_invalid_slug_can_still_be_read(benchmark: Benchmark, client: Client) -> None:
    for slug in set(SLUGS) - {"admin", "new", ".", "../up"}:
        board = insert(slug)
        page = client.get(board.get_absolute_url())
        assert page.status_code == 200 and page.context["benchmark"] == board, slug
        assert client.get(reverse("api:board", args=[slug])).json()["benchmark"] == slug


@pytest.mark.parametrize("slug", ["%00", "a%00b", "%2500", "%25", "no-such", "A%20B"])
def test_an_address_of_no_benchmark_is_not_found(slug: str, benchmark: Benchmark, client: Client) -> None:
    for address in (f"/{slug}/", f"/{slug}/images.json", f"/api/v1/benchmarks/{slug}", f"/api/v1/boards/{slug}"):
        assert client.get(address).status_code == 404


def test_an_empty_slug_takes_no_list_down(benchmark: Benchmark, readers: list[Client]) -> None:
    insert("", split="empty")
    check_lists(readers, [])


@pytest.mark.parametrize("dataset", ["gone", "A B", "a/b", ""])
def test_no_dataset_that_is_gone_takes_a_list_down(
    dataset: str, benchmark: Benchmark, method: Method, alice: User, readers: list[Client]
) -> None:
    board = insert("gone-test", dataset=dataset, truth_sha256="b" * 64, position=1, has_images=True)
    sent = with_a_row(board, method, alice)
    page, api = "/gone-test", "/api/v1/benchmarks/gone-test"
    own = [f"{page}/", f"{page}/submit/", f"{page}/sample.json", f"{page}/board.csv", f"{page}/images.json"]
    own += [api, f"{api}/images", f"{api}/quota", "/api/v1/boards/gone-test", f"/submissions/{sent.pk}/"]
    own += [f"/submissions/{sent.pk}/report.json", f"/api/v1/submissions/{sent.pk}", "/organise/gone-test/"]
    own += ["/organise/gone-test/live", "/api/v1/baselines/choices?benchmark=gone-test", f"/methods/{method.pk}/"]
    check_lists(readers, own)
    page = readers[2].post("/organise/gone-test/run", {"choice": "hrnet narrow", "all": "1"}, follow=True)
    assert "The definition of its dataset cannot be read" in page.content.decode()


def test_splits_and_titles_of_any_text_are_only_shown(benchmark: Benchmark, readers: list[Client]) -> None:
    for number, text in enumerate(["A B", "a/b", "<script>", "", "ü" * 40, "\u202e", "{% url 'x' %}"]):
        insert(f"fine-{number}", split=text)
        Benchmark.objects.filter(slug=f"fine-{number}").update(title=text)
    check_lists(readers, [f"/fine-{number}/" for number in range(7)])
    assert "<script>" not in readers[0].get("/").content.decode()


MISTYPED: list[Any] = [
    "90.5", {"pck@0.2": 0.9}, 7, None, [1, None], [{}], [{"metric": "pck@0.2", "part": "all"}],
    [{"metric": "pck@0.2", "part": "all", "value": "0.9"}], [{"metric": 1, "part": [], "value": {}}],
    [{"metric": "pck@0.2", "part": "all", "value": True}], [{"metric": "pck@0.2", "part": "all", "value": 10**400}],
]  # fmt: skip


def test_no_mistyped_reported_result_takes_a_list_down(
    benchmark: Benchmark, printed: ReportedResult, readers: list[Client]
) -> None:
    ReportedResult.objects.bulk_create(
        ReportedResult(
            benchmark=benchmark, key=str(number), method="HRNet", source="s", scores=Value(scores, JSONField())
        )
        for number, scores in enumerate(MISTYPED)
    )
    check_lists(readers, [])
    board = readers[0].get("/api/v1/boards/lsp-test-pc").json()
    assert [row["value"] for row in board["entries"]] == [0.905] + [None] * len(MISTYPED)


# --- no invalid row is made ------------------------------------------------------------------------------------------

INVALID = [slug for slug in SLUGS if slug != " "] + [
    "healthz",
    "API",
    "account",
    "static",
    "robots",
    "favicon",
    "x" * 61,
]


@pytest.mark.parametrize("slug", INVALID)
def test_an_invalid_slug_is_rejected_wherever_a_benchmark_is_made(slug: str, as_organiser: Client) -> None:
    with pytest.raises(ValidationError):
        Benchmark.objects.create(slug=slug, dataset="lsp", split="x", title="T")
    with pytest.raises(ValidationError):
        Benchmark.objects.get_or_create(slug=slug, defaults={"dataset": "lsp", "split": "x", "title": "T"})
    form = {"dataset": "lsp", "split": "x", "slug": slug, "title": "T"}
    assert as_organiser.post("/organise/new/", form).status_code == 400
    root = Client()
    root.force_login(User.objects.create_superuser("root", "root@example.org", "a-long-password"))
    limits = {"daily_limit": 5, "total_limit": 5, "running_limit": 5, "reject_limit": 5, "position": 5}
    response = root.post("/admin/leaderboard/benchmark/add/", {**form, **limits})
    assert response.status_code == 200 and "errorlist" in response.content.decode()
    assert Benchmark.objects.count() == 1


@pytest.mark.parametrize("split", ["A B", "a/b", "", " ", "-x", "ü", "a\nb", "test\n", "<b>"])
def test_an_invalid_split_is_rejected_wherever_a_benchmark_is_made(split: str, as_organiser: Client) -> None:
    with pytest.raises(ValidationError):
        Benchmark.objects.create(slug="fine", dataset="lsp", split=split, title="T")
    if split.strip() == split:  # a form strips what surrounds a text
        form = {"dataset": "lsp", "split": split, "slug": "fine", "title": "T"}
        assert as_organiser.post("/organise/new/", form).status_code == 400


def test_a_dataset_without_a_definition_is_rejected() -> None:
    with pytest.raises(ValidationError, match="There is no dataset gone"):
        Benchmark.objects.create(slug="fine", dataset="gone", split="x", title="T")


@pytest.mark.parametrize("split", ["test", "test-pc", "val2017", "v1.5_b", "2018"])
def test_the_splits_of_the_field_are_accepted(split: str) -> None:
    Benchmark.objects.create(slug="fine", dataset="lsp", split=split, title="T")


def test_every_top_level_address_is_reserved() -> None:
    """By hand for the site's own, and by the resolver for those to come."""
    assert addresses.reserved_slugs() >= {
        "account", "admin", "api", "baselines", "boards", "datasets", "healthz", "how-it-works", "methods", "metrics",
        "organise", "profile", "status", "submissions", "submit", "teams", "static", "robots", "favicon", "new",
    }  # fmt: skip
    first_words = {str(each.pattern).partition("/")[0] for each in leaderboard.urls.urlpatterns}
    for each in get_resolver().url_patterns:
        if isinstance(each, URLResolver) and not str(each.pattern):
            first_words |= {str(inner.pattern).partition("/")[0] for inner in each.url_patterns}
    literal = {word for word in first_words if word and not word.startswith("<")}
    assert len(literal) > 12 and literal <= addresses.reserved_slugs()


class WithNewPages:
    """The site's addresses and some more."""

    @staticmethod
    def page(request: Any, **_: Any) -> HttpResponse:
        return HttpResponse("")

    urlpatterns = [
        path("challenges/", page),
        path("organise/archive/", page),
        path("deep/", include(([path("er/<int:pk>/", page)], "deep"))),
        *leaderboard.urls.urlpatterns,
    ]


def test_a_new_page_is_reserved_by_itself(settings: Any) -> None:
    assert not {"challenges", "archive", "deep"} & addresses.reserved_slugs()
    settings.ROOT_URLCONF = WithNewPages
    assert {"challenges", "archive", "deep"} <= addresses.reserved_slugs()
    with pytest.raises(ValidationError):
        Benchmark.objects.create(slug="challenges", dataset="lsp", split="x", title="T")


def test_two_organisers_who_make_the_same_benchmark_at_once_get_one(
    benchmark: Benchmark, as_organiser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"dataset": "lsp", "split": "twice", "slug": "twice", "title": "T"}
    real = NewBenchmarkForm.is_valid

    def then_another_is_made(self: NewBenchmarkForm) -> bool:
        valid = real(self)
        insert("twice", split="twice")
        return valid

    monkeypatch.setattr(NewBenchmarkForm, "is_valid", then_another_is_made)
    response = as_organiser.post("/organise/new/", form)
    assert response.status_code == 400 and "already" in response.content.decode()
