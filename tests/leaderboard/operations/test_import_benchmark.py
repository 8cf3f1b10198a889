"""`manage.py import_benchmark` and related commands change what they were told to change, or nothing."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.forms.models import model_to_dict

from leaderboard.local import demo
from leaderboard.models import Benchmark, Method, Release, ReportedResult, Team, User
from leaderboard.operations import annotation_store, releases, reported_results, teams
from tests.evaluator.surface_cases import SURFACE, on_surface
from tests.leaderboard.conftest import annotations_json, predictions

pytestmark = pytest.mark.django_db

SET_UP = (
    "--title", "Leeds Sports", "--summary", "Sport.", "--boxes", "--no-public-elsewhere", "--private", "--publish-all",
    "--daily-limit", "3", "--total-limit", "30", "--running-limit", "2",
)  # fmt: skip
FROM_ANNOTATIONS = ["truth_sha256", "image_list_sha256", "image_count", "person_count", "version"]


def truth_file(folder: Path, images: int = 8) -> str:
    file = folder / f"truth-{images}.json"
    file.write_text(json.dumps(annotations_json(images=images)))
    return str(file)


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command("import_benchmark", "lsp", *arguments, stdout=output)
    return output.getvalue()


def settings_of(board: Benchmark) -> dict[str, Any]:
    """All fields of the row except those that come from the annotations."""
    fields = Benchmark.objects.filter(pk=board.pk).values().get()
    return {key: value for key, value in fields.items() if key not in FROM_ANNOTATIONS}


@pytest.fixture
def board(db: None, tmp_path: Path, alice: User) -> Benchmark:
    run(truth_file(tmp_path), "--split", "test-pc", "--organiser", "alice", *SET_UP)
    Benchmark.objects.update(opens_at="2026-01-01T00:00Z", reject_limit=4, position=7, hidden=False, has_images=True)
    return Benchmark.objects.get()


def test_new_annotations_leave_everything_else_as_it_was(board: Benchmark, tmp_path: Path) -> None:
    before = settings_of(board)
    assert not board.is_public and board.boxes_given and board.publishes_all and board.title == "Leeds Sports"
    run(truth_file(tmp_path, 5), "--split", "test-pc")
    assert settings_of(board) == before
    board.refresh_from_db()
    assert board.image_count == 5 and [user.username for user in board.organisers.all()] == ["alice"]
    # --split may be left out where the slug says which benchmark it is
    run(truth_file(tmp_path, 6), "--slug", "lsp-test-pc")
    assert settings_of(board) == before


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("--public", "is_public", True),
        ("--no-boxes", "boxes_given", False),
        ("--public-elsewhere", "public_elsewhere", True),
        ("--no-publish-all", "publishes_all", False),
        ("--title=T", "title", "T"),
        ("--summary=", "summary", ""),
        ("--daily-limit=9", "daily_limit", 9),
    ],
)
def test_each_option_changes_its_own_field(
    board: Benchmark, tmp_path: Path, flag: str, field: str, value: object
) -> None:
    before = settings_of(board)
    run(truth_file(tmp_path, 5), "--split", "test-pc", flag)
    assert before[field] != value and settings_of(board) == {**before, field: value}


def test_the_image_list_follows_the_option_for_boxes(board: Benchmark, tmp_path: Path) -> None:
    from leaderboard.files import blobs

    for flag, has in (("--boxes", True), ("--no-boxes", False)):
        run(truth_file(tmp_path), "--split", "test-pc", flag)
        listing = json.loads(blobs.path(Benchmark.objects.get().image_list_sha256).read_bytes())
        assert ("box" in listing["images"][0]["people"][0]) is has


def test_a_new_benchmark_has_the_default_settings(tmp_path: Path) -> None:
    run(truth_file(tmp_path))
    created = Benchmark.objects.get()
    assert (created.slug, created.split, created.is_public, created.boxes_given, created.publishes_all) == (
        "lsp-test", "test", True, False, False,
    )  # fmt: skip
    assert created.public_elsewhere and created.title.endswith(", test")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--slug", "lsp-test-pc", "--split", "other"],
            "is the benchmark of lsp, split test-pc, which cannot be changed",
        ),
        (["--slug", "other", "--split", "test-pc"], "already exists"),
        (["--split", "test-pc", "--organiser", "nobody"], "no user nobody"),
        (["--split", "test-pc", "--daily-limit", "0"], "daily_limit"),
        (["--split", "test-pc", "--title", ""], "title"),
        (["--split", "test-pc", "--images", "/nowhere"], "no image im1001.jpg"),
        (["--split", "A B"], "A split is letters, digits"),
        (["--split", "a/b", "--slug", "fine"], "A split is letters, digits"),
        (["--slug", "admin"], "The site needs the address admin itself"),
        (["--slug", "A B", "--split", "x"], "slug"),
        (["--split", "1.5"], "slug"),
    ],
)
def test_a_wrong_option_is_reported_and_changes_nothing(
    board: Benchmark, tmp_path: Path, arguments: list[str], message: str
) -> None:
    before, releases = Benchmark.objects.values().get(), Release.objects.count()
    with pytest.raises(CommandError, match=message):
        run(truth_file(tmp_path, 5), "--public", *arguments)
    assert Benchmark.objects.values().get() == before and Release.objects.count() == releases


def test_an_existing_slug_with_another_dataset_is_an_error(board: Benchmark, tmp_path: Path) -> None:
    before = Benchmark.objects.values().get()
    with pytest.raises(CommandError, match="is the benchmark of lsp"):
        call_command("import_benchmark", "flic", truth_file(tmp_path), "--slug", "lsp-test-pc", stdout=io.StringIO())
    assert Benchmark.objects.values().get() == before


def test_unusable_annotations_change_nothing(board: Benchmark, tmp_path: Path) -> None:
    before = Benchmark.objects.values().get()
    (tmp_path / "wrong.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(CommandError, match="contain no annotated people"):
        run(str(tmp_path / "wrong.json"), "--split", "test-pc", "--public", "--title", "Other")
    assert Benchmark.objects.values().get() == before


def test_a_failure_at_the_last_step_undoes_everything(
    board: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Benchmark.objects.values().get()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reported_results, "load", full)
    with pytest.raises(CommandError, match=r"lsp-test-pc was not changed: .*No space left"):
        run(truth_file(tmp_path, 5), "--split", "test-pc", "--public", "--title", "Other")
    with pytest.raises(CommandError, match="No space left"):
        run(truth_file(tmp_path, 5), "--split", "new")
    assert Benchmark.objects.values().get() == before and Release.objects.count() == 1


def test_later_annotations_use_the_surface_that_is_there(tmp_path: Path) -> None:
    truth, _ = on_surface("densepose", 3, images=6)
    truth["info"].pop("surface", None)
    file, tables = tmp_path / "densepose.json", tmp_path / "surface.npz"
    file.write_text(json.dumps(truth))
    with pytest.raises(CommandError, match="geodesic tables before its annotations"):
        call_command("import_benchmark", "densepose", str(file), stdout=io.StringIO())
    np.savez(tables, **{name: getattr(SURFACE, name) for name in ("part", "u", "v", "vertex", "distances")})
    call_command("import_benchmark", "densepose", str(file), "--surface", str(tables), stdout=io.StringIO())
    call_command("import_benchmark", "densepose", str(file), stdout=io.StringIO())
    assert Benchmark.objects.get().truth_sha256


def test_an_unusable_surface_leaves_the_stored_one(tmp_path: Path) -> None:
    truth, _ = on_surface("densepose", 3, images=6)
    file, tables = tmp_path / "densepose.json", tmp_path / "surface.npz"
    file.write_text(json.dumps(truth))
    np.savez(tables, **{name: getattr(SURFACE, name) for name in ("part", "u", "v", "vertex", "distances")})
    call_command("import_benchmark", "densepose", str(file), "--surface", str(tables), stdout=io.StringIO())
    stored = annotation_store.surface_path(Benchmark.objects.get())
    before = stored.read_bytes()
    file.write_text("{}")
    tables.write_bytes(tables.read_bytes() + b"\0")
    with pytest.raises(CommandError):
        call_command("import_benchmark", "densepose", str(file), "--surface", str(tables), stdout=io.StringIO())
    assert stored.read_bytes() == before


def test_changes_made_while_the_file_is_read_are_preserved(
    board: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = releases.check

    def check(*args: Any, **options: Any) -> Any:
        Benchmark.objects.update(title="Renamed meanwhile", is_public=True)
        return real(*args, **options)

    monkeypatch.setattr(releases, "check", check)
    run(truth_file(tmp_path, 5), "--split", "test-pc", "--daily-limit", "8")
    board.refresh_from_db()
    assert (board.title, board.is_public, board.daily_limit) == ("Renamed meanwhile", True, 8)


def test_importing_one_benchmark_leaves_the_reported_results_of_others(tmp_path: Path) -> None:
    other = Benchmark.objects.create(slug="coco-val2017", dataset="coco", split="val2017", title="COCO")
    reported_results.load()
    ReportedResult.objects.filter(benchmark=other).update(source="corrected by hand")
    version = Benchmark.objects.get(pk=other.pk).version
    run(truth_file(tmp_path), "--split", "test-pc")
    assert set(ReportedResult.objects.filter(benchmark=other).values_list("source", flat=True)) == {"corrected by hand"}
    assert Benchmark.objects.get(pk=other.pk).version == version
    assert ReportedResult.objects.filter(benchmark__slug="lsp-test-pc").exists()


def test_a_rejected_submission_from_the_shell_leaves_no_team_and_no_method(
    benchmark: Benchmark, tmp_path: Path
) -> None:
    Benchmark.objects.update(truth_sha256="")
    (tmp_path / "p.json").write_bytes(predictions())
    with pytest.raises(CommandError, match="has no annotations yet"):
        call_command("import_submission", "lsp-test-pc", str(tmp_path / "p.json"), method="M", team="T")
    assert not Team.objects.filter(name="T").exists() and not Method.objects.exists()


def test_a_second_start_of_the_demo_resets_nothing(
    db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA = tmp_path
    monkeypatch.setattr(demo, "_mannequins", lambda people, say: [
        demo._mannequin_benchmark(split, "Mannequins", hidden=True, position=10, organiser=people["organiser"])
        for split in ("test", "val")
    ])  # fmt: skip
    monkeypatch.setattr(demo.runnable, "can_run_here", lambda: False)
    # someone's own benchmark on a split that the demo uses as well
    own = Benchmark.objects.create(slug="my-flic", dataset="flic", split="test", title="My FLIC")
    demo.seed(lambda _: None)
    changed = Benchmark.objects.get(slug="mannequins-test")
    Benchmark.objects.filter(pk=changed.pk).update(title="Ours", is_public=False, daily_limit=1, boxes_given=False)
    changed.organisers.clear()
    Benchmark.objects.get(slug="coco-val2017").organisers.clear()
    demo.seed(lambda _: None)
    changed.refresh_from_db()
    assert (changed.title, changed.is_public, changed.daily_limit, changed.boxes_given) == ("Ours", False, 1, False)
    assert not changed.organisers.exists() and not Benchmark.objects.get(slug="coco-val2017").organisers.exists()
    assert list(Benchmark.objects.filter(dataset="flic")) == [own]


def test_the_admin_writes_only_what_was_changed(
    benchmark: Benchmark, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard.admin import BenchmarkAdmin

    User.objects.create_superuser("root", "root@example.org", "a-long-password")
    client.login(username="root", password="a-long-password")
    address = f"/admin/leaderboard/benchmark/{benchmark.pk}/change/"
    fields = {
        name: "" if value is None else value
        for name, value in model_to_dict(benchmark, exclude=["teams", "organisers"]).items()
        if value is not False
    }
    real = BenchmarkAdmin.save_model

    def later(self: Any, *args: Any, **options: Any) -> None:
        # a worker puts annotations into force after the form was read and before it is saved
        Benchmark.objects.filter(pk=benchmark.pk).update(truth_sha256="f" * 64, image_count=3)
        real(self, *args, **options)

    monkeypatch.setattr(BenchmarkAdmin, "save_model", later)
    fields |= {"title": "New title"}
    response = client.post(address, fields)
    assert response.status_code == 302, response.content.decode()
    changed = Benchmark.objects.get()
    assert (changed.title, changed.truth_sha256, changed.image_count) == ("New title", "f" * 64, 3)
    assert changed.version == benchmark.version + 1


def test_editing_a_method_preserves_what_another_edit_changed(method: Method, alice: User) -> None:
    stale = Method.objects.get(pk=method.pk)
    Method.objects.filter(pk=method.pk).update(year=2016, is_baseline=True)
    teams.edit_method(method=stale, by=alice, authors="Wei et al.")
    method.refresh_from_db()
    assert (method.year, method.is_baseline, method.authors) == (2016, True, "Wei et al.")


def as_a_browser_sends(page: str) -> dict[str, str]:
    """The fields of the limits-and-dates form, as the page fills them in."""
    sent = {}
    for tag in re.findall(r"<input [^>]*>", page.rsplit('<form method="post" class="stack">', 1)[1]):
        named = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
        if named.get("type") != "checkbox" or " checked" in tag:
            sent[named["name"]] = named.get("value", "on" if named.get("type") == "checkbox" else "")
    return sent


def test_a_form_opened_long_ago_does_not_overwrite_later_changes(
    benchmark: Benchmark, alice: User, client: Any
) -> None:
    benchmark.organisers.add(alice)
    Benchmark.objects.update(opens_at="2026-05-01T12:30Z")
    client.force_login(alice)
    sent = as_a_browser_sends(client.get("/organise/lsp-test-pc/").content.decode())
    assert sent["initial-is_public"] == "True" and sent["is_public"] == "on"
    # while the form is open, someone makes the benchmark private and changes its limits and dates
    Benchmark.objects.update(is_public=False, publishes_all=True, total_limit=77, opens_at=None)
    assert client.post("/organise/lsp-test-pc/", {**sent, "title": "New title"}).status_code == 302
    saved = Benchmark.objects.get()
    assert (saved.title, saved.is_public, saved.publishes_all, saved.total_limit, saved.opens_at) == (
        "New title", False, True, 77, None,
    )  # fmt: skip
    # what the organiser did change is saved, unticked boxes included
    sent = {key: value for key, value in sent.items() if key != "is_public"}
    Benchmark.objects.update(is_public=True)
    client.post("/organise/lsp-test-pc/", {**sent, "daily_limit": 9, "opens_at": "2026-06-01T00:00"})
    saved = Benchmark.objects.get()
    assert (saved.is_public, saved.daily_limit, saved.title) == (False, 9, "New title")
    assert saved.opens_at is not None and saved.opens_at.isoformat() == "2026-06-01T00:00:00+00:00"
    # a script that sends only the fields themselves sets all of them
    bare = {key: value for key, value in sent.items() if not key.startswith("initial-")}
    client.post("/organise/lsp-test-pc/", {**bare, "is_public": "on", "title": "By a script"})
    saved = Benchmark.objects.get()
    assert (saved.title, saved.is_public, saved.daily_limit) == ("By a script", True, benchmark.daily_limit)
