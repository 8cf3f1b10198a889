"""The supervisor with small programs: names in front of lines, restarts that wait longer, nothing left at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
BEGIN = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from leaderboard.local import supervisor
from leaderboard.local.supervisor import Program, Supervisor
supervisor.STOP_SECONDS = 1
site = Supervisor(os.environ, Path.cwd())
def python(text):
    return [sys.executable, "-u", "-c", text]
"""


def run(text: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + text], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def test_lines_carry_the_name_of_their_program(tmp_path):
    lines = run(
        """
status = site.run_once(Program("speaker", python("print('one'); print(); print('two', end='')")))
site.say(f"status {status}")
""",
        tmp_path,
    )
    assert lines == ["speaker   | one", "speaker   | two", "status 0"]


def test_what_dies_starts_again_on_time_although_nothing_else_happens(tmp_path):
    """A supervisor that looks around once a minute would start it after a minute."""
    lines = run(
        """
import time
dying = site.add(Program("dying", python("raise SystemExit(3)")))
started = time.monotonic()
site.run_until(lambda: dying.starts > 1, every=60)
site.say("waited" if time.monotonic() - started > 20 else "on time")
site.stop()
""",
        tmp_path,
    )
    assert lines[-1] == "on time"


def test_what_dies_starts_again_and_waits_longer_each_time(tmp_path):
    lines = run(
        """
supervisor.FIRST_DELAY = 0.1
failing = site.add(Program("failing", python("print('up'); raise SystemExit(3)"), delay=0.1))
site.run_until(lambda: failing.starts == 4, seconds=20)
site.stop()
""",
        tmp_path,
    )
    ended = [line for line in lines if "ended" in line]
    assert ended[:3] == [f"failing   | ended with status 3; restarting in {delay} s" for delay in ("0.1", "0.2", "0.4")]
    assert lines.count("failing   | up") >= 3


def test_a_program_that_ran_steadily_starts_again_at_once(tmp_path):
    lines = run(
        """
supervisor.STEADY_SECONDS = 0
worker = site.add(Program("worker", python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), delay=8))
site.run_until(lambda: worker.starts == 3, seconds=20)
site.stop()
""",
        tmp_path,
    )
    assert lines[:2] == ["worker    | ended with signal SIGKILL; restarting in 0.5 s"] * 2


def test_the_foundation_stops_last_and_the_deaf_are_killed(tmp_path):
    lines = run(
        """
start = "import signal, sys, time; signal.signal(signal.SIGTERM, "
polite = start + "lambda *_: sys.exit(print('bye'))); time.sleep(60)"
deaf = start + "signal.SIG_IGN); time.sleep(60)"
site.add(Program("broker", python(polite), foundation=True))
programs = [site.add(Program("web", python(polite))), site.add(Program("deaf", python(deaf)))]
site.run_until(lambda: False, seconds=2)
site.stop()
site.say("stopped")
""",
        tmp_path,
    )
    assert lines[-3:] == ["web       | bye", "broker    | bye", "stopped"]


LEAVER = """import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(left.pid)
{then}"""


def test_what_a_dead_program_left_is_ended_before_it_starts_again(tmp_path):
    lines = run(
        f"""
program = site.add(Program("leaver", python({LEAVER.format(then="")!r})))
site.run_until(lambda: program.starts == 2, seconds=20)
site.stop()
""",
        tmp_path,
    )
    left = int(lines[0].split("|")[1])
    assert wait_until(lambda: not running(left))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LINUX ONLY: PR_SET_PDEATHSIG")
def test_the_programs_end_with_a_killed_supervisor(tmp_path):
    text = (
        BEGIN
        + """
sleeper = site.add(Program("sleeper", python("import os, time; print(os.getpid()); time.sleep(600)")))
site.run_until(lambda: False)
"""
    )
    process = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    sleeper = int(process.stdout.readline().split("|")[1])
    assert running(sleeper)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not running(sleeper))
