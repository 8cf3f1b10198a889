"""The models' cards are all that pages and commands need to know of the baselines; torch is not imported."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from baselines import registry
from baselines.__main__ import main
from baselines.models import blazepose
from baselines.run import counting
from evaluator import load_dataset


def test_cards_are_read_without_torch_and_oldest_paper_first() -> None:
    code = "import sys\nfrom baselines import registry\nprint(list(registry.cards()), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{list(registry.cards())} False"
    years = [card.citation.year for card in registry.cards().values()]
    assert years == sorted(years) and len(years) >= 10


def test_each_card_is_complete_and_matches_its_module() -> None:
    for name, card in registry.cards().items():
        module = registry.module(name)
        assert module.MODEL["title"] == card.title
        assert hasattr(module, "build") == bool(card.estimator), name
        assert hasattr(module, "estimator") != bool(card.estimator), name
        assert card.summary and card.citation.authors and card.citation.link.startswith("https://")


def test_only_its_own_file_and_its_checkpoints_name_a_model() -> None:
    """One file adds a model. The recognisers and converters of public checkpoints name the models they are for."""
    root = registry.FOLDER.parent
    files = [*(root / "baselines").rglob("*.py"), *(root / "leaderboard").rglob("*.py")]
    may = {"recognition.py", "formats.py", "demo.py"}
    wrong = [
        f"{file.relative_to(root)}: {name}"
        for file in files
        for name in registry.cards()
        if file.stem != name and file.name not in may and f'"{name}"' in file.read_text()
    ]
    assert not wrong


def test_costs_are_counted_from_the_networks_and_read_without_torch(tmp_path: Path) -> None:
    assert all(each.parameters is None for each in registry.variants("hrnet", tmp_path))
    counting.write(tmp_path)
    sizes = {(name, v.name): v.parameters for name in registry.cards() for v in registry.variants(name, tmp_path)}
    # Sun et al. 2019, Newell et al. 2016 and Wei et al. 2016, as counted in docs/baselines.md
    assert sizes["hrnet", "w32"] == 28_536_113 and sizes["hrnet", "w48"] == 63_595_745
    assert sizes["stacked_hourglass", "full"] == 25_434_112 and sizes["cpm", "full"] == 31_219_866
    assert sizes["blazepose", "full"] == 3_169_489
    listed = io.StringIO()
    with contextlib.redirect_stdout(listed):
        assert main(["list", "--json"]) == 0
    assert {(row["name"], row["variant"]): row["parameters"] for row in json.loads(listed.getvalue())} == sizes


def test_counts_of_other_models_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting.write(tmp_path)
    assert registry.counts(tmp_path)
    monkeypatch.setattr(registry, "models_sha256", lambda: "another")
    assert registry.counts(tmp_path) == {}
    (tmp_path / registry.COSTS).write_text("{")
    assert registry.counts(tmp_path) == {}


CARD = 'MODEL = {"title": "A", "citation": {"authors": ("B",), "title": "C", "venue": "D", "year": 2000}'


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (', "drawing": {"blocks": (("a", "image", (0, 0), "image", "", 0),), "links": "a > b"}}', "no block b"),
        (', "summery": ""}', "summery"),
        (', "weights": "magic"}', "weights is 'magic'"),
        (', "default_variant": "large"}', "default_variant is 'large'"),
        (', "summary": str(1)}', "malformed"),
    ],
)
def test_an_invalid_card_is_named(rest: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "a_model.py"
    file.write_text(CARD + rest)
    with pytest.raises(ValueError, match=rf"a_model\.py: MODEL: .*{said}"):
        registry.read(file)


def test_a_file_without_a_card_is_not_a_model(tmp_path: Path) -> None:
    file = tmp_path / "blocks.py"
    file.write_text("WIDTH = 3\n")
    assert registry.read(file) is None
    assert "blocks_resnet" not in registry.cards()


def test_which_variants_can_run_and_why_others_cannot(tmp_path: Path) -> None:
    (tmp_path / blazepose.FILES["full"]["file"]).touch()

    def found(dataset: str) -> dict[tuple[str, str], str]:
        listed = registry.runnable(load_dataset(dataset).joints, tmp_path)
        return {(each.baseline, each.variant): each.why_not for each in listed}

    mannequins, lsp = found("mannequins"), found("lsp")
    assert mannequins["stacked_hourglass", "narrow"] == "" and mannequins["blazepose", "full"] == ""
    assert "python -m baselines fetch blazepose --variant lite" in mannequins["blazepose", "lite"]
    assert lsp["stacked_hourglass", "narrow"] == "it was not trained for neck, head_top"
    assert lsp["blazepose", "full"] == ""


def test_the_joints_on_blazeposes_card_are_those_it_can_predict() -> None:
    joints = set(blazepose.LANDMARKS) | set(blazepose.ALONG_THE_NECK) | {"pelvis"}
    assert set(registry.card("blazepose").joints) == joints
