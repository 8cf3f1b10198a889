"""Every command of the README in its order, as a newcomer types it; BlazePose on the LSP images comes last."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT, LocalSite, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_two_commands_are_the_makefiles() -> None:
    """`make serve` runs for all of these tests, and `make test` runs them."""
    assert BLOCKS[0].strip() == "make serve"
    assert BLOCKS[1].strip() == "make test"
    plan = subprocess.run(["make", "-n", "serve", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "manage.py serve" in plan
    assert "pytest" in plan


@pytest.mark.real_data
@pytest.mark.slow
def test_commands_do_what_they_say(site: LocalSite, real_data: Path, tmp_path: Path) -> None:
    lsp = real_data / "lsp"
    for name, target in {
        ".venv": ROOT / ".venv",
        "manage.py": ROOT / "manage.py",
        "data": site.data,
        "images": lsp / "images",
        "LSP-joints-PC.mat": lsp / "LSP-joints-PC.mat",
        "pred_keypoints_lsp_pc.mat": lsp / "WeiCVPR16" / "pred_keypoints_lsp_pc.mat",
        "pred_sticks_lsp_pc.mat": lsp / "WeiCVPR16" / "pred_sticks_lsp_pc.mat",
    }.items():
        (tmp_path / name).symlink_to(target)
    script = "set -eux\n" + "\n".join(BLOCKS[2:]).replace("http://127.0.0.1:8000", site.url)
    # as a shell that knows nothing of the tests' environment
    environment = {name: site.environment[name] for name in ("PATH", "HOME", "LANG") if name in site.environment}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # the offline score of the released predictions is the published one
    assert re.search(r"90\.5|0\.905", done.stdout)
    entries = site.api.get("/boards/lsp-test-pc").json()["entries"]
    assert {"Convolutional Pose Machines"} <= {entry["name"] for entry in entries if entry["team"] == "Wei et al."}

    def blazepose() -> list[dict[str, float]]:
        entries = site.api.get("/boards/lsp-test-pc").json()["entries"]
        return [entry for entry in entries if entry["kind"] == "baseline"]

    wait_for(blazepose, seconds=60, what="the row of BlazePose")
    # measured for the full variant on whole images padded to a square, one pass
    assert blazepose()[0]["value"] == pytest.approx(0.760, abs=0.005)
    mine = site.api.get("/submissions").json()["items"]
    assert {"Upright, by curl", "Upright, by command"} <= {item["method"]["name"] for item in mine}
