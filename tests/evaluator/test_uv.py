"""Surface maps in PNGs: what good files hold, what is left of them, and damage that never escapes its code."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from evaluator import PredictionError, load_dataset, read_predictions, validate
from evaluator.reading import uv as uv_module
from evaluator.surface.maps import WrongImage, decoded, encoded, packed, sized, uv_entry
from tests.evaluator.upload_entries import IMAGES, chunk, dense, png

MAP = np.stack([np.arange(24) % 25, np.arange(24) * 10, 255 - np.arange(24)]).reshape(3, 4, 6).astype(np.uint8)


def test_a_map_survives_its_png() -> None:
    assert (decoded(encoded(MAP)) == MAP).all()
    assert (decoded(packed(encoded(MAP), (4, 6))) == MAP).all()


@pytest.mark.parametrize("wrong", [MAP.astype(np.int64), MAP[:2], MAP[0], MAP[:, :0], MAP.tolist()])
def test_only_whole_maps_are_encoded(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        encoded(wrong)


def test_pillow_and_we_write_and_read_each_other(tmp_path: Any) -> None:
    from PIL import Image

    picture = Image.fromarray(np.moveaxis(MAP, 0, 2))
    for options in ({}, {"optimize": True}, {"compress_level": 1}):
        picture.save(tmp_path / "map.png", **options)
        assert (decoded(packed((tmp_path / "map.png").read_bytes(), (4, 6))) == MAP).all()
    (tmp_path / "ours.png").write_bytes(encoded(MAP))
    with Image.open(tmp_path / "ours.png") as read:
        assert (np.asarray(read) == np.moveaxis(MAP, 0, 2)).all()


def test_every_filter_of_png_is_read() -> None:
    # Sub, up, average and Paeth of rows that are all zero give what was written; sub adds up along the row.
    rows = b"".join(bytes([kind]) + bytes([1, 0, 0]) + bytes(15) for kind in (1, 0, 0, 0))
    found = decoded(packed(png(pixels=rows), (4, 6)))
    assert found[0].tolist() == [[1] * 6, [1] + [0] * 5, [1] + [0] * 5, [1] + [0] * 5]
    for kind in (2, 3, 4):
        plain = packed(png(pixels=(bytes([kind]) + bytes(18)) * 4), (4, 6))
        assert not decoded(plain).any()


def test_nothing_but_pixels_reaches_pillow() -> None:
    """Texts, profiles and animations are dropped before the picture is opened: here they are bombs and nonsense."""
    plain = encoded(MAP)
    head, pixels, end = plain[:33], plain[33:-12], plain[-12:]
    bomb = zlib.compress(bytes(1 << 26))
    more = b"".join(
        [
            chunk(b"zTXt", b"a\x00\x00" + bomb),
            chunk(b"iCCP", b"a\x00\x00" + bomb),
            chunk(b"iTXt", b"a\x00\x01\x00\x00\x00" + bomb),
            chunk(b"acTL", struct.pack(">II", 1 << 30, 0)),
            chunk(b"tIME", b"no time"),
            chunk(b"eXIf", b"\xff" * 100),
            chunk(b"PLTE", bytes(9)),
        ]
    )
    assert packed(head + more + pixels + more + end + b"what follows the end", (4, 6)) == plain
    found = read_predictions(dense(head + more + pixels + end), load_dataset("densepose"))
    assert found.uv is not None and (found.uv.map(0) == MAP).all()


def test_pixels_in_many_chunks_are_one_picture() -> None:
    plain = encoded(MAP)
    data = plain[41:-16]
    split = b"".join(chunk(b"IDAT", data[at : at + 5]) for at in range(0, len(data), 5))
    assert packed(plain[:33] + split + plain[-12:], (4, 6)) == plain


def test_official_results_are_read_as_they_are() -> None:
    """Lines of 76 characters, as Python 2's encode("base64") breaks them, a float box, more keys."""
    data = base64.encodebytes(encoded(MAP)).decode()
    assert "\n" in data
    content = dense(data, category_id=1, id=5, bbox=[278.7, 42.6, 6, 4])
    checked = validate("densepose", content, images=IMAGES["densepose"])
    assert (checked.entries, checked.images_covered) == (1, 1)
    found = read_predictions(content, load_dataset("densepose"))
    assert found.uv is not None
    assert found.uv.boxes.tolist() == [[278.7, 42.6, 6, 4]]
    assert (found.uv.map(0) == MAP).all()
    assert np.isnan(found.keypoints).all() and found.keypoints.shape == (1, 17, 3)


def test_the_size_of_a_map_is_that_of_its_box_rounded_down_and_at_least_one() -> None:
    assert [sized(box) for box in ([0, 0, 6.9, 4.0], [0, 0, 0.2, 0.9], [0, 0, 1, 2])] == [(4, 6), (1, 1), (2, 1)]
    tiny = uv_entry(785, [1, 2, 0.5, 0.5], MAP[:, :1, :1], 0.5)
    assert validate("densepose", [tiny], images=IMAGES["densepose"]).entries == 1


def test_all_maps_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv_module, "MOST_PIXELS", 60)
    entries = [uv_entry(785, [1, 2, 6, 4], MAP, 0.5) for _ in range(3)]
    assert validate("densepose", entries[:2]).entries == 2
    with pytest.raises(PredictionError) as caught:
        validate("densepose", entries)
    assert (caught.value.code, caught.value.problems[0].entry) == ("image_size", 2)
    monkeypatch.setattr(uv_module, "MOST_TEXT", 10)
    with pytest.raises(PredictionError, match="characters"):
        validate("densepose", entries[:1])


def test_random_damage_never_escapes_the_enumeration() -> None:
    rng = random.Random(5)
    good = encoded(np.tile(MAP, (1, 3, 3)))
    codes = set()
    rejected = 0
    for number in range(4000):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(damaged))
            if rng.random() < 0.6:
                damaged[at] = rng.randrange(256)
            else:
                del damaged[at : at + rng.randint(1, 9)]
        content = bytes(damaged)
        if number % 2 and len(content) > 60:  # checksums that are right again let the damage through to the pixels
            data = content[41:-16]
            content = content[:33] + chunk(b"IDAT", data) + content[-12:]
        try:
            packed(content, (12, 18))
        except WrongImage as wrong:
            codes.add(wrong.code)
            rejected += 1
    assert codes == {"invalid_image", "image_size", "invalid_part"} or codes == {"invalid_image", "image_size"}
    assert rejected > 3000


def test_without_pillow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'poseboard\[densepose\]'"):
        decoded(encoded(MAP))
