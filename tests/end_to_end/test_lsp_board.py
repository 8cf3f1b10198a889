"""A hidden LSP board from real annotations: published methods, sent by accounts of their own, in published order."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import LocalSite, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.real_data, pytest.mark.xdist_group("processes")]

# who has released predictions on LSP test, person-centric; the folder, what the board calls them, the year
METHODS = {
    "WeiCVPR16": ("Convolutional Pose Machines", 2016),
    "YangCVPR16": ("Deformable Mixture of Parts", 2016),
    "ChenYuilleNIPS14": ("Image-Dependent Pairwise", 2014),
    "FanCVPR15": ("Dual-Source Deep Nets", 2015),
    "TompsonNIPS14": ("Joint CNN and Graphical Model", 2014),
    "pishchulin13iccv": ("Strong Appearance", 2013),
}
ACCOUNT = """
from leaderboard.operations import tokens
from leaderboard.models import User
user = User.objects.create_user({name!r}, {name!r} + "@example.org")
print(tokens.create(user=user, name="test", scopes=["read", "submit"])[1])
"""


@pytest.fixture(scope="module")
def board(site: LocalSite, real_data: Path) -> str:
    lsp = real_data / "lsp"
    site.manage(
        "import_benchmark", "lsp", str(lsp / "LSP-joints-PC.mat"), "--split", "test-pc", "--images",
        str(lsp / "images"), "--public-elsewhere",
    )  # fmt: skip
    return "lsp-test-pc"


def test_published_methods_are_ranked_in_their_published_order(
    site: LocalSite, board: str, real_data: Path, tmp_path: Path
) -> None:
    published = json.loads((real_data / "published_scores.json").read_text())["tables"]["LSP-PCK@0.2-PC"]
    sent = {}
    for folder, (method, _) in METHODS.items():
        predictions = tmp_path / f"{folder}.json"
        source = real_data / "lsp" / folder
        site.command(
            "convert", "predictions", "lsp", str(source / "pred_keypoints_lsp_pc.mat"),
            "--limbs", str(source / "pred_sticks_lsp_pc.mat"), "-o", str(predictions),
        )  # fmt: skip
        token = site.manage("shell", "-v", "0", "-c", ACCOUNT.format(name=folder)).strip().splitlines()[-1]
        with predictions.open("rb") as file, httpx.Client(timeout=60) as client:
            response = client.post(
                f"{site.url}/api/v1/submissions",
                headers={"Authorization": f"Bearer {token}"},
                data={"benchmark": board, "method": method, "publish": "true"},
                files={"file": file},
            )
        assert response.status_code == 202, response.text
        sent[folder] = response.json()["id"]

    def ranked() -> list[dict[str, object]]:
        entries = site.api.get(f"/boards/{board}").json()["entries"]
        return [entry for entry in entries if entry["team"] in METHODS]

    wait_for(lambda: len(ranked()) == len(METHODS), seconds=120, what="all methods to be on the board")
    rows = ranked()
    names = {method: folder for folder, (method, _) in METHODS.items()}
    order = [names[str(row["name"])] for row in rows]
    assert order == sorted(METHODS, key=lambda folder: -published[folder]["computed"][-1])
    for row in rows:
        computed = published[names[str(row["name"])]]["computed"][-1]
        assert row["value"] == pytest.approx(computed / 100, abs=1e-9)
        assert row["low"] < row["value"] < row["high"]  # type: ignore[operator]


def test_board_says_that_its_annotations_are_public(site: LocalSite, board: str) -> None:
    page = httpx.get(f"{site.url}/{board}/").raise_for_status().text
    assert "public elsewhere" in page
