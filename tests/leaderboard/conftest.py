"""A small LSP board built here, and three people: Alice owns, Bob is on the team, Charlie is a stranger."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboard.files import blobs
from leaderboard.files.blobs import Blob
from leaderboard.models import Benchmark, Evaluation, Membership, Method, Submission, Team, User
from leaderboard.operations import releases, submissions
from leaderboard.operations.refusals import Refused
from leaderboard.operations.submissions import SubmissionRequest
from leaderboard.operations.teams import own_team
from leaderboard.queue.leases import Claim, claim_next
from tests.conftest import ROOT

IMAGES = 8
JOINTS = [
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
]  # fmt: skip
POSE = np.array(
    [[40, 160], [40, 130], [42, 100], [58, 100], [60, 130], [60, 160], [20, 95], [25, 75], [38, 50], [62, 50], [75, 75],
     [80, 95], [50, 45], [50, 20]], dtype=float,
)  # fmt: skip


def annotations_json(images: int = IMAGES) -> dict[str, Any]:
    """People in the same pose, each image's shifted by one more pixel."""
    return {
        "info": {"dataset": "lsp", "split": "test"},
        "images": [
            {"id": 1001 + i, "file_name": f"im{1001 + i}.jpg", "width": 120, "height": 180} for i in range(images)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 1001 + i,
                "person_id": 0,
                "category_id": 1,
                "keypoints": np.column_stack([POSE + i, np.full(14, 2)]).ravel().tolist(),
                "num_keypoints": 14,
                "iscrowd": 0,
                "bbox": [20.0 + i, 20.0 + i, 60.0, 140.0],
                "area": 4452.0,
            }
            for i in range(images)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": []}],
    }


def predictions(*, miss: int = 0, images: int = IMAGES) -> bytes:
    """The annotated poses, with the first `miss` joints of everyone 1,000 px away."""
    entries = []
    for i in range(images):
        joints = POSE + i
        joints = joints + np.where(np.arange(14)[:, None] < miss, 1000.0, 0.0)
        entries.append(
            {
                "image_id": 1001 + i,
                "person_id": 0,
                "keypoints": np.column_stack([joints, np.ones(14)]).ravel().tolist(),
                "score": 1.0,
            }
        )
    return json.dumps(entries).encode()


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.ANNOTATIONS_DIR = tmp_path / "annotations"
    settings.DROP_DIR = tmp_path / "drop"


@cache
def documented_codes() -> frozenset[tuple[str, str]]:
    """(status, code) of the table of errors in docs/api.md."""
    rows = re.findall(r"^\| (\d{3}) \|.*\| (.*) \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    return frozenset((status, code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes))


@pytest.fixture(autouse=True)
def _documented_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an operation does not allow in a test has a status that docs/api.md lists for its code."""
    real = Refused.__init__

    def checked(refused: Refused, code: str, *given: Any, **options: Any) -> None:
        real(refused, code, *given, **options)
        statuses = {status for status, documented in documented_codes() if documented == code}
        assert not statuses or str(refused.status) in statuses, (code, refused.status)

    monkeypatch.setattr(Refused, "__init__", checked)


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.org", "a-long-password")


@pytest.fixture
def team(alice: User) -> Team:
    return own_team(alice)


@pytest.fixture
def bob(team: Team) -> User:
    user = User.objects.create_user("bob", "bob@example.org", "a-long-password")
    Membership.objects.create(team=team, user=user)
    return user


@pytest.fixture
def charlie(db: None) -> User:
    return User.objects.create_user("charlie", "charlie@example.org", "a-long-password")


@pytest.fixture
def benchmark(db: None) -> Benchmark:
    board = Benchmark.objects.create(slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP", running_limit=50)
    releases.put_into_force(board, json.dumps(annotations_json()).encode())
    return board


@pytest.fixture
def method(team: Team) -> Method:
    return Method.objects.create(team=team, name="Pictorial structures")


@pytest.fixture
def send(benchmark: Benchmark, method: Method, alice: User):
    """Accept a file as Alice; `send(miss=3)` builds it, `send(content=b"...")` sends those bytes."""

    def send(content: bytes | None = None, *, miss: int = 0, to: Method = method, **fields: Any) -> Submission:
        blob = blobs.store([predictions(miss=miss) if content is None else content], limit=1 << 20)
        return submit(to, blob, **{"user": alice, "benchmark": benchmark, **fields})

    return send


def submit(method: Method, blob: Blob, **fields: Any) -> Submission:
    """Submit a stored file for a method, by the API unless the fields say otherwise."""
    request = SubmissionRequest(**{"team": method.team, "source": "api", **fields})
    return submissions.submit(request=request, method=method, blob=blob)[0]


def claim() -> Claim[Evaluation]:
    """The next evaluation; there must be one."""
    claimed = claim_next(Evaluation)
    assert claimed is not None
    return claimed


def report(value: float = 0.5) -> dict[str, Any]:
    """What the sandbox hands over, with one score."""
    return {
        "scores": [{"metric": "pck@0.2", "part": "all", "value": value, "low": None, "high": None}],
        "images": IMAGES,
    }
