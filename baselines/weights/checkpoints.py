"""Trained weights: where they are, whether they are the right ones, and how they are loaded into a network.

A checkpoint is a file of weights and a JSON beside it (`Checkpoint`): its digest, the preprocessing and the network
it is for, the score it claims and the command that trained it. Weights are read from safetensors, or from files of
PyTorch with nothing but tensors and numbers in them; a pickle that would run code is rejected.
"""

import hashlib
import json
import pickle  # for the errors of torch's own reader
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from baselines.decode.grouping import Model

FOLDER = Path(__file__).parent.parent / "checkpoints"
LARGEST_FILE = 2 << 30  # bytes


class CheckpointError(ValueError):
    """A file of weights that is missing, altered, unreadable, or for another network. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Checkpoint:
    """What is known about a file of weights; the JSON beside it has the same fields."""

    baseline: str
    variant: str
    file: str
    sha256: str
    joints: tuple[str, ...]
    flip_pairs: tuple[tuple[str, str], ...]
    network: dict[str, Any]  # arguments of the baseline's build()
    input_size: tuple[int, int]  # width, height
    padding: float  # of the box crop
    mean: tuple[float, float, float]  # of RGB in 0..1
    std: tuple[float, float, float]
    output: str  # "heatmaps" (Gaussians) or "logits" (a softmax over each heatmap gives a distribution)
    licence: str
    source: str
    bgr: bool = False  # the network sees blue, green, red; mean and std are in that order then
    fill: tuple[int, int, int] = (0, 0, 0)  # RGB of what a crop shows beyond the image
    origin: float = 0.5  # heatmap pixel u is at (u + origin) strides of the crop: 0.5 is the pixel's centre
    flip_shift: bool = (
        False  # heatmaps of the mirror image are shifted a pixel to the right once they are mirrored back
    )
    decoding: str = "quarter"  # of heatmaps.DECODERS
    scales: tuple[float, ...] = (1.0,)  # of the crop; the network's maps at all of them are averaged
    finer: int = 1  # how many times finer than the network's the averaged maps are sampled
    flip: bool = True  # average with the mirror image
    grouping: dict[str, Any] = field(default_factory=dict)  # fitted by `fit-grouping`: see grouping.Model
    grouped: bool = False  # the person in a crop is assembled by grouping, not joint by joint
    public: bool = False  # the file is unchanged from its authors' release, with their names
    claim: dict[str, Any] = field(default_factory=dict)  # dataset, split, seed, images, flip, metric, value
    training: dict[str, Any] = field(default_factory=dict)  # command, cpu_seconds, machine, versions

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """The description in a JSON file. Raises CheckpointError."""
        try:
            values = json.loads(path.read_text())
            values["joints"] = tuple(values["joints"])
            values["flip_pairs"] = tuple((a, b) for a, b in values["flip_pairs"])
            for name in ("input_size", "mean", "std"):
                values[name] = tuple(values[name])
            values["grouping"] = values.get("grouping") or {}
            values["scales"] = tuple(values.get("scales", (1.0,)))
            values["fill"] = tuple(values.get("fill", (0, 0, 0)))
            found = cls(**values)
            found.model  # noqa: B018  # raises for tables that are not those of the joints
            return found
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                "description", f"{path.name} is not a readable description of a checkpoint ({error})"
            ) from error

    @property
    def model(self) -> Model | None:
        """The statistics that grouping uses; None where they have not been fitted. Raises ValueError."""
        return Model.from_json(self.grouping, len(self.joints)) if self.grouping else None

    def renamed(self, file: str) -> "Checkpoint":
        """The description of the same weights in a file of another name."""
        return replace(self, file=file)

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        path.write_text(self.to_json())

    def to_json(self) -> str:
        """The text of the JSON file; a list of numbers takes one line."""
        text = json.dumps(asdict(self), indent=2)
        text = re.sub(
            r"\[[\s\d.,e+-]+\]", lambda found: "[" + ", ".join(found[0][1:-1].replace(",", " ").split()) + "]", text
        )
        return text + "\n"


def check_size(path: Path) -> None:
    """Raise CheckpointError when the file is missing or too large."""
    if not path.is_file():
        raise CheckpointError("missing", f"{path.name} does not exist")
    if path.stat().st_size > LARGEST_FILE:
        raise CheckpointError("too_large", f"{path.name} has more than {LARGEST_FILE} bytes")


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, sha256: str) -> None:
    """Raise CheckpointError when the file is missing, too large or altered."""
    check_size(path)
    found = sha256_of(path)
    if found != sha256:
        raise CheckpointError("digest", f"{path.name} has the digest {found}, expected {sha256}")


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors by name, after size and digest have been checked. Raises CheckpointError.

    Of a training's checkpoint only the weights are used; what is beside them (the epoch, the best score, an optimiser's
    state) may contain tensors, numbers (also numpy's) and text, and nothing else.
    """
    check_file(path, sha256)
    _check_unpacked(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)|<class '([^']+)", str(error))  # torch's message is a page long
        what = named[1] or named[2] if named else str(error).splitlines()[0]
        message = f"{path.name} holds more than tensors and numbers ({what}): save its state_dict alone"
        raise CheckpointError("unsafe", message) from error
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, safetensors.SafetensorError) as error:
        raise CheckpointError("unreadable", f"{path.name} is not a readable file of weights ({error})") from error
    except Exception as error:  # torch promises no common kind of error for a pickle that it does not understand
        raise CheckpointError("unsafe", f"{path.name} holds more than tensors and numbers ({error})") from error
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise CheckpointError("unreadable", f"{path.name} is not a table of tensors")
    return found


def _number(kind: np.dtype[Any], raw: bytes) -> Any:
    """A number of numpy from its bytes; it replaces numpy's own function, which accepts every kind of object."""
    if kind.kind not in "biuf" or not isinstance(raw, bytes) or len(raw) != kind.itemsize:
        raise pickle.UnpicklingError(f"a number of the kind {kind}")
    return np.frombuffer(raw, kind)[0]


# What scores and the like in checkpoints of trainings are pickled as, by older and newer versions of numpy
_NUMPY_NUMBERS: list[Any] = [
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"),
]


def _check_unpacked(path: Path) -> None:
    """Raise CheckpointError when a file of PyTorch, which is a zip file, grows beyond LARGEST_FILE when it is read."""
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(entry.file_size for entry in packed.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return  # another kind of file, or a broken one, which the reader reports
    if unpacked > LARGEST_FILE:
        raise CheckpointError("too_large", f"{path.name} unpacks to more than {LARGEST_FILE} bytes")


def write_weights(network: nn.Module, path: Path) -> str:
    """Write the weights in half precision (counters are left out); returns the sha256."""
    state = {
        name: value.detach().cpu().half().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    safetensors.torch.save_file(state, path)
    return sha256_of(path)


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a network: every name must be there with the right shape, and no other. Raises CheckpointError.

    Only the batch counters of normalisation layers may be missing: old versions of PyTorch had none.
    """
    check_names(network, weights)
    state = network.state_dict()
    problems = [f"{name} is not finite" for name in sorted(_counted(state)) if not weights[name].isfinite().all()]
    _raise_mismatch(problems)
    with torch.no_grad():
        for name in _counted(state):
            state[name].copy_(weights[name])


def check_names(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless the weights have the network's names and shapes."""
    state = network.state_dict()
    wanted = _counted(state)
    problems = [f"missing {name}" for name in sorted(wanted - weights.keys())]
    problems += [f"unexpected {name}" for name in sorted(weights.keys() - state.keys())]
    problems += [
        f"{name} has the shape {list(weights[name].shape)}, expected {list(state[name].shape)}"
        for name in sorted(state.keys() & weights.keys())
        if weights[name].shape != state[name].shape
    ]
    _raise_mismatch(problems)


def _counted(state: Mapping[str, Tensor]) -> set[str]:
    """The names that count: all but the batch counters."""
    return {name for name in state if not name.endswith("num_batches_tracked")}


def _raise_mismatch(problems: list[str]) -> None:
    if problems:
        more = f", and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError("mismatch", "the weights are for another network: " + "; ".join(problems[:8]) + more)


def shipped(baseline: str, variant: str) -> Checkpoint | None:
    """The description of the checkpoint that comes with PoseBoard, or None when there is none."""
    path = FOLDER / f"{baseline}-{variant}.json"
    return Checkpoint.read(path) if path.is_file() else None
