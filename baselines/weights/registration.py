"""A public file of weights as a checkpoint that can run here: which network it is for, and how its images are prepared.

The network is told from the names and shapes of the weights (`recognition`). How images are prepared is not in the
file: it follows from whose form the names have.
"""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from baselines import registry
from baselines.weights import checkpoints
from baselines.weights.checkpoints import Checkpoint, CheckpointError
from baselines.weights.recognition import Recognised, recognise, shapes_of
from evaluator import DatasetDefinitionError, load_dataset

LARGEST_INPUT = 2048  # pixels of a side
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preparation:
    """How a form's networks see a person: fields of `Checkpoint`."""

    mean: Channels
    std: Channels
    padding: float = 1.25
    bgr: bool = False
    fill: tuple[int, int, int] = (0, 0, 0)
    origin: float = 0.5
    flip_shift: bool = False
    scales: tuple[float, ...] = (1.0,)
    finer: int = 1
    decoding: str = "quarter"
    flip: bool = True


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# In HRNet's toolkit and its descendants heatmap pixel u is pixel 4 u of the crop, which has its middle at 4 u + 0.5.
CORNER = 0.125
# Each says which file of its toolkit has it.
PREPARATIONS: dict[str, Preparation] = {
    # deep-high-resolution-net.pytorch: tools/test.py (mean and deviation), lib/dataset/coco.py (1.25), the
    # configurations of HRNet (COLOR_RGB, FLIP_TEST, SHIFT_HEATMAP and POST_PROCESS are true)
    "hrnet": Preparation(*IMAGENET, origin=CORNER, flip_shift=True),
    # human-pose-estimation.pytorch: lib/dataset/JointsDataset.py takes images as OpenCV reads them, blue first, and
    # pose_estimation/valid.py normalises them with the figures for red, green and blue in this order all the same; so
    # do the configurations of pose_resnet in HRNet's toolkit (COLOR_RGB is false)
    "simple_baseline": Preparation(*IMAGENET, bgr=True, origin=CORNER, flip_shift=True),
    # mmpose: configs/body_2d_keypoint/topdown_heatmap (data_preprocessor with bgr_to_rgb, padding 1.25 of
    # GetBBoxCenterScale, test_cfg with flip_test and shift_heatmap)
    "mmpose": Preparation(*IMAGENET, origin=CORNER, flip_shift=True),
    # AlphaPose: utils/presets/simple_transform.py takes these from red, green and blue and divides by nothing;
    # _box_to_center_scale in utils/bbox.py has 1.25; scripts/demo_inference.py flips with shift=True
    "alphapose_simple": Preparation((0.406, 0.457, 0.480), (1.0, 1.0, 1.0), origin=CORNER, flip_shift=True),
    "alphapose": Preparation((0.406, 0.457, 0.480), (1.0, 1.0, 1.0), origin=CORNER, flip_shift=True),
    # convolutional-pose-machines-release: testing/config.m (padValue) and src/applyModel.m (pixel / 256 - 0.5, blue
    # first; maps brought to the image's size and averaged over the scales, the highest pixel; no mirror image), here as
    # the mean and the deviation of pixel / 255. Of its scales, six an octave, five are taken around the person's own.
    "cpm_caffe": Preparation(
        (128 / 255, 128 / 255, 128 / 255),
        (256 / 255, 256 / 255, 256 / 255),
        bgr=True,
        fill=(128, 128, 128),
        scales=(0.8, 0.9, 1.0, 1.1, 1.2),
        finer=8,
        decoding="peak",
        flip=False,
    ),
    # pytorch-pose: color_normalize in pose/utils/transforms.py takes MPII's mean and divides by nothing; 1.25 around
    # the person in pose/datasets/mpii.py; flip_back does not shift; final_preds in evaluation.py adds half a pixel
    "pytorch_pose": Preparation((0.4404, 0.4440, 0.4327), (1.0, 1.0, 1.0)),
    # pytorch_stacked_hourglass: data/MPII/dp.py and test.py (pixel / 255, no more; the mirror image is not shifted),
    # utils/group.py adds half a pixel
    "princeton": Preparation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
# The order in which the authors' models of Convolutional Pose Machines for LSP and MPII have their joints
# (testing/config.m).
CPM_JOINTS = (
    "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
)  # fmt: skip


def describe(
    path: Path,
    *,
    licence: str,
    source: str,
    sha256: str | None = None,
    joints: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> Checkpoint:
    """The description of a file of weights, after the weights have been put into the network that they are for.

    `sha256`: the digest that its source states. `joints`: a dataset whose joints, or the joints (separated by commas)
    that the network answers with, where their number does not tell. `input_size`: (width, height), where it is not that
    of the paper. Raises CheckpointError.
    """
    checkpoints.check_size(path)
    digest = checkpoints.sha256_of(path)
    weights = checkpoints.read_weights(path, sha256.lower() if sha256 else digest)
    found = recognise(shapes_of(weights))
    with torch.device("meta"):
        shadow = found.build().eval()
    checkpoints.fill(copy.deepcopy(shadow).to_empty(device="cpu"), found.convert(weights))
    names = _joints(found, joints)
    size = input_size or _input_size(found)
    _check_size(shadow, size)
    prepared = PREPARATIONS[found.form]
    return Checkpoint(
        baseline=found.family,
        variant=found.variant,
        file=path.name,
        sha256=digest,
        joints=names,
        flip_pairs=_flip_pairs(names),
        network=found.arguments,
        input_size=size,
        output="heatmaps",
        licence=licence,
        source=source,
        public=True,
        **asdict(prepared),
    )


def _check_size(shadow: nn.Module, size: tuple[int, int]) -> None:
    """Raise CheckpointError unless the network, on shapes alone, takes images of (width, height)."""
    try:
        if not 32 <= min(size) <= max(size) <= LARGEST_INPUT:
            raise ValueError(f"32 to {LARGEST_INPUT} pixels")
        with torch.no_grad():
            shadow(torch.empty(1, 3, size[1], size[0], device="meta"))
    except (ValueError, RuntimeError) as error:
        message = f"the network does not take {size[0]} x {size[1]} pixels ({error})"
        raise CheckpointError("input_size", message) from error


def _joints(found: Recognised, wanted: str | None) -> tuple[str, ...]:
    """The joints that the network answers with, in its order."""
    if wanted is None:
        known = {17: "coco", 16: "mpii"}.get(found.num_joints)
        if found.form == "cpm_caffe" and found.num_joints == len(CPM_JOINTS):
            return CPM_JOINTS
        if known is None:
            raise CheckpointError("joints", f"which joints are its {found.num_joints}? Name them, or their dataset")
        return tuple(load_dataset(known).joints)
    if "," in wanted:
        names = tuple(name.strip() for name in wanted.split(","))
    else:
        try:
            names = tuple(load_dataset(wanted).joints)
        except DatasetDefinitionError as error:
            raise CheckpointError("joints", f"there is no dataset {wanted}") from error
    if len(names) != found.num_joints or len(set(names)) != len(names):
        raise CheckpointError("joints", f"{len(set(names))} joints are named, the network has {found.num_joints}")
    return names


def _flip_pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Left and right of a joint, by their names."""
    lefts = [name for name in names if name.startswith("left_")]
    return tuple((name, "right_" + name[5:]) for name in lefts if "right_" + name[5:] in names)


def _input_size(found: Recognised) -> tuple[int, int]:
    """(width, height): of the listed variant with these joints, else 256 x 256 for MPII's, else the paper's."""
    card = registry.card(found.family)
    settings = card.variants.get(found.variant)
    if settings is not None and settings.get("joints", found.num_joints) == found.num_joints:
        return card.size(found.variant)
    return (256, 256) if found.num_joints == 16 else card.input_size
