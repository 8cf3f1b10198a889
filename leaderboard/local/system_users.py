"""The web server and the workers as two users, where `serve` runs as root: the first cannot open an annotation file.

The web user's group is what the two share: the database, uploads, weights (read by the web server), the broker's socket
and the drop, into which it writes. Annotations, hidden images and baseline runs are the worker's alone.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from leaderboard.local.supervisor import Program

DEFAULTS = ("poseboard-web", "poseboard-worker")
UMASK = 0o007


@dataclass(frozen=True)
class Accounts:
    web: pwd.struct_passwd
    worker: pwd.struct_passwd

    @property
    def group(self) -> int:
        return self.web.pw_gid

    def run(self, program: Program, user: pwd.struct_passwd) -> Program:
        """Let a program run as one of the two."""
        program.user, program.group, program.umask = user.pw_uid, self.group, UMASK
        program.groups = [each for each in os.getgrouplist(user.pw_name, user.pw_gid) if each != 0]
        if user == self.web:
            program.groups = [each for each in program.groups if each != self.worker.pw_gid]
        program.variables = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
        return program


def chosen(environment: MutableMapping[str, str]) -> Accounts | None:
    """The two users that the environment names, or the usual ones where they exist. None: all programs share ours."""
    names = [environment.get(name, "") for name in ("POSEBOARD_WEB_USER", "POSEBOARD_WORKER_USER")]
    if os.geteuid() != 0:
        if any(names):
            raise SystemExit(
                "POSEBOARD_WEB_USER and POSEBOARD_WORKER_USER: only root can start programs as other users"
            )
        return None
    if not any(names):
        names = [name for name in DEFAULTS if _user(name)]
        if len(names) < len(DEFAULTS):
            return None
    web, worker = map(_user, names)
    if web is None or worker is None or 0 in {web.pw_uid, worker.pw_uid} or web.pw_uid == worker.pw_uid:
        raise SystemExit(
            f"POSEBOARD_WEB_USER={names[0]!r}, POSEBOARD_WORKER_USER={names[1]!r}: name two users of this machine, "
            "neither of them root"
        )
    return Accounts(web, worker)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def arrange(data: Path, accounts: Accounts, *, folders: dict[str, Path]) -> None:
    """Give the data folder and what is in it to the two users. What is right already is not walked through again."""
    worker, group = accounts.worker.pw_uid, accounts.group
    # sticky: neither user can move or replace what the other made
    _give(data, worker, group, 0o1770)
    modes = {"uploads": 0o2770, "annotations": 0o700, "drop": 0o1730, "checkpoints": 0o750, "runs": 0o700}
    for name, mode in modes.items():
        folder = folders[name]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != worker or name == "checkpoints":
            _give_all(folder, worker, group, shared=name in {"uploads", "checkpoints"})
        _give(folder, worker, group, mode)
    (data / "broker").mkdir(exist_ok=True)
    for file in [data / "broker", *(data / "broker").rglob("*")]:
        _give(file, worker, group, 0o750 if file.is_dir() else 0o600)
    for pattern, mode in {"db.sqlite3*": 0o660, "schedule*": 0o600, "demo-*": 0o600, "secret-key": 0o600}.items():
        for file in data.glob(pattern):
            _give(file, worker, group, mode)


def make_database(file: Path, accounts: Accounts) -> None:
    """SQLite gives its other files the owner and the mode of the first: made here, they are shared from the start."""
    file.touch(mode=0o660)
    _give(file, accounts.worker.pw_uid, accounts.group, 0o660)


def can_run(accounts: Accounts, root: Path, data: Path) -> str:
    """Why one of the users cannot run the programs, or nothing. The code or the data may lie in a closed home."""
    code = "import os, sys; import leaderboard; os.scandir(sys.argv[1]).close()"
    for user in (accounts.web, accounts.worker):
        try:
            tried = subprocess.run(
                [sys.executable, "-c", code, str(data)],
                cwd=root,
                user=user.pw_uid,
                group=accounts.group,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            )
        except PermissionError as error:
            return f"{user.pw_name} cannot run {error.filename}"
        if tried.returncode:
            last = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
            return f"{user.pw_name} cannot run the code in {root}, or cannot enter {data}: {last}"
    return ""


def _give_all(folder: Path, user: int, group: int, *, shared: bool) -> None:
    for parent, folders, files in os.walk(folder):
        for name in folders:
            _give(Path(parent, name), user, group, 0o2770 if shared else 0o700)
        for name in files:
            _give(Path(parent, name), user, group, 0o640 if shared else 0o600)


def _give(path: Path, user: int, group: int, mode: int) -> None:
    """Links are left alone: whatever they lead to is not ours to give away."""
    if path.is_symlink():
        return
    os.chown(path, user, group)
    path.chmod(mode)
