"""Decoding, mirror images, crops, scores and suppression compared with the toolkits', on random input.

Part of `python -m benchmarks.network_parity`, which installs the toolkits.

    python -m benchmarks.decoding_parity

prints the toolkits' results for the first random crowds; the tests compare ours with these numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from baselines.decode import heatmaps, oks_nms, pose_nms
from baselines.run import crops
from evaluator import load_dataset

PEOPLE, JOINTS = 12, 17
SIZE = (48, 64)  # width, height of heatmaps; crops are four times as large


@dataclass(frozen=True)
class Compared:
    """The largest difference of a result from a peer's."""

    what: str
    peer: str
    cases: int
    difference: float
    unit: str
    tolerance: float

    @property
    def same(self) -> bool:
        return self.difference <= self.tolerance


def compare(cases: int = 200) -> list[Compared]:
    """All comparisons."""
    return [*decoding(cases), flipping(cases), cropping(cases), suppression(cases), rescoring(cases), merging(cases)]


def noisy_heatmaps(seed: int, margin: float) -> NDArray[np.float32]:
    """Gaussians of sigma 2 with noise [1, K, H, W], their middles at least `margin` pixels from the border."""
    draw = np.random.default_rng(seed)
    joints = margin + draw.uniform(0, 1, (1, JOINTS, 2)) * (np.array(SIZE) - 1 - 2 * margin)
    maps = heatmaps.gaussian_targets(joints, np.ones((1, JOINTS)), SIZE, 2.0)
    return (maps + draw.uniform(0, 0.05, maps.shape)).astype(np.float32)


def decoding(cases: int) -> list[Compared]:
    """AlphaPose's, which is HRNet's, up to the border and beyond; mmpose's codec, plain and unbiased (DARK), away from
    the border, where it alone moves the highest pixel."""
    from alphapose.utils.transforms import heatmap_to_coord_simple  # type: ignore[import-not-found]
    from mmpose.codecs import MSRAHeatmap  # type: ignore[import-not-found]

    largest = 0.0
    for seed in range(cases):
        maps = noisy_heatmaps(seed, -2.0)
        expected, scores = heatmap_to_coord_simple(maps[0].copy(), [0, 0, *SIZE])
        found, values = heatmaps.decode(maps)
        largest = max(largest, np.abs(found[0] - expected).max(), np.abs(values[0] - scores[:, 0]).max())
    rows = [Compared("decoding, quarter pixel", "AlphaPose", cases, float(largest), "heatmap pixels", 1e-3)]
    for name, unbiased, ours in (("quarter pixel", False, heatmaps.decode), ("DARK", True, heatmaps.decode_dark)):
        codec = MSRAHeatmap(input_size=SIZE, heatmap_size=SIZE, sigma=2.0, unbiased=unbiased, blur_kernel_size=11)
        largest = 0.0
        for seed in range(cases):
            maps = noisy_heatmaps(seed, 4.0)
            expected, scores = codec.decode(maps[0].copy())
            found, values = ours(maps)
            largest = max(largest, np.abs(found - expected).max(), np.abs(values - scores).max())
        rows.append(Compared(f"decoding, {name}", "mmpose", cases, float(largest), "heatmap pixels", 1e-3))
    return rows


def flipping(cases: int) -> Compared:
    """Maps of the mirror image, moved by a pixel."""
    from mmpose.models.utils.tta import flip_heatmaps  # type: ignore[import-not-found]

    coco = load_dataset("coco")
    order = heatmaps.flip_order(tuple(coco.joints), [(a, b) for a, b in coco.flip_pairs])
    largest = 0.0
    for seed in range(cases):
        maps = noisy_heatmaps(seed, 0.0)
        for shift in (False, True):
            expected = flip_heatmaps(torch.from_numpy(maps.copy()), order, shift_heatmap=shift).numpy()
            largest = max(largest, float(np.abs(heatmaps.flip_back(maps, order, shift=shift) - expected).max()))
    return Compared("mirrored heatmaps", "mmpose", 2 * cases, largest, "", 0.0)


def cropping(cases: int) -> Compared:
    """The matrix from the image to the crop: both map the box's centre to the crop's, at the same scale."""
    from mmpose.structures.bbox import bbox_xywh2cs, get_warp_matrix  # type: ignore[import-not-found]

    largest = 0.0
    for seed in range(cases):
        draw = np.random.default_rng(seed)
        box, size = draw.uniform(5, 300, 4), (192, 256) if seed % 2 else (256, 256)
        centre, scale = bbox_xywh2cs(box, padding=1.25)
        w, h = scale  # the crop's shape, as TopdownAffine makes it
        shape = size[0] / size[1]
        scale = np.array([w, w / shape]) if w > h * shape else np.array([h * shape, h])
        expected = get_warp_matrix(centre, scale, 0.0, output_size=size)
        found = crops.box_crop(tuple(box), size)  # type: ignore[arg-type]
        corners = box[:2] + draw.uniform(-0.2, 1.2, (8, 2)) * box[2:]
        largest = max(largest, float(np.abs(crops.apply(found, corners) - crops.apply(expected, corners)).max()))
    return Compared("crops", "mmpose", cases, largest, "crop pixels", 1e-2)


def crowd(seed: int) -> dict[str, NDArray[Any]]:
    """People, several poses of each: joints [N, K, 2], confidence [N, K], boxes [N, 4] (x, y, w, h), scores [N]."""
    draw = np.random.default_rng(seed)
    bodies = draw.uniform(0, 400, (PEOPLE // 3, 1, 2)) + draw.uniform(0, 120, (PEOPLE // 3, JOINTS, 2))
    joints = np.repeat(bodies, 3, axis=0)
    joints = joints + draw.normal(0, 1, joints.shape) * draw.uniform(0.05, 8, (PEOPLE, 1, 1))
    confidence = draw.uniform(0, 1, (PEOPLE, JOINTS)) * draw.uniform(0.2, 1, (PEOPLE, 1))
    low, high = joints.min(axis=1) - 5, joints.max(axis=1) + 5
    boxes = np.concatenate([low, high - low], axis=1)
    return {"joints": joints, "confidence": confidence, "boxes": boxes, "scores": draw.uniform(0.3, 1, PEOPLE)}


def remaining_by_mmpose(seed: int, threshold: float) -> list[int]:
    """The rows of a crowd that remain after mmpose's OKS-NMS."""
    from mmpose.evaluation.functional.nms import oks_nms as peer  # type: ignore[import-not-found]

    rows = _rows(crowd(seed))
    return [int(n) for n in peer(rows, threshold, sigmas=np.asarray(load_dataset("coco").sigmas, float))]


def scored_by_alphapose(seed: int) -> list[float]:
    """AlphaPose's scores of the people of a crowd that remain after OKS-NMS, best first."""
    from alphapose.utils.pPose_nms import oks_pose_nms  # type: ignore[import-not-found]

    return [float(row["score"]) for row in oks_pose_nms(_rows(crowd(seed)))]


def merged_by_alphapose(seed: int) -> dict[int, tuple[NDArray[Any], NDArray[Any]]]:
    """Joints [K, 2] and confidence [K] of the people that AlphaPose's pose NMS makes of a crowd, by their best row."""
    from alphapose.utils.pPose_nms import pose_nms as peer

    people = crowd(seed)
    corners = people["boxes"].copy()
    corners[:, 2:] += corners[:, :2]
    _, _, _, joints, confidence, picked = peer(
        torch.tensor(corners), torch.tensor(people["scores"])[:, None], torch.arange(PEOPLE)[:, None],
        torch.tensor(people["joints"]).float(), torch.tensor(people["confidence"]).float()[..., None],
    )  # fmt: skip
    rows = zip(picked, joints, confidence, strict=True)
    return {int(row): (j.numpy(), c.numpy()[:, 0]) for row, j, c in rows}


def _rows(people: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """A crowd in the form of the toolkits."""
    triples = np.concatenate([people["joints"], people["confidence"][..., None]], axis=2)
    areas = people["boxes"][:, 2] * people["boxes"][:, 3]
    return [
        {"image_id": 1, "keypoints": triples[n].ravel(), "score": people["scores"][n], "area": areas[n]}
        for n in range(PEOPLE)
    ]


def suppression(cases: int) -> Compared:
    """OKS-NMS: the share of cases in which other people remain."""
    sigmas, differing = np.asarray(load_dataset("coco").sigmas, float), 0
    for seed in range(cases):
        people = crowd(seed)
        areas = people["boxes"][:, 2] * people["boxes"][:, 3]
        threshold = (0.9, 0.7, 0.5)[seed % 3]
        found = oks_nms.suppress(people["joints"], people["scores"], areas, sigmas, threshold)
        differing += found != remaining_by_mmpose(seed, threshold)
    return Compared("OKS-NMS, remaining people", "mmpose", cases, differing / cases, "of the cases", 0.0)


def rescoring(cases: int) -> Compared:
    """Box score times mean confidence above 0.2, then OKS-NMS at 0.9: the scores that remain."""
    sigmas, largest = np.asarray(load_dataset("coco").sigmas, float), 0.0
    for seed in range(cases):
        people = crowd(seed)
        areas = people["boxes"][:, 2] * people["boxes"][:, 3]
        scores = oks_nms.person_scores(people["confidence"], people["scores"])
        rows, expected = oks_nms.suppress(people["joints"], scores, areas, sigmas), scored_by_alphapose(seed)
        off = np.abs(np.array(expected) - scores[rows]).max() if len(expected) == len(rows) else np.inf
        largest = max(largest, float(off))
    return Compared("scores of people, after OKS-NMS", "AlphaPose", cases, largest, "", 1e-6)


def merging(cases: int) -> Compared:
    """Parametric pose NMS: which people remain, and where the merged joints are."""
    largest = 0.0
    for seed in range(cases):
        people = crowd(seed)
        found = pose_nms.suppress(people["joints"], people["confidence"], people["boxes"], people["scores"])
        expected, ours = merged_by_alphapose(seed), {person.members[0]: person for person in found}
        if expected.keys() != ours.keys():
            largest = np.inf
            continue
        for row, (j, c) in expected.items():
            off = max(np.abs(ours[row].joints - j).max(), np.abs(ours[row].confidence - c).max())
            largest = max(largest, float(off))
    return Compared("pose NMS, merged joints", "AlphaPose", cases, largest, "pixels", 1e-3)


def main() -> None:
    from benchmarks import peers

    peers.install("parity", peers.TOOLKITS, peers.ABSENT)
    for seed in range(3):
        merged = merged_by_alphapose(seed)
        found = {
            "remaining": {str(threshold): remaining_by_mmpose(seed, threshold) for threshold in (0.9, 0.7, 0.5)},
            "scores": [round(score, 6) for score in scored_by_alphapose(seed)],
            "merged": sorted(merged),
            "joint 5": [[round(float(v), 3) for v in (*merged[n][0][5], merged[n][1][5])] for n in sorted(merged)],
        }
        print(json.dumps({seed: found}))


if __name__ == "__main__":
    main()
