"""Code that is hostile already: what the sandbox refuses it, and that each refusal is the work of its own defence."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard.sandbox import defences, system_calls, zygote
from leaderboard.sandbox.defences import DEFENCES
from leaderboard.sandbox.scorer import ScoringFailed
from leaderboard.sandbox.system_calls import ABSENT_CALLS, ARCHITECTURES, CHECKED_CALLS, SYSTEM_CALLS
from tests.leaderboard.sandbox.conftest import HERE, LIMITS, LINUX, need, told

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
MACHINE = platform.machine()
COLUMN = list(ARCHITECTURES).index(MACHINE) if MACHINE in ARCHITECTURES else 0
TABLES = SYSTEM_CALLS | CHECKED_CALLS | ABSENT_CALLS


def all_but(*names: str) -> list[str]:
    return [name for name in DEFENCES if name not in names]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_text("secret")
    file.chmod(0o600)
    return file


@LINUX
def test_nothing_outlasts_the_process_or_reaches_another(job, scorer, victim):
    runner = scorer("residue")
    need(runner, "seccomp")
    before = victim.stat()
    outcomes = told(runner.run(**job))
    allowed = {name: outcome for name, outcome in outcomes.items() if outcome != "PermissionError"}
    assert allowed == {}
    assert len(outcomes) == 29
    after = victim.stat()
    assert (after.st_mode, after.st_mtime, after.st_ctime) == (before.st_mode, before.st_mtime, before.st_ctime)


@LINUX
def test_without_the_filter_a_file_of_the_user_is_changed(job, scorer, victim):
    runner = scorer("change_a_file", defences=all_but("seccomp"))
    need(runner, "landlock")
    assert told(runner.run(**job)) == {"chmod": "done", "utime": "done", "chown": "done"}
    assert victim.stat().st_mode & 0o777 == 0o604
    assert victim.stat().st_mtime == 1


@pytest.fixture
def segments() -> Iterator[list[list[str]]]:
    """Shared memory of the tests' key that is there; removed afterwards."""

    def there() -> list[list[str]]:
        rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
        return [row for row in rows if int(row[0]) == 0x5EED]

    yield there
    for row in there():
        ctypes.CDLL(None).shmctl(int(row[1]), 0, None)


@LINUX
@pytest.mark.parametrize(
    ("without", "outcome", "left"),
    [((), "PermissionError", 0), (("seccomp",), "done", 0), (("seccomp", "network_namespace"), "done", 1)],
)
def test_shared_memory_is_refused_and_without_the_filter_ends_with_the_process(
    job, scorer, segments, without, outcome, left
):
    runner = scorer("leave_memory", defences=all_but(*without))
    need(runner, "seccomp", "network_namespace")
    assert told(runner.run(**job))["shared_memory"] == outcome
    assert len(segments()) == left


@LINUX
@pytest.mark.parametrize(
    ("without", "slowed"),
    # a zygote of root's has capabilities, and only who has them too may slow it down
    [
        ((), False),
        (("dropped_capabilities", "network_namespace"), False),
        (("dropped_capabilities", "network_namespace", "seccomp"), True),
    ],
)
def test_the_filter_keeps_it_from_slowing_the_zygote_down(job, scorer, without, slowed):
    runner = scorer("slow_down_the_parent", defences=all_but(*without))
    need(runner, "seccomp")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    runner.run(**job)
    assert os.getpriority(os.PRIO_PROCESS, runner._process.pid) == (19 if slowed else before)


@LINUX
@pytest.mark.parametrize(
    ("without", "outcome"),
    [(("landlock",), "PermissionError"), (("seccomp",), "PermissionError"), (("landlock", "seccomp"), "done")],
)
def test_each_of_two_defences_alone_keeps_it_from_writing(job, scorer, tmp_path, without, outcome):
    runner = scorer("write_a_file", LIMITS_WITH_FILES, defences=all_but(*without))
    need(runner, "landlock", "seccomp")
    assert told(runner.run(**job))["outcome"] == outcome
    assert (tmp_path / "written").exists() == (outcome == "done")


LIMITS_WITH_FILES = replace(LIMITS, file_bytes=1 << 20)


@LINUX
def test_it_has_no_capability_in_any_set(job, scorer):
    runner = scorer("capabilities")
    need(runner, "network_namespace", "dropped_capabilities")
    found = told(runner.run(**job))["sets"]
    assert found == dict.fromkeys(["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"], 0)
    without = scorer("capabilities", defences=all_but("dropped_capabilities"))
    assert told(without.run(**job))["sets"]["CapEff:"] > 0  # those that its user namespace brings


@LINUX
def test_the_zygote_cannot_be_looked_at_by_way_of_proc(job, scorer):
    runner = scorer("look_at_others")
    need(runner, "landlock")
    outcomes = told(runner.run(**job))
    assert set(outcomes.values()) == {"PermissionError"}
    without = scorer("look_at_others", defences=["rlimits", "no_new_privs", "seccomp"])
    found = told(without.run(**job))
    assert found["cmdline"] == found["environ"] == found["fd"] == "done"


@LINUX
def test_every_other_system_call_is_refused(job, scorer):
    runner = scorer("call_everything_else")
    need(runner, "seccomp")
    known = {numbers[COLUMN] for numbers in (SYSTEM_CALLS | CHECKED_CALLS).values()}
    if MACHINE == "x86_64":
        known |= {335, 336}  # uretprobe, uprobe: the kernel filters neither, and kills the caller by SIGILL
    job["predictions"].write_text(json.dumps([number for number in range(1024) if number not in known]))
    assert told(runner.run(**job)) == {"passed": []}


def test_only_libraries_can_be_read_by_whatever_name_the_project_is_on_the_path(tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(zygote.ROOT)
    modules = tmp_path / "modules"
    modules.mkdir()
    names = [str(link), str(zygote.ROOT.parent), "/", "", str(modules)]
    monkeypatch.setattr(sys, "path", [*sys.path, *names])
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    folders = [Path(folder).resolve() for folder in zygote.readable()]
    assert modules in folders
    data = (tmp_path / "environment" / "data", zygote.ROOT / "data")
    assert not [folder for folder in folders for file in data if file.is_relative_to(folder)]


@LINUX
def test_threads_are_counted(job, scorer):
    runner = scorer("start_threads")
    need(runner, "network_namespace")
    started = told(runner.run(**job))["started"]
    # the kernel does not count the threads of root: then the limit on memory alone bounds them
    assert started == 400 if os.getuid() == 0 else 0 < started < defences.MOST_THREADS


@LINUX
def test_a_defence_that_fails_after_it_held_at_the_start_fails_the_job(job, scorer):
    """Without descriptors Landlock cannot be had: the job must not run without it."""
    runner = scorer("use_threads", replace(LIMITS, open_files=1))
    need(runner, "landlock")
    with pytest.raises(ScoringFailed, match="Unavailable") as caught:
        runner.run(**job)
    assert caught.value.code == "crashed"


# --- the filter itself, for both architectures ------------------------------------------------------------------------


def decision(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """What the filter returns for a system call: the kernel's classic BPF machine, as far as the filter uses it."""
    words = [number, architecture or ARCHITECTURES[machine], 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    program = system_calls.filter_program(machine, 4242)
    at = value = 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            assert operand % 4 == 0
            value = words[operand // 4]
        elif code == 0x54:
            value &= operand
        elif code == 0x06:
            return operand
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_is_listed_passes_and_nothing_else(machine):
    column = list(ARCHITECTURES).index(machine)
    listed = {numbers[column] for numbers in SYSTEM_CALLS.values()} - {None}
    checked = {numbers[column] for numbers in CHECKED_CALLS.values()}
    assert all(decision(machine, number) == ALLOW for number in listed)
    others = set(range(600)) - listed - checked
    assert {number for number in others if decision(machine, number) not in (EPERM, ENOSYS)} == set()
    assert decision(machine, 435) == ENOSYS
    assert decision(machine, 0x40000000 + 1) == ENOSYS
    assert decision(machine, 1, architecture=0x40000003) == KILL  # i386 on x86_64
    numbers = [row[column] for row in TABLES.values() if row[column] is not None]
    assert len(numbers) == len(set(numbers))
    assert all(jump < 256 for row in system_calls.filter_program(machine, 1) for jump in row[1:3])


THREAD = 0x3D0F00
CASES = [
    ("openat", (0, 0, os.O_RDONLY | 0o2000000), True),
    ("openat", (0, 0, os.O_WRONLY), False),
    ("openat", (0, 0, os.O_RDWR), False),
    ("openat", (0, 0, 0o100), False),
    ("openat", (0, 0, 0o1000), False),
    ("open", (0, os.O_RDONLY), True),
    ("open", (0, os.O_RDWR), False),
    ("mmap", (0, 4096, 3, 0x22), True),
    ("mmap", (0, 4096, 5, 0x02), True),  # a library
    ("mmap", (0, 4096, 7, 0x22), False),
    ("mmap", (0, 4096, 7, 0x02), False),
    ("futex", (0, 128), True),
    ("futex", (0, 128 | 256 | 9), True),
    ("futex", (0, 6), False),  # FUTEX_LOCK_PI
    ("futex", (0, 128 | 11), False),  # FUTEX_WAIT_REQUEUE_PI
    ("mprotect", (0, 4096, 3), True),
    ("mprotect", (0, 4096, 5), False),
    ("ioctl", (1, 0x5401), True),
    ("ioctl", (1, 0x5412), False),  # TIOCSTI
    ("fcntl", (1, 1), True),
    ("fcntl", (1, 8, 77), False),  # F_SETOWN
    ("fcntl", (1, 4, 0o20000), False),  # F_SETFL, O_ASYNC
    ("clone", (THREAD,), True),
    ("clone", (17,), False),  # fork
    ("clone", (0x4111,), False),  # vfork
    ("clone", (THREAD | 0x10000000,), False),  # CLONE_NEWUSER
    ("clone", (THREAD & ~0x10000,), False),
    ("tgkill", (4242, 4250, signal.SIGABRT), True),
    ("tgkill", (4242, 4242, signal.SIGKILL), False),
    ("tgkill", (4242, 4242, signal.SIGSTOP), False),
    ("tgkill", (4241, 4241, signal.SIGABRT), False),
    ("prlimit64", (0, 7, 0, 1 << 40), True),
    ("prlimit64", (4242, 7, 0, 1 << 40), True),
    ("prlimit64", (0, 7, 1 << 40, 0), False),
    ("prlimit64", (0, 7, 4096, 0), False),
    ("prlimit64", (4241, 7, 0, 4096), False),
    ("getpgid", (0,), True),
    ("getpgid", (1,), False),
    ("sched_getaffinity", (4242, 128, 4096), True),
    ("sched_getaffinity", (4241, 128, 4096), False),
]


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("name", "arguments", "passes"), CASES)
def test_a_checked_call_passes_with_some_arguments_only(machine, name, arguments, passes):
    number = CHECKED_CALLS[name][list(ARCHITECTURES).index(machine)]
    if number is None:
        assert (name, machine) == ("open", "aarch64")
        return
    assert decision(machine, number, *map(int, arguments)) == (ALLOW if passes else EPERM)


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernels_headers(machine):
    if not HEADERS[machine].exists():
        missing_here = f"no kernel headers in {HEADERS[machine]}: install linux-libc-dev"
        if os.environ.get("CI"):
            pytest.fail(missing_here)
        pytest.skip(missing_here)
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    numbers = {("newfstatat" if name == "fstatat" else name): int(number) for name, number in found}
    column = list(ARCHITECTURES).index(machine)
    missing = {name for name, row in TABLES.items() if row[column] is not None and name not in numbers}
    assert missing <= {"faccessat2", "openat2", "clone3"}  # not in the headers of older kernels
    # the generic header has calls that aarch64 does not
    there = {name: row[column] for name, row in TABLES.items() if row[column] is not None and name not in missing}
    wrong = {name: number for name, number in there.items() if numbers[name] != number}
    assert wrong == {}


@LINUX
def test_root_in_a_container_gives_its_capabilities_up_too():
    """Where no user namespace is to be had, the process has the capabilities it came with, to be dropped likewise."""
    program = """
import sys
sys.path[:0] = [sys.argv[1]]
from leaderboard.sandbox import defences
defences.no_new_privileges()
defences.drop_capabilities()
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapPrm", "CapEff", "CapInh"))])
"""
    root = str(Path(defences.__file__).resolve().parent.parent.parent)
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["0" * 16] * 3)


@LINUX
@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        (("unshare",), {"network_namespace"}),
        (("unshare", "landlock"), {"network_namespace", "landlock"}),
        (("seccomp",), {"seccomp"}),
    ],
    ids=["no namespaces", "no namespaces and no Landlock", "no filters"],
)
def test_a_machine_without_a_defence_scores_all_the_same_and_says_so(job, refused, missing):
    """As in a container whose profile refuses user namespaces, or on an older kernel: imitated here by a filter."""
    if MACHINE != "x86_64":
        pytest.skip("X86_64 ONLY: the numbers of this test's own filter")
    program = """
import ctypes, json, struct, sys
from pathlib import Path
root, here, refused, predictions, truth = sys.argv[1:]
sys.path[:0] = [root]
from leaderboard.sandbox import defences
from leaderboard.sandbox.scorer import Limits, Scorer
load, equal, give = 0x20, 0x15, 0x06
rows = {"unshare": [(load, 0, 0, 0), (equal, 0, 1, 272), (give, 0, 0, 0x50001)],
        "landlock": [(load, 0, 0, 0), (equal, 0, 1, 444), (give, 0, 0, 0x50026)],
        # prctl(PR_SET_SECCOMP)
        "seccomp": [(load, 0, 0, 0), (equal, 0, 3, 157), (load, 0, 0, 16), (equal, 0, 1, 22), (give, 0, 0, 0x50016)]}
code = [row for name in json.loads(refused) for row in rows[name]] + [(give, 0, 0, 0x7FFF0000)]
packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in code))
header = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(packed)))
libc = ctypes.CDLL(None, use_errno=True)
defences.no_new_privileges()
assert libc.prctl(22, ctypes.c_ulong(2), header, ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
limits = Limits(memory_bytes=1 << 28, cpu_seconds=20, wall_seconds=20)
with Scorer(limits, evaluate_target="hostile:honest", search_path=[Path(here)]) as scorer:
    report = scorer.run(dataset="lsp", predictions=Path(predictions), truth=Path(truth))
    print(json.dumps({"isolation": scorer.isolation(), "told": report["protocol"]}))
"""
    root = str(zygote.ROOT)
    arguments = [root, str(HERE), json.dumps(refused), str(job["predictions"]), str(job["truth"])]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["isolation"]["missing"]) == missing
    assert set(found["isolation"]["held"]) == set(DEFENCES) - missing
    assert json.loads(found["told"])["predictions"] == "[]"
