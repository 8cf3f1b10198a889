"""Nobody else on the machine enters the data folder, whichever command makes it; web and workers can be two users."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leaderboard.files import folders
from leaderboard.local import system_users
from tests.leaderboard.conftest import annotations_json, predictions
from tests.servers.test_serve import ROOT, LocalSite
from tests.waiting import wait_until

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def manage(*arguments: str, umask: int = 0o022, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("POSEBOARD_", "DJANGO_"))}
    clean.pop("DATABASE_URL", None)
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean | {"DEMO": "0", "BASELINES": "0"} | environment,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [["migrate"], ["import_benchmark", "nothing", "x", "--split", "x"]],
    ids=lambda command: command[0],
)
def test_whatever_command_comes_first_makes_a_closed_folder(command: list[str], tmp_path: Path) -> None:
    manage(*command, umask=0, POSEBOARD_DATA=str(tmp_path / "new" / "data"))
    assert mode(tmp_path / "new" / "data") == 0o700


@pytest.mark.parametrize("before", [0o755, 0o701], ids=oct)
def test_open_folder_is_closed_and_said(before: int, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(before)
    done = manage("check", POSEBOARD_DATA=str(data))
    assert mode(data) == 0o700
    assert f"Data folder {data} was open to other users of this machine; its permissions are now 0700." in done.stderr
    assert "Data folder" not in manage("check", POSEBOARD_DATA=str(data)).stderr


def test_folder_behind_a_link_is_closed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    manage("check", POSEBOARD_DATA=str(tmp_path / "data"))
    assert mode(tmp_path / "disk") == 0o700


def test_folders_that_were_put_elsewhere_are_closed(tmp_path: Path) -> None:
    names = ["UPLOADS", "ANNOTATIONS", "DROP", "CHECKPOINTS", "RUNS"]
    (tmp_path / "ANNOTATIONS").mkdir(mode=0o755)
    chosen = {f"POSEBOARD_{name}": str(tmp_path / name) for name in names}
    manage("check", umask=0, POSEBOARD_DATA=str(tmp_path / "data"), **chosen)
    assert {name: mode(tmp_path / name) for name in names} == dict.fromkeys(names, 0o700)


def test_group_that_was_let_in_on_purpose_stays_except_under_serve(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o750)
    assert folders.make_private(data) == "" and mode(data) == 0o750
    assert "now 0700" in folders.make_private(data, group=False) and mode(data) == 0o700


@root_only
def test_folder_of_somebody_else_is_refused_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, pwd.getpwnam("daemon").pw_uid, -1)
    refused = manage("migrate", POSEBOARD_DATA=str(data))
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert f"The data folder {data} belongs to daemon: run this command as that account" in refused.stderr
    assert list(data.iterdir()) == []


@root_only
def test_folder_that_another_user_left_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user who is not root and does not own it: what cannot be closed is not written to."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with pytest.raises(folders.NotPrivate, match=r"belongs to root\. Ask its owner to run chmod 700"):
            folders.make_private(Path(name))


def test_server_with_its_data_elsewhere_needs_no_data_folder(tmp_path: Path) -> None:
    """A container with PostgreSQL and a key of its own: the data folder may be somebody's, or not to be made."""
    file = tmp_path / "file"
    file.write_text("")
    environment = {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "POSEBOARD_SECRET_KEY": "x" * 50}
    done = manage("check", POSEBOARD_DATA=str(file / "data"), **environment)
    assert done.returncode == 0, done.stderr
    assert "cannot be made" in manage("check", POSEBOARD_DATA=str(file / "data")).stderr


@pytest.mark.parametrize(
    "users", [("www-data", ""), ("root", "daemon"), ("daemon", "daemon"), ("nobody-such", "daemon")]
)
def test_wrong_users_are_refused_in_one_line(users: tuple[str, str], tmp_path: Path) -> None:
    names = dict(zip(("POSEBOARD_WEB_USER", "POSEBOARD_WORKER_USER"), users, strict=True))
    refused = manage("serve", POSEBOARD_DATA=str(tmp_path), **names)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert "POSEBOARD_WORKER_USER" in refused.stderr


# --- two users, for real ---------------------------------------------------------------------------------------------

WEB, WORKER, STRANGER = "www-data", "daemon", "nobody"


def run_as(user: str, *command: str, code: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `serve` starts programs: the worker has the web user's group."""
    group = "www-data" if user in {WEB, WORKER} else user
    return subprocess.run(
        command,
        cwd=code,
        user=user,
        group=pwd.getpwnam(group).pw_gid,
        extra_groups=[],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """One that every user may enter, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="poseboard-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def linked(source: str, target: str) -> None:
    """The same file under another name, which takes no time; a copy where that is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@pytest.fixture(scope="module")
def code(open_folder: Path) -> Path:
    """The project where every user may read it: its own folder may lie in a closed one."""
    folder = open_folder / "code"
    left_out = shutil.ignore_patterns("__pycache__", "checkpoints")
    for name in ("leaderboard", "evaluator", "baselines"):
        shutil.copytree(ROOT / name, folder / name, copy_function=linked, ignore=left_out)
    linked(str(ROOT / "manage.py"), str(folder / "manage.py"))
    return folder


@pytest.fixture(scope="module")
def interpreter(open_folder: Path) -> str:
    """A Python that other users can run, with the packages of this one: root's own may lie in its closed home."""
    made = open_folder / "venv"
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            usable = [run_as(user, python, "-c", "").returncode == 0 for user in (WEB, WORKER)]
        except (PermissionError, FileNotFoundError):
            continue
        if all(usable):
            subprocess.run([python, "-m", "venv", "--without-pip", str(made)], check=True, umask=0o022)
            (library,) = made.glob("lib/python3*/site-packages")
            large = ("torch*", "nvidia*", "triton*", "playwright*", "scipy*", "mypy*", "__pycache__", "__editable*")
            shutil.copytree(
                sysconfig.get_path("purelib"), library, copy_function=linked, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns(*large),
            )  # fmt: skip
            # for Python before 3.11.3, redis asks for a package that a newer interpreter had no reason to install
            (library / "async_timeout.py").write_text("from asyncio import timeout\n")
            return str(made / "bin" / "python")
    message = "no Python here that other users than root can run"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def two_users(open_folder: Path, code: Path, interpreter: str) -> Iterator[LocalSite]:
    data = open_folder / "data"
    data.mkdir(mode=0o755)
    # as an earlier start left it, when all programs ran as root
    (data / "annotations" / "old").mkdir(parents=True)
    (data / "annotations" / "old" / "truth.json").write_text("hidden")
    users = {"POSEBOARD_WEB_USER": WEB, "POSEBOARD_WORKER_USER": WORKER, "BASELINES": "0"}
    site = LocalSite(data, python=interpreter, code=code, PYTHONDONTWRITEBYTECODE="1", **users)
    yield site
    if site.process.poll() is None:
        site.stop()


def owners(site: LocalSite) -> dict[str, str]:
    return {
        name: pwd.getpwuid(Path(f"/proc/{number}").stat().st_uid).pw_name for name, number in site.programs().items()
    }


SETUP = """
from django.test import Client
from leaderboard.operations import tokens
from leaderboard.models import Benchmark, User
user = User.objects.create_user("olga", "olga@example.org", "a-long-password")
Benchmark.objects.create(slug="lsp-test-pc", dataset="lsp", split="test-pc", title="LSP").organisers.add(user)
client = Client()
client.force_login(user)
print(client.cookies["session"].value, tokens.create(user=user, name="t", scopes=["read", "submit"])[1])
"""


MAKE_A_BLOB = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "leaderboard.settings"
from leaderboard.files import blobs
blobs.store([b"another"], limit=100)
"""


@pytest.mark.processes
@pytest.mark.xdist_group("processes")
@root_only
def test_web_user_opens_no_annotations_and_submissions_are_scored(
    two_users: LocalSite, code: Path, interpreter: str
) -> None:
    site, data = two_users, two_users.data
    python, environment = interpreter, {name: site.environment[name] for name in ("PATH", "POSEBOARD_DATA")}
    assert f"The web server runs as {WEB}, workers as {WORKER}." in site.text()
    assert owners(site) == {"web": WEB, "scoring": WORKER, "scheduler": WORKER, "broker": WORKER}

    made = run_as(WORKER, python, "manage.py", "shell", "-c", SETUP, code=code, **environment)
    assert made.returncode == 0, made.stderr
    session, token = made.stdout.split()[-2:]
    with httpx.Client(base_url=f"http://127.0.0.1:{site.port}", timeout=60, cookies={"session": session}) as client:
        client.get("/organise/lsp-test-pc/")
        response = client.post(
            "/organise/lsp-test-pc/import",
            headers={"X-CSRFToken": client.cookies["csrf"]},
            files={"file": ("truth.json", json.dumps(annotations_json()))},
        )
        assert response.status_code == 302, response.text
        state = lambda: client.get("/api/v1/benchmarks/lsp-test-pc").json()["state"]  # noqa: E731
        assert wait_until(lambda: state() == "open", 60), site.text()
        response = client.post(
            "/api/v1/submissions",
            headers={"Authorization": f"Bearer {token}"},
            data={"benchmark": "lsp-test-pc", "method": "Mine"},
            files={"file": ("mine.json", predictions())},
        )
        assert response.status_code == 202, response.text
        address = f"/api/v1/submissions/{response.json()['id']}"
        sent: dict[str, Any] = {}

        def ended() -> bool:
            sent.update(client.get(address, headers={"Authorization": f"Bearer {token}"}).json())
            return sent["state"] not in {"queued", "running"}

        assert wait_until(ended, 90) and sent["state"] == "scored", site.text()

    (truth,) = (data / "annotations" / "lsp-test-pc").glob("*.json")
    read = "import sys; open(sys.argv[1]).read()"
    for user, file, may in [
        (WORKER, truth, True),
        (WEB, truth, False),
        (WEB, data / "annotations" / "old" / "truth.json", False),
        (WEB, data / "secret-key", False),
        (STRANGER, data / "db.sqlite3", False),
        (WEB, next((data / "uploads").glob("??/*")), True),
    ]:
        tried = run_as(user, python, "-c", read, str(file))
        assert (tried.returncode == 0) is may, (user, file, tried.stderr)
        assert may or "PermissionError" in tried.stderr
    # what a command of the worker's user adds to the shared folders, the web server can use
    run_as(WORKER, python, "-c", MAKE_A_BLOB, code=code, **environment)
    assert {mode(folder) & 0o777 for folder in (data / "uploads").iterdir()} == {0o770}
    for folder in ("annotations", "drop"):
        listed = run_as(WEB, python, "-c", "import os, sys; os.listdir(sys.argv[1])", str(data / folder))
        assert "PermissionError" in listed.stderr
    # nor can the web user move the worker's folders away
    moved = run_as(
        WEB, python, "-c", "import os, sys; os.rename(*sys.argv[1:])", str(data / "annotations"), str(data / "x")
    )
    assert "PermissionError" in moved.stderr and (data / "annotations").exists()


@root_only
def test_closed_code_or_data_is_said(tmp_path: Path) -> None:
    """pytest's folders are root's alone."""
    users = system_users.Accounts(pwd.getpwnam(WEB), pwd.getpwnam(WORKER))
    assert f"{WEB} cannot" in system_users.can_run(users, ROOT, tmp_path)
