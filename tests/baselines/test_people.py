"""The people that networks are trained on: read, split, cropped, augmented."""

import json

import numpy as np
import pytest
from PIL import Image

from baselines.decode import heatmaps
from baselines.mannequins import generate
from baselines.protocol import BaselineFailed
from baselines.run import crops
from baselines.train.data import Augmentation, Pictures, TrainingPeople, batches, order, read_people, split
from evaluator import load_dataset

MANNEQUINS = load_dataset("mannequins")
MIRROR = heatmaps.flip_order(MANNEQUINS.joints, MANNEQUINS.flip_pairs)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    generate(folder, split="train", images=10, seed=5)
    return folder


@pytest.fixture(scope="module")
def people(data) -> TrainingPeople:
    return read_people(MANNEQUINS, data / "annotations.json", data / "images", padding=1.25)


def _all(people, augmentation, epoch=0, **changed):
    settings = {"size": (48, 64), "batch": 8, "mirrored": MIRROR, "seed": 3, "epoch": epoch, **changed}
    found = list(batches(people, np.arange(len(people)), augmentation=augmentation, **settings))
    return [np.concatenate([getattr(b, name) for b in found]) for name in ("images", "joints", "weights")]


def _dots(tmp_path, count=40) -> TrainingPeople:
    """Images that are black but for a white dot, which is joint 0 (the right one of two); joint 1 is not annotated."""
    rng = np.random.default_rng(0)
    joints, paths = np.zeros((count, 2, 2)), []
    for i in range(count):
        x, y = rng.integers(24, 40, size=2)
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 255
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
        joints[i, 0] = x + 0.5, y + 0.5
    weights = np.tile([1.0, 0.0], (count, 1))
    regions = np.tile([8.0, 8.0, 48.0, 48.0], (count, 1))
    return TrainingPeople(Pictures(paths), np.arange(count), regions, joints, weights, 1.0)


def test_augmented_joints_are_where_the_augmented_image_shows_them(tmp_path):
    """The brightest place of the crop is the joint, however it was turned, scaled, shifted and mirrored; a mirrored
    person's right joint is the left one."""
    people = _dots(tmp_path)
    strong = Augmentation(rotation=45, scale=0.3, shift=0.05)
    found = next(
        batches(people, np.arange(40), size=(48, 48), batch=40, mirrored=[1, 0], augmentation=strong, seed=0, epoch=0)
    )
    mirrored = found.weights[:, 1] > 0
    assert 10 < mirrored.sum() < 30  # half of them: 20 of 40, give or take three standard deviations of 3.2
    assert (found.weights.sum(axis=1) == 1).all()
    joint = found.joints[np.arange(40), mirrored.astype(int)]
    light = found.images.sum(axis=1)
    light = light - light.min(axis=(1, 2), keepdims=True)  # [40, 48, 48], 0 where the image is black
    place = np.arange(48) + 0.5
    u = (light.sum(axis=1) * place).sum(axis=1) / light.sum(axis=(1, 2))
    v = (light.sum(axis=2) * place).sum(axis=1) / light.sum(axis=(1, 2))
    assert np.abs(np.stack([u, v], axis=1) - joint).max() < 0.25


def test_augmentation_depends_neither_on_the_order_nor_on_the_number_of_threads(people):
    augmentation = Augmentation(rotation=30, scale=0.2, shift=0.02, colour=0.2, half_body=0.5)
    whole = _all(people, augmentation)
    for other in (_all(people, augmentation, batch=5), _all(people, augmentation, threads=3)):
        assert all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))
    assert not np.array_equal(whole[0], _all(people, augmentation, epoch=1)[0])
    assert np.array_equal(_all(people, None, epoch=1)[0], _all(people, None)[0])


def test_everyone_in_a_crop_is_included(people):
    """The crop's own person first, then the others at their places in the crop; 0 where they lie outside."""
    settings = {"size": (96, 96), "batch": len(people), "mirrored": MIRROR, "seed": 3, "epoch": 0}
    rows, strong = np.arange(len(people)), Augmentation(rotation=30, scale=0.2, shift=0.1)
    for augmentation in (None, strong):
        alone = next(batches(people, rows, augmentation=augmentation, **settings))
        every = next(batches(people, rows, augmentation=augmentation, everyone=True, **settings))
        assert np.array_equal(every.joints[:, 0], alone.joints) and np.array_equal(every.weights[:, 0], alone.weights)
        assert np.array_equal(every.images, alone.images)
    counts = np.bincount(people.image_of)
    assert every.joints.shape == (len(people), counts.max(), 17, 2) and counts.max() > 1
    for row in rows.tolist():
        others = counts[people.image_of[row]]
        assert not every.weights[row, others:].any()
    plain = next(batches(people, rows, augmentation=None, everyone=True, **settings))
    first, second = np.flatnonzero(people.image_of == np.argmax(counts))[:2]
    x, y, w, h = people.regions[first].tolist()
    expected = crops.apply(crops.box_crop((x, y, w, h), (96, 96), people.padding), people.joints[second])
    assert plain.joints[first, 1] == pytest.approx(expected)


def test_half_bodies_are_cut_around_the_upper_or_the_lower_joints(people):
    """Half of a person fills the crop: the annotated joints lie further apart than with the whole person."""
    _, whole, weights = _all(people, Augmentation())
    _, half, _ = _all(people, Augmentation(half_body=1.0))
    many = people.weights.sum(axis=1) >= 8
    height = [np.ptp(np.where(weights > 0, j[..., 1], np.nan)[many], axis=1) for j in (whole, half)]
    spread = [np.nanmax(j[many][..., 1], axis=1) - np.nanmin(j[many][..., 1], axis=1) for j in (whole, half)]
    assert len(height[0]) > 5 and (spread[1] > spread[0]).mean() > 0.8
    few = ~many
    assert np.array_equal(whole[few], half[few])


def test_no_image_is_used_for_both_training_and_validation(people):
    learned, held = split(people, 0.3, seed=0)
    assert len(learned) + len(held) == len(people)
    images = [set(part.image_of.tolist()) for part in (learned, held)]
    assert not images[0] & images[1] and len(images[1]) == 3  # 0.3 of 10 images
    again = split(people, 0.3, seed=0)[1]
    assert np.array_equal(held.image_of, again.image_of)
    assert len(split(people, 0.0, seed=0)[1]) == 0
    assert len(set(split(people, 0.01, seed=0)[1].image_of.tolist())) == 1  # at least one


def test_each_epoch_visits_everyone_once_in_its_own_order():
    first, second = order(50, 0, 0), order(50, 0, 1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert not np.array_equal(first, second) and np.array_equal(first, order(50, 0, 0))


def test_the_official_file_of_lsp_is_read_without_its_test_images(tmp_path):
    """joints.mat holds 2,000 images; only 1 to 1000 are used, whole, their joints moved to continuous coordinates."""
    scipy = pytest.importorskip("scipy.io")
    joints = np.random.default_rng(0).uniform(10, 90, size=(3, 14, 2000))
    joints[2] = 0
    scipy.savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    for i in range(1, 1001):  # an image of the test split would be missed here
        Image.new("L", (80 + i % 7, 100)).save(tmp_path / "images" / f"im{i:04d}.jpg")
    lsp = load_dataset("lsp")
    people = read_people(lsp, tmp_path / "joints.mat", tmp_path / "images", padding=1.25)
    assert len(people) == 1000 and people.padding == crops.IMAGE_PADDING
    assert people.regions[12].tolist() == [0, 0, 80 + 13 % 7, 100]
    assert people.joints[999, 3] == pytest.approx(joints[:2, 3, 999] + 0.5)
    assert people.weights.min() == 1


def _truth(**changed):
    image, person = {"id": 1, "file_name": "a.png"}, {"image_id": 1, "keypoints": [1, 2, 2] * 17, "bbox": [0, 0, 9, 9]}
    return {"images": [image], "annotations": [person], **changed}


@pytest.mark.parametrize(
    ("dataset", "content", "code"),
    [
        ("mannequins", "{", "annotations"),
        ("mannequins", "[]", "annotations"),
        ("mannequins", json.dumps(_truth(annotations=[])), "no_people"),
        ("mannequins", json.dumps(_truth(images=[{"id": 1, "file_name": "b.png"}])), "no_images"),
        ("mannequins", json.dumps(_truth(annotations=[{"image_id": 1, "keypoints": [1, 2, 2]}])), "annotations"),
        ("lsp", json.dumps(_truth()), "other_joints"),
        ("lsp", json.dumps(_truth(images=[{"id": 1001, "file_name": "a.png"}])), "test_images"),
        ("mannequins", None, "no_data"),
    ],
)
def test_bad_data_is_named(dataset, content, code, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(BaselineFailed) as failure:
        read_people(load_dataset(dataset), tmp_path / "truth.json", tmp_path, padding=1.25)
    assert failure.value.code == code


def test_a_broken_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    (tmp_path / "truth.json").write_text(json.dumps(_truth()))
    people = read_people(MANNEQUINS, tmp_path / "truth.json", tmp_path, padding=1.25)
    with pytest.raises(BaselineFailed, match=r"a\.png") as failure:
        _all(people, None)
    assert failure.value.code == "unreadable_image"


@pytest.mark.real_data
def test_the_official_files_of_coco_are_read(real_data):
    """Four images with 14 annotations, 12 of them of people with annotated joints; regions are their boxes."""
    official = real_data / "coco" / "xt_example_coco_val.json"
    people = read_people(load_dataset("coco"), official, real_data / "coco" / "images", padding=1.25)
    shown = [p for p in json.loads(official.read_text())["annotations"] if p["num_keypoints"] > 0 and not p["iscrowd"]]
    assert len(people) == len(shown) == 12 and people.padding == 1.25
    assert people.regions.tolist() == [p["bbox"] for p in shown]
    assert people.weights.sum() == sum(p["num_keypoints"] for p in shown)
    images, joints, weights = _all(people, None)
    assert images.shape == (12, 3, 64, 48) and np.isfinite(images).all() and joints.shape == (12, 17, 2)
    assert weights.sum() > 0.95 * people.weights.sum()  # crops contain nearly all of their person's joints


@pytest.mark.real_data
def test_the_official_files_of_lsp_are_read(real_data):
    people = read_people(
        load_dataset("lsp"), real_data / "lsp" / "LSP-joints-PC.mat", real_data / "lsp" / "images", padding=1.25
    )
    assert len(people) == 1000 and people.pictures.paths[-1].name == "im1000.jpg"
    assert people.weights.all()
