"""What pages and commands know of the baselines without torch is what the networks are."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from baselines import architectures, module, registry
from baselines.__main__ import main
from baselines.models import blazepose
from evaluator import load_dataset


def test_the_kept_costs_are_what_the_command_prints() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["list", "--json"]) == 0
    assert json.loads(registry.COSTS.read_text()) == json.loads(printed.getvalue()), (
        "run: python -m baselines list --json > baselines/costs.json"
    )


def test_titles_and_papers_are_the_modules() -> None:
    for name, about in registry.catalogue().items():
        assert about.title == module(name).TITLE
        paper = about.paper
        source = f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}, arXiv {paper.arxiv}"
        assert source == module(name).SOURCE
        assert [variant.name for variant in about.variants] == list(module(name).VARIANTS)
    assert list(registry.catalogue()) == architectures()


def test_published_sizes_stand_in_the_catalogue() -> None:
    sizes = {(name, v.name): v.parameters for name, each in registry.catalogue().items() for v in each.variants}
    # Sun et al. 2019, Newell et al. 2016 and Wei et al. 2016, as counted in docs/baselines.md
    assert sizes["hrnet", "w32"] == 28_536_113 and sizes["hrnet", "w48"] == 63_595_745
    assert sizes["stacked_hourglass", "full"] == 25_434_112 and sizes["cpm", "full"] == 31_219_866


def test_a_description_that_cannot_be_drawn_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = registry.catalogue()["cpm"]
    (tmp_path / "descriptions").mkdir()
    file = tmp_path / "descriptions" / "cpm.toml"
    whole = (registry.FOLDER / "descriptions" / "cpm.toml").read_text()
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    file.write_text(whole.replace('["image", "trunk1"]', '["image", "trunk9"]'))
    with pytest.raises(ValueError, match=r"cpm\.toml: no block trunk9"):
        registry._described("cpm", about.paper, about.variants)
    file.write_text(whole.replace("summary =", "summery ="))
    with pytest.raises(ValueError, match=r"cpm\.toml: .*summ"):
        registry._described("cpm", about.paper, about.variants)


def test_choices_say_what_runs_and_why_the_rest_does_not(tmp_path: Path) -> None:
    (tmp_path / blazepose.VARIANTS["full"].file).touch()
    found = {
        (each.baseline, each.variant): each.why_not
        for each in registry.choices(load_dataset("mannequins").joints, tmp_path)
    }
    assert found["stacked_hourglass", "narrow"] == "" and found["blazepose", "full"] == ""
    assert "python -m baselines fetch blazepose --variant lite" in found["blazepose", "lite"]
    lsp = {
        (each.baseline, each.variant): each.why_not for each in registry.choices(load_dataset("lsp").joints, tmp_path)
    }
    assert lsp["stacked_hourglass", "narrow"] == "it was not trained for neck, head_top"
    assert lsp["blazepose", "full"] == ""
