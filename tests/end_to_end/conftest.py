"""The whole site as `make serve` runs it: broker, gunicorn, workers, scheduler, demo; in a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent


def wait_for(true: Callable[[], object], *, seconds: float, what: str, every: float = 0.2) -> None:
    """Return as soon as `true()`; fail with `what` when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(every)
    pytest.fail(f"not within {seconds} s: {what}")


@dataclass
class LocalSite:
    url: str
    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)

    @property
    def token(self) -> str:
        return (self.data / "demo-token").read_text().strip()

    @property
    def api(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {self.token}"}, timeout=60
        )

    def manage(self, *arguments: str) -> str:
        """Run a management command beside the site; returns what it printed."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the `poseboard` command as a user with this site's address and token would."""
        environment = {**self.environment, "POSEBOARD_URL": self.url, "POSEBOARD_TOKEN": self.token}
        done = subprocess.run(
            [str(BIN / "poseboard"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def settled(self, submission: int, *, seconds: float = 60) -> dict[str, object]:
        """The submission once it has ended."""
        found: dict[str, object] = {}

        def ended() -> bool:
            found.update(self.api.get(f"/submissions/{submission}").raise_for_status().json())
            return found["state"] not in {"queued", "running"}

        wait_for(ended, seconds=seconds, what=f"submission {submission} to end")
        return found

    def processes(self, *words: str) -> list[int]:
        """Ids of this site's processes whose command line has all the words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"POSEBOARD_DATA={self.data}".encode() in environment and all(word in line for word in words):
                found.append(int(entry.name))
        return found

    def sandboxes(self) -> list[int]:
        """The processes that the scoring worker's jobs are forked from; their environment is scrubbed."""
        workers = set(self.processes("celery", "worker", "score"))
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and b"zygote" in (entry / "cmdline").read_bytes():
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    found += [int(entry.name)] if parent in workers else []
            except OSError:
                continue
        assert found, "the scoring worker has no sandbox"
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    data = tmp_path_factory.mktemp("site")
    port = free_port()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSEBOARD_", "DJANGO_", "DATABASE_URL", "BROKER_URL"))
    } | {
        "POSEBOARD_DATA": str(data),
        "PORT": str(port),
        # shorter than in production, so that a killed worker's job is taken over while the test waits
        "POSEBOARD_LEASE_SECONDS": "6",
        "POSEBOARD_SWEEP_SECONDS": "1",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        ["make", "--no-print-directory", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = LocalSite(f"http://127.0.0.1:{port}", data, environment, process)

    def read() -> None:
        assert process.stdout is not None
        running.output.extend(iter(process.stdout.readline, ""))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        wait_for(
            lambda: any("Ready: " in line for line in running.output) or process.poll() is not None,
            seconds=180,
            what="the site to be ready",
        )
        assert process.poll() is None, "".join(running.output[-50:])
        yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
        reader.join(timeout=5)
        sys.stdout.write("".join(running.output[-200:]))
