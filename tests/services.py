"""What the tests need besides Python: Chromium, fonts, PostgreSQL and Caddy.

python tests/services.py install                   # by apt when that is possible, otherwise says what is missing
python tests/services.py postgres -- COMMAND ...   # COMMAND with DATABASE_URL of a throw-away PostgreSQL server
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def postgres_folder() -> Path | None:
    """The folder with initdb and postgres: on PATH, or where Debian keeps each version's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql")
    folders = [folder for folder in versions.glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def chromium() -> str | None:
    """The browser's command."""
    for name in CHROMIUM:
        if found := shutil.which(name):
            return found
    return str(MAC_CHROME) if MAC_CHROME.exists() else None


def missing() -> list[str]:
    """Debian's names of the packages that are not here."""
    wanted = {
        "chromium": chromium(),
        "postgresql": postgres_folder(),
        "caddy": shutil.which("caddy"),
        "fonts-dejavu-core": has_fonts(),
    }
    return [name for name, found in wanted.items() if not found]


def has_fonts() -> bool:
    """Without any font Chromium lays pages out with empty boxes."""
    if sys.platform == "darwin":
        return True
    return any(path for kind in ("ttf", "otf") for path in Path("/usr/share/fonts").rglob(f"*.{kind}"))


def install() -> None:
    """Install the missing packages as root on Debian; otherwise name them and stop."""
    packages = missing()
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"make test also needs {names}\n  Debian, Ubuntu: sudo apt-get install {names}")
    print(f"Installing {names}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # the packaged server need not run: every test run starts its own
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run(
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages], check=True, env=environment
    )
    if still := missing():
        sys.exit(f"apt-get ran, but {' '.join(still)} cannot be found")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The DATABASE_URL of a fresh PostgreSQL server on a Unix socket; it is removed afterwards."""
    programs = postgres_folder()
    if programs is None:
        sys.exit("There is no PostgreSQL: python tests/services.py install")
    # PostgreSQL refuses to run as root
    user = _unprivileged() if os.geteuid() == 0 else None
    owner: dict[str, Any] = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid}
    with tempfile.TemporaryDirectory(prefix="pb-pg-") as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": name}
        cluster, log = folder / "cluster", folder / "log"
        initdb = [str(programs / "initdb"), "-D", str(cluster), "-U", "poseboard", "-A", "trust", "-E", "UTF8", "-N"]
        made = subprocess.run(initdb, cwd=name, env=environment, capture_output=True, text=True, **owner)
        if made.returncode:
            sys.exit(f"initdb: {made.stdout}{made.stderr}")
        # nothing in it has to survive, so nothing waits for the disk
        options = f"-k {name} -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        control = [str(programs / "pg_ctl"), "-D", str(cluster), "-w"]
        # as a session of its own: Ctrl-C must reach the tests first
        start = [*control, "-l", str(log), "-o", options, "start"]
        started = subprocess.run(
            start, cwd=name, env=environment, stdout=subprocess.DEVNULL, start_new_session=True, **owner
        )
        if started.returncode:
            sys.exit(f"PostgreSQL does not start:\n{log.read_text() if log.exists() else ''}")
        try:
            yield f"postgres://poseboard@{quote(name, safe='')}/postgres"
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], cwd=name, env=environment, stdout=subprocess.DEVNULL, **owner
            )


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    sys.exit("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["install"]:
            install()
            return 0
        case ["postgres", "--", *command] if command:
            with postgres() as url:
                return subprocess.run(command, env=os.environ | {"DATABASE_URL": url}).returncode
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
