"""MPJPE: the mean distance of the joints of a 3D pose from their annotations, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.alignment import distances, root_centred, similar
from evaluator.dataset import Dataset
from evaluator.poses import Annotations, Predictions
from evaluator.space import by_joint_and_action, poses_in_space
from evaluator.tally import MeanTally

TITLE = "Mean per-joint position error"
SOURCE = (
    "Ionescu, Papava, Olaru and Sminchisescu, Human3.6M, TPAMI 2014; aligned by Procrustes as in Martinez, Hossain, "
    "Romero and Little, ICCV 2017; the similarity of Umeyama, TPAMI 1991"
)
HIGHER_IS_BETTER = False
UNIT = "mm"
RANGE = (0.0, None)
ENTRY = "keypoints_3d"
PARTS = "joints and actions"
# Moving the root away moves all other joints with it, and a new alignment may suit them better. A file that lacks a
# person is rejected.
INVARIANCES = frozenset({"translation", "rotation", "mirror", "confidence", "rank", "unannotated", "perfect"})


def check(dataset: Dataset, *, root: str, similarity: bool = False, every_joint: bool = False) -> None:
    if root not in dataset.joints:
        raise ValueError(f"root: no joint {root!r}")


def measure(
    annotations: Annotations,
    predictions: Predictions,
    dataset: Dataset,
    *,
    names: Sequence[str],
    root: str,
    similarity: bool = False,
    every_joint: bool = False,
) -> MeanTally:
    """Mean distance in millimetres after both poses have their `root` at the origin (Human3.6M's protocol 1).

    `similarity`: instead after the rotation, scale and translation that suit the prediction best (protocol 2, also
    PA-MPJPE). Joints that nobody annotated count neither in the mean nor in the alignment, and unless `every_joint`
    the dataset's unscored ones do not either. The root counts, with its distance of zero. A part of joints is the mean
    of its joints' means, an action the mean over its people and their joints; `mean_of_actions` is the unweighted mean
    of the actions, which is what papers report for Human3.6M; `all` is the mean over everything.
    PredictionError for a person without a pose, for whom there is no error to average.
    """
    (name,) = names
    found, true, counted = poses_in_space(annotations, predictions, dataset, root=root, every_joint=every_joint)
    if similarity:
        found = similar(found, true, counted)
    else:
        found, true = root_centred(found, dataset.joint(root)), root_centred(true, dataset.joint(root))
    sums, counts, parts = by_joint_and_action(distances(found, true), counted, annotations, dataset)
    return MeanTally(metric=name, sums=sums, counts=counts, parts=parts, whole=len(dataset.joints))
